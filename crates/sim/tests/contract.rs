//! The simulator's disk passes the contract that the segment files pass, and keeps all of a batch or nothing of it.

use balefire_model::{AppendError, Entry, Journal, Position};
use balefire_sim::{DiskFault, SimJournal, Survival};
use balefire_store::contract::{self, Subject};
use jiff::Timestamp;

#[derive(Default)]
struct Disk(SimJournal);

impl Subject for Disk {
    fn journal(&mut self) -> &mut dyn Journal {
        &mut self.0
    }

    fn reopen(&mut self) {
        self.0.recover(&Survival::Nothing);
    }
}

#[test]
fn the_simulated_disk_is_a_journal() {
    contract::check(&mut || Box::new(Disk::default()));
}

fn entries(count: u16) -> Vec<Entry> {
    let entry = |kind| Entry { kind, at: Timestamp::UNIX_EPOCH, payload: vec![b'x'; usize::from(kind) + 1] };
    (0..count).map(entry).collect()
}

#[test]
fn a_crash_keeps_all_of_an_unsynced_batch_or_nothing() {
    for per_mille in 0..=1000 {
        for garbage in [vec![], vec![0; 40], vec![0xff; 40]] {
            let mut journal = SimJournal::default();
            journal.append(Position(0), &entries(3)).unwrap();
            journal.write_unsynced(&entries(2));
            journal.recover(&Survival::Torn { per_mille, garbage });
            let expected = if per_mille == 1000 { 5 } else { 3 };
            assert_eq!(journal.position(), Position(expected), "{per_mille} of 1000 were kept");
            journal.append(Position(expected), &entries(1)).unwrap();
            journal.recover(&Survival::Nothing);
            assert_eq!(journal.position(), Position(expected + 1), "what came after the torn end is kept");
        }
    }
}

#[test]
fn a_full_disk_appends_nothing_and_a_failed_sync_leaves_doubt() {
    let mut journal = SimJournal::default();
    journal.set_fault(DiskFault::Full);
    assert!(matches!(journal.append(Position(0), &entries(1)), Err(AppendError::Full { .. })));
    journal.set_fault(DiskFault::None);
    journal.append(Position(0), &entries(1)).unwrap();
    for (survival, expected) in [(Survival::Nothing, 1), (Survival::Everything, 3)] {
        let mut journal = journal.clone();
        journal.set_fault(DiskFault::Sync);
        assert!(matches!(journal.append(Position(1), &entries(2)), Err(AppendError::Failed { .. })));
        journal.set_fault(DiskFault::None);
        let again = journal.append(Position(1), &entries(2));
        assert!(matches!(again, Err(AppendError::Failed { .. })), "nothing works before the journal is read again");
        journal.recover(&survival);
        assert_eq!(journal.position(), Position(expected));
    }
}
