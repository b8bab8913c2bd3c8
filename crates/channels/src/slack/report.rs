//! The report: the incident as JSON, as a file beside a message. Knows no upload.

use crate::body;
use crate::fit::fit;
use balefire_model::settings::Reader;
use balefire_model::{Delivery, Incident, Reason};
use serde::Serialize;

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
            // A run is told in few words, and its records are the report.
            _ if reason == Reason::Run => true,
            Attach::Never => false,
            Attach::Summaries => reason == Reason::Summary,
            Attach::Always => reason != Reason::Resolved,
        }
    }
}

/// The records of a run, each as it stands in the journal.
#[derive(Serialize)]
struct Run<'a> {
    audit_key: &'a str,
    audit_version: &'a str,
    /// How many there are beside these.
    left_out: u64,
    records: &'a [&'a Incident],
}

/// A file.
pub(super) struct Report {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Report {
    /// The native body; the same for every attempt.
    pub(super) fn of(delivery: &Delivery<'_>) -> Report {
        let name = format!("balefire-{}.json", delivery.incident.id);
        if let Some(page) = delivery.run {
            let run = &page.id.run;
            let records: Vec<&Incident> = page.records.iter().map(AsRef::as_ref).collect();
            let report =
                Run { audit_key: &run.key, audit_version: &run.version, left_out: page.left_out, records: &records };
            let bytes = serde_json::to_vec(&report).expect("incidents have string keys and no failing serialisers");
            return Report { name, bytes };
        }
        let bytes =
            fit(delivery.incident, REPORT_BYTES_MAX, |incident| body::native(delivery, incident, None), Vec::len);
        Report { name, bytes }
    }
}
