//! When something will be full, from how it has grown: a straight line through the last six hours, and one through the last
//! seven days. Pure; counts on the clock that nobody sets.

use crate::look::Moment;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// How far back each line reaches, and how far its points are apart, in seconds.
const FINE: Span = Span { reach: 6 * 3600, apart: 300 };
const COARSE: Span = Span { reach: 7 * 86_400, apart: 7_200 };

/// A line is drawn through so many points at least, which reach over a sixth of its span.
const POINTS_MIN: usize = 6;

/// So much of the change must be growth along the line (its r²): what goes up and down says nothing of tomorrow.
const FIT_MIN: f64 = 0.7;

#[derive(Clone, Copy)]
struct Span {
    reach: i64,
    apart: i64,
}

/// A point: when, and how much was used.
type Point = (i64, u64);

/// How something has grown.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    /// By seconds since the machine started, which are negative for what an earlier start saw.
    fine: VecDeque<Point>,
    coarse: VecDeque<Point>,
    kept: Option<Kept>,
    /// From the clock that nobody sets to the wall clock. Small differences are no change: what is kept would change with them.
    offset: Option<i64>,
}

/// What a restart must know: the points by the wall clock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    fine: Vec<Point>,
    coarse: Vec<Point>,
}

/// When it will be full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forecast {
    /// By the last six hours.
    pub(super) soon: Option<Duration>,
    /// By the last seven days, or the last hours where nothing is known of the days.
    pub(super) late: Option<Duration>,
}

impl Growth {
    pub(super) fn new(kept: Option<Kept>) -> Growth {
        Growth { kept, ..Growth::default() }
    }

    /// One more reading.
    pub(super) fn take(&mut self, now: Moment, used: u64) {
        if let Some(kept) = self.kept.take() {
            let place = |points: Vec<Point>| points.into_iter().map(|(at, used)| (at - offset(now), used)).collect();
            (self.fine, self.coarse) = (place(kept.fine), place(kept.coarse));
        }
        self.offset = self.offset.filter(|known| known.abs_diff(offset(now)) <= 2).or(Some(offset(now)));
        let at = seconds(now);
        keep(&mut self.fine, FINE, (at, used));
        keep(&mut self.coarse, COARSE, (at, used));
    }

    /// When so much more will be used.
    pub(super) fn forecast(&self, free: u64) -> Forecast {
        let soon = until(&self.fine, FINE, free);
        let is_known = reaches(&self.coarse, COARSE);
        Forecast { soon, late: if is_known { until(&self.coarse, COARSE, free) } else { soon } }
    }

    pub(super) fn memory(&self) -> Option<Kept> {
        let offset = self.offset?;
        let points = |points: &VecDeque<Point>| points.iter().map(|(at, used)| (at + offset, *used)).collect();
        Some(Kept { fine: points(&self.fine), coarse: points(&self.coarse) })
    }
}

fn seconds(now: Moment) -> i64 {
    SignedDuration::try_from(now.boot).map_or(i64::MAX, |boot| boot.as_secs())
}

/// From the clock that nobody sets to the wall clock.
fn offset(now: Moment) -> i64 {
    now.wall.as_second() - seconds(now)
}

fn keep(points: &mut VecDeque<Point>, span: Span, point: Point) {
    while points.front().is_some_and(|(at, _)| *at < point.0 - span.reach || *at > point.0) {
        points.pop_front();
    }
    if points.back().is_none_or(|(at, _)| point.0 - at >= span.apart) {
        points.push_back(point);
    }
}

fn reaches(points: &VecDeque<Point>, span: Span) -> bool {
    let (Some(first), Some(last)) = (points.front(), points.back()) else { return false };
    points.len() >= POINTS_MIN && last.0 - first.0 >= span.reach / 6
}

/// When the line through the points is so much higher than now; none where there is no line, or it does not rise.
fn until(points: &VecDeque<Point>, span: Span, free: u64) -> Option<Duration> {
    if !reaches(points, span) {
        return None;
    }
    let first = *points.front()?;
    let count = points.len() as f64;
    let along = |(at, used): &Point| ((at - first.0) as f64, *used as f64 - first.1 as f64);
    let (sum_x, sum_y) = points.iter().map(along).fold((0.0, 0.0), |(x, y), (dx, dy)| (x + dx, y + dy));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points.iter().map(along) {
        xx += (x - mean_x) * (x - mean_x);
        xy += (x - mean_x) * (y - mean_y);
        yy += (y - mean_y) * (y - mean_y);
    }
    if xy <= 0.0 || xx <= 0.0 || yy <= 0.0 || xy * xy < FIT_MIN * xx * yy {
        return None;
    }
    Duration::try_from_secs_f64(free as f64 * xx / xy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const HOUR: u64 = 3600;

    fn at(second: u64) -> Moment {
        let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
        Moment { boot: Duration::from_secs(500 + second), wall }
    }

    /// Looks every minute for so many hours at what `used` says of each second.
    fn grown(hours: u64, used: impl Fn(u64) -> u64) -> Growth {
        let mut growth = Growth::default();
        for minute in 0..=hours * 60 {
            growth.take(at(minute * 60), used(minute * 60));
        }
        growth
    }

    fn hours(until: Option<Duration>) -> Option<f64> {
        until.map(|until| (until.as_secs_f64() / 360.0).round() / 10.0)
    }

    #[test]
    fn steady_growth_tells_when_it_is_full() {
        let forecast = grown(6, |second| second * 10).forecast(HOUR * 10 * 5);
        assert_eq!((hours(forecast.soon), hours(forecast.late)), (Some(5.0), Some(5.0)));
    }

    #[test]
    fn too_short_a_time_and_what_goes_up_and_down_tell_nothing() {
        let none = Forecast { soon: None, late: None };
        assert_eq!(grown(0, |second| second).forecast(10), none);
        assert_eq!(grown(12, |second| second % HOUR).forecast(10), none);
        assert_eq!(grown(12, |_| 7).forecast(10), none);
        assert_eq!(grown(12, |second| 1_000_000 - second).forecast(10), none);
    }

    #[test]
    fn a_day_that_ends_with_a_rotation_is_no_trend_once_the_week_is_known() {
        let growth = grown(6 * 24 + 23, |second| second % (24 * HOUR));
        let forecast = growth.forecast(10 * HOUR);
        assert_eq!((hours(forecast.soon), forecast.late), (Some(10.0), None));
    }

    #[test]
    fn a_restart_and_a_machine_that_starts_anew_go_on_with_what_was_seen() {
        let before = grown(3, |second| second * 10);
        let kept = serde_json::to_string(&before.memory().unwrap()).unwrap();
        assert!(kept.len() < 6_000, "{}", kept.len());
        let mut after = Growth::new(Some(serde_json::from_str(&kept).unwrap()));
        let mut now = at(3 * HOUR + 600);
        now.boot = Duration::from_secs(20);
        after.take(now, (3 * HOUR + 600) * 10);
        assert_eq!(hours(after.forecast(HOUR * 20).soon), Some(2.0));
    }

    #[test]
    fn what_is_kept_does_not_change_from_second_to_second() {
        let mut growth = grown(1, |second| second);
        let kept = |growth: &Growth| serde_json::to_value(growth.memory().unwrap()).unwrap();
        let before = kept(&growth);
        let mut now = at(HOUR + 1);
        now.boot += Duration::from_millis(999);
        growth.take(now, 5_000);
        assert_eq!(kept(&growth), before);
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let growth = grown(30 * 24, |second| second);
        assert!(growth.fine.len() <= 73 && growth.coarse.len() <= 85, "{} {}", growth.fine.len(), growth.coarse.len());
    }
}
