//! The pack `gcp`: Cloud Audit Logs on the sinks, buckets and topics that logs go through, and on what is audited at all.
//!
//! Source: the AuditLog message, <https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog>, and the
//! entries in the tests of Elastic's integration for it, <https://github.com/elastic/integrations>, read November 2026.

use super::field::{at, first, is, list};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &["gcp.sink", "gcp.sink_update", "gcp.bucket", "gcp.pubsub", "gcp.audit_config"],
    marks: &["protoPayload", "googleapis.com"],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    let method = first(event, &["protoPayload.methodName", "gcp.audit.method_name", "audit.method_name"])?;
    // A call that was refused has changed nothing.
    let status = first(event, &["protoPayload.status.code", "gcp.audit.status.code", "audit.status.code"]);
    if status.is_some_and(|code| code != "0") {
        return None;
    }
    let names = ["protoPayload.resourceName", "gcp.audit.resource_name", "audit.resource_name"];
    let resource = first(event, &names).unwrap_or_default();
    let found = |id, severity| Some(Verdict::new(id, severity, resource.clone()));
    let over = |id| Some(Verdict::over(id, resource.clone()));
    let tail = method.rsplit('.').next().unwrap_or_default();
    match (method.contains("ConfigServiceV2"), tail) {
        (true, "DeleteSink") => found("gcp.sink", Severity::High),
        (true, "CreateSink") => {
            let name = first(asked(event), &["sink.name"]).unwrap_or_default();
            Some(Verdict::over("gcp.sink", format!("{resource}/sinks/{name}")))
        }
        (true, "UpdateSink") => update_sink(event, &resource),
        (true, "DeleteBucket") => found("gcp.bucket", Severity::High),
        (true, "UndeleteBucket") => over("gcp.bucket"),
        (false, "DeleteTopic" | "DeleteSubscription") if method.contains("pubsub") => {
            found("gcp.pubsub", Severity::Medium)
        }
        (false, "CreateTopic" | "CreateSubscription") if method.contains("pubsub") => over("gcp.pubsub"),
        (false, "SetIamPolicy") => audit_config(event, &resource),
        _ => None,
    }
}

fn asked(event: &Value) -> &Value {
    let places = ["protoPayload.request", "gcp.audit.request", "audit.request"];
    places.iter().find_map(|place| at(event, place)).unwrap_or(&Value::Null)
}

/// What a sink lets through, and where to. Its description may change.
const OF_WEIGHT: [&str; 5] = ["filter", "destination", "exclusions", "disabled", "includeChildren"];

fn update_sink(event: &Value, resource: &str) -> Option<Verdict> {
    let asked = asked(event);
    if is(asked, "sink.disabled", "true") {
        return Some(Verdict::new("gcp.sink", Severity::High, resource));
    }
    let mask = first(asked, &["updateMask", "update_mask"]).unwrap_or_default();
    let changes = |name: &str| mask.split([',', ' ']).any(|field| field.trim().starts_with(name));
    if mask.split(',').all(|field| field.trim() == "disabled") && changes("disabled") {
        return Some(Verdict::over("gcp.sink", resource));
    }
    // Without a mask everything is written anew.
    let weighs = mask.is_empty() || OF_WEIGHT.iter().any(|name| changes(name)) || changes("include_children");
    weighs.then(|| Verdict::new("gcp.sink_update", Severity::High, resource))
}

/// Which data accesses are audited is part of a project's policy.
fn audit_config(event: &Value, resource: &str) -> Option<Verdict> {
    let places = [
        "protoPayload.serviceData.policyDelta.auditConfigDeltas",
        "protoPayload.metadata.policyDelta.auditConfigDeltas",
    ];
    let deltas = || places.iter().flat_map(|place| list(event, place));
    if deltas().any(|delta| is(delta, "action", "REMOVE")) {
        return Some(Verdict::new("gcp.audit_config", Severity::High, resource));
    }
    deltas().any(|delta| is(delta, "action", "ADD")).then(|| Verdict::over("gcp.audit_config", resource))
}
