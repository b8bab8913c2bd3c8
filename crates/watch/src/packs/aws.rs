//! The pack `aws`: records of CloudTrail, as they are and as Elastic's agents rewrite them. A call that was refused has changed
//! nothing and means nothing here.
//!
//! Source: CloudTrail record contents, <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/>, and the records in the tests
//! of Elastic's integration for it, <https://github.com/elastic/integrations>, both read November 2026.

use super::field::{at, first, is, is_any, list};
use super::{Pack, Verdict};
use balefire_model::Severity;
use serde_json::Value;

pub(super) const PACK: Pack = Pack {
    ids: &[
        "aws.cloudtrail.stop",
        "aws.cloudtrail.delete",
        "aws.cloudtrail.update",
        "aws.cloudtrail.selectors",
        "aws.cloudtrail.evasion",
        "aws.guardduty",
        "aws.config",
        "aws.flow",
        "aws.s3",
        "aws.eks",
        "aws.bedrock",
    ],
    marks: &["amazonaws.com"],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    let source = first(event, &["eventSource", "event.provider"])?;
    let service = source.strip_suffix(".amazonaws.com")?;
    let name = first(event, &["eventName", "event.action"])?;
    let is_refused = first(event, &["errorCode", "aws.cloudtrail.error_code"]).is_some_and(|code| !code.is_empty());
    if is_refused || is(event, "event.outcome", "failure") {
        return None;
    }
    let call = Call { event, asked: asked(event) };
    let found = match service {
        "cloudtrail" => cloudtrail(&call, &name),
        "guardduty" => guardduty(&call, &name),
        _ => others(&call, service, &name),
    };
    // What is too large for CloudTrail is left out by it: a way to act unseen.
    found.or_else(|| {
        let is_left_out = is(call.asked, "omitted", "true") && !is(event, "readOnly", "true");
        is_left_out.then(|| call.found("aws.cloudtrail.evasion", Severity::High, &[]))
    })
}

/// What was asked for.
fn asked(event: &Value) -> &Value {
    let places = ["requestParameters", "aws.cloudtrail.flattened.request_parameters"];
    places.iter().find_map(|place| at(event, place).filter(|asked| asked.is_object())).unwrap_or(&Value::Null)
}

struct Call<'a> {
    event: &'a Value,
    asked: &'a Value,
}

impl Call<'_> {
    /// The account, the region, and what the call names; of an ARN only the name, since other calls have no more.
    fn about(&self, names: &[&str]) -> String {
        let named = first(self.asked, names).unwrap_or_default();
        let place = |paths: &[&str]| first(self.event, paths).unwrap_or_default().into_owned();
        let account = place(&["recipientAccountId", "userIdentity.accountId", "cloud.account.id"]);
        let region = place(&["awsRegion", "cloud.region"]);
        format!("{account}/{region}/{}", named.rsplit('/').next().unwrap_or_default())
    }

    fn found(&self, id: &'static str, severity: Severity, names: &[&str]) -> Verdict {
        Verdict::new(id, severity, self.about(names))
    }

    fn over(&self, id: &'static str, names: &[&str]) -> Verdict {
        Verdict::over(id, self.about(names))
    }

    /// One part of what a call names, which ends by itself.
    fn part(verdict: Verdict, part: &str) -> Verdict {
        Verdict { subject: format!("{}/{part}", verdict.subject), ..verdict }
    }
}

fn cloudtrail(call: &Call<'_>, name: &str) -> Option<Verdict> {
    let trail = ["name", "trailName", "eventDataStore"];
    let found = |id, severity| Some(call.found(id, severity, &trail));
    let over = |id| Some(call.over(id, &trail));
    match name {
        "StopLogging" | "StopEventDataStoreIngestion" => found("aws.cloudtrail.stop", Severity::Critical),
        "StartLogging" | "StartEventDataStoreIngestion" => over("aws.cloudtrail.stop"),
        "DeleteTrail" | "DeleteEventDataStore" => found("aws.cloudtrail.delete", Severity::Critical),
        "CreateTrail" | "RestoreEventDataStore" => over("aws.cloudtrail.delete"),
        "UpdateTrail" => found("aws.cloudtrail.update", Severity::High),
        "PutEventSelectors" => match recorded(call.asked) {
            Recorded::All => over("aws.cloudtrail.selectors"),
            Recorded::Reads => found("aws.cloudtrail.selectors", Severity::High),
            Recorded::None => found("aws.cloudtrail.selectors", Severity::Critical),
        },
        "PutInsightSelectors" if list(call.asked, "insightSelectors").is_empty() => {
            found("aws.cloudtrail.selectors", Severity::High)
        }
        _ => None,
    }
}

/// Which management events are recorded.
enum Recorded {
    /// Those that change something, at least.
    All,
    /// Only those that change nothing.
    Reads,
    None,
}

/// What selectors record, in their old form or in the new one.
fn recorded(asked: &Value) -> Recorded {
    let values = |field: &Value, word: &str| list(field, "equals").iter().any(|value| value.as_str() == Some(word));
    let old = list(asked, "eventSelectors").iter();
    // Left out, it is true.
    let old = old.filter(|selector| !is(selector, "includeManagementEvents", "false"));
    let old = old.map(|selector| is(selector, "readWriteType", "ReadOnly"));
    let is_management = |field: &Value| is(field, "field", "eventCategory") && values(field, "Management");
    let only_reads = |field: &Value| is(field, "field", "readOnly") && values(field, "true");
    let new = list(asked, "advancedEventSelectors").iter().map(|selector| list(selector, "fieldSelectors"));
    let new = new.filter(|fields| fields.iter().any(is_management)).map(|fields| fields.iter().any(only_reads));
    old.chain(new).fold(Recorded::None, |known, only_reads| match (known, only_reads) {
        (Recorded::All, _) | (_, false) => Recorded::All,
        (_, true) => Recorded::Reads,
    })
}

/// Each of them is a matter of its own: that members are watched again does not end a list of trusted addresses.
fn guardduty(call: &Call<'_>, name: &str) -> Option<Verdict> {
    let detector = ["detectorId"];
    let found = |severity| call.found("aws.guardduty", severity, &detector);
    let over = || call.over("aws.guardduty", &detector);
    let asks = |field, word| is(call.asked, field, word);
    let high = |part: &str| Some(Call::part(found(Severity::High), part));
    let part = |kind: &str, id| format!("{kind}:{}", first(call.asked, id).unwrap_or_default());
    match name {
        "DeleteDetector" => Some(found(Severity::Critical)),
        "UpdateDetector" if asks("enable", "false") => Some(found(Severity::Critical)),
        "UpdateDetector" if asks("enable", "true") => Some(over()),
        "DisassociateFromAdministratorAccount" | "DisassociateFromMasterAccount" => high("administrator"),
        "AcceptAdministratorInvitation" | "AcceptInvitation" => Some(Call::part(over(), "administrator")),
        "DeleteMembers" | "StopMonitoringMembers" | "DisassociateMembers" => high("members"),
        "StartMonitoringMembers" => Some(Call::part(over(), "members")),
        "CreateIPSet" | "UpdateIPSet" | "CreateThreatIntelSet" | "UpdateThreatIntelSet" if asks("activate", "true") => {
            high(&part("list", &["ipSetId", "threatIntelSetId", "name"]))
        }
        "UpdateIPSet" | "UpdateThreatIntelSet" if asks("activate", "false") => {
            Some(Call::part(over(), &part("list", &["ipSetId", "threatIntelSetId", "name"])))
        }
        "CreateFilter" | "UpdateFilter" if asks("action", "ARCHIVE") => high(&part("filter", &["filterName", "name"])),
        "DeleteFilter" => Some(Call::part(over(), &part("filter", &["filterName", "name"]))),
        _ => None,
    }
}

fn others(call: &Call<'_>, service: &str, name: &str) -> Option<Verdict> {
    let high = |id, names: &[&str]| Some(call.found(id, Severity::High, names));
    let over = |id, names: &[&str]| Some(call.over(id, names));
    let recorder = ["configurationRecorderName", "configurationRecorder.name"];
    let delivery = ["deliveryChannelName", "deliveryChannel.name"];
    let bucket = ["bucketName"];
    let targets = ["BucketLoggingStatus.LoggingEnabled", "bucketLoggingStatus.loggingEnabled"];
    let has_target = targets.iter().any(|target| at(call.asked, target).is_some());
    match (service, name) {
        ("config", "StopConfigurationRecorder" | "DeleteConfigurationRecorder") => high("aws.config", &recorder),
        ("config", "StartConfigurationRecorder") => over("aws.config", &recorder),
        ("config", "DeleteDeliveryChannel") => {
            high("aws.config", &delivery).map(|verdict| Call::part(verdict, "delivery"))
        }
        ("config", "PutDeliveryChannel") => {
            over("aws.config", &delivery).map(|verdict| Call::part(verdict, "delivery"))
        }
        ("ec2", "DeleteFlowLogs") => Some(flow_logs(call)),
        ("s3", "PutBucketLogging") if has_target => over("aws.s3", &bucket),
        ("s3", "PutBucketLogging") => high("aws.s3", &bucket),
        ("eks", "UpdateClusterConfig") => eks(call),
        ("bedrock", "DeleteModelInvocationLoggingConfiguration") => high("aws.bedrock", &[]),
        ("bedrock", "PutModelInvocationLoggingConfiguration") => over("aws.bedrock", &[]),
        _ => None,
    }
}

/// One flow log is an object, several are a list.
fn flow_logs(call: &Call<'_>) -> Verdict {
    let path = "DeleteFlowLogsRequest.FlowLogId";
    let several = list(call.asked, path).iter().filter_map(|id| first(id, &["content"]));
    let named: Vec<_> =
        first(call.asked, &["DeleteFlowLogsRequest.FlowLogId.content"]).into_iter().chain(several).collect();
    Call::part(call.found("aws.flow", Severity::High, &[]), &named.join(" "))
}

/// Only the kinds of log that say who did what: an autoscaler's own log is nobody's trail.
fn eks(call: &Call<'_>) -> Option<Verdict> {
    let audits =
        |kind: &&Value| list(kind, "types").iter().any(|of| matches!(of.as_str(), Some("audit" | "authenticator")));
    let kinds = || list(call.asked, "logging.clusterLogging").iter().filter(audits);
    if kinds().any(|kind| is(kind, "enabled", "false")) {
        return Some(call.found("aws.eks", Severity::High, &["name"]));
    }
    kinds().any(|kind| is_any(kind, &["enabled"], &["true"])).then(|| call.over("aws.eks", &["name"]))
}
