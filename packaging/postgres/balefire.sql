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
