//! Cloudmarker's timetable becomes a schedule of ours that starts it: daily at the same local time, with the same files and
//! the one by which its records come here. Starts nothing.

use super::base::DEFAULT_TIME;
use super::{Start, Target};
use crate::import::report::quoted;
use crate::import::{At, Out, Report, Verdict, text_of};
use balefire_model::settings::{Node, Value};

/// The schedule's name; what Cloudmarker's notices call all audits together.
pub(super) const NAME: &str = "all-audits";

/// Where ours stands.
const TO: &str = "runs.schedules.all-audits";

/// The section `runs`; none where Cloudmarker goes on keeping the time.
pub(super) fn runs(tree: &Node, target: &Target, report: &mut Report) -> Option<Out> {
    let node = tree.get("schedule");
    let at = At("schedule", node.map(|node| &node.place));
    let Start { program, python_path, files, keeps_time, .. } = &target.start;
    if !keeps_time {
        let text =
            "Cloudmarker, or whatever starts it, goes on keeping it; start it with the last file that was written here";
        report.note(Verdict::Stays, at, "", text);
        return None;
    }
    let time = time(node, report)?;
    let text = format!(
        "Balefire starts `{program} -n` daily at {time}, local time, catches up what it missed, and tells of a run that fails: \
         stop the service or the line of crontab that starts Cloudmarker now, or it runs twice"
    );
    report.note(Verdict::Changed, at, TO, &text);
    let text = "of our environment the command gets PATH, HOME, LANG and PYTHONPATH; `env` and `env_from` name more, such as \
                credentials and proxies";
    report.note(Verdict::Changed, At("schedule", None), &format!("{TO}.env_from"), text);
    let mut command = vec![program.clone(), "-n".to_owned(), "-c".to_owned()];
    command.extend(files.iter().cloned());
    command.push(target.overlay.clone());
    let path = match python_path {
        Some(path) => ("env", Out::map([("PYTHONPATH", Out::text(&**path))])),
        None => ("env_from", Out::texts(["PYTHONPATH"])),
    };
    let schedule = Out::map([("command", Out::texts(command)), ("at", Out::text(time)), path]);
    Some(Out::map([("schedules", Out::map([(NAME, schedule)]))]))
}

/// The time of day, as `HH:MM`.
fn time(node: Option<&Node>, report: &mut Report) -> Option<String> {
    let Some(node) = node.filter(|node| node.value != Value::Null) else { return Some(DEFAULT_TIME.to_owned()) };
    let at = || At("schedule", Some(&node.place));
    let text = text_of(node).unwrap_or_default();
    let Some((hour, minute, second)) = parts(text) else {
        let found = text_of(node).map_or_else(|| node.found().to_string(), quoted);
        let text = format!("found {found}; allowed: a time of day such as \"00:00\". No schedule was written");
        report.note(Verdict::NoCounterpart, at(), "", &text);
        return None;
    };
    // YAML 1.1 reads digits with colons as a number in base 60, unless the first one is 0.
    if matches!(node.value, Value::Scalar { quoted: false, .. }) && !text.starts_with('0') {
        let said = format!("{text} without quotes is a number in YAML 1.1, with which Cloudmarker does not start");
        report.note(Verdict::Changed, at(), TO, &said);
    }
    if second != 0 {
        report.note(Verdict::Changed, at(), TO, "the seconds are left out");
    }
    Some(format!("{hour:02}:{minute:02}"))
}

/// Hour, minute and second.
fn parts(text: &str) -> Option<(u8, u8, u8)> {
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let numbers: Vec<u8> = text.split(':').map(number).collect::<Option<_>>()?;
    match numbers[..] {
        [hour @ ..24, minute @ ..60] => Some((hour, minute, 0)),
        [hour @ ..24, minute @ ..60, second @ ..60] => Some((hour, minute, second)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_one_of_the_24_hours() {
        assert_eq!(parts("7:05"), Some((7, 5, 0)));
        assert_eq!(parts("23:59:30"), Some((23, 59, 30)));
        for odd in ["", "24:00", "12", "12:60", "+1:00", "1:2:3:4", "a:b"] {
            assert_eq!(parts(odd), None, "{odd}");
        }
    }
}
