//! How fast the journal appends, opens and reads, beside a plain loop of write and fdatasync with the same bytes.
//!
//! `cargo run --release -p balefire-store --example journal_bench -- DIR [RECORDS]`
#![expect(clippy::print_stdout, reason = "its only purpose")]

use balefire_model::{Entry, Journal, Position};
use balefire_store::journal::{FileJournal, JournalOptions};
use jiff::Timestamp;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const PAYLOAD_BYTES: usize = 900;
const BATCH_RECORDS: u64 = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: journal_bench DIR [RECORDS]")?;
    let records: u64 = arguments.next().as_deref().unwrap_or("1000000").parse()?;
    let dir = Path::new(&dir);
    println!("{records} records of {PAYLOAD_BYTES} bytes in batches of {BATCH_RECORDS}, in {}", dir.display());

    let plain = plain_loop(dir, records)?;
    let append = append(&dir.join("journal"), records)?;
    println!("append takes {:.2} times as long as the plain loop", append / plain);

    for _ in 0..3 {
        let start = Instant::now();
        let (journal, opened) = FileJournal::open(&dir.join("journal"), JournalOptions::default())?;
        report("open", start, opened.position.0);
        let reader = journal.reader();
        let start = Instant::now();
        reader.read(Position(0), opened.position, &mut |_| true)?;
        report("read in order", start, opened.position.0);
        let start = Instant::now();
        let mut at = 1;
        for _ in 0..100_000 {
            at = at * 6_364_136_223_846_793_005_u64 % 1_000_000_007;
            reader.get(Position(at % opened.position.0))?;
        }
        report("get anywhere", start, 100_000);
    }
    Ok(())
}

fn report(what: &str, start: Instant, records: u64) -> f64 {
    let seconds = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for the eye")]
    let records = records as f64;
    println!("{what}: {seconds:.3} s, {:.0} records/s, {:.2} us each", records / seconds, seconds * 1e6 / records);
    seconds
}

fn plain_loop(dir: &Path, records: u64) -> Result<f64, Box<dyn Error>> {
    let path = dir.join("plain");
    let mut file = File::create_new(&path)?;
    let batch = vec![b'x'; (PAYLOAD_BYTES + 48) * usize::try_from(BATCH_RECORDS)?];
    let start = Instant::now();
    for _ in 0..records / BATCH_RECORDS {
        file.write_all(&batch)?;
        file.sync_data()?;
    }
    let seconds = report("plain write and fdatasync", start, records);
    std::fs::remove_file(path)?;
    Ok(seconds)
}

fn append(dir: &Path, records: u64) -> Result<f64, Box<dyn Error>> {
    let entry = Entry { kind: 3, at: Timestamp::now(), payload: vec![b'x'; PAYLOAD_BYTES] };
    let batch = vec![entry; usize::try_from(BATCH_RECORDS)?];
    let (mut journal, opened) = FileJournal::open(dir, JournalOptions::default())?;
    let mut position = opened.position;
    let start = Instant::now();
    for _ in 0..records / BATCH_RECORDS {
        position = journal.append(position, &batch)?;
    }
    Ok(report("append", start, records))
}
