-- The tables of the "plan" form: UUID keys, and rules that alert_history refers to.
-- In a schema of your choice, as the role that shall own the tables:
--   PGOPTIONS='-c search_path=blueteam' psql -1 -v ON_ERROR_STOP=1 -f plan.sql DATABASE
-- It changes nothing that is there.

CREATE TABLE IF NOT EXISTS balefire_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS alert_rules (
    rule_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT,
    severity TEXT NOT NULL,
    nist_controls TEXT[],
    enabled BOOLEAN DEFAULT TRUE,
    config JSONB DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS security_incidents (
    incident_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    title TEXT NOT NULL,
    description TEXT,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    status TEXT NOT NULL DEFAULT 'detected'
        CHECK (status IN ('detected', 'analyzing', 'contained', 'eradicated', 'recovered', 'closed')),
    detected_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    detected_by TEXT,
    correlation_rule TEXT,
    nist_controls TEXT[],
    assigned_to TEXT,
    cui_involved BOOLEAN DEFAULT FALSE,
    dfars_reportable BOOLEAN DEFAULT FALSE,
    dfars_reported_at TIMESTAMPTZ,
    contained_at TIMESTAMPTZ,
    eradicated_at TIMESTAMPTZ,
    recovered_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ,
    root_cause TEXT,
    lessons_learned TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS alert_history (
    alert_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    rule_id TEXT REFERENCES alert_rules (rule_id),
    severity TEXT NOT NULL,
    title TEXT NOT NULL,
    description TEXT,
    event_ids UUID[],
    incident_id UUID REFERENCES security_incidents (incident_id),
    acknowledged BOOLEAN DEFAULT FALSE,
    acknowledged_by TEXT,
    acknowledged_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS alert_history_unacknowledged ON alert_history (created_at DESC) WHERE acknowledged = FALSE;

INSERT INTO balefire_migrations (version, name) VALUES (1, 'plan') ON CONFLICT (version) DO NOTHING;
