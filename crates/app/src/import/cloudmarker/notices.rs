//! Who hears that all audits, or one of them, begin and end, and who hears that they could not run. Knows no kind of plugin.

use super::audits::{self, Audit};
use super::params::Params;
use super::{Importer, mail, timetable};
use crate::import::{At, Out, Verdict};
use balefire_model::settings::{Node, Value};

/// The channel that hears of begins and ends.
const CHANNEL: &str = "run-notices";
/// Where it stands among the channels, which plugins' keys name: no key of a plugin.
const KEY: &str = "\0run-notices";

/// What Balefire finds wrong with its own work.
const FAILURES: [&str; 3] = ["balefire.run_failed", "balefire.channel_failing", "balefire.channel_recovered"];

/// The kinds by which people hear of something.
const OF_PEOPLE: [&str; 2] = ["email", "slack"];

impl Importer<'_> {
    /// The mails at the begin and at the end; whether Balefire sends them.
    pub(super) fn notices(&mut self, tree: &Node, audits: &[Audit], routes: &mut Vec<Out>) -> bool {
        let Some(node) = tree.get("email").filter(|node| node.value != Value::Null) else { return false };
        let to = format!("channels.{CHANNEL}.email");
        let mut params = Params::new(Some(node), &node.place, "email", &to, &mut self.report);
        let settings = mail::email(&mut params, CHANNEL, &mut self.secrets);
        params.finish("send_email");
        if audits.is_empty() {
            self.report.note(Verdict::NoCounterpart, At("email", Some(&node.place)), "", "no audit runs");
            return false;
        }
        let text = if self.target.start.keeps_time {
            "mails at the begin and at the end of all audits and of each (these with times in UTC), and what came of them; \
             no mail server can hold an audit up any more"
        } else {
            "mails at the begin and at the end of each audit, with times in UTC and what came of it; none of all audits \
             together, which Balefire knows only where it starts them"
        };
        self.report.note(Verdict::Changed, At("email", Some(&node.place)), &to, text);
        self.channels.insert(KEY.to_owned(), (CHANNEL.to_owned(), Out::map([("email", settings)])));
        if self.target.start.keeps_time {
            let found = "detected_by in (balefire.schedule_started, balefire.schedule_ended)".to_owned();
            let conditions = [found, format!("schedule = {}", timetable::NAME)];
            routes.push(audits::route("all audits begin and end", &conditions, &[CHANNEL], false));
        }
        for audit in audits {
            // Stores and alerts have a run each; one of the two is told of.
            let role = if audit.alerts.is_empty() { "store" } else { "alert" };
            let worker = audits::value(&format!("{}_{}/{role}", audit.key, audits::SENDER));
            let conditions = [
                "detected_by in (balefire.run_started, balefire.run_ended)".to_owned(),
                audits::of_audit(audit),
                format!("target_worker = {worker}"),
            ];
            routes.push(audits::route(&format!("{} begins and ends", audit.key), &conditions, &[CHANNEL], false));
        }
        true
    }

    /// The route of what goes wrong with runs and channels: to those who heard of begins and ends, or else of findings.
    pub(super) fn failures(&mut self) -> Option<Out> {
        let is_of_people = |channel: &Out| match channel {
            Out::Map(entries) => entries.first().is_some_and(|(kind, _)| OF_PEOPLE.contains(&kind.as_str())),
            _ => false,
        };
        let people: Vec<&str> = match self.channels.get(KEY) {
            Some((name, _)) => vec![name],
            None => {
                let people = self.channels.values().filter(|(_, channel)| is_of_people(channel));
                people.map(|(name, _)| name.as_str()).collect()
            }
        };
        if people.is_empty() {
            let text = "no channel tells anybody of a run that fails (`balefire.run_failed`): add one, and a route";
            self.report.note(Verdict::Changed, At("schedule", None), "routes", text);
            return None;
        }
        let conditions = [format!("detected_by in ({})", FAILURES.join(", "))];
        Some(audits::route("failures of runs and channels", &conditions, &people, false))
    }
}
