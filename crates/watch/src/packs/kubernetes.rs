//! The pack `kubernetes`: the API server's audit events on what collects logs, and alerts that it drops audit events. That an
//! audit policy became weaker cannot be seen here: the API server does not audit its own flags.
//!
//! Source: audit.k8s.io/v1, <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>, read November 2026.

use super::field::{first, is, text};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack =
    Pack { ids: &["k8s.audit_errors", "k8s.collector", "k8s.apiserver"], marks: &["objectRef", "labels"], judge };

/// Alerts that audit events are lost, by the name under which they are shipped: OpenShift's own.
const ALERTS: [&str; 1] = ["AuditLogError"];
/// The metric on which people write their own.
const METRIC: &str = "apiserver_audit_error_total";
/// What collects logs, by a part of its name.
const COLLECTORS: [&str; 8] =
    ["fluentd", "fluent-bit", "fluentbit", "filebeat", "promtail", "vector", "falco", "audit"];

fn judge(event: &Value) -> Option<Verdict> {
    let alert = text(event, "labels.alertname");
    let is_metric = is(event, "labels.__name__", METRIC);
    if is_metric || alert.is_some_and(|alert| ALERTS.contains(&&*alert)) {
        let subject = first(event, &["labels.cluster", "labels.apiserver", "labels.instance"]).unwrap_or_default();
        return Some(Verdict::new("k8s.audit_errors", Severity::High, subject));
    }
    audited(event)
}

fn audited(event: &Value) -> Option<Verdict> {
    if !text(event, "apiVersion")?.starts_with("audit.k8s.io/") || !is(event, "stage", "ResponseComplete") {
        return None;
    }
    let code = text(event, "responseStatus.code").and_then(|code| code.parse::<u16>().ok());
    if code.is_some_and(|code| code >= 400) {
        return None;
    }
    let (verb, resource) = (text(event, "verb")?, text(event, "objectRef.resource")?);
    let (namespace, name) = (text(event, "objectRef.namespace")?, text(event, "objectRef.name")?);
    let subject = format!("{namespace}/{resource}/{name}");
    let collects = || COLLECTORS.iter().any(|part| name.contains(part));
    match (&*verb, &*resource) {
        ("delete", "daemonsets" | "deployments" | "statefulsets") if collects() => {
            Some(Verdict::new("k8s.collector", Severity::High, subject))
        }
        ("create", "daemonsets" | "deployments" | "statefulsets") if collects() => {
            Some(Verdict::over("k8s.collector", subject))
        }
        ("delete", "pods") if namespace == "kube-system" && name.starts_with("kube-apiserver-") => {
            Some(Verdict::new("k8s.apiserver", Severity::Medium, subject))
        }
        ("create", "pods") if namespace == "kube-system" && name.starts_with("kube-apiserver-") => {
            Some(Verdict::over("k8s.apiserver", subject))
        }
        _ => None,
    }
}
