//! The pack `gcp`: Cloud Audit Logs on the sinks, buckets and topics that logs go through.
//!
//! Source: the AuditLog message, <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog>, read
//! November 2026.

use super::field::{first, text};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack =
    Pack { ids: &["gcp.sink", "gcp.sink_update", "gcp.bucket", "gcp.pubsub"], marks: &["protoPayload"], judge };

fn judge(event: &Value) -> Option<Verdict> {
    let method = text(event, "protoPayload.methodName")?;
    // A call that was refused has changed nothing.
    if text(event, "protoPayload.status.code").is_some_and(|code| code != "0") {
        return None;
    }
    let resource = first(event, &["protoPayload.resourceName"]).unwrap_or_default();
    let found = |id, severity| Some(Verdict::new(id, severity, resource.clone()));
    let tail = method.rsplit('.').next().unwrap_or_default();
    match (method.contains("ConfigServiceV2"), tail) {
        (true, "DeleteSink") => found("gcp.sink", Severity::High),
        (true, "CreateSink") => {
            let name = first(event, &["protoPayload.request.sink.name"]).unwrap_or_default();
            Some(Verdict::over("gcp.sink", format!("{resource}/sinks/{name}")))
        }
        (true, "UpdateSink") => found("gcp.sink_update", Severity::High),
        (true, "DeleteBucket") => found("gcp.bucket", Severity::High),
        (true, "UndeleteBucket") => Some(Verdict::over("gcp.bucket", resource)),
        (false, "DeleteTopic" | "DeleteSubscription") if method.contains("pubsub") => {
            found("gcp.pubsub", Severity::Medium)
        }
        (false, "CreateTopic" | "CreateSubscription") if method.contains("pubsub") => {
            Some(Verdict::over("gcp.pubsub", resource))
        }
        _ => None,
    }
}
