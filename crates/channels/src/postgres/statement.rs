//! The statements for an `alert_history` and the tables beside it: every name is quoted, every value is in one parameter.
//! Knows what the catalogue says, and no connection.

use super::layout::{Column, Columns, PostgresRows, PostgresTable, TEXTS};

/// Our own column for whole incidents.
pub(super) const BODY: &str = "balefire";
/// Our own column for the incident that a row's one repeats.
pub(super) const FIRST: &str = "balefire_first";

/// The columns that we fill where they are there and of the right type, and with what.
pub(super) const FILLED: [(&str, &str); 9] = [
    ("rule_id", "part.rule_id"),
    ("severity", "part.severity"),
    ("title", "part.title"),
    ("description", "part.description"),
    ("created_at", "part.created_at"),
    ("acknowledged", "FALSE"),
    ("event_ids", "part.event_ids"),
    (BODY, "part.body"),
    (FIRST, "part.first"),
];

/// The columns of the acknowledgement.
pub(super) const ACKNOWLEDGES: [&str; 3] = ["acknowledged", "acknowledged_by", "acknowledged_at"];

/// Who has acknowledged a row, as both sides write and compare it; `kept` is the row.
const ACKED_BY: &str = "left(coalesce(nullif(kept.acknowledged_by, ''), 'somebody'), 200)";

/// What a part (`part.rs`) holds.
const PARTS: &str = "part AS (
    SELECT * FROM json_to_recordset($1::text::json) AS part(
        id uuid, does text, first uuid, closes boolean, acked_by text, acked_at timestamptz, rule_id text, severity text,
        title text, description text, created_at timestamptz, nist_controls text[], cui_involved boolean,
        reportable boolean, event_ids uuid[], link_uuid uuid, link_number integer, body json)
)";

/// The first half of the key of our locks: the bytes of `bale`, as a number. The other half is the table's.
const LOCK: i32 = i32::from_be_bytes(*b"bale");

/// What is known where a statement is made.
pub(super) struct Statement<'a> {
    pub(super) table: &'a PostgresTable,
    pub(super) columns: &'a Columns,
    /// The columns of the table of rules.
    pub(super) rules: Option<&'a Columns>,
    /// The columns of the table of incidents.
    pub(super) incidents: Option<&'a Columns>,
    /// The column that has our ids.
    pub(super) key: Option<&'static str>,
    /// Whether it may set the columns of the acknowledgement.
    pub(super) can_close: bool,
    /// Whether it may read them.
    pub(super) can_look: bool,
    /// Whether it may read what a row's incident repeats.
    pub(super) knows_first: bool,
}

impl Statement<'_> {
    /// The statement that makes rows.
    pub(super) fn insert(&self) -> String {
        let mut before = vec![PARTS.to_owned()];
        before.extend(self.rule_rows());
        let (names, values) = self.row();
        let table = self.name();
        let once = self.key.map(|key| format!("\nON CONFLICT ({key}) DO NOTHING")).unwrap_or_default();
        format!(
            "WITH {}\nINSERT INTO {table} ({})\nSELECT {} FROM part{once}",
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
                "uuid" if name == FIRST && column.may_insert => put(name, value.to_owned()),
                _ if name == FIRST => {}
                // The far side's own clock face, where its times have no zone.
                _ => put(name, bounded(column, value)),
            }
        }
        if let Some(link) = self.link() {
            put("incident_id", link);
        }
        (names, values)
    }

    /// The sender's incident: where the column must lead to a row, only if it does; the row that we have made, else.
    fn link(&self) -> Option<String> {
        let column = self.columns.get("incident_id")?;
        let value = linked_by(column)?;
        let Some(refers) = &column.refers else { return Some(value.to_owned()) };
        if !refers.may_select {
            return None;
        }
        let [schema, table, key] = [&refers.schema, &refers.table, &refers.column].map(|name| quoted(name));
        let row = format!("(SELECT linked.{key} FROM {schema}.{table} AS linked WHERE linked.{key} = {value})");
        let Some(ours) = self.incident_key() else { return Some(row) };
        let own = format!(
            "(SELECT own.{key} FROM {schema}.{table} AS own WHERE own.{} = coalesce(part.first, part.id))",
            quoted(ours)
        );
        Some(format!("coalesce({row}, {own})"))
    }

    /// The rows of rules that are not there yet. A role that may not make them finds them there, or its rows are refused.
    fn rule_rows(&self) -> Option<String> {
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
            "rules AS (\n    INSERT INTO {}.{} ({})\n    SELECT DISTINCT ON (part.rule_id) {} FROM part\n    \
             ORDER BY part.rule_id\n    ON CONFLICT ({}) DO NOTHING\n)",
            quoted(&refers.schema),
            quoted(&refers.table),
            names.join(", "),
            values.join(", "),
            quoted(&refers.column),
        ))
    }

    /// Waits for whoever else changes what belongs together, until the transaction ends: a row that two have under their
    /// hands at once would miss what the other one says. A pooler may stand between: no session has it.
    pub(super) fn lock(&self) -> String {
        // Names of tables have no quote in them (`table` in the settings).
        format!("SELECT pg_advisory_xact_lock({LOCK}, '{}'::regclass::oid::integer) WHERE $1::text <> ''", self.name())
    }

    /// Acknowledges rows and takes that back, with the rows of what repeats them; closes the rows of incidents.
    pub(super) fn change(&self, rows: PostgresRows) -> Option<String> {
        let key = self.key.filter(|_| self.can_close)?;
        let mut all = vec![PARTS.to_owned(), self.hits(key), self.closes(key)];
        all.extend(self.reopens(key));
        all.extend((rows == PostgresRows::All).then(|| self.ends()).flatten());
        Some(format!("WITH {}\nSELECT 1", all.join(",\n")))
    }

    /// The rows that a part is about: its own, and those of its repeats.
    fn hits(&self, key: &str) -> String {
        let repeats = if self.knows_first {
            format!(
                "\n    UNION ALL SELECT part.*, kept.{key} FROM part JOIN {} AS kept ON kept.{FIRST} = part.id",
                self.name()
            )
        } else {
            String::new()
        };
        format!("hit AS (\n    SELECT part.*, part.id AS row FROM part{repeats}\n)")
    }

    /// What a person has acknowledged stays theirs.
    fn closes(&self, key: &str) -> String {
        format!(
            "acked AS (\n    UPDATE {} AS kept SET acknowledged = TRUE, acknowledged_by = {},\n        \
             acknowledged_at = coalesce(hit.acked_at, now())\n    FROM hit WHERE hit.does = 'ack' AND kept.{key} = hit.row \
             AND kept.acknowledged IS NOT TRUE\n)",
            self.name(),
            bounded(&self.columns["acknowledged_by"], "hit.acked_by"),
        )
    }

    /// Only the acknowledgement that we know of: another one, which nobody here has seen yet, stays.
    fn reopens(&self, key: &str) -> Option<String> {
        let known = "left(coalesce(nullif(hit.acked_by, ''), 'somebody'), 200)";
        let known = bounded(&self.columns["acknowledged_by"], known);
        self.can_look.then(|| {
            format!(
                "reopened AS (\n    UPDATE {} AS kept SET acknowledged = FALSE, acknowledged_by = NULL, acknowledged_at = NULL\n    \
                 FROM hit WHERE hit.does = 'unack' AND kept.{key} = hit.row AND kept.acknowledged\n        \
                 AND {ACKED_BY} = {known}\n)",
                self.name(),
            )
        })
    }

    /// New rows of what is acknowledged are.
    pub(super) fn inherit(&self) -> Option<String> {
        let key = self.key.filter(|_| self.can_close && self.can_look && self.knows_first)?;
        let table = self.name();
        Some(format!(
            "WITH {PARTS}\nUPDATE {table} AS kept SET acknowledged = TRUE, acknowledged_by = opened.acknowledged_by,\n    \
             acknowledged_at = opened.acknowledged_at\nFROM part JOIN {table} AS opened ON opened.{key} = part.first\n\
             WHERE kept.{key} = part.id AND opened.acknowledged AND kept.acknowledged IS NOT TRUE"
        ))
    }

    /// By our ids, which the indexes have: what it costs depends on how many are asked about, not on the table.
    pub(super) fn acknowledged(&self) -> Option<String> {
        let key = self.key.filter(|_| self.can_look)?;
        let table = self.name();
        let asked = "ANY (ARRAY(SELECT json_array_elements_text($1::text::json)::uuid))";
        let select = |id: &str| {
            format!(
                "SELECT kept.{id} AS id, {ACKED_BY} AS by, kept.acknowledged_at AS at FROM {table} AS kept\n    \
                 WHERE kept.{id} = {asked} AND kept.acknowledged"
            )
        };
        let other = |id: &str| {
            format!(
                "EXISTS (SELECT FROM {table} AS other WHERE other.{id} = noted.id AND other.acknowledged IS NOT TRUE)"
            )
        };
        let (mut noted, mut others) = (select(key), other(key));
        if self.knows_first {
            noted = format!("{noted}\n    UNION ALL {}", select(FIRST));
            others = format!("({others}\n    OR {})", other(FIRST));
        }
        // Of several who have, the first.
        Some(format!(
            "WITH noted AS (\n    {noted}\n)\nSELECT DISTINCT ON (noted.id) noted.id::text, noted.by, \
             coalesce(noted.at::text, ''), {others}::text\nFROM noted ORDER BY noted.id, noted.at"
        ))
    }

    fn name(&self) -> String {
        format!("{}.{}", quoted(&self.table.schema), quoted(&self.table.name))
    }
}

/// The sender's own incident in a column of this type.
pub(super) fn linked_by(column: &Column) -> Option<&'static str> {
    match column.r#type.as_str() {
        "uuid" => Some("part.link_uuid"),
        "integer" | "bigint" => Some("part.link_number"),
        _ => None,
    }
}

/// A value as its column takes it.
pub(super) fn bounded(column: &Column, value: &str) -> String {
    match column.length {
        Some(length) if TEXTS.contains(&column.r#type.as_str()) => format!("left({value}, {length})"),
        _ => value.to_owned(),
    }
}

/// A name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The beginning of each statement: its parts.
pub(super) fn with_parts(rest: &str) -> String {
    format!("WITH {PARTS}{rest}")
}
