-- What Balefire's role needs, and no more: it adds rows, and can neither change nor remove any. As the tables' owner:
--   psql -1 -v ON_ERROR_STOP=1 -v schema=blueteam -v role=balefire -f grants.sql DATABASE
-- With -v closes=1 it may also read and set acknowledged, acknowledged_by and acknowledged_at, so that acknowledgements are
-- the same on both sides, and an incident that is over is not open on the dashboard. With -v incidents=1 it may also make
-- the rows of security_incidents, and note there that one is worse than it was, or over.

\if :{?schema} \else \set schema blueteam \endif
\if :{?role} \else \set role balefire \endif
\if :{?closes} \else \set closes 0 \endif
\if :{?incidents} \else \set incidents 0 \endif

REVOKE ALL ON ALL TABLES IN SCHEMA :"schema" FROM :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT INSERT ON :"schema".alert_history TO :"role";

-- The keys, so that a repeat is recognised, and that a link leads to a row that is there.
SELECT format('GRANT SELECT (%I) ON %I.%I TO %I', column_name, table_schema, table_name, :'role')
FROM information_schema.columns
WHERE table_schema = :'schema'
  AND (table_name, column_name) IN (('alert_history', 'alert_id'), ('alert_history', 'balefire_id'),
                                    ('alert_rules', 'rule_id'), ('security_incidents', 'incident_id'))
\gexec

-- The row of a rule that nobody has made yet.
SELECT format('GRANT INSERT ON %I.alert_rules TO %I', :'schema', :'role')
WHERE to_regclass(format('%I.alert_rules', :'schema')) IS NOT NULL
\gexec

-- The counter of the rows, where they are counted.
SELECT format('GRANT USAGE ON SEQUENCE %s TO %I', sequence, :'role')
FROM pg_get_serial_sequence(format('%I.alert_history', :'schema'), 'alert_id') AS sequence
WHERE sequence IS NOT NULL
\gexec

\if :closes
GRANT SELECT (acknowledged, acknowledged_by, acknowledged_at), UPDATE (acknowledged, acknowledged_by, acknowledged_at)
    ON :"schema".alert_history TO :"role";

-- What a row's incident repeats.
SELECT format('GRANT SELECT (%I) ON %I.%I TO %I', column_name, table_schema, table_name, :'role')
FROM information_schema.columns
WHERE table_schema = :'schema' AND (table_name, column_name) = ('alert_history', 'balefire_first')
\gexec
\endif

\if :incidents
GRANT INSERT ON :"schema".security_incidents TO :"role";

SELECT format('GRANT SELECT (%1$I) ON %2$I.%3$I TO %4$I', column_name, table_schema, table_name, :'role')
FROM information_schema.columns
WHERE table_schema = :'schema' AND table_name = 'security_incidents' AND column_name = 'balefire_id'
\gexec

SELECT format('GRANT SELECT (%1$I), UPDATE (%1$I) ON %2$I.%3$I TO %4$I', column_name, table_schema, table_name, :'role')
FROM information_schema.columns
WHERE table_schema = :'schema' AND table_name = 'security_incidents'
  AND column_name IN ('severity', 'status', 'cui_involved', 'dfars_reportable', 'closed_at', 'updated_at')
\gexec

SELECT format('GRANT USAGE ON SEQUENCE %s TO %I', sequence, :'role')
FROM pg_get_serial_sequence(format('%I.security_incidents', :'schema'), 'incident_id') AS sequence
WHERE sequence IS NOT NULL
\gexec
\endif
