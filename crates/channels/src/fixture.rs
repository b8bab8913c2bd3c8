//! The incident that this crate's unit tests speak of.

use balefire_model::Incident;

/// A harmless incident with something in every field that a channel shows.
pub(crate) fn incident() -> Incident {
    serde_json::from_str(
        r#"{
            "id": "01935f1c-7c00-7000-8000-000000000001",
            "title": "Audit log stopped on web-1",
            "severity": "critical",
            "detected_by": "audit_log_gap",
            "description": "No audit event for 600 s.\nCheck auditd.",
            "nist_controls": ["3.3.4", "3.3.1"],
            "cui_involved": true,
            "labels": {"host": "web-1"},
            "fingerprint": "83a654bc481b169321b893aa484ff0f4",
            "source": "http",
            "received_at": "2026-11-02T03:04:05.678901Z"
        }"#,
    )
    .expect("a constant incident")
}

/// A delivery of it, at its first attempt.
pub(crate) fn delivery(incident: &Incident) -> balefire_model::Delivery<'_> {
    balefire_model::Delivery {
        id: balefire_model::DeliveryId::derive(incident.id, "opened", "soc"),
        channel: "soc",
        reason: balefire_model::Reason::Opened,
        stands_in_for: None,
        resolved_at: None,
        acknowledgement: None,
        repeats: None,
        repeat_of: None,
        plain: false,
        ack_url: None,
        reached: None,
        opened: None,
        run: None,
        incident,
        attempt: 1,
        now: "2026-11-02T03:04:06Z".parse().expect("a constant time"),
    }
}
