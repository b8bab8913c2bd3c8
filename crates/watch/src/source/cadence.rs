//! How often a source sends, learned hour by hour of the week, and whether it is silent for too long by that. Silence is
//! counted in the events that were to be expected meanwhile, so that a night weighs little and a busy hour much. Pure: knows
//! neither names nor clocks.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The hours of a week.
pub(crate) const HOURS: usize = 168;
/// So many expected events must be missing at the least: ln(10^4), by which an independent sender is this silent once in
/// ten thousand events.
const EXPECTED_MIN: f64 = 9.210_340_371_976_184;
/// A silence is told where it is so much longer than the longest that was learned.
const SLACK: f64 = 1.5;
/// Where the longest ones differ wildly, as between bursts, a longer one will come: then by as much that only one in so many
/// times as long as was learned has one.
const RARE: f64 = 5.0;
/// But by no more than this.
const SLACK_MAX: f64 = 5.0;
/// As many of the longest silences are remembered.
const GAPS_MAX: usize = 8;
/// An hour of the week that was seen so often is known; what comes later replaces what was.
const WEEKS_MAX: f32 = 8.0;
/// The part of its average rate at which a source is taken to send in an hour in which it never did.
const RATE_FLOOR: f64 = 0.02;
/// What was the most or the longest is forgotten after twice as long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(8 * 7 * 86_400);
/// Whoever listened for longer than ten years has not.
const LEARNED_MAX: u64 = 10 * 365 * 86_400;
/// How much more than in its busiest hour a source sends, where that is a flood.
const FLOOD_FACTOR: f64 = 10.0;
/// And so many events at the least.
const FLOOD_MIN: f64 = 100.0;

/// What was learned of one source.
#[derive(Clone, Debug)]
pub(crate) struct Cadence {
    /// Events in each hour of the week, and how often that hour was listened to.
    counts: Box<[f32; HOURS]>,
    hours: Box<[f32; HOURS]>,
    /// How long it was listened to.
    learned: Duration,
    /// Events an hour below which no hour counts.
    least_rate: f64,
    /// The longest silences, in expected events and by the hours in which they lay.
    gaps: Vec<Gap>,
    /// How much longer than the longest a silence may be, and the expected events that may be missing then.
    slack: f64,
    limit: f64,
    /// The longest silence in seconds.
    longest: Peak,
    /// Events in the busiest hour.
    busiest: Peak,
    /// Until when, in what is learned, the most of now is that of now.
    epoch_ends: Duration,
    /// The silence that goes on.
    quiet: f64,
    quiet_for: Duration,
    quiet_from: usize,
    hour: usize,
    in_hour: f64,
}

/// The most of something in this time and in the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Peak(f64, f64);

impl Peak {
    fn most(self) -> f64 {
        self.0.max(self.1)
    }

    fn take(&mut self, value: f64) {
        self.0 = self.0.max(value);
    }
}

/// A silence that was learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Gap {
    /// The hour of the week in which it began, and for how many seconds it lasted.
    from: usize,
    lasted: f64,
    /// How many events were to be expected meanwhile, by what is known now.
    expected: f64,
    /// How long had been learned when it ended, in seconds.
    at: f64,
}

/// When silence is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long it is learned before anything is judged.
    pub(crate) min: Duration,
    /// No silence that is shorter.
    pub(crate) floor: Duration,
    /// A longer one, unless it was learned.
    pub(crate) cap: Duration,
}

impl Cadence {
    /// Nothing is known yet.
    pub(crate) fn new() -> Cadence {
        Cadence {
            counts: Box::new([0.0; HOURS]),
            hours: Box::new([0.0; HOURS]),
            learned: Duration::ZERO,
            least_rate: 0.0,
            gaps: Vec::new(),
            slack: SLACK,
            limit: EXPECTED_MIN,
            longest: Peak::default(),
            busiest: Peak::default(),
            epoch_ends: FORGOTTEN_AFTER,
            quiet: 0.0,
            quiet_for: Duration::ZERO,
            quiet_from: HOURS,
            hour: HOURS,
            in_hour: 0.0,
        }
    }

    /// Time passes in an hour of the week. `is_learning` is false while an incident is open: an outage is nothing to learn.
    pub(crate) fn pass(&mut self, hour: usize, time: Duration, is_learning: bool) {
        if hour != self.hour {
            self.turn(hour, is_learning);
        }
        let hours = time.as_secs_f64() / 3600.0;
        self.quiet += self.rate(hour) * hours;
        self.quiet_for += time;
        if is_learning {
            self.hours[hour] += hours as f32;
            self.learned += time;
        }
    }

    /// Events came. The silence before them is learned, unless there was an incident.
    pub(crate) fn hear(&mut self, count: u64, is_learning: bool) {
        self.in_hour += count as f64;
        if is_learning && self.hour < HOURS {
            self.counts[self.hour] += count as f32;
            self.learn_gap();
        }
        (self.quiet, self.quiet_for, self.quiet_from) = (0.0, Duration::ZERO, self.hour);
    }

    /// Whether its silence is told.
    pub(crate) fn is_silent(&self, bounds: &Bounds) -> bool {
        let is_long = || self.quiet_for.as_secs_f64() >= bounds.cap.as_secs_f64().max(self.slack * self.longest.most());
        self.is_known(bounds) && self.quiet_for >= bounds.floor && (self.quiet >= self.limit || is_long())
    }

    /// Whether enough is known to judge.
    pub(crate) fn is_known(&self, bounds: &Bounds) -> bool {
        self.learned >= bounds.min
    }

    /// Whether it sends far more than it ever did.
    pub(crate) fn floods(&self, bounds: &Bounds) -> bool {
        let most = self.busiest.most();
        self.is_known(bounds) && self.in_hour >= FLOOD_MIN && self.in_hour > FLOOD_FACTOR * most
    }

    /// How many events were to be expected since the last one, and how many may be.
    pub(crate) fn missing(&self) -> (f64, f64) {
        (self.quiet, self.limit)
    }

    /// How long it has been silent, while it was listened to.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.quiet_for
    }

    /// How long it was listened to.
    pub(crate) fn learned(&self) -> Duration {
        self.learned
    }

    /// Events in the hour that goes on, and in the busiest one.
    pub(crate) fn hour(&self) -> (f64, f64) {
        (self.in_hour, self.busiest.most())
    }

    /// Events an hour in this hour of the week.
    pub(crate) fn rate(&self, hour: usize) -> f64 {
        let seen = f64::from(self.hours[hour]);
        // Half an hour says little of an hour: then the average counts.
        let own = if seen < 0.5 { self.least_rate / RATE_FLOOR } else { f64::from(self.counts[hour]) / seen };
        own.max(self.least_rate)
    }

    /// What follows from the longest silences: how heavy their tail is, by Hill's estimator (Annals of Statistics 3, 1975).
    fn set_limit(&mut self) {
        let expected = || self.gaps.iter().map(|gap| gap.expected);
        let (longest, least) = (expected().fold(0.0, f64::max), expected().fold(f64::INFINITY, f64::min));
        let count = self.gaps.len();
        let heavy = match count > 1 && least > 0.0 {
            true => expected().map(|expected| (expected / least).ln()).sum::<f64>() / (count - 1) as f64,
            false => 0.0,
        };
        self.slack = RARE.powf(heavy).clamp(SLACK, SLACK_MAX);
        self.limit = EXPECTED_MIN.max(self.slack * longest);
    }

    /// Another hour begins.
    fn turn(&mut self, hour: usize, is_learning: bool) {
        if is_learning && self.in_hour > 0.0 && self.hour < HOURS {
            self.busiest.take(self.in_hour);
        }
        (self.hour, self.in_hour) = (hour, 0.0);
        if self.quiet_from >= HOURS {
            self.quiet_from = hour;
        }
        if self.hours[hour] >= WEEKS_MAX {
            let kept = (WEEKS_MAX - 1.0) / self.hours[hour];
            self.counts[hour] *= kept;
            self.hours[hour] *= kept;
        }
        let (counts, hours): (f32, f32) = (self.counts.iter().sum(), self.hours.iter().sum());
        self.least_rate = if hours > 0.0 { RATE_FLOOR * f64::from(counts) / f64::from(hours) } else { 0.0 };
        if self.learned >= self.epoch_ends {
            self.epoch_ends += FORGOTTEN_AFTER;
            self.longest = Peak(0.0, self.longest.0);
            self.busiest = Peak(0.0, self.busiest.0);
        }
        // What is known of the hours changes slowly.
        if hour.is_multiple_of(24) {
            self.weigh_gaps();
        }
    }

    /// Counts the silences of the past by what is known now, and forgets those that are old.
    fn weigh_gaps(&mut self) {
        let mut gaps = std::mem::take(&mut self.gaps);
        let oldest = self.learned.as_secs_f64() - 2.0 * FORGOTTEN_AFTER.as_secs_f64();
        gaps.retain(|gap| gap.at >= oldest);
        for gap in &mut gaps {
            let (mut left, mut hour, mut expected) = (gap.lasted.min(90.0 * 86_400.0), gap.from, 0.0);
            while left > 0.0 {
                expected += self.rate(hour % HOURS) * left.min(3600.0) / 3600.0;
                (left, hour) = (left - 3600.0, hour + 1);
            }
            gap.expected = expected;
        }
        self.gaps = gaps;
        self.set_limit();
    }

    fn learn_gap(&mut self) {
        let lasted = self.quiet_for.as_secs_f64();
        self.longest.take(lasted);
        let gap =
            Gap { from: self.quiet_from.min(HOURS - 1), lasted, expected: self.quiet, at: self.learned.as_secs_f64() };
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push(gap);
            return self.set_limit();
        }
        let least = self.gaps.iter_mut().min_by(|a, b| a.expected.total_cmp(&b.expected));
        if let Some(least) = least.filter(|least| least.expected < gap.expected) {
            *least = gap;
            self.set_limit();
        }
    }
}

/// What a restart must know; the rates in one text, a character for each hour, which is exact enough.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    #[serde(rename = "r")]
    rates: String,
    #[serde(rename = "l")]
    learned: u64,
    #[serde(rename = "g")]
    gaps: Vec<(u16, u32, u32)>,
    #[serde(rename = "s")]
    longest: Peak,
    #[serde(rename = "b")]
    busiest: Peak,
}

/// The characters of rates, the lowest first; a hour that was not listened to is a blank.
const STEPS: u8 = b'~' - b'!';
/// As many characters are a factor of two.
const STEPS_PER_DOUBLING: f64 = 4.0;
/// The lowest rate above nothing, in events an hour.
const RATE_STEP: f64 = 0.01;

impl Cadence {
    /// For a restart.
    pub(crate) fn keep(&self) -> Kept {
        let rate = |hour: usize| match self.hours[hour] >= 0.5 {
            false => ' ',
            true => {
                let rate = f64::from(self.counts[hour] / self.hours[hour]);
                let step = (STEPS_PER_DOUBLING * (1.0 + rate / RATE_STEP).log2()).round();
                char::from(b'!' + step.clamp(0.0, f64::from(STEPS)) as u8)
            }
        };
        let short = |gap: &Gap| (gap.from as u16, gap.lasted as u32, (gap.at / 3600.0) as u32);
        Kept {
            rates: (0..HOURS).map(rate).collect(),
            learned: self.learned.as_secs(),
            gaps: self.gaps.iter().map(short).collect(),
            longest: self.longest,
            busiest: self.busiest,
        }
    }

    /// From before a restart. Silence counts from now on.
    pub(crate) fn from_kept(kept: &Kept) -> Cadence {
        let mut cadence = Cadence::new();
        let weeks = (kept.learned as f64 / (7.0 * 86_400.0)).clamp(0.5, f64::from(WEEKS_MAX));
        for (hour, character) in kept.rates.bytes().take(HOURS).enumerate() {
            if let Some(step) = character.checked_sub(b'!').filter(|step| *step <= STEPS) {
                let rate = ((f64::from(step) / STEPS_PER_DOUBLING).exp2() - 1.0) * RATE_STEP;
                cadence.counts[hour] = (rate * weeks) as f32;
                cadence.hours[hour] = weeks as f32;
            }
        }
        cadence.learned = Duration::from_secs(kept.learned.min(LEARNED_MAX));
        cadence.epoch_ends = cadence.learned + FORGOTTEN_AFTER;
        (cadence.longest, cadence.busiest) = (kept.longest, kept.busiest);
        let gap = |(from, lasted, at): &(u16, u32, u32)| Gap {
            from: usize::from(*from).min(HOURS - 1),
            lasted: f64::from(*lasted),
            expected: 0.0,
            at: f64::from(*at) * 3600.0,
        };
        cadence.gaps = kept.gaps.iter().take(GAPS_MAX).map(gap).collect();
        let (counts, hours): (f32, f32) = (cadence.counts.iter().sum(), cadence.hours.iter().sum());
        cadence.least_rate = if hours > 0.0 { RATE_FLOOR * f64::from(counts) / f64::from(hours) } else { 0.0 };
        cadence.weigh_gaps();
        cadence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        min: Duration::from_secs(14 * 86_400),
        floor: Duration::from_secs(300),
        cap: Duration::from_secs(24 * 3600),
    };

    /// Ten events an hour from 8 to 18, none at night, for so many weeks.
    fn office(weeks: usize) -> Cadence {
        let mut cadence = Cadence::new();
        for minute in 0..weeks * HOURS * 60 {
            let hour = minute / 60 % HOURS;
            cadence.pass(hour, Duration::from_secs(60), true);
            if (8..18).contains(&(hour % 24)) && minute % 6 == 0 {
                cadence.hear(1, true);
            }
        }
        cadence
    }

    /// For how many hours it may be silent from this hour on.
    fn patience(mut cadence: Cadence, from: usize) -> usize {
        cadence.pass(from % HOURS, Duration::from_secs(1), false);
        cadence.hear(1, false);
        let minutes = (0..60 * HOURS).find(|minute| {
            cadence.pass((from + minute / 60) % HOURS, Duration::from_secs(60), false);
            cadence.is_silent(&BOUNDS)
        });
        minutes.unwrap_or(usize::MAX) / 60
    }

    #[test]
    fn a_busy_hour_weighs_more_than_a_night() {
        let cadence = office(4);
        assert!(patience(cadence.clone(), 9) <= 1, "{}", patience(cadence.clone(), 9));
        let night = patience(cadence.clone(), 19);
        assert!((13..=15).contains(&night), "{night}");
    }

    #[test]
    fn nothing_is_judged_before_enough_is_known() {
        let mut cadence = office(1);
        cadence.pass(9, Duration::from_secs(1_000_000), false);
        assert!(!cadence.is_silent(&BOUNDS) && !cadence.is_known(&BOUNDS));
    }

    #[test]
    fn an_outage_is_not_learned() {
        let mut cadence = office(4);
        let before = cadence.limit;
        for minute in 0..3 * HOURS * 60 {
            cadence.pass(minute / 60 % HOURS, Duration::from_secs(60), false);
        }
        assert!(cadence.is_silent(&BOUNDS));
        cadence.hear(1, false);
        assert!(!cadence.is_silent(&BOUNDS) && (cadence.limit - before).abs() < 0.5);
        assert_eq!(patience(cadence, 9), patience(office(4), 9));
    }

    #[test]
    fn ten_times_the_busiest_hour_is_a_flood() {
        let mut cadence = office(4);
        cadence.pass(9, Duration::from_secs(60), true);
        cadence.hear(90, true);
        assert!(!cadence.floods(&BOUNDS));
        cadence.hear(20, true);
        assert!(cadence.floods(&BOUNDS));
        cadence.pass(10, Duration::from_secs(60), false);
        assert!(!cadence.floods(&BOUNDS));
    }

    #[test]
    fn a_restart_keeps_what_was_learned() {
        let cadence = office(4);
        let json = serde_json::to_string(&cadence.keep()).unwrap();
        assert!(json.len() < 500, "{}", json.len());
        let again = Cadence::from_kept(&serde_json::from_str(&json).unwrap());
        assert!(again.is_known(&BOUNDS));
        for hour in [3, 9, 19, 100] {
            let (was, is) = (patience(cadence.clone(), hour), patience(again.clone(), hour));
            assert!(was.abs_diff(is) <= 2, "{hour}: {was} {is}");
        }
        let twice = Cadence::from_kept(&again.keep());
        assert_eq!(twice.keep().rates, again.keep().rates, "the rounding does not add up");
    }

    #[test]
    fn a_memory_that_is_damaged_is_no_more_than_wrong() {
        let kept = r#"{"r":"ÿ\u0000~~~","l":18446744073709551615,"g":[[65535,4294967295,4294967295]],"s":[1e300,0.0],"b":[0.0,0.0]}"#;
        let mut cadence = Cadence::from_kept(&serde_json::from_str(kept).unwrap());
        cadence.pass(0, Duration::from_secs(60), false);
        assert!(!cadence.is_silent(&BOUNDS));
    }
}
