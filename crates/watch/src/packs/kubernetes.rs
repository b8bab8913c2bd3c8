//! The pack `kubernetes`: the API server's audit events on what collects logs and on how it was started itself, and alerts on its
//! counters. It does not audit its own flags; but where its pod is a static one, the node shows the pod to the API, flags and all.
//!
//! Source: audit.k8s.io/v1, <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>, the metrics of the API server, and
//! the events in the tests of Elastic's integration, <https://github.com/elastic/integrations>, read November 2026.

use super::field::{at, first, is, list, text};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &[
        "k8s.audit_errors",
        "k8s.audit_stalled",
        "k8s.audit_rejected",
        "k8s.audit_policy",
        "k8s.collector",
        "k8s.apiserver",
    ],
    marks: &["objectRef", "labels", "protoPayload"],
    judge,
};

/// Alerts on the counters of the API server, by their name: OpenShift's own, and those that the documentation gives. Others are
/// known by the label `__name__`, the metric's name.
const ALERTS: [(&str, &str, Severity); 6] = [
    ("AuditLogError", "k8s.audit_errors", Severity::High),
    ("KubernetesAuditStalled", "k8s.audit_stalled", Severity::Critical),
    ("KubernetesAuditRejected", "k8s.audit_rejected", Severity::High),
    ("apiserver_audit_error_total", "k8s.audit_errors", Severity::High),
    ("apiserver_audit_event_total", "k8s.audit_stalled", Severity::Critical),
    ("apiserver_audit_requests_rejected_total", "k8s.audit_rejected", Severity::High),
];
/// What collects logs, by a part of its name.
const COLLECTORS: [&str; 9] =
    ["fluentd", "fluent-bit", "fluentbit", "filebeat", "promtail", "vector", "falco", "audit", "log-collector"];

fn judge(event: &Value) -> Option<Verdict> {
    alert(event).or_else(|| audited(event)).or_else(|| on_google(event))
}

fn alert(event: &Value) -> Option<Verdict> {
    let names = ["labels.alertname", "labels.__name__"];
    let known = ALERTS.iter().find(|(name, ..)| names.iter().any(|path| text(event, path).as_deref() == Some(*name)));
    let (_, id, severity) = known?;
    let subject = first(event, &["labels.cluster", "labels.apiserver", "labels.instance"]).unwrap_or_default();
    Some(match is(event, "status", "resolved") {
        true => Verdict::over(id, subject),
        false => Verdict::new(id, *severity, subject),
    })
}

/// What an audit event says was done to what.
struct Deed<'a> {
    verb: &'a str,
    resource: &'a str,
    part: &'a str,
    namespace: &'a str,
    name: &'a str,
    /// What was sent, where the audit policy keeps that.
    asked: &'a Value,
}

fn audited(event: &Value) -> Option<Verdict> {
    if !text(event, "apiVersion")?.starts_with("audit.k8s.io/") || !is(event, "stage", "ResponseComplete") {
        return None;
    }
    let code = text(event, "responseStatus.code").and_then(|code| code.parse::<u16>().ok());
    if code.is_some_and(|code| code >= 400) {
        return None;
    }
    let (verb, resource, name) =
        (text(event, "verb")?, text(event, "objectRef.resource")?, text(event, "objectRef.name")?);
    let part = text(event, "objectRef.subresource").unwrap_or_default();
    let namespace = text(event, "objectRef.namespace").unwrap_or_default();
    let asked = at(event, "requestObject").unwrap_or(&Value::Null);
    deed(&Deed { verb: &verb, resource: &resource, part: &part, namespace: &namespace, name: &name, asked })
}

/// The same in Google's audit log, which names what it is about as a path.
fn on_google(event: &Value) -> Option<Verdict> {
    let method = text(event, "protoPayload.methodName")?;
    let mut words = method.strip_prefix("io.k8s.")?.rsplit('.');
    let (verb, resource) = (words.next()?, words.next()?);
    if text(event, "protoPayload.status.code").is_some_and(|code| code != "0") {
        return None;
    }
    let path = text(event, "protoPayload.resourceName")?;
    let after = |word: &str| path.split('/').skip_while(|part| *part != word).nth(1);
    let asked = at(event, "protoPayload.request").unwrap_or(&Value::Null);
    let (namespace, name) = (after("namespaces").unwrap_or_default(), after(resource)?);
    deed(&Deed { verb, resource, part: "", namespace, name, asked })
}

fn deed(deed: &Deed<'_>) -> Option<Verdict> {
    let Deed { verb, resource, part, namespace, name, asked } = deed;
    let subject = format!("{namespace}/{resource}/{name}");
    let is_changed = matches!(*verb, "update" | "patch" | "create");
    match (*resource, *part) {
        ("daemonsets" | "deployments" | "statefulsets", "") if collects(name) => match *verb {
            "delete" => Some(Verdict::new("k8s.collector", Severity::High, subject)),
            "create" => Some(Verdict::over("k8s.collector", subject)),
            _ => None,
        },
        ("deployments" | "statefulsets", "scale") if collects(name) && is_changed => {
            let is_none = text(asked, "spec.replicas")? == "0";
            Some(if is_none {
                Verdict::new("k8s.collector", Severity::High, subject)
            } else {
                Verdict::over("k8s.collector", subject)
            })
        }
        ("pods", "") if *namespace == "kube-system" && name.starts_with("kube-apiserver-") => {
            apiserver(verb, asked, subject)
        }
        // OpenShift: the profile of the audit policy.
        ("apiservers", "") if *name == "cluster" && is_changed => {
            let is_off = is(asked, "spec.audit.profile", "None");
            let profile = text(asked, "spec.audit.profile")?;
            (is_off || !profile.is_empty()).then(|| match is_off {
                true => Verdict::new("k8s.audit_policy", Severity::Critical, subject),
                false => Verdict::over("k8s.audit_policy", subject),
            })
        }
        _ => None,
    }
}

fn collects(name: &str) -> bool {
    COLLECTORS.iter().any(|part| name.contains(part))
}

/// Without both of them nothing is audited: what is to be kept, and where to.
const POLICY: &str = "--audit-policy-file=";
const WAYS: [&str; 2] = ["--audit-log-path=", "--audit-webhook-config-file="];

/// The API server's own pod. Its flags are there where the audit policy keeps what is sent (level `Request`).
fn apiserver(verb: &str, asked: &Value, subject: String) -> Option<Verdict> {
    if verb == "delete" {
        return Some(Verdict::new("k8s.apiserver", Severity::Medium, subject));
    }
    if verb != "create" {
        return None;
    }
    let containers = list(asked, "spec.containers").iter();
    let words = containers.flat_map(|container| list(container, "command").iter().chain(list(container, "args")));
    let words: Vec<&str> = words.filter_map(Value::as_str).collect();
    let has = |flag: &str| words.iter().any(|word| word.starts_with(flag) && word.len() > flag.len());
    let is_audited = has(POLICY) && WAYS.iter().any(|way| has(way));
    let is_server = words.iter().any(|word| word.ends_with("kube-apiserver"));
    if is_server && !is_audited {
        return Some(Verdict::new("k8s.apiserver", Severity::Critical, subject));
    }
    // OpenShift and others start it by a script that hides the flags.
    Some(Verdict::over("k8s.apiserver", subject))
}
