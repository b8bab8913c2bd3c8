//! The pack `azure`: the activity log, and what Microsoft 365 audits of its own audit log.
//!
//! Source: Azure activity log schema and Office 365 Management Activity API schema, <https://learn.microsoft.com/>, read November
//! 2026.

use super::field::{at, first, is};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &[
        "azure.diag.delete",
        "azure.eventhub",
        "azure.network_watcher",
        "azure.defender",
        "o365.mailbox_bypass",
        "o365.audit_off",
    ],
    marks: &["operationName", "Operation"],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    office(event).or_else(|| activity(event))
}

fn activity(event: &Value) -> Option<Verdict> {
    let operation = first(event, &["operationName.value", "operationName"])?.to_ascii_uppercase();
    let status = first(event, &["status.value", "resultType", "status"]).unwrap_or_default();
    if ["failed", "failure"].iter().any(|word| status.eq_ignore_ascii_case(word)) {
        return None;
    }
    let resource = first(event, &["resourceId", "resourceUri"]).unwrap_or_default().to_ascii_lowercase();
    let found = |id, severity| Some(Verdict::new(id, severity, resource.clone()));
    let over = |id| Some(Verdict::over(id, resource.clone()));
    match operation.as_str() {
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE" => found("azure.diag.delete", Severity::High),
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/WRITE" => over("azure.diag.delete"),
        "MICROSOFT.EVENTHUB/NAMESPACES/EVENTHUBS/DELETE" => found("azure.eventhub", Severity::Medium),
        "MICROSOFT.EVENTHUB/NAMESPACES/EVENTHUBS/WRITE" => over("azure.eventhub"),
        "MICROSOFT.NETWORK/NETWORKWATCHERS/DELETE" => found("azure.network_watcher", Severity::Medium),
        "MICROSOFT.NETWORK/NETWORKWATCHERS/WRITE" => over("azure.network_watcher"),
        "MICROSOFT.SECURITY/PRICINGS/DELETE" => found("azure.defender", Severity::High),
        _ => None,
    }
}

fn office(event: &Value) -> Option<Verdict> {
    let tenant = first(event, &["OrganizationId", "OrganizationName"]).unwrap_or_default();
    if is(event, "Operation", "Set-MailboxAuditBypassAssociation") {
        let whose = parameter(event, "Identity").unwrap_or_default();
        let subject = format!("{tenant}/{whose}");
        return match parameter(event, "AuditBypassEnabled")? {
            word if word.eq_ignore_ascii_case("true") => {
                Some(Verdict::new("o365.mailbox_bypass", Severity::High, subject))
            }
            _ => Some(Verdict::over("o365.mailbox_bypass", subject)),
        };
    }
    if is(event, "Operation", "Set-AdminAuditLogConfig") {
        return match parameter(event, "UnifiedAuditLogIngestionEnabled")? {
            word if word.eq_ignore_ascii_case("false") => {
                Some(Verdict::new("o365.audit_off", Severity::Critical, tenant))
            }
            _ => Some(Verdict::over("o365.audit_off", tenant)),
        };
    }
    None
}

/// A parameter of an Exchange command: a list of names and values.
fn parameter<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    let parameters = at(event, "Parameters")?.as_array()?;
    let named = parameters.iter().find(|parameter| is(parameter, "Name", name))?;
    named.get("Value")?.as_str()
}
