//! The pack `aws`: records of CloudTrail. A call that was refused has changed nothing and means nothing here.
//!
//! Source: CloudTrail record contents, <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/>, read November 2026.

use super::field::{at, first, is, text};
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
    marks: &["eventSource"],
    judge,
};

fn judge(event: &Value) -> Option<Verdict> {
    let source = text(event, "eventSource")?;
    let service = source.strip_suffix(".amazonaws.com")?;
    let name = text(event, "eventName")?;
    if text(event, "errorCode").is_some() {
        return None;
    }
    let found = match service {
        "cloudtrail" => cloudtrail(event, &name),
        "guardduty" => guardduty(event, &name),
        _ => others(event, service, &name),
    };
    // What is too large for CloudTrail is left out by it: a way to act unseen.
    found.or_else(|| {
        is(event, "requestParameters.omitted", "true")
            .then(|| Verdict::new("aws.cloudtrail.evasion", Severity::High, about(event, &[])))
    })
}

/// The account, the region, and what the call names; of an ARN only the name, since other calls have no more.
fn about(event: &Value, paths: &[&str]) -> String {
    let place = |paths: &[&str]| first(event, paths).unwrap_or_default().into_owned();
    let named = place(paths);
    let named = named.rsplit('/').next().unwrap_or_default();
    format!("{}/{}/{named}", place(&["recipientAccountId", "userIdentity.accountId"]), place(&["awsRegion"]))
}

fn cloudtrail(event: &Value, name: &str) -> Option<Verdict> {
    let trail = || about(event, &["requestParameters.name", "requestParameters.trailName"]);
    Some(match name {
        "StopLogging" => Verdict::new("aws.cloudtrail.stop", Severity::Critical, trail()),
        "StartLogging" => Verdict::over("aws.cloudtrail.stop", trail()),
        "DeleteTrail" => Verdict::new("aws.cloudtrail.delete", Severity::Critical, trail()),
        "CreateTrail" => Verdict::over("aws.cloudtrail.delete", trail()),
        "UpdateTrail" => Verdict::new("aws.cloudtrail.update", Severity::High, trail()),
        "PutEventSelectors" if records_management(event) => Verdict::over("aws.cloudtrail.selectors", trail()),
        "PutEventSelectors" => Verdict::new("aws.cloudtrail.selectors", Severity::Critical, trail()),
        "PutInsightSelectors" if is_empty(event, "requestParameters.insightSelectors") => {
            Verdict::new("aws.cloudtrail.selectors", Severity::High, trail())
        }
        _ => return None,
    })
}

/// Whether management events are still recorded, in the old form of selectors or in the new one.
fn records_management(event: &Value) -> bool {
    let list = |path| at(event, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let old = list("requestParameters.eventSelectors").iter();
    // Left out, it is true.
    let in_old = old.clone().any(|selector| !is(selector, "includeManagementEvents", "false"));
    let is_management = |field: &Value| {
        let values = field.get("equals").and_then(Value::as_array);
        is(field, "field", "eventCategory") && values.is_some_and(|values| values.iter().any(|v| v == "Management"))
    };
    let fields = |selector: &Value| selector.get("fieldSelectors").and_then(Value::as_array).cloned();
    let mut new = list("requestParameters.advancedEventSelectors").iter().filter_map(fields);
    in_old || new.any(|fields| fields.iter().any(is_management))
}

fn is_empty(event: &Value, path: &str) -> bool {
    at(event, path).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

fn guardduty(event: &Value, name: &str) -> Option<Verdict> {
    let detector = || about(event, &["requestParameters.detectorId", "responseElements.detectorId"]);
    let found = |severity| Some(Verdict::new("aws.guardduty", severity, detector()));
    match name {
        "DeleteDetector" => found(Severity::Critical),
        "UpdateDetector" if is(event, "requestParameters.enable", "false") => found(Severity::Critical),
        "UpdateDetector" if is(event, "requestParameters.enable", "true") => {
            Some(Verdict::over("aws.guardduty", detector()))
        }
        "StartMonitoringMembers" => Some(Verdict::over("aws.guardduty", detector())),
        "DisassociateFromAdministratorAccount"
        | "DisassociateFromMasterAccount"
        | "DeleteMembers"
        | "StopMonitoringMembers"
        | "DisassociateMembers" => found(Severity::High),
        "CreateIPSet" | "UpdateIPSet" | "CreateThreatIntelSet" | "UpdateThreatIntelSet"
            if is(event, "requestParameters.activate", "true") =>
        {
            found(Severity::High)
        }
        "CreateFilter" | "UpdateFilter" if is(event, "requestParameters.action", "ARCHIVE") => found(Severity::High),
        _ => None,
    }
}

fn others(event: &Value, service: &str, name: &str) -> Option<Verdict> {
    let high = |id, paths: &[&str]| Some(Verdict::new(id, Severity::High, about(event, paths)));
    let over = |id, paths: &[&str]| Some(Verdict::over(id, about(event, paths)));
    let recorder = ["requestParameters.configurationRecorderName", "requestParameters.deliveryChannelName"];
    let bucket = ["requestParameters.bucketName"];
    let has_target = at(event, "requestParameters.BucketLoggingStatus.LoggingEnabled").is_some();
    match (service, name) {
        ("config", "StopConfigurationRecorder" | "DeleteConfigurationRecorder" | "DeleteDeliveryChannel") => {
            high("aws.config", &recorder)
        }
        ("config", "StartConfigurationRecorder") => over("aws.config", &recorder),
        ("ec2", "DeleteFlowLogs") => high("aws.flow", &["requestParameters.DeleteFlowLogsRequest.FlowLogId.content"]),
        ("s3", "PutBucketLogging") if has_target => over("aws.s3", &bucket),
        ("s3", "PutBucketLogging") => high("aws.s3", &bucket),
        ("eks", "UpdateClusterConfig") => eks(event),
        ("bedrock", "DeleteModelInvocationLoggingConfiguration") => high("aws.bedrock", &[]),
        ("bedrock", "PutModelInvocationLoggingConfiguration") => over("aws.bedrock", &[]),
        _ => None,
    }
}

fn eks(event: &Value) -> Option<Verdict> {
    let kinds = at(event, "requestParameters.logging.clusterLogging")?.as_array()?;
    let is_off = kinds.iter().any(|kind| is(kind, "enabled", "false"));
    let cluster = about(event, &["requestParameters.name"]);
    Some(if is_off { Verdict::new("aws.eks", Severity::High, cluster) } else { Verdict::over("aws.eks", cluster) })
}
