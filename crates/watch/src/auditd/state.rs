//! `auditd.state`: what auditd writes of itself into its state file: its queue to the plugins. Whether it writes its log is
//! seen elsewhere, from the log.

use super::Settings;
use crate::audit::state_file::{StateFile, state_file};
use crate::look::{Failure, Look, Moment};
use crate::watcher::{Around, Plan, Watcher};
use balefire_model::Severity;
use serde_json::Value;

/// The settings.
#[derive(Clone, Debug)]
pub(crate) struct Says(pub(crate) Settings);

impl Plan for Says {
    fn begin(&self, _: Option<&Value>) -> Box<dyn Watcher> {
        Box::new(SaysWatcher(self.0.clone()))
    }
}

struct SaysWatcher(Settings);

impl Watcher for SaysWatcher {
    fn look(&mut self, _: Moment, _: &dyn Around) -> Look {
        match self.0.state() {
            Ok(Some((text, _))) => judge(&state_file(&text)),
            Ok(None) => {
                Look::unknown("auditd has written no state file: it does on SIGCONT, and 4.x every report_interval")
            }
            Err(error) => Look::blind(format!("read auditd's state file: {error}"), self.0.right_to_state()),
        }
    }
}

fn judge(state: &StateFile) -> Look {
    let mut failures = Vec::new();
    let cure = "see which plugin does not read (/etc/audit/plugins.d); raise q_depth in auditd.conf";
    if state.has_overflow == Some(true) || state.is_queueing_suspended == Some(true) {
        let what = match state.is_queueing_suspended {
            Some(true) => "auditd sends its plugins nothing any more: their queue overflowed",
            _ => "auditd's queue to its plugins overflowed: they miss records",
        };
        failures.push(Failure::new("audit.queue_overflow", Severity::High, what).cured_by(cure));
    }
    let depth = state.queue_depth.map_or_else(|| "an unknown number of".to_owned(), |depth| depth.to_string());
    let most = state.queue_depth_max.map_or_else(String::new, |most| format!(", at most {most}"));
    Look::of(failures, format!("{depth} records wait for plugins{most}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Sight;

    #[test]
    fn an_overflow_is_told_and_a_queue_that_flows_is_not() {
        let look = judge(&state_file("plugin queue overflow detected = yes\n"));
        assert!(matches!(look.sight, Sight::Failing(failures) if failures[0].id == "audit.queue_overflow"));
        let look = judge(&state_file("current plugin queue depth = 0\nmax plugin queue depth used = 3\n"));
        assert_eq!(look, Look::ok("0 records wait for plugins, at most 3"));
    }
}
