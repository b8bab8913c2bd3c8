//! What a seed's life is made of: how long it is, how much happens, and which faults come how often. Each seed leaves some
//! faults out, so that rare meetings of the others are not drowned.

use crate::random::Random;

/// In microseconds.
pub(crate) const SECOND: u64 = 1_000_000;

/// How many of a thousand lives are large.
const LARGE: u64 = 150;

/// What happens to one operation of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// The disk has no room for the append.
    Full,
    /// The append's sync fails: what was written is in doubt.
    Sync,
    /// The process dies before the append.
    CrashBefore,
    /// The process dies during the append.
    CrashDuring,
    /// The process dies after the append, before any act.
    CrashAfter,
    /// The process dies after so many acts.
    CrashBetween(u64),
}

impl Strike {
    /// Every one of them.
    pub const ALL: [Strike; 7] = [
        Strike::Full,
        Strike::Sync,
        Strike::CrashBefore,
        Strike::CrashDuring,
        Strike::CrashAfter,
        Strike::CrashBetween(1),
        Strike::CrashBetween(2),
    ];
}

/// One life.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// When the faults end, in microseconds.
    pub active: u64,
    /// The most requests.
    pub requests: u64,
    /// Lines of the tailed file.
    pub lines: u64,
    /// Crashes in a thousand rounds.
    pub crashes: u64,
    /// Failed syncs in a thousand rounds.
    pub sync_failures: u64,
    /// Snapshots in a thousand rounds.
    pub snapshots: u64,
    /// Answers in a thousand that do not reach their sender.
    pub lost_answers: u64,
    /// Times when the disk is full.
    pub full_times: u64,
    pub clock_jumps: u64,
    pub reloads: u64,
    pub stops: u64,
    /// What people do.
    pub acts: u64,
    /// How often a receiver changes.
    pub moods: u64,
    /// In a thousand of these changes, to something worse.
    pub illness: u64,
    /// Whether one receiver never gets well.
    pub lost_receiver: bool,
    /// Whether one channel always works.
    pub has_steady: bool,
    /// The only fault of the disk and of the process: which append, from 0, and what happens to it.
    pub strike: Option<(u64, Strike)>,
}

impl Plan {
    /// A short life in which receivers fall ill, people act, and one append of the journal goes wrong.
    pub(crate) fn short(random: &mut Random, strike: (u64, Strike)) -> Plan {
        Plan {
            active: 20 * SECOND,
            requests: 5,
            lines: 3,
            crashes: 0,
            sync_failures: 0,
            snapshots: 50,
            lost_answers: 0,
            full_times: 0,
            clock_jumps: 0,
            reloads: 1,
            stops: 0,
            moods: 10,
            illness: 700,
            acts: 3,
            lost_receiver: false,
            strike: Some(strike),
            ..Plan::large(random)
        }
    }

    /// Most lives are small, since few things meet in most faults and many lives find more than long ones; the others are
    /// large, for what takes many.
    pub(crate) fn new(random: &mut Random) -> Plan {
        let large = Plan::large(random);
        if random.chance(LARGE) {
            return large;
        }
        Plan {
            active: SECOND * random.pick(&[10, 60, 600]),
            requests: random.between(1, 6),
            lines: random.sometimes(300, 1, 3),
            full_times: random.sometimes(200, 1, 2),
            clock_jumps: random.sometimes(300, 1, 2),
            reloads: random.sometimes(400, 1, 2),
            stops: random.sometimes(200, 1, 2),
            moods: random.between(0, 12),
            acts: random.pick(&[0, 2, 5]),
            // Each delivery to it is tried hundreds of times.
            lost_receiver: random.chance(50),
            ..large
        }
    }

    fn large(random: &mut Random) -> Plan {
        let active = SECOND * random.pick(&[60, 600, 7_200]);
        Plan {
            active,
            requests: random.pick(&[8, 30, 60]),
            lines: random.sometimes(500, 1, 30),
            crashes: random.pick(&[0, 3, 20, 60]),
            sync_failures: random.pick(&[0, 0, 5]),
            snapshots: random.pick(&[0, 10, 100]),
            lost_answers: random.pick(&[0, 50, 300]),
            full_times: random.sometimes(400, 1, 4),
            clock_jumps: random.sometimes(400, 1, 5),
            reloads: random.sometimes(500, 1, 6),
            stops: random.sometimes(300, 1, 3),
            moods: random.between(0, 40),
            illness: random.pick(&[200, 500, 900]),
            lost_receiver: random.chance(250),
            acts: random.pick(&[0, 4, 30]),
            has_steady: random.chance(800),
            strike: None,
        }
    }
}
