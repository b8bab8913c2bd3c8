//! A delivery: one notification on its way to one channel, as the channel's kind sees it.

use crate::id::{DeliveryId, IncidentId};
use crate::incident::Incident;
use crate::run::RunPage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why we notify now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The incident is new.
    Opened,
    /// The incident is over; closes what [`Reason::Opened`] opened on the same channel.
    Resolved,
    /// Somebody has acknowledged it, or taken that back. Goes only to kinds that keep such a note themselves.
    Acked,
    /// Nobody has acknowledged it in the time that its route allows.
    Escalated,
    /// Another channel, which should have carried it, fails.
    Fallback,
    /// It stands for many that are told of together.
    Summary,
    /// A run is over: it stands for the run's records, which come with it.
    Run,
    /// It came again, and the last message about it is old, or it is worse than that said.
    Repeated,
    /// Somebody asked for a test message (`balefire channels test`).
    Test,
}

impl Reason {
    /// The lower-case word; part of the delivery's id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Opened => "opened",
            Reason::Resolved => "resolved",
            Reason::Acked => "acked",
            Reason::Escalated => "escalated",
            Reason::Fallback => "fallback",
            Reason::Summary => "summary",
            Reason::Run => "run",
            Reason::Repeated => "repeated",
            Reason::Test => "test",
        }
    }
}

/// What a message for [`Reason::Acked`] tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledgement {
    /// Somebody has acknowledged the incident.
    Given {
        /// Who, in at most [`Acknowledgement::NAME_CHARS_MAX`] characters, as they wrote it.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// An acknowledgement was taken back.
    TakenBack {
        /// Whose it was, as it was given.
        of: String,
    },
}

impl Acknowledgement {
    /// As much of a name as is kept with an acknowledgement.
    pub const NAME_CHARS_MAX: usize = 200;

    /// Whose acknowledgement it is, from whatever somebody wrote as a name.
    #[must_use]
    pub fn name(by: &str) -> String {
        by.chars().take(Acknowledgement::NAME_CHARS_MAX).collect()
    }
}

/// How often an incident came, for a message that it came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// How often in all, the first time included.
    pub count: u64,
    /// When it came first.
    pub since: Timestamp,
    /// The last one, under whose text the message goes out.
    pub last: IncidentId,
}

/// One notification to one channel, at one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The same for every attempt.
    pub id: DeliveryId,
    /// The channel's name in the configuration.
    pub channel: &'a str,
    /// Why now.
    pub reason: Reason,
    /// The channel that should have carried it, where this one stands in.
    pub stands_in_for: Option<&'a str>,
    /// When the incident was resolved, where the message tells of that.
    pub resolved_at: Option<Timestamp>,
    /// Who has acknowledged the incident, or that it was taken back; only for [`Reason::Acked`].
    pub acknowledgement: Option<&'a Acknowledgement>,
    /// How often the incident came, where the message tells of that.
    pub repeats: Option<Repeats>,
    /// The incident that this one repeats, or of whose end it tells, as an archive hears of it; only for a kind that keeps
    /// acknowledgements.
    pub repeat_of: Option<IncidentId>,
    /// Render without the user's template: the far side has refused what it made of this incident.
    pub plain: bool,
    /// The link by which its reader acknowledges the incident, where people can reach us.
    pub ack_url: Option<&'a str>,
    /// What of it has arrived in earlier attempts, as [`crate::Outcome::posted`] gave it.
    pub reached: Option<&'a str>,
    /// What the channel was told of the incident before, and where that stands, as [`crate::Outcome::posted`] gave it. Only for a
    /// message that the incident is over.
    pub opened: Option<&'a str>,
    /// The records of the run that is over, page by page; none for every other reason, and where the kind takes none.
    pub run: Option<&'a RunPage>,
    /// What it is about.
    pub incident: &'a Incident,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When this attempt is made. The only field that differs between attempts, beside `attempt`.
    pub now: Timestamp,
}
