//! No false alarms: what the same products write all day long means nothing, in every wrapping.

use super::tests::{cloudtrail, meant};
use serde_json::{Value, json};

fn windows(channel: &str, id: u32, provider: &str, data: Value) -> Value {
    json!({ "winlog": { "channel": channel, "event_id": id.to_string(), "computer_name": "pc", "provider_name": provider,
        "event_data": data }, "event": { "code": id.to_string(), "kind": "event" } })
}

fn of_windows() -> Vec<Value> {
    let audit = "Microsoft-Windows-Security-Auditing";
    let logons = [4624, 4625, 4634, 4648, 4662, 4663, 4672, 4688, 4689, 4703, 4768, 4769, 4776, 5156, 5158];
    let mut all: Vec<Value> =
        logons.iter().map(|id| windows("Security", *id, audit, json!({ "TargetUserName": "anna" }))).collect();
    let system = |id, provider, data| windows("System", id, provider, data);
    let sysmon = |id| {
        windows("Microsoft-Windows-Sysmon/Operational", id, "Microsoft-Windows-Sysmon", json!({ "Image": "C:\\a.exe" }))
    };
    let defender = |id, data| {
        windows("Microsoft-Windows-Windows Defender/Operational", id, "Microsoft-Windows-Windows Defender", data)
    };
    all.extend([1, 3, 5, 7, 10, 11, 13, 22].map(sysmon));
    all.extend([1000, 1001, 1150, 2000, 2010].map(|id| defender(id, json!({}))));
    all.extend([
        defender(5007, json!({ "New Value": "HKLM\\SOFTWARE\\Microsoft\\Windows Defender\\Signature Updates\\AVSignatureVersion = 1.2" })),
        // Other providers count from the same numbers.
        system(104, "Microsoft-Windows-TaskScheduler", json!({})),
        system(1104, "Microsoft-Windows-GroupPolicy", json!({})),
        system(1100, "Microsoft-Windows-GroupPolicy", json!({})),
        system(1, "Microsoft-Windows-Power-Troubleshooter", json!({ "SleepTime": "2026-11-01T01:00:00Z" })),
        system(7036, "Service Control Manager", json!({ "param1": "Print Spooler", "param2": "stopped" })),
        system(7036, "Service Control Manager", json!({ "param1": "Microsoft Defender Antivirus Network Inspection Service", "param2": "stopped" })),
        windows("Application", 1102, "SceCli", json!({})),
        windows("Application", 4719, "Application Error", json!({ "AuditPolicyChanges": "%%8448" })),
        json!({ "rule": { "id": "60106", "level": 3 }, "agent": { "id": "007" }, "data": { "win": { "system": {
            "eventID": "4624", "channel": "Security", "computer": "pc" } } } }),
    ]);
    all
}

fn of_clouds() -> Vec<Value> {
    let call = |service, name, asked: Value| cloudtrail(service, name, &asked);
    let azure =
        |name: &str| json!({ "operationName": name, "resultType": "Success", "resourceId": "/subscriptions/s/r" });
    let google = |method: &str| json!({ "protoPayload": { "methodName": method, "status": {}, "resourceName": "projects/p/x" } });
    let mut all = vec![
        call("cloudtrail", "DescribeTrails", json!({ "trailNameList": ["t"] })),
        call("cloudtrail", "GetTrailStatus", json!({ "name": "t" })),
        call("cloudtrail", "LookupEvents", json!({})),
        call("guardduty", "ListDetectors", json!({})),
        call("guardduty", "UpdateIPSet", json!({ "detectorId": "d", "ipSetId": "i", "location": "s3" })),
        call("guardduty", "CreateFilter", json!({ "detectorId": "d", "name": "n", "action": "NOOP" })),
        call("config", "DescribeConfigurationRecorders", json!({})),
        call(
            "eks",
            "UpdateClusterConfig",
            json!({ "name": "c", "resourcesVpcConfig": { "endpointPublicAccess": false } }),
        ),
        call("s3", "PutObject", json!({ "bucketName": "b", "key": "StopLogging" })),
        call("s3", "GetBucketLogging", json!({ "bucketName": "b", "logging": "" })),
        call("sts", "AssumeRole", json!({ "roleArn": "arn:aws:iam::1:role/StopLogging" })),
        json!({ "Operation": "UserLoggedIn", "OrganizationId": "o", "Parameters": [] }),
        json!({ "Operation": "Set-Mailbox", "OrganizationId": "o", "Parameters": [{ "Name": "DisplayName", "Value": "False" }] }),
        json!({ "Operation": "Set-AdminAuditLogConfig", "OrganizationId": "o", "Parameters": [{ "Name": "AdminAuditLogAgeLimit", "Value": "90" }] }),
    ];
    let operations = [
        "MICROSOFT.COMPUTE/VIRTUALMACHINES/START/ACTION",
        "Microsoft.Insights/diagnosticSettings/read",
        "MICROSOFT.NETWORK/NETWORKWATCHERS/READ",
        "MICROSOFT.SECURITY/PRICINGS/READ",
        "Sign-in activity",
    ];
    all.extend(operations.map(azure));
    let methods = [
        "google.logging.v2.ConfigServiceV2.ListSinks",
        "google.logging.v2.LoggingServiceV2.DeleteLog.x",
        "storage.objects.get",
        "google.pubsub.v1.Publisher.Publish",
        "SetIamPolicy",
        "google.login.LoginService.loginSuccess",
    ];
    all.extend(methods.map(google));
    all
}

fn of_clusters() -> Vec<Value> {
    let event = |verb: &str, resource: &str, name: &str, stage: &str, code: u16| {
        json!({ "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": stage, "verb": verb, "objectRef": { "resource": resource,
            "namespace": "logging", "name": name }, "responseStatus": { "code": code } })
    };
    vec![
        event("get", "daemonsets", "fluent-bit", "ResponseComplete", 200),
        event("watch", "pods", "fluent-bit-x", "ResponseComplete", 200),
        event("patch", "daemonsets", "fluent-bit", "ResponseComplete", 200),
        event("update", "leases", "kube-controller-manager", "ResponseComplete", 200),
        event("delete", "pods", "fluent-bit-x7k2", "ResponseComplete", 200),
        event("delete", "daemonsets", "fluent-bit", "RequestReceived", 200),
        event("delete", "daemonsets", "fluent-bit", "ResponseComplete", 403),
        event("delete", "deployments", "shop", "ResponseComplete", 200),
        json!({ "status": "firing", "labels": { "alertname": "KubePodCrashLooping", "cluster": "c" } }),
        json!({ "labels": { "__name__": "apiserver_request_total" } }),
    ]
}

#[test]
fn what_the_products_write_all_day_long_means_nothing() {
    let all: Vec<Value> = of_windows().into_iter().chain(of_clouds()).chain(of_clusters()).collect();
    assert!(all.len() > 70, "{}", all.len());
    for event in all {
        assert_eq!(meant(&event), None, "{event}");
        assert_eq!(meant(&json!({ "Records": [{ "body": event.to_string() }] })), None, "{event}");
    }
}
