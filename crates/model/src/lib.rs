//! The nouns of Balefire: incident, severity, delivery, outcome, the journal's records and the seam that a
//! journal fills. Knows no clock, no disk and no network; every other crate may depend on it, it depends on none.

pub mod calendar;
pub mod channel;
pub mod dfars;
pub mod id;
pub mod incident;
pub mod journal;
pub mod outcome;
pub mod record;
pub mod run;
pub mod settings;
pub mod severity;
pub mod text;

pub use channel::{Acknowledgement, Delivery, Reason, Repeats};
pub use id::{DeliveryId, Fingerprint, IncidentId, Position};
pub use incident::{Incident, State};
pub use journal::{AppendError, Entry, Journal, ReadError, Stored};
pub use outcome::{Cause, Outcome};
pub use record::Record;
pub use run::{RunId, RunKey, RunMark, RunPage, RunPart};
pub use severity::Severity;
