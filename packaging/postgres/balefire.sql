-- What Balefire adds to an alert_history that is there, in either form; nobody who reads the table by its columns' names
-- sees a difference. As the role that owns the table:
--   PGOPTIONS='-c search_path=blueteam' psql -1 -v ON_ERROR_STOP=1 -f balefire.sql DATABASE
-- Writers wait while the index is made.

CREATE TABLE IF NOT EXISTS balefire_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The whole incident: controls, CUI, events, labels, times.
ALTER TABLE alert_history ADD COLUMN IF NOT EXISTS balefire JSONB;

-- Where rows are counted, the incident's own id is what a repeat is recognised by.
DO $$
BEGIN
    IF (SELECT atttypid <> 'uuid'::regtype FROM pg_attribute
        WHERE attrelid = 'alert_history'::regclass AND attname = 'alert_id') THEN
        ALTER TABLE alert_history ADD COLUMN IF NOT EXISTS balefire_id UUID;
        CREATE UNIQUE INDEX IF NOT EXISTS alert_history_balefire_id ON alert_history (balefire_id);
    END IF;
END
$$;

INSERT INTO balefire_migrations (version, name) VALUES (2, 'balefire columns') ON CONFLICT (version) DO NOTHING;

-- The incident that a row's one repeats, so that who acknowledges one of them has acknowledged all.
ALTER TABLE alert_history ADD COLUMN IF NOT EXISTS balefire_first UUID;
CREATE INDEX IF NOT EXISTS alert_history_balefire_first ON alert_history (balefire_first)
    WHERE balefire_first IS NOT NULL;

-- Where incidents are counted, an incident's own id is what its row is found by; left alone where the table is another's.
DO $$
BEGIN
    IF (SELECT a.atttypid <> 'uuid'::regtype AND pg_has_role(c.relowner, 'USAGE')
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attrelid = to_regclass('security_incidents') AND a.attname = 'incident_id') THEN
        ALTER TABLE security_incidents ADD COLUMN IF NOT EXISTS balefire_id UUID;
        CREATE UNIQUE INDEX IF NOT EXISTS security_incidents_balefire_id ON security_incidents (balefire_id);
    END IF;
END
$$;

INSERT INTO balefire_migrations (version, name) VALUES (3, 'repeats and incidents') ON CONFLICT (version) DO NOTHING;
