//! From bytes to "accepted", for every way in: decode, normalise, weigh, hand over, and wait until it is durable. Knows
//! neither HTTP nor files.

use crate::config::{self, Config, Input, InputKind};
use crate::core::{Mailbox, Unavailable};
use crate::metrics::Metrics;
use crate::scan_marker::ScanMarker;
use crate::watch::{Count, HeardOf};
use crate::{clock, ids};
use balefire_engine::admit::{Admission, DiskState, Load, admit};
use balefire_engine::allowance::Allowance;
use balefire_engine::{Answer, Idempotency, Rate, Submission};
use balefire_intake::formats::Format;
use balefire_intake::formats::json::{Shape, decode_as};
use balefire_intake::normalise::{Context, normalise};
use balefire_intake::{BodyError, Draft, FieldError, ItemError, Limits};
use balefire_model::id::hex;
use balefire_model::record::InputRead;
use balefire_model::{Incident, IncidentId, Severity};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// The bytes that may wait for the engine before load is shed.
const QUEUED_BYTES_MAX: u64 = 128 << 20;

/// The incidents that may wait for the engine before load is shed.
const QUEUED_INCIDENTS_MAX: u64 = 200_000;

/// What happens to the good items of a body that has bad ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    /// They are accepted.
    #[default]
    Keep,
    /// Nothing is accepted.
    Refuse,
}

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Parcel<'a> {
    pub body: &'a [u8],
    pub shape: Shape,
    pub format: Format,
    pub source: &'a str,
    pub on_error: OnError,
    pub idempotency: Option<Idempotency>,
    pub read: Option<InputRead>,
}

/// What became of each item, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Receipt {
    pub accepted: usize,
    pub refused: usize,
    pub results: Vec<ItemResult>,
    /// The request was a repeat; these are the ids that it got the first time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}

/// What became of one item.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum ItemResult {
    /// It is durable.
    Accepted {
        index: usize,
        id: IncidentId,
        severity: Severity,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// It is not what we take.
    Refused {
        index: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        errors: Vec<FieldError>,
        #[serde(skip_serializing_if = "is_zero")]
        errors_left_out: usize,
    },
    /// It is good, and was left out because another item is not.
    LeftOut { index: usize },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What makes a request known again that comes twice: its sender's key, for its source alone, and its body.
pub(crate) fn same_request(source: &str, key: impl AsRef<[u8]>, body: &[u8]) -> Idempotency {
    let named = Sha256::new().chain_update(source).chain_update([0]).chain_update(key).finalize();
    Idempotency { key: hex(&named), body: hex(&Sha256::digest(body)) }
}

/// Why nothing was accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Declined {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("{why}")]
    Overload { why: String, retry_after: Duration },
    #[error("source {source_name} has used up its rate of {count} incidents in {per:?}")]
    TooFast { source_name: String, count: u32, per: Duration, retry_after: Duration },
    #[error("this Idempotency-Key was used for another body; allowed: a new key for each new request")]
    KeyReused,
}

/// Takes parcels for the engine.
#[derive(Clone)]
pub(crate) struct Reception {
    pub mailbox: Arc<Mailbox>,
    pub metrics: Arc<Metrics>,
    pub config: watch::Receiver<Arc<Config>>,
    pub limits: Limits,
    /// What each source with a rate has left; as many as there are tokens.
    pub allowances: Arc<Mutex<HashMap<String, Allowance>>>,
    /// The marker of a scan of our own.
    pub marker: ScanMarker,
    /// When each source was last heard.
    pub heard: Arc<HeardOf>,
}

impl Reception {
    /// Returns when everything accepted is durable.
    pub(crate) async fn take(&self, parcel: Parcel<'_>) -> Result<Receipt, Declined> {
        self.take_amended(parcel, |_| {}).await
    }

    /// As [`Reception::take`], where the incidents are not whole without what their source knows of them. `amend` may
    /// change them and put others before them; it is not called where there are none.
    pub(crate) async fn take_amended(
        &self,
        parcel: Parcel<'_>,
        amend: impl FnOnce(&mut Vec<Arc<Incident>>),
    ) -> Result<Receipt, Declined> {
        let items = decode_as(parcel.format, parcel.body, parcel.shape, &self.limits)
            .inspect_err(|_| self.metrics.refused("malformed", 1))?;
        let (mut incidents, mut results) = self.sort(items, parcel.source, parcel.on_error);
        let bad = results.iter().filter(|result| matches!(result, ItemResult::Refused { .. })).count();
        self.metrics.refused("invalid", bad);
        if incidents.is_empty() && parcel.read.is_none() {
            return Ok(Receipt { accepted: 0, refused: results.len(), results, repeated: false });
        }
        let count = incidents.len();
        if count > 0 {
            amend(&mut incidents);
        }
        let put_before = incidents.len() - count;
        self.charge(parcel.source, count)?;
        let mut heard = Count::of(&incidents[put_before..]);
        if self.config.borrow().watch.as_ref().is_some_and(|watching| watching.counts_records_of(parcel.source)) {
            heard = heard.with_records(&incidents[put_before..]);
        }
        let submission = Submission { incidents, idempotency: parcel.idempotency, read: parcel.read, test_of: None };
        let (ids, repeated) = self.submit(submission, parcel.body.len()).await?;
        if !repeated {
            self.heard.note(parcel.source, heard);
        }
        // A repeat's items got new ids just now; those of the first time count.
        let accepted_ids = results.iter_mut().filter_map(|result| match result {
            ItemResult::Accepted { id, .. } => Some(id),
            ItemResult::Refused { .. } | ItemResult::LeftOut { .. } => None,
        });
        for (id, first) in accepted_ids.zip(ids.iter().skip(put_before)) {
            *id = *first;
        }
        let accepted = results.iter().filter(|result| matches!(result, ItemResult::Accepted { .. })).count();
        Ok(Receipt { accepted, refused: results.len() - accepted, results, repeated })
    }

    /// What the token of this name sends.
    pub(crate) fn format_of_token(&self, name: &str) -> Format {
        let config = self.config.borrow();
        let tokens = config.http.as_ref().map(|http| http.tokens.as_slice()).unwrap_or_default();
        tokens.iter().find(|token| token.name == name).map(|token| token.format).unwrap_or_default()
    }

    /// What the input of this name brings.
    pub(crate) fn format_of_input(&self, name: &str) -> Format {
        let config = self.config.borrow();
        let input = config.inputs.iter().find(|input| input.name == name);
        input.map(|Input { kind: InputKind::Tail { format, .. }, .. }| *format).unwrap_or_default()
    }

    /// Makes durable how far an input is read, where no incident comes with it.
    pub(crate) async fn note_read(&self, read: InputRead) -> Result<(), Declined> {
        let submission = Submission { read: Some(read), ..Submission::default() };
        self.submit(submission, 0).await.map(drop)
    }

    /// Hands incidents over, unless the load forbids it.
    pub(crate) async fn submit(
        &self,
        submission: Submission,
        bytes: usize,
    ) -> Result<(Arc<Vec<IncidentId>>, bool), Declined> {
        let count = submission.incidents.len();
        if let Some(worst) = submission.incidents.iter().map(|incident| incident.severity).max() {
            self.weigh(worst, count)?;
        }
        match self.mailbox.ask(balefire_engine::Input::Submit(submission), bytes, count).await {
            Ok(Answer::Accepted { incidents, repeated }) => Ok((incidents, repeated)),
            Ok(Answer::KeyReused) => Err(Declined::KeyReused),
            Ok(Answer::Changed | Answer::Moved { .. } | Answer::DeadLetters { .. } | Answer::Unacknowledged(_)) => {
                unreachable!("a submission is answered with what was accepted")
            }
            Err(unavailable) => {
                self.metrics.refused("unavailable", count);
                Err(unavailable.into())
            }
        }
    }

    /// Counts incidents against their source's rate, if it has one.
    pub(crate) fn charge(&self, source: &str, count: usize) -> Result<(), Declined> {
        let config = self.config.borrow();
        let tokens = config.http.as_ref().map(|http| http.tokens.as_slice()).unwrap_or_default();
        let Some(rate) = tokens.iter().find(|token| token.name == source).and_then(|token| token.rate) else {
            return Ok(());
        };
        let rate = Rate { count: rate.count, per: rate.per };
        let now = clock::now();
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        let allowance = allowances.entry(source.to_owned()).or_insert_with(|| Allowance::full(rate, now));
        if allowance.rate() != rate {
            *allowance = Allowance::full(rate, now);
        }
        allowance.take(now, count).map_err(|retry_after| {
            self.metrics.refused("rate", count);
            Declined::TooFast { source_name: source.to_owned(), count: rate.count, per: rate.per, retry_after }
        })
    }

    fn weigh(&self, worst: Severity, count: usize) -> Result<(), Declined> {
        let (queued_bytes, queued) = self.mailbox.queued();
        let load = Load {
            queued_bytes: queued_bytes as u64,
            queued_bytes_max: QUEUED_BYTES_MAX,
            queued: queued as u64,
            queued_max: QUEUED_INCIDENTS_MAX,
            disk: DiskState::Writable,
        };
        match admit(worst, &load) {
            Admission::Accept => Ok(()),
            Admission::Refuse { retry_after, why } => {
                self.metrics.refused("overload", count);
                Err(Declined::Overload { why: why.to_owned(), retry_after })
            }
        }
    }

    fn sort(
        &self,
        items: Vec<Result<Draft, ItemError>>,
        source: &str,
        on_error: OnError,
    ) -> (Vec<Arc<Incident>>, Vec<ItemResult>) {
        let config = self.config.borrow().clone();
        let severity_default = config.severity_default;
        let received_at = clock::now();
        let marker = self.marker.look(&config.internal_scan, received_at);
        let leave_out = on_error == OnError::Refuse && items.iter().any(Result::is_err);
        let mut incidents = Vec::with_capacity(items.len());
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            results.push(match item {
                Err(ItemError { index, line, errors, errors_left_out }) => {
                    ItemResult::Refused { index, line, errors, errors_left_out }
                }
                Ok(_) if leave_out => ItemResult::LeftOut { index },
                Ok(draft) => {
                    let context = Context { id: ids::incident(), source, received_at, severity_default };
                    let kind = draft.kind;
                    let mut incident = normalise(draft, &context);
                    config::weigh(&config.finding_rules, kind, &mut incident);
                    balefire_watch::disown(&mut incident);
                    if let Some(watching) = &config.watch {
                        watching.mark(&mut incident);
                    }
                    self.heard.hand_over(source, &mut incident);
                    config.internal_scan.mark(&mut incident, &marker);
                    let incident = Arc::new(incident);
                    let accepted = ItemResult::Accepted {
                        index,
                        id: incident.id,
                        severity: incident.severity,
                        notes: incident.notes.clone(),
                    };
                    incidents.push(incident);
                    accepted
                }
            });
        }
        (incidents, results)
    }
}
