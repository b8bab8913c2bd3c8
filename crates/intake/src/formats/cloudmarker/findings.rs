//! What Cloudmarker's own event types are to us: it gives them neither a severity nor controls. Data only; the settings
//! of a site come on top, and are not known here.

use balefire_model::Severity;

/// What an event of one type becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType {
    /// `com.record_type`.
    pub record_type: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it says in a few words; the reference of what it is about follows.
    pub title: &'static str,
    /// NIST SP 800-171 revision 2.
    pub nist_controls: &'static [&'static str],
}

/// The entry of a type, if it is one of Cloudmarker's own.
#[must_use]
pub fn event_type(record_type: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|known| known.record_type == record_type)
}

const fn of(
    record_type: &'static str,
    severity: Severity,
    title: &'static str,
    nist_controls: &'static [&'static str],
) -> EventType {
    EventType { record_type, severity, title, nist_controls }
}

/// The event types that come with Cloudmarker. Open doors and missing logs weigh most; what is only a setting that helps
/// a later inquiry weighs least.
pub const EVENT_TYPES: &[EventType] = &[
    of("firewall_rule_event", Severity::High, "Firewall rule exposes ports", &["3.13.1", "3.13.6"]),
    of("rdbms_enforce_tls_event", Severity::High, "Database server does not enforce TLS", &["3.13.8"]),
    of("vm_os_disk_encryption_event", Severity::Medium, "OS disk is not encrypted", &["3.13.16"]),
    of("vm_data_disk_encryption_event", Severity::Medium, "Data disk is not encrypted", &["3.13.16"]),
    of("vm_blacklisted_extension_event", Severity::High, "VM has a forbidden extension", &["3.4.8"]),
    of("vm_unapproved_extension_event", Severity::Medium, "VM has an extension that is not approved", &["3.4.8"]),
    of("vm_required_extension_event", Severity::Medium, "VM lacks a required extension", &["3.4.1", "3.4.2"]),
    of("key_vault_key_no_expiry_event", Severity::Low, "Key does not expire", &["3.13.10"]),
    of("key_vault_secret_no_expiry_event", Severity::Low, "Secret does not expire", &["3.13.10"]),
    of("key_vault_non_recoverable_event", Severity::Medium, "Key vault cannot be recovered", &["3.13.10"]),
    of("log_profile_event", Severity::High, "Activity is not logged", &["3.3.1", "3.3.2"]),
    of("log_profile_missing_category_event", Severity::Medium, "Log profile lacks categories", &["3.3.1"]),
    of("log_profile_missing_location_event", Severity::Medium, "Log profile lacks locations", &["3.3.1"]),
    of("log_profile_retention_event", Severity::Medium, "Activity logs are kept too short", &["3.3.1"]),
    of("postgres_connection_throttling_event", Severity::Low, "PostgreSQL does not throttle connections", &["3.1.8"]),
    of("postgres_log_checkpoints_event", Severity::Low, "PostgreSQL does not log checkpoints", &["3.3.1"]),
    of("postgres_log_connections_event", Severity::Medium, "PostgreSQL does not log connections", &["3.3.1", "3.3.2"]),
    of(
        "postgres_log_disconnections_event",
        Severity::Low,
        "PostgreSQL does not log disconnections",
        &["3.3.1", "3.3.2"],
    ),
    of("postgres_log_duration_event", Severity::Low, "PostgreSQL does not log durations", &["3.3.1"]),
    of("postgres_log_retention_days_event", Severity::Medium, "PostgreSQL logs are kept too short", &["3.3.1"]),
    of("sql_db_tde_event", Severity::High, "SQL database is not encrypted", &["3.13.16"]),
    of("storage_account_secure_transfer_event", Severity::High, "Storage account takes clear text", &["3.13.8"]),
    of(
        "storage_account_default_network_access_event",
        Severity::High,
        "Storage account is open to all networks",
        &["3.13.1", "3.13.6"],
    ),
    of(
        "storage_account_allow_trusted_services_event",
        Severity::Low,
        "Storage account shuts out trusted services",
        &["3.13.1"],
    ),
    of("web_app_tls_event", Severity::Medium, "Web app allows old TLS", &["3.13.8"]),
    of("web_app_https_event", Severity::Medium, "Web app does not enforce HTTPS", &["3.13.8"]),
    of("web_app_http20_event", Severity::Low, "Web app does not use HTTP/2", &["3.4.2"]),
    of("web_app_client_certificate_event", Severity::Low, "Web app asks for no client certificate", &["3.5.2"]),
    of("mock_event", Severity::Low, "Mock event", &[]),
];
