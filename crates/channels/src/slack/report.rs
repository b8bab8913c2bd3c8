//! The report: the incident as JSON, as a file beside a message. Knows no upload.

use crate::body;
use crate::fit::fit;
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Reason};

/// Slack takes far more (docs.slack.dev/messaging/working-with-files); who opens it does not.
const REPORT_BYTES_MAX: usize = 8 << 20;

/// To which messages the report is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    Never,
    Summaries,
    Always,
}

impl Attach {
    pub(super) fn read(reader: &Reader<'_>) -> Attach {
        let words = [("never", Attach::Never), ("summaries", Attach::Summaries), ("always", Attach::Always)];
        reader
            .one_of("attach_report", "To which messages a JSON file is attached; needs `files:write`.", &words)
            .default_shown(Attach::Never, "never")
    }

    pub(super) fn wants(self, reason: Reason) -> bool {
        match self {
            Attach::Never => false,
            Attach::Summaries => matches!(reason, Reason::Summary | Reason::Run),
            Attach::Always => reason != Reason::Resolved,
        }
    }
}

/// A file.
pub(super) struct Report {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Report {
    /// The native body; the same for every attempt.
    pub(super) fn of(delivery: &Delivery<'_>) -> Report {
        let bytes =
            fit(delivery.incident, REPORT_BYTES_MAX, |incident| body::native(delivery, incident, None), Vec::len);
        Report { name: format!("balefire-{}.json", delivery.incident.id), bytes }
    }
}
