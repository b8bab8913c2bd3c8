-- The tables of the "shipped" form: counted keys, and no rules.
-- In a schema of your choice, as the role that shall own the tables:
--   PGOPTIONS='-c search_path=blueteam' psql -1 -v ON_ERROR_STOP=1 -f shipped.sql -f balefire.sql DATABASE
-- It changes nothing that is there.

CREATE TABLE IF NOT EXISTS balefire_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS security_incidents (
    incident_id SERIAL PRIMARY KEY,
    title TEXT NOT NULL,
    description TEXT,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low')),
    status TEXT NOT NULL DEFAULT 'open'
        CHECK (status IN ('open', 'contained', 'eradicated', 'recovered', 'closed')),
    detected_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    detected_by TEXT,
    assigned_to TEXT,
    cui_involved BOOLEAN NOT NULL DEFAULT FALSE,
    dfars_reportable BOOLEAN NOT NULL DEFAULT FALSE,
    dfars_reported_at TIMESTAMPTZ,
    contained_at TIMESTAMPTZ,
    eradicated_at TIMESTAMPTZ,
    recovered_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ,
    root_cause TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS alert_history (
    alert_id SERIAL PRIMARY KEY,
    rule_id TEXT,
    severity TEXT NOT NULL CHECK (severity IN ('critical', 'high', 'medium', 'low', 'info')),
    title TEXT NOT NULL,
    description TEXT,
    incident_id INTEGER REFERENCES security_incidents (incident_id) ON DELETE SET NULL,
    acknowledged BOOLEAN NOT NULL DEFAULT FALSE,
    acknowledged_by TEXT,
    acknowledged_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS alert_history_unacknowledged ON alert_history (created_at DESC) WHERE acknowledged = FALSE;
CREATE INDEX IF NOT EXISTS alert_history_created ON alert_history (created_at DESC);

INSERT INTO balefire_migrations (version, name) VALUES (1, 'shipped') ON CONFLICT (version) DO NOTHING;
