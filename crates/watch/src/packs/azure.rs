//! The pack `azure`: the activity log, and what Microsoft 365 audits of its own audit log.
//!
//! Source: Azure activity log schema and Office 365 Management Activity API schema, <https://learn.microsoft.com/>, and the events in
//! the tests of Elastic's integrations for both, <https://github.com/elastic/integrations>, read November 2026.

use super::field::{at, first, is, is_any};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &[
        "azure.diag.delete",
        "azure.eventhub",
        "azure.network_watcher",
        "azure.workspace",
        "azure.defender",
        "o365.mailbox_bypass",
        "o365.mailbox_audit_off",
        "o365.audit_off",
    ],
    marks: &["operationName", "operation_name", "Operation", "event"],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    office(event).or_else(|| activity(event))
}

const OPERATIONS: [&str; 5] =
    ["operationName.value", "operationName", "OperationNameValue", "operationNameValue", "activitylogs.operation_name"];
const STATUS: [&str; 6] =
    ["status.value", "resultType", "activitylogs.result_type", "ActivityStatusValue", "activityStatusValue", "status"];
const RESOURCES: [&str; 5] = ["resourceId", "resourceUri", "_ResourceId", "resource.id", "resource_id"];

/// Every operation is told when it starts, too, and before it is known how it ends.
const NOT_DONE: [&str; 8] = ["failed", "failure", "start", "started", "accept", "accepted", "canceled", "cancelled"];

fn activity(event: &Value) -> Option<Verdict> {
    let operation = first(event, &OPERATIONS)?.to_ascii_uppercase();
    if is_any(event, &STATUS, &NOT_DONE) {
        return None;
    }
    let resource = first(event, &RESOURCES).unwrap_or_default().to_ascii_lowercase();
    let found = |id, severity| Some(Verdict::new(id, severity, resource.clone()));
    let over = |id| Some(Verdict::over(id, resource.clone()));
    match operation.as_str() {
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE" => found("azure.diag.delete", Severity::High),
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/WRITE" => over("azure.diag.delete"),
        "MICROSOFT.EVENTHUB/NAMESPACES/EVENTHUBS/DELETE" | "MICROSOFT.EVENTHUB/NAMESPACES/DELETE" => {
            found("azure.eventhub", Severity::Medium)
        }
        "MICROSOFT.EVENTHUB/NAMESPACES/EVENTHUBS/WRITE" | "MICROSOFT.EVENTHUB/NAMESPACES/WRITE" => {
            over("azure.eventhub")
        }
        "MICROSOFT.NETWORK/NETWORKWATCHERS/DELETE" | "MICROSOFT.NETWORK/NETWORKWATCHERS/FLOWLOGS/DELETE" => {
            found("azure.network_watcher", Severity::Medium)
        }
        "MICROSOFT.NETWORK/NETWORKWATCHERS/WRITE" | "MICROSOFT.NETWORK/NETWORKWATCHERS/FLOWLOGS/WRITE" => {
            over("azure.network_watcher")
        }
        "MICROSOFT.OPERATIONALINSIGHTS/WORKSPACES/DELETE" => found("azure.workspace", Severity::High),
        "MICROSOFT.OPERATIONALINSIGHTS/WORKSPACES/WRITE" => over("azure.workspace"),
        "MICROSOFT.SECURITY/PRICINGS/DELETE" => found("azure.defender", Severity::High),
        "MICROSOFT.SECURITY/PRICINGS/WRITE" if is_priced(event, "Free") => found("azure.defender", Severity::High),
        "MICROSOFT.SECURITY/PRICINGS/WRITE" if is_priced(event, "Standard") => over("azure.defender"),
        _ => None,
    }
}

/// Whether a plan of Defender for Cloud was set to this tier: `Free` is off. The body of the call is JSON in a text.
fn is_priced(event: &Value, tier: &str) -> bool {
    let bodies = ["properties.requestbody", "properties.requestBody", "properties.responseBody"];
    let of = |body: &Value| is_any(body, &["properties.pricingTier", "pricingTier"], &[tier]);
    bodies.iter().filter_map(|path| at(event, path)).any(|body| match body {
        Value::String(text) => serde_json::from_str(text).is_ok_and(|body| of(&body)),
        body => of(body),
    })
}

fn office(event: &Value) -> Option<Verdict> {
    // Elastic's agents keep the command in `event.action`.
    let operation = first(event, &["Operation", "event.action"])?;
    if is_any(event, &["ResultStatus", "event.outcome"], &["false", "failed", "failure"]) {
        return None;
    }
    let tenant = first(event, &["OrganizationId", "OrganizationName", "o365.audit.OrganizationId"]).unwrap_or_default();
    let object = || text(event, "ObjectId").or_else(|| text(event, "o365.audit.ObjectId"));
    let whose = || format!("{tenant}/{}", parameter(event, "Identity").or_else(object).unwrap_or_default());
    let is_set = |name, word: &str| Some(parameter(event, name)?.trim_start_matches('$').eq_ignore_ascii_case(word));
    let verdict = |is_bad, id, severity, subject| match is_bad {
        true => Verdict::new(id, severity, subject),
        false => Verdict::over(id, subject),
    };
    Some(match &*operation {
        "Set-MailboxAuditBypassAssociation" => {
            verdict(is_set("AuditBypassEnabled", "true")?, "o365.mailbox_bypass", Severity::High, whose())
        }
        "Set-AdminAuditLogConfig" => {
            let is_off = is_set("UnifiedAuditLogIngestionEnabled", "false")?;
            verdict(is_off, "o365.audit_off", Severity::Critical, tenant.into_owned())
        }
        "Set-OrganizationConfig" => {
            let is_off = is_set("AuditDisabled", "true")?;
            verdict(is_off, "o365.mailbox_audit_off", Severity::High, tenant.into_owned())
        }
        "Set-Mailbox" => verdict(is_set("AuditEnabled", "false")?, "o365.mailbox_audit_off", Severity::High, whose()),
        _ => return None,
    })
}

fn text(event: &Value, path: &str) -> Option<String> {
    first(event, &[path]).map(std::borrow::Cow::into_owned)
}

/// A parameter of an Exchange command: in a list of names and values, as a field, or in the command as it was typed.
fn parameter(event: &Value, name: &str) -> Option<String> {
    match at(event, "Parameters").or_else(|| at(event, "o365.audit.Parameters"))? {
        Value::Array(all) => {
            let named = all.iter().find(|parameter| is(parameter, "Name", name))?;
            text(named, "Value")
        }
        Value::String(command) => {
            let mut words =
                command.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case(&format!("-{name}")));
            Some(words.nth(1)?.trim_matches('"').to_owned())
        }
        fields => text(fields, name),
    }
}
