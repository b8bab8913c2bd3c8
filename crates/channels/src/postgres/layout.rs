//! Which form of `alert_history` is there, and the statements for it: made of what the catalogue says, with every name
//! quoted and every value in one parameter. Knows no connection.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The question to the catalogue: $1 is the schema, $2 the table. One row of one text.
pub(super) const LOOK: &str = "\
WITH t AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
), refers AS (
    SELECT f.conrelid, f.conkey[1] AS attnum, f.confrelid AS oid, f.confkey[1] AS key
    FROM pg_catalog.pg_constraint f JOIN t ON f.conrelid = t.oid
    WHERE f.contype = 'f' AND array_length(f.conkey, 1) = 1
), described AS (
    SELECT a.attrelid, a.attname, json_build_object(
        'type', pg_catalog.format_type(a.atttypid, NULL),
        'length', CASE WHEN a.atttypid IN (1042, 1043) AND a.atttypmod > 4 THEN a.atttypmod - 4 END,
        'must_be_given', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '',
        'is_unique', EXISTS (
            SELECT FROM pg_catalog.pg_index i
            WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
              AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),
        'may_insert', has_column_privilege(a.attrelid, a.attnum, 'INSERT'),
        'may_select', has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
        'may_update', has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),
        'refers', (
            SELECT json_build_object('schema', n.nspname, 'table', c.relname, 'column', k.attname,
                'may_select', has_column_privilege(k.attrelid, k.attnum, 'SELECT')
                    AND has_schema_privilege(n.oid, 'USAGE'))
            FROM refers r
            JOIN pg_catalog.pg_class c ON c.oid = r.oid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_catalog.pg_attribute k ON k.attrelid = r.oid AND k.attnum = r.key
            WHERE r.conrelid = a.attrelid AND r.attnum = a.attnum
            LIMIT 1)
    ) AS told
    FROM pg_catalog.pg_attribute a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (SELECT oid FROM t UNION SELECT oid FROM refers)
)
SELECT json_build_object(
    'is_standby', pg_is_in_recovery(),
    'columns', (SELECT json_object_agg(d.attname, d.told) FROM described d JOIN t ON d.attrelid = t.oid),
    'rules', (SELECT json_object_agg(d.attname, d.told) FROM described d
              WHERE d.attrelid = (SELECT r.oid FROM refers r JOIN pg_catalog.pg_attribute a
                                  ON a.attrelid = r.conrelid AND a.attnum = r.attnum AND a.attname = 'rule_id' LIMIT 1))
)::text";

/// What the catalogue says.
#[derive(Debug, Deserialize)]
struct Found {
    is_standby: bool,
    /// `None` where there is no such table.
    columns: Option<Columns>,
    /// The columns of the table that `rule_id` refers to.
    rules: Option<Columns>,
}

type Columns = BTreeMap<String, Column>;

#[derive(Debug, Deserialize)]
struct Column {
    r#type: String,
    length: Option<u32>,
    must_be_given: bool,
    is_unique: bool,
    may_insert: bool,
    may_select: bool,
    may_update: bool,
    refers: Option<Refers>,
}

#[derive(Debug, Deserialize)]
struct Refers {
    schema: String,
    table: String,
    column: String,
    may_select: bool,
}

/// A table that rows go to, and what may be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTable {
    /// The schema, as the catalogue has it.
    pub schema: String,
    /// The table, as the catalogue has it.
    pub name: String,
    /// Which form is made where there is none, with our own columns; nothing is ever made without it.
    pub create: Option<PostgresForm>,
    /// Whether rows are written though a repeat cannot be recognised.
    pub may_repeat: bool,
}

/// A form of `alert_history`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresForm {
    /// Keys are UUIDs, and rules are rows.
    Plan,
    /// Rows are counted, and rules are names.
    Shipped,
}

/// How rows are written into the table that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresLayout {
    /// The statement that writes many rows: its one parameter is a JSON list of parts, as text.
    pub insert: String,
    /// What it means that it was done, in words.
    pub receipt: String,
    /// The question which of some rows are acknowledged, by whom and when: its one parameter is a JSON list of our ids, as
    /// text. `None` where we may not know.
    pub acknowledged: Option<String>,
    /// Whether all of our own columns are there.
    is_complete: bool,
    /// Whether whole incidents have a column.
    takes_body: bool,
}

impl PostgresLayout {
    /// The statement's parameter. What the table has no column for does not travel.
    #[must_use]
    pub fn list(&self, parts: &[Vec<u8>]) -> String {
        let mut list = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum::<usize>() + 2);
        for part in parts {
            list.push(if list.is_empty() { b'[' } else { b',' });
            // The last member; within a text its quotes would have backslashes before them.
            let body = || part.windows(BODY_BEGINS.len()).position(|bytes| bytes == BODY_BEGINS);
            match (!self.takes_body).then(body).flatten() {
                Some(place) => {
                    list.extend_from_slice(&part[..place]);
                    list.push(b'}');
                }
                None => list.extend_from_slice(part),
            }
        }
        list.push(b']');
        String::from_utf8(list).expect("parts are UTF-8, and cut before a comma")
    }
}

/// As `part.rs` writes it.
const BODY_BEGINS: &[u8] = b",\"body\":{";

/// Why rows cannot be written into what is there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresMisfit {
    /// A standby, or one that was one when we asked.
    #[error("this server is a standby, which takes no rows")]
    Standby,
    /// There is no such table.
    #[error(
        "there is no table {table}; make it with packaging/postgres/plan.sql or shipped.sql, or set `create: plan` or `create: shipped`"
    )]
    NoTable {
        /// The table.
        table: String,
    },
    /// A column is missing or of another type.
    #[error("the table {table} has {found}; allowed: {wanted}")]
    Column {
        /// The table.
        table: String,
        /// What is there.
        found: String,
        /// What is wanted.
        wanted: &'static str,
    },
    /// Rows are counted, and a repeat would be a second row.
    #[error(
        "the table {table} counts its rows and has no unique column balefire_id by which a repeat is recognised; add it with packaging/postgres/balefire.sql or `create: shipped`, or set `may_repeat: true` and have an incident twice where an answer was lost"
    )]
    NoId {
        /// The table.
        table: String,
    },
    /// Columns that must have a value, and of which we know nothing.
    #[error("the table {table} wants a value in {columns}, which is not known here; give it a default")]
    Unknown {
        /// The table.
        table: String,
        /// The columns.
        columns: String,
    },
    /// The answer of the catalogue is none.
    #[error("the catalogue's answer about {table} cannot be read: {detail}")]
    Unreadable {
        /// The table.
        table: String,
        /// In the parser's words.
        detail: String,
    },
}

impl PostgresTable {
    /// The question to the catalogue, whose parameters are the schema and the table; its answer is one text.
    #[must_use]
    pub fn look(&self) -> &'static str {
        LOOK
    }

    /// What the catalogue's answer means.
    ///
    /// # Errors
    /// [`PostgresMisfit`] says what is missing.
    pub fn read(&self, answer: &str) -> Result<PostgresLayout, PostgresMisfit> {
        let table = self.to_string();
        let found: Found = serde_json::from_str(answer)
            .map_err(|error| PostgresMisfit::Unreadable { table: table.clone(), detail: error.to_string() })?;
        if found.is_standby {
            return Err(PostgresMisfit::Standby);
        }
        let columns = found.columns.ok_or(PostgresMisfit::NoTable { table: table.clone() })?;
        let key = key(&table, &columns, self.may_repeat)?;
        check(&table, &columns)?;
        let rules = found.rules.filter(|_| columns["rule_id"].refers.is_some());
        let may_update = |name: &str| columns.get(name).is_some_and(|column| column.may_update);
        let may_select = |name: &str| columns.get(name).is_some_and(|column| column.may_select);
        let fits = |name: &str, types: &[&str]| columns.get(name).is_some_and(|c| types.contains(&c.r#type.as_str()));
        let can_look = key.is_some_and(may_select)
            && ACKNOWLEDGES.into_iter().all(may_select)
            && fits("acknowledged", &["boolean"])
            && fits("acknowledged_by", &TEXTS);
        let can_close =
            key.is_some_and(may_select) && ACKNOWLEDGES.into_iter().all(may_update) && may_select("acknowledged");
        let receipt = match can_close {
            true => format!("in {table}"),
            false => format!("in {table}, whose rows stay as they are"),
        };
        let takes_body = columns.get(BODY).is_some_and(|body| matches!(body.r#type.as_str(), "json" | "jsonb"));
        let is_complete = columns.contains_key(BODY) && key.is_some();
        let (columns, rules) = (&columns, rules.as_ref());
        let statement = Statement { table: self, columns, rules, key, can_close, can_look };
        let (insert, acknowledged) = (statement.text(), statement.acknowledged());
        Ok(PostgresLayout { insert, receipt, acknowledged, is_complete, takes_body })
    }

    /// The statements that make what is missing, for one transaction; none where nothing is missing, or nothing is to be
    /// made.
    #[must_use]
    pub fn migration(&self, found: &Result<PostgresLayout, PostgresMisfit>) -> Option<String> {
        let form = self.create?;
        let tables = match (found, form) {
            (Ok(layout), _) if layout.is_complete => return None,
            (Ok(_) | Err(PostgresMisfit::NoId { .. }), _) => "",
            (Err(PostgresMisfit::NoTable { .. }), PostgresForm::Plan) => PLAN,
            (Err(PostgresMisfit::NoTable { .. }), PostgresForm::Shipped) => SHIPPED,
            (Err(_), _) => return None,
        };
        let schema = quoted(&self.schema);
        let make = match found {
            Err(PostgresMisfit::NoTable { .. }) => format!("CREATE SCHEMA IF NOT EXISTS {schema};\n"),
            _ => String::new(),
        };
        // Two of us that start at once wait for each other.
        let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK});\n");
        Some(format!("{lock}{make}SET LOCAL search_path TO {schema};\n{tables}\n{OURS}"))
    }
}

impl std::fmt::Display for PostgresTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

const PLAN: &str = include_str!("../../../../packaging/postgres/plan.sql");
const SHIPPED: &str = include_str!("../../../../packaging/postgres/shipped.sql");
const OURS: &str = include_str!("../../../../packaging/postgres/balefire.sql");
/// The bytes of `balefire`, as a number.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"balefire");

/// Our own column for whole incidents.
const BODY: &str = "balefire";
const TEXTS: [&str; 3] = ["text", "character varying", "character"];

/// The column by which a repeat is recognised.
fn key(table: &str, columns: &Columns, may_repeat: bool) -> Result<Option<&'static str>, PostgresMisfit> {
    let misfit = |found: String, wanted| PostgresMisfit::Column { table: table.to_owned(), found, wanted };
    let wanted = "alert_id of type uuid, with a unique index, or of type integer";
    let Some(id) = columns.get("alert_id") else {
        return Err(misfit("no column alert_id".to_owned(), wanted));
    };
    match id.r#type.as_str() {
        "uuid" if id.is_unique => Ok(Some("alert_id")),
        "uuid" => Err(misfit("alert_id without a unique index".to_owned(), wanted)),
        "smallint" | "integer" | "bigint" => match columns.get("balefire_id") {
            Some(id) if id.r#type == "uuid" && id.is_unique => Ok(Some("balefire_id")),
            _ if may_repeat => Ok(None),
            _ => Err(PostgresMisfit::NoId { table: table.to_owned() }),
        },
        other => Err(misfit(format!("alert_id of type {other}"), wanted)),
    }
}

/// Whether the columns that we fill are there, and no other must be filled.
fn check(table: &str, columns: &Columns) -> Result<(), PostgresMisfit> {
    let misfit = |found: String, wanted| PostgresMisfit::Column { table: table.to_owned(), found, wanted };
    for name in ["rule_id", "severity", "title", "description"] {
        match columns.get(name).map(|column| column.r#type.as_str()) {
            Some(found) if TEXTS.contains(&found) => {}
            Some(found) => return Err(misfit(format!("{name} of type {found}"), "text or character varying")),
            None => {
                return Err(misfit(format!("no column {name}"), "rule_id, severity, title and description as text"));
            }
        }
    }
    match columns.get("created_at").map(|column| column.r#type.as_str()) {
        Some("timestamp with time zone" | "timestamp without time zone") => {}
        Some(found) => return Err(misfit(format!("created_at of type {found}"), "timestamp with time zone")),
        None => return Err(misfit("no column created_at".to_owned(), "created_at as timestamp with time zone")),
    }
    let filled = FILLED.map(|(name, _)| name);
    let unknown: Vec<&str> = columns
        .iter()
        .filter(|(name, column)| {
            column.must_be_given && name.as_str() != "alert_id" && !filled.contains(&name.as_str())
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(PostgresMisfit::Unknown { table: table.to_owned(), columns: unknown.join(", ") })
}

/// The columns that we fill where they are there and of the right type, and with what.
const FILLED: [(&str, &str); 8] = [
    ("rule_id", "part.rule_id"),
    ("severity", "part.severity"),
    ("title", "part.title"),
    ("description", "part.description"),
    ("created_at", "part.created_at"),
    ("acknowledged", "FALSE"),
    ("event_ids", "part.event_ids"),
    (BODY, "part.body"),
];

struct Statement<'a> {
    table: &'a PostgresTable,
    columns: &'a Columns,
    rules: Option<&'a Columns>,
    key: Option<&'static str>,
    /// Whether it may set the columns of the acknowledgement.
    can_close: bool,
    /// Whether it may read them.
    can_look: bool,
}

/// The columns of the acknowledgement.
const ACKNOWLEDGES: [&str; 3] = ["acknowledged", "acknowledged_by", "acknowledged_at"];

/// Who has acknowledged a row, as both sides write and compare it; `kept` is the row.
const ACKED_BY: &str = "left(coalesce(nullif(kept.acknowledged_by, ''), 'somebody'), 200)";

impl Statement<'_> {
    /// One statement, which is one transaction of its own where nothing is around it.
    fn text(&self) -> String {
        let mut before = vec![PARTS.to_owned()];
        before.extend(self.rules());
        before.extend(self.closes());
        before.extend(self.reopens());
        let (names, values) = self.row();
        let table = self.name();
        let once = self.key.map(|key| format!("\nON CONFLICT ({key}) DO NOTHING")).unwrap_or_default();
        format!(
            "WITH {}\nINSERT INTO {table} ({})\nSELECT {} FROM part WHERE part.does = 'add'{once}",
            before.join(",\n"),
            names.join(", "),
            values.join(", "),
        )
    }

    fn row(&self) -> (Vec<String>, Vec<String>) {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        let mut put = |name: &str, value: String| {
            names.push(quoted(name));
            values.push(value);
        };
        if let Some(key) = self.key {
            put(key, "part.id".to_owned());
        }
        for (name, value) in FILLED {
            let Some(column) = self.columns.get(name) else { continue };
            match column.r#type.as_str() {
                "jsonb" | "json" if name == BODY => put(name, format!("{value}::{}", column.r#type)),
                _ if name == BODY => {}
                "uuid[]" if name == "event_ids" => put(name, value.to_owned()),
                _ if name == "event_ids" => {}
                "boolean" if name == "acknowledged" => put(name, value.to_owned()),
                _ if name == "acknowledged" => {}
                // The far side's own clock face, where its times have no zone.
                _ => put(name, bounded(column, value)),
            }
        }
        if let Some(link) = self.link() {
            put("incident_id", link);
        }
        (names, values)
    }

    /// The sender's incident: where the column must lead to a row, only if it does.
    fn link(&self) -> Option<String> {
        let column = self.columns.get("incident_id")?;
        let value = match column.r#type.as_str() {
            "uuid" => "part.link_uuid",
            "integer" | "bigint" => "part.link_number",
            _ => return None,
        };
        let Some(refers) = &column.refers else { return Some(value.to_owned()) };
        let [schema, table, key] = [&refers.schema, &refers.table, &refers.column].map(|name| quoted(name));
        let row = format!("(SELECT linked.{key} FROM {schema}.{table} AS linked WHERE linked.{key} = {value})");
        refers.may_select.then_some(row)
    }

    /// The rows of rules that are not there yet. A role that may not make them finds them there, or its rows are refused.
    fn rules(&self) -> Option<String> {
        let (refers, columns) = (self.columns["rule_id"].refers.as_ref()?, self.rules?);
        let key = columns.get(&refers.column).filter(|key| key.may_insert && key.may_select)?;
        let (mut names, mut values) = (vec![quoted(&refers.column)], vec![bounded(key, "part.rule_id")]);
        for (name, value) in [
            ("name", "part.rule_id"),
            ("description", "'Made by Balefire at its first incident.'"),
            ("severity", "part.severity"),
            ("nist_controls", "part.nist_controls"),
        ] {
            let Some(column) = columns.get(name).filter(|_| name != refers.column) else { continue };
            if TEXTS.contains(&column.r#type.as_str()) && name != "nist_controls" {
                values.push(bounded(column, value));
                names.push(quoted(name));
            } else if column.r#type == "text[]" && name == "nist_controls" {
                values.push(value.to_owned());
                names.push(quoted(name));
            }
        }
        // In one order, so that two writers do not wait for each other.
        Some(format!(
            "rules AS (\n    INSERT INTO {}.{} ({})\n    SELECT DISTINCT ON (part.rule_id) {} FROM part WHERE part.does = 'add'\n    \
             ORDER BY part.rule_id\n    ON CONFLICT ({}) DO NOTHING\n)",
            quoted(&refers.schema),
            quoted(&refers.table),
            names.join(", "),
            values.join(", "),
            quoted(&refers.column),
        ))
    }

    /// What a person has acknowledged stays theirs.
    fn closes(&self) -> Option<String> {
        let key = self.key.filter(|_| self.can_close)?;
        Some(format!(
            "acked AS (\n    UPDATE {} AS kept SET acknowledged = TRUE, acknowledged_by = {},\n        \
             acknowledged_at = coalesce(part.acked_at, now())\n    FROM part WHERE part.does = 'ack' AND kept.{key} = part.id \
             AND kept.acknowledged IS NOT TRUE\n)",
            self.name(),
            bounded(&self.columns["acknowledged_by"], "part.acked_by"),
        ))
    }

    /// Only the acknowledgement that we know of: another one, which nobody here has seen yet, stays.
    fn reopens(&self) -> Option<String> {
        let key = self.key.filter(|_| self.can_close && self.can_look)?;
        let known = "left(coalesce(nullif(part.acked_by, ''), 'somebody'), 200)";
        let known = bounded(&self.columns["acknowledged_by"], known);
        Some(format!(
            "reopened AS (\n    UPDATE {} AS kept SET acknowledged = FALSE, acknowledged_by = NULL, acknowledged_at = NULL\n    \
             FROM part WHERE part.does = 'unack' AND kept.{key} = part.id AND kept.acknowledged\n        \
             AND {ACKED_BY} = {known}\n)",
            self.name(),
        ))
    }

    /// By our ids, which the index of the key has: what it costs depends on how many are asked about, not on the table.
    fn acknowledged(&self) -> Option<String> {
        let key = self.key.filter(|_| self.can_look)?;
        Some(format!(
            "SELECT kept.{key}::text, {ACKED_BY}, coalesce(kept.acknowledged_at::text, '')\nFROM {} AS kept\n\
             WHERE kept.{key} = ANY (ARRAY(SELECT json_array_elements_text($1::text::json)::uuid)) AND kept.acknowledged",
            self.name(),
        ))
    }

    fn name(&self) -> String {
        format!("{}.{}", quoted(&self.table.schema), quoted(&self.table.name))
    }
}

/// What a part (`part.rs`) holds.
const PARTS: &str = "part AS (
    SELECT * FROM json_to_recordset($1::text::json) AS part(
        id uuid, does text, acked_by text, acked_at timestamptz, rule_id text, severity text, title text, description text,
        created_at timestamptz, nist_controls text[], event_ids uuid[], link_uuid uuid, link_number integer, body json)
)";

fn bounded(column: &Column, value: &str) -> String {
    match column.length {
        Some(length) if TEXTS.contains(&column.r#type.as_str()) => format!("left({value}, {length})"),
        _ => value.to_owned(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
