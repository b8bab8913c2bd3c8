//! Which form of `alert_history` is there, what of it can be used, and which statements carry some rows. Knows no connection.

use super::part;
use super::statement::{ACKNOWLEDGES, BODY, FILLED, FIRST, Statement, quoted};
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
        'may_insert', has_column_privilege(a.attrelid, a.attnum, 'INSERT') AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class s ON s.oid = d.objid
            WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a' AND d.refobjid = a.attrelid
              AND d.refobjsubid = a.attnum
              AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE FALSE END),
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
                                  ON a.attrelid = r.conrelid AND a.attnum = r.attnum AND a.attname = 'rule_id' LIMIT 1)),
    'incidents', (SELECT json_object_agg(d.attname, d.told) FROM described d
                  WHERE d.attrelid = (SELECT r.oid FROM refers r JOIN pg_catalog.pg_attribute a
                                      ON a.attrelid = r.conrelid AND a.attnum = r.attnum AND a.attname = 'incident_id' LIMIT 1))
)::text";

/// What the catalogue says.
#[derive(Debug, Deserialize)]
struct Found {
    is_standby: bool,
    /// `None` where there is no such table.
    columns: Option<Columns>,
    /// The columns of the table that `rule_id` refers to.
    rules: Option<Columns>,
    /// The columns of the table that `incident_id` refers to.
    incidents: Option<Columns>,
}

pub(super) type Columns = BTreeMap<String, Column>;

/// A column, and what our role may do with it.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) r#type: String,
    pub(super) length: Option<u32>,
    pub(super) must_be_given: bool,
    pub(super) is_unique: bool,
    pub(super) may_insert: bool,
    pub(super) may_select: bool,
    pub(super) may_update: bool,
    pub(super) refers: Option<Refers>,
}

/// A column that another one refers to.
#[derive(Debug, Deserialize)]
pub(super) struct Refers {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) column: String,
    pub(super) may_select: bool,
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
    /// Whether each incident has a row in the table that `incident_id` refers to, where there is one and our role may.
    pub makes_incidents: bool,
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
    /// Makes the rows of incidents, where the table has some beside.
    incidents: Option<String>,
    /// Makes the rows.
    insert: String,
    /// Waits until nobody else changes what belongs together.
    lock: String,
    /// Acknowledges rows and takes that back, and closes the rows of incidents; `None` where we may not.
    change: Option<String>,
    /// The same without the rows of incidents.
    change_alone: Option<String>,
    /// Acknowledges new rows that belong to an incident which is; `None` where nothing says what they belong to.
    inherit: Option<String>,
    /// What it means that it was done, in words.
    pub receipt: String,
    /// The question which of some rows are acknowledged, by whom and when, and whether others of the same incident are not:
    /// its one parameter is a JSON list of our ids, as text. `None` where we may not know.
    pub acknowledged: Option<String>,
    /// Whether all of our own columns are there.
    is_complete: bool,
    /// Whether whole incidents have a column.
    takes_body: bool,
}

/// Which rows are made and changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresRows {
    /// All that the tables have.
    All,
    /// Those of alerts alone, where the table of incidents has refused its own: the alert is what must be kept.
    Alerts,
}

/// A statement and its one parameter: a JSON list of parts, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresStatement<'a> {
    /// The statement.
    pub text: &'a str,
    /// The parameter.
    pub list: String,
}

impl PostgresLayout {
    /// What carries these parts, for one transaction and in this order: each statement must see what those before it did,
    /// and what others have committed meanwhile.
    #[must_use]
    pub fn statements(&self, parts: &[Vec<u8>], rows: PostgresRows) -> Vec<PostgresStatement<'_>> {
        let bare = |keep: fn(&[u8]) -> bool| list(parts.iter().filter(|part| keep(part)), false);
        let all = list(parts.iter().filter(|part| part::adds(part)), self.takes_body);
        let (adds, changes) = (parts.iter().any(|part| part::adds(part)), parts.iter().any(|part| !part::adds(part)));
        let inherits = parts.iter().any(|part| part::belongs_to_another(part));
        let (incidents, change) = match rows {
            PostgresRows::All => (&self.incidents, &self.change),
            PostgresRows::Alerts => (&None, &self.change_alone),
        };
        let change = change.as_deref().filter(|_| changes);
        let inherit = self.inherit.as_deref().filter(|_| inherits);
        let mut statements = Vec::new();
        let mut add = |text, list| statements.push(PostgresStatement { text, list });
        if adds {
            if let Some(incidents) = incidents {
                add(incidents.as_str(), bare(part::adds));
            }
            add(self.insert.as_str(), all);
        }
        if change.is_some() || inherit.is_some() {
            add(self.lock.as_str(), list([].iter(), false));
        }
        if let Some(change) = change {
            add(change, bare(|part| !part::adds(part)));
        }
        if let Some(inherit) = inherit {
            add(inherit, bare(part::belongs_to_another));
        }
        statements
    }

    /// Whether there is less to do where only the rows of alerts count.
    #[must_use]
    pub fn has_incidents(&self) -> bool {
        self.incidents.is_some() || self.change != self.change_alone
    }
}

/// The parameter. What the table has no column for does not travel.
fn list<'a>(parts: impl Iterator<Item = &'a Vec<u8>>, takes_body: bool) -> String {
    let mut list = vec![b'['];
    for part in parts {
        if list.len() > 1 {
            list.push(b',');
        }
        // The last member; within a text its quotes would have backslashes before them.
        let body = || part.windows(BODY_BEGINS.len()).position(|bytes| bytes == BODY_BEGINS);
        match (!takes_body).then(body).flatten() {
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
        let incidents = found.incidents.filter(|_| self.makes_incidents);
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
        let is_complete = columns.contains_key(BODY) && columns.contains_key(FIRST) && key.is_some();
        let knows_first = fits(FIRST, &["uuid"]) && may_select(FIRST);
        let (columns, rules, incidents) = (&columns, rules.as_ref(), incidents.as_ref());
        let statement = Statement { table: self, columns, rules, incidents, key, can_close, can_look, knows_first };
        Ok(PostgresLayout {
            incidents: statement.incidents(),
            insert: statement.insert(),
            lock: statement.lock(),
            change: statement.change(PostgresRows::All),
            change_alone: statement.change(PostgresRows::Alerts),
            inherit: statement.inherit(),
            acknowledged: statement.acknowledged(),
            receipt,
            is_complete,
            takes_body,
        })
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

pub(super) const TEXTS: [&str; 3] = ["text", "character varying", "character"];

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
