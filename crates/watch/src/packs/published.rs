//! Laws of the event packs on events in the shapes in which products and shippers were seen to write them: field places, types
//! and letters as in published test data of Elastic's integrations, OTRF's Security-Datasets, Wazuh and other shippers, looked
//! at in November 2026; names and numbers are our own.

use super::tests::{check, cloudtrail, meant};
use serde_json::{Value, json};

/// Puts a record into what carries it.
type Wrap = fn(Value) -> Value;

fn about(event: &Value) -> String {
    meant(event).unwrap_or_else(|| panic!("it means nothing: {event}")).2
}

fn stop() -> Value {
    let arn = "arn:aws:cloudtrail:eu-west-1:210987654321:trail/org";
    cloudtrail("cloudtrail", "StopLogging", &json!({ "name": arn }))
}

fn start() -> Value {
    cloudtrail("cloudtrail", "StartLogging", &json!({ "name": "org" }))
}

#[test]
fn a_cloudtrail_record_is_known_however_it_was_brought() {
    let ways: [(&str, Wrap); 7] = [
        ("EventBridge", |record| json!({ "detail-type": "AWS API Call via CloudTrail", "detail": record })),
        ("a file in a bucket", |record| json!({ "Records": [record] })),
        ("SNS", |record| json!({ "Type": "Notification", "Message": json!({ "Records": [record] }).to_string() })),
        ("SQS with SNS in it", |record| {
            let notification = json!({ "Type": "Notification", "Message": record.to_string() });
            json!({ "Records": [{ "messageId": "m-1", "eventSource": "aws:sqs", "body": notification.to_string() }] })
        }),
        (
            "lookup-events",
            |record| json!({ "Events": [{ "EventName": record["eventName"], "CloudTrailEvent": record.to_string() }] }),
        ),
        ("Wazuh", |mut record| {
            record["source"] = "cloudtrail".into();
            json!({ "rule": { "id": "80202" }, "data": { "integration": "aws", "aws": record } })
        }),
        ("a JSON list", |record| json!([record])),
    ];
    for (way, wrap) in ways {
        let (begun, over) = (wrap(stop()), wrap(start()));
        check(&begun, "aws.cloudtrail.stop", "critical");
        check(&over, "aws.cloudtrail.stop", "over");
        assert_eq!(about(&begun), about(&over), "{way}");
    }
}

#[test]
fn what_anybody_may_have_written_into_a_log_begins_a_failure_and_ends_none() {
    let ways: [Wrap; 4] = [
        |record| json!({ "logGroup": "g", "logEvents": [{ "id": "1", "timestamp": 1, "message": record.to_string() }] }),
        |record| json!({ "message": record.to_string(), "log": { "file": { "path": "/var/log/app.log" } } }),
        |record| json!({ "event": { "original": record.to_string() } }),
        |record| json!({ "jsonPayload": record }),
    ];
    for wrap in ways {
        check(&wrap(stop()), "aws.cloudtrail.stop", "critical");
        assert_eq!(meant(&wrap(start())), None, "{}", wrap(start()));
    }
}

#[test]
fn a_record_that_elastic_has_rewritten_is_the_same_matter() {
    let rewritten = |action: &str, outcome: &str| {
        json!({ "event": { "provider": "cloudtrail.amazonaws.com", "action": action, "outcome": outcome },
            "cloud": { "account": { "id": "210987654321" }, "region": "us-east-1" },
            "aws": { "cloudtrail": { "event_version": "1.08", "flattened": { "request_parameters": { "name": "org" } } } } })
    };
    check(&rewritten("StopLogging", "success"), "aws.cloudtrail.stop", "critical");
    check(&rewritten("StartLogging", "success"), "aws.cloudtrail.stop", "over");
    assert_eq!(meant(&rewritten("StopLogging", "failure")), None);
    assert_eq!(about(&rewritten("StopLogging", "success")), "210987654321/us-east-1/org");
}

#[test]
fn calls_are_known_with_the_parameters_that_their_services_log() {
    let event = |service, name, asked: Value| cloudtrail(service, name, &asked);
    let one = json!({ "DeleteFlowLogsRequest": { "FlowLogId": { "tag": 1, "content": "fl-0a1" } } });
    let two = json!({ "DeleteFlowLogsRequest": { "FlowLogId": [{ "tag": 1, "content": "fl-0a1" }, { "tag": 2, "content": "fl-0b2" }] } });
    check(&event("ec2", "DeleteFlowLogs", one), "aws.flow", "high");
    assert!(about(&event("ec2", "DeleteFlowLogs", two)).ends_with("fl-0a1 fl-0b2"));
    let s3 = |status: Value| json!({ "logging": [""], "bucketName": "b", "Host": "b.s3.amazonaws.com", "BucketLoggingStatus": status });
    check(
        &event("s3", "PutBucketLogging", s3(json!({ "xmlns": "http://s3.amazonaws.com/doc/2006-03-01/" }))),
        "aws.s3",
        "high",
    );
    let on = json!({ "LoggingEnabled": { "TargetBucket": "logs", "TargetPrefix": "b/" } });
    check(&event("s3", "PutBucketLogging", s3(on)), "aws.s3", "over");
    let eks = |of: &[&str], on: bool| json!({ "name": "c", "logging": { "clusterLogging": [{ "types": of, "enabled": on }] } });
    check(&event("eks", "UpdateClusterConfig", eks(&["api", "audit"], false)), "aws.eks", "high");
    check(&event("eks", "UpdateClusterConfig", eks(&["audit"], true)), "aws.eks", "over");
    assert_eq!(meant(&event("eks", "UpdateClusterConfig", eks(&["scheduler"], false))), None, "it is nobody's trail");
    let selectors = |kind: &str| json!({ "trailName": "t", "eventSelectors": [{ "readWriteType": kind, "includeManagementEvents": true }] });
    check(&event("cloudtrail", "PutEventSelectors", selectors("ReadOnly")), "aws.cloudtrail.selectors", "high");
    check(&event("cloudtrail", "PutEventSelectors", selectors("All")), "aws.cloudtrail.selectors", "over");
    let large = json!({ "omitted": true, "originalSize": 131_072, "reason": "requestParameters too large" });
    check(&event("iam", "PutUserPolicy", large), "aws.cloudtrail.evasion", "high");
    let store = json!({ "eventDataStore": "arn:aws:cloudtrail:eu-west-1:210987654321:eventdatastore/e-1" });
    check(&event("cloudtrail", "StopEventDataStoreIngestion", store), "aws.cloudtrail.stop", "critical");
}

#[test]
fn one_part_of_guardduty_or_config_that_is_well_again_ends_no_other() {
    let event = |service, name, asked: Value| about(&cloudtrail(service, name, &asked));
    let detector = |more: Value| {
        let mut asked = json!({ "detectorId": "d-1" });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let begun = [
        event("guardduty", "UpdateDetector", detector(json!({ "enable": false }))),
        event("guardduty", "DeleteMembers", detector(json!({ "accountIds": ["1"] }))),
        event("guardduty", "CreateIPSet", detector(json!({ "name": "mine", "activate": true }))),
        event("guardduty", "CreateFilter", detector(json!({ "name": "all", "action": "ARCHIVE" }))),
    ];
    let started = event("guardduty", "StartMonitoringMembers", detector(json!({})));
    assert_eq!(begun.iter().filter(|subject| **subject == started).count(), 1, "{begun:?}");
    assert_eq!(begun[1], started);
    let recorder = json!({ "configurationRecorderName": "default" });
    let delivery = json!({ "deliveryChannelName": "default" });
    let started = event("config", "StartConfigurationRecorder", recorder.clone());
    assert_eq!(event("config", "StopConfigurationRecorder", recorder), started);
    assert_ne!(event("config", "DeleteDeliveryChannel", delivery), started);
}

#[test]
fn azures_operations_are_known_from_every_way_out_of_azure() {
    let resource = "/SUBSCRIPTIONS/S/PROVIDERS/MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/TO-SIEM";
    let hub = |name: &str, kind: &str| {
        json!({ "records": [{ "time": "2026-11-01T10:00:00Z", "category": "Administrative",
        "operationName": name, "resourceId": resource, "resultType": kind, "resultSignature": "Started." }] })
    };
    let rest = json!({ "value": [{ "operationName": { "value": "Microsoft.Insights/diagnosticSettings/delete",
        "localizedValue": "Delete" }, "status": { "value": "Succeeded" }, "resourceId": resource }] });
    let workspace = json!({ "OperationNameValue": "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE",
        "ActivityStatusValue": "Success", "_ResourceId": resource.to_lowercase() });
    let hook = json!({ "schemaId": "Microsoft.Insights/activityLogs", "data": { "context": { "activityLog": {
        "operationName": "Microsoft.Insights/diagnosticSettings/delete", "status": "Succeeded", "resourceId": resource } } } });
    let elastic = json!({ "event": { "action": "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", "outcome": "success" },
        "azure": { "resource": { "id": resource }, "activitylogs": { "result_type": "Success",
        "operation_name": "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE" } } });
    let streamed = hub("MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE", "Success");
    for event in [streamed, rest, workspace, hook, elastic] {
        check(&event, "azure.diag.delete", "high");
        assert_eq!(about(&event), resource.to_lowercase());
    }
    check(&hub("Microsoft.Insights/diagnosticSettings/write", "Success"), "azure.diag.delete", "over");
    for not_done in ["Start", "Accept", "Failure"] {
        assert_eq!(meant(&hub("Microsoft.Insights/diagnosticSettings/delete", not_done)), None, "{not_done}");
    }
    let plan = |tier: &str| {
        let body = json!({ "properties": { "pricingTier": tier } }).to_string();
        json!({ "operationName": "MICROSOFT.SECURITY/PRICINGS/WRITE", "resultType": "Success", "resourceId": "/p/VirtualMachines",
            "properties": { "requestbody": body } })
    };
    check(&plan("Free"), "azure.defender", "high");
    check(&plan("Standard"), "azure.defender", "over");
}

#[test]
fn exchanges_commands_are_known_in_every_form_of_their_parameters() {
    let list = json!([{ "Name": "Identity", "Value": "app" }, { "Name": "AuditBypassEnabled", "Value": "True" }]);
    let fields = json!({ "Identity": "app", "AuditBypassEnabled": true });
    let typed = json!("-Identity \"app\" -AuditBypassEnabled \"$True\"");
    for parameters in [list, fields, typed] {
        let event = json!({ "Operation": "Set-MailboxAuditBypassAssociation", "OrganizationId": "org-1", "ResultStatus": "True",
            "Workload": "Exchange", "Parameters": parameters });
        for event in [event.clone(), json!({ "o365audit": event }), json!({ "data": { "office365": event } })] {
            check(&event, "o365.mailbox_bypass", "high");
            assert_eq!(about(&event), "org-1/app");
        }
    }
    let elastic = json!({ "event": { "action": "Set-AdminAuditLogConfig", "outcome": "success", "provider": "Exchange" },
        "o365": { "audit": { "OrganizationId": "org-1", "Parameters": { "UnifiedAuditLogIngestionEnabled": "False" } } } });
    check(&elastic, "o365.audit_off", "critical");
    let refused = json!({ "Operation": "Set-AdminAuditLogConfig", "ResultStatus": "False",
        "Parameters": { "UnifiedAuditLogIngestionEnabled": "False" } });
    assert_eq!(meant(&refused), None);
    let mailbox = json!({ "Operation": "Set-Mailbox", "OrganizationId": "org-1", "ObjectId": "anna",
        "Parameters": [{ "Name": "AuditEnabled", "Value": "False" }] });
    check(&mailbox, "o365.mailbox_audit_off", "high");
}

#[test]
fn googles_entries_are_known_and_a_sink_whose_description_changes_is_none() {
    let entry = |method: &str, request: Value| {
        json!({ "logName": "projects/p/logs/cloudaudit.googleapis.com%2Factivity",
        "protoPayload": { "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "status": {},
        "serviceName": "logging.googleapis.com", "methodName": format!("google.logging.v2.ConfigServiceV2.{method}"),
        "resourceName": "projects/p/sinks/s", "request": request } })
    };
    let update = |mask: &str| {
        entry(
            "UpdateSink",
            json!({ "sinkName": "projects/p/sinks/s", "updateMask": mask, "sink": { "disabled": false } }),
        )
    };
    check(&update("filter,description"), "gcp.sink_update", "high");
    check(&update("destination"), "gcp.sink_update", "high");
    check(&update("disabled"), "gcp.sink", "over");
    assert_eq!(meant(&update("description")), None);
    check(&entry("UpdateSink", json!({ "updateMask": "disabled", "sink": { "disabled": true } })), "gcp.sink", "high");
    check(&json!({ "entries": [entry("DeleteSink", json!({}))] }), "gcp.sink", "high");
    check(&json!({ "data": { "gcp": entry("DeleteSink", json!({})) } }), "gcp.sink", "high");
    let elastic = json!({ "event": { "action": "google.logging.v2.ConfigServiceV2.DeleteSink", "outcome": "success" },
        "gcp": { "audit": { "method_name": "google.logging.v2.ConfigServiceV2.DeleteSink", "service_name": "logging.googleapis.com",
        "resource_name": "projects/p/sinks/s" } } });
    check(&elastic, "gcp.sink", "high");
    let policy = |action: &str| {
        json!({ "protoPayload": { "methodName": "SetIamPolicy", "resourceName": "projects/p",
        "serviceName": "cloudresourcemanager.googleapis.com", "serviceData": { "policyDelta": { "auditConfigDeltas": [
        { "action": action, "service": "storage.googleapis.com", "logType": "DATA_READ" }] } } } })
    };
    check(&policy("REMOVE"), "gcp.audit_config", "high");
    check(&policy("ADD"), "gcp.audit_config", "over");
}

#[test]
fn a_windows_event_is_known_from_every_shipper_with_what_it_says_itself() {
    let changes = "%%8448, %%8450";
    let guid = "{0cce922b-69ae-11d9-bed3-505054503030}";
    let named =
        json!([{ "@Name": "SubcategoryGuid", "#text": guid }, { "@Name": "AuditPolicyChanges", "#text": changes }]);
    let inserts = json!(["S-1-5-18", "PC1$", "EXAMPLE", "0x3e7", "%%8276", "%%13312", guid, changes]);
    let data = json!({ "SubcategoryGuid": guid, "AuditPolicyChanges": changes });
    let events = [
        json!({ "winlog": { "channel": "Security", "event_id": 4719, "computer_name": "PC1.example.org", "record_id": 123_879,
            "provider_name": "Microsoft-Windows-Security-Auditing", "event_data": data }, "event": { "code": 4719, "kind": "event" } }),
        json!({ "winlog": { "channel": "Security", "event_id": "4719", "computer_name": "PC1.example.org", "record_id": "123879",
            "event_data": data }, "event": { "code": "4719", "provider": "Microsoft-Windows-Security-Auditing" } }),
        json!({ "Event": { "System": { "EventID": { "#text": "4719" }, "Channel": { "#text": "Security" },
            "Computer": { "#text": "PC1.example.org" } }, "EventData": { "Data": named } } }),
        json!({ "System": { "EventID": { "Value": 4719 }, "Channel": "Security", "Computer": "PC1.example.org" }, "EventData": data }),
        json!({ "EventID": 4719, "Channel": "Security", "Hostname": "PC1.example.org", "SourceName": "Microsoft-Windows-Security-Auditing",
            "SubcategoryGuid": guid, "AuditPolicyChanges": changes, "RecordNumber": 123_879 }),
        json!({ "EventID": 4719, "Channel": "Security", "Computer": "PC1.example.org", "ProviderName": "Microsoft-Windows-Security-Auditing",
            "EventRecordID": 123_879, "StringInserts": inserts }),
        json!({ "Id": 4719, "LogName": "Security", "MachineName": "PC1.example.org", "RecordId": 123_879,
            "Properties": inserts.as_array().unwrap().iter().map(|value| json!({ "Value": value })).collect::<Vec<_>>() }),
        json!({ "data": { "win": { "system": { "eventID": "4719", "channel": "Security", "computer": "PC1.example.org" },
            "eventdata": { "subcategoryGuid": guid, "auditPolicyChangesId": changes, "auditPolicyChanges": "Success removed, Failure removed" } } } }),
    ];
    for event in events {
        check(&event, "windows.policy", "high");
        assert_eq!(about(&event), format!("pc1.example.org/{guid}"), "{event}");
    }
}

#[test]
fn which_log_was_cleared_is_found_where_its_event_says_it() {
    let system = |more: Value| {
        let mut event = json!({ "EventID": 104, "Channel": "System", "Computer": "pc" });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let winlogbeat = json!({ "winlog": { "channel": "System", "event_id": 104, "computer_name": "pc",
        "user_data": { "Channel": "Windows PowerShell", "SubjectUserName": "mallory", "xml_name": "LogFileCleared" } } });
    check(&winlogbeat, "windows.cleared", "high");
    check(
        &system(json!({ "UserData": { "LogFileCleared": { "Channel": "Application" } } })),
        "windows.cleared",
        "medium",
    );
    check(&system(json!({ "StringInserts": ["mallory", "EXAMPLE", "Security", ""] })), "windows.cleared", "high");
    let wazuh = json!({ "data": { "win": { "system": { "eventID": "104", "channel": "System", "computer": "pc" },
        "logFileCleared": { "channel": "System", "subjectUserName": "mallory" } } } });
    check(&wazuh, "windows.cleared", "high");
    assert_eq!(about(&wazuh), "pc/system");
}

#[test]
fn a_clock_that_was_set_is_told_and_one_that_is_kept_right_is_not() {
    let set = |before: &str, after: &str| {
        json!({ "winlog": { "channel": "Security", "event_id": "4616", "computer_name": "pc",
        "event_data": { "PreviousTime": before, "NewTime": after, "ProcessName": "C:\\Windows\\System32\\svchost.exe" } } })
    };
    let noon = "2026-11-01T12:00:00.0000000Z";
    check(&set(noon, "2026-11-01T12:00:05.1234567Z"), "windows.time", "medium");
    check(&set(noon, "2026-11-01T12:02:00.0000000Z"), "windows.time", "high");
    check(&set(noon, "2026-11-01T11:59:50.0000000Z"), "windows.time", "high");
    assert_eq!(meant(&set(noon, "2026-11-01T12:00:00.0151234Z")), None, "the time service corrects all day long");
    let kernel = json!({ "EventID": 1, "Channel": "System", "Hostname": "pc", "SourceName": "Microsoft-Windows-Kernel-General",
        "NewTime": "2026-11-01T11:00:00.0Z", "OldTime": noon });
    check(&kernel, "windows.time", "high");
}

#[test]
fn agents_that_go_blind_are_known_from_every_shipper() {
    let service = json!({ "Event": { "System": { "EventID": { "#text": "7036", "Qualifiers": "16384" }, "Channel": "System",
        "Computer": "pc", "Provider": { "Name": "Service Control Manager" } },
        "EventData": { "Data": [{ "#text": "Sysmon64", "Name": "param1" }, { "#text": "stopped", "Name": "param2" }] } } });
    check(&service, "edr.service", "high");
    let crashed =
        json!({ "EventID": 7034, "Channel": "System", "Computer": "pc", "StringInserts": ["Elastic Endpoint", "1"] });
    check(&crashed, "edr.service", "high");
    let config = |value: &str| {
        json!({ "winlog": { "channel": "Microsoft-Windows-Windows Defender/Operational", "event_id": "5007",
        "computer_name": "pc", "event_data": { "Old Value": "", "New Value": value } } })
    };
    let key = "HKLM\\SOFTWARE\\Microsoft\\Windows Defender";
    check(&config(&format!("{key}\\Exclusions\\Paths\\C:\\tmp = 0x0")), "edr.defender.config", "medium");
    assert_eq!(meant(&config(&format!("{key}\\Signature Updates\\SignaturesLastUpdated = 0x1"))), None);
    let row = |properties: Value| {
        json!({ "records": [{ "time": "2026-11-01T10:00:00Z", "operationName": "Publish",
        "category": "AdvancedHunting-DeviceEvents", "properties": properties }] })
    };
    check(
        &row(json!({ "ActionType": "TamperingAttempt", "DeviceName": "pc.example.org" })),
        "edr.defender.tamper",
        "high",
    );
    check(&row(json!({ "SensorHealthState": "Inactive", "DeviceName": "pc" })), "edr.agent_offline", "medium");
    check(&row(json!({ "SensorHealthState": "Active", "DeviceName": "pc" })), "edr.agent_offline", "over");
    let wazuh = |rule: &str, text: &str| {
        json!({ "rule": { "id": rule, "level": 3 }, "agent": { "id": "000", "name": "manager" },
        "full_log": format!("ossec: {text}"), "location": "ossec-monitord" })
    };
    let lost = wazuh("504", "Agent disconnected: 'db-7-192.0.2.7'.");
    check(&lost, "edr.agent_offline", "medium");
    assert_eq!(
        (about(&lost).as_str(), about(&wazuh("501", "Agent started: 'db-7->192.0.2.7'.")).as_str()),
        ("db-7", "db-7")
    );
}

#[test]
fn clusters_are_known_by_their_own_audit_by_aks_gke_and_by_alerts_on_their_counters() {
    let event = |verb: &str, object: Value, asked: Value| {
        json!({ "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request",
        "auditID": "a-1", "stage": "ResponseComplete", "verb": verb, "objectRef": object, "responseStatus": { "metadata": {}, "code": 200 },
        "requestObject": asked })
    };
    let collector =
        json!({ "resource": "daemonsets", "namespace": "logging", "name": "fluent-bit", "apiGroup": "apps" });
    let removed = event("delete", collector.clone(), json!({}));
    let aks = json!({ "category": "kube-audit", "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "properties": { "log": removed.to_string(), "pod": "kube-apiserver-1" }, "resourceId": "/SUBSCRIPTIONS/S" });
    let gke = json!({ "protoPayload": { "methodName": "io.k8s.apps.v1.daemonsets.delete", "status": {},
        "resourceName": "apps/v1/namespaces/logging/daemonsets/fluent-bit" } });
    let elastic = json!({ "kubernetes": { "audit": removed } });
    let list = json!({ "kind": "EventList", "items": [removed] });
    for event in [removed, aks, gke, elastic, list] {
        check(&event, "k8s.collector", "high");
        assert_eq!(about(&event), "logging/daemonsets/fluent-bit", "{event}");
    }
    let scale = |replicas: u32| {
        event(
            "patch",
            json!({ "resource": "deployments", "subresource": "scale", "namespace": "logging",
        "name": "fluentd" }),
            json!({ "spec": { "replicas": replicas } }),
        )
    };
    check(&scale(0), "k8s.collector", "high");
    check(&scale(2), "k8s.collector", "over");
    let server = |flags: &[&str]| {
        let command: Vec<&str> = ["kube-apiserver"].iter().chain(flags).copied().collect();
        let pod = json!({ "resource": "pods", "namespace": "kube-system", "name": "kube-apiserver-cp1" });
        event("create", pod, json!({ "spec": { "containers": [{ "command": command }] } }))
    };
    check(&server(&["--audit-policy-file=/etc/p.yaml", "--audit-log-path=/var/log/a.log"]), "k8s.apiserver", "over");
    check(&server(&["--audit-policy-file=/etc/p.yaml"]), "k8s.apiserver", "critical");
    check(&server(&["--audit-log-path=/var/log/a.log"]), "k8s.apiserver", "critical");
    let profile = |name: &str| {
        event(
            "patch",
            json!({ "resource": "apiservers", "name": "cluster" }),
            json!({ "spec": { "audit": { "profile": name } } }),
        )
    };
    check(&profile("None"), "k8s.audit_policy", "critical");
    check(&profile("Default"), "k8s.audit_policy", "over");
    let alert =
        |name: &str, status: &str| json!({ "status": status, "labels": { "alertname": name, "cluster": "c1" } });
    check(&alert("KubernetesAuditStalled", "firing"), "k8s.audit_stalled", "critical");
    check(&alert("KubernetesAuditStalled", "resolved"), "k8s.audit_stalled", "over");
    check(&alert("AuditLogError", "firing"), "k8s.audit_errors", "high");
    check(
        &json!({ "labels": { "__name__": "apiserver_audit_requests_rejected_total", "cluster": "c1" } }),
        "k8s.audit_rejected",
        "high",
    );
}
