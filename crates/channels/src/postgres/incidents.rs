//! The rows of incidents beside `alert_history` (`security_incidents`): one for each incident that is not the repeat of
//! another one, made with it, worse when it gets worse, and closed when it is over. What a person has taken in hand stays
//! theirs.

use super::layout::{Column, Columns};
use super::statement::{Statement, bounded, linked_by, quoted, with_parts};

/// Our own column for our ids, where rows are counted.
const OWN: &str = "balefire_id";

/// The severities that such a table takes, in their order; what is less is no incident there.
const SEVERITIES: &str = "ARRAY['low', 'medium', 'high', 'critical']";

/// In these nobody has taken it in hand: the first of the plan and of the released tables.
const UNTOUCHED: &str = "coalesce(kept.status, 'open') IN ('detected', 'open')";

/// What is filled beside the key and the severity, with which type, and with what.
const FILLED: [(&str, &[&str], &str); 9] = [
    ("title", TEXT, "part.title"),
    ("description", TEXT, "part.description"),
    ("detected_by", TEXT, "part.rule_id"),
    ("correlation_rule", TEXT, "part.rule_id"),
    ("detected_at", TIME, "part.created_at"),
    ("created_at", TIME, "part.created_at"),
    ("nist_controls", &["text[]"], "part.nist_controls"),
    ("cui_involved", &["boolean"], "bool_or(part.cui_involved) OVER of_it"),
    ("dfars_reportable", &["boolean"], "bool_or(part.reportable) OVER of_it"),
];
const TEXT: &[&str] = &["text", "character varying"];
const TIME: &[&str] = &["timestamp with time zone", "timestamp without time zone"];
const NEEDED: [&str; 2] = ["title", "severity"];

impl Statement<'_> {
    /// The column of the table of incidents that has our ids; `None` where no rows are made.
    pub(super) fn incident_key(&self) -> Option<&str> {
        let (columns, refers) = (self.incidents?, self.columns.get("incident_id")?.refers.as_ref()?);
        linked_by(columns.get(&refers.column).filter(|key| key.may_insert)?)?;
        let ours = if columns[&refers.column].r#type == "uuid" { refers.column.as_str() } else { OWN };
        let is_key =
            |column: &&Column| column.r#type == "uuid" && column.is_unique && column.may_select && column.may_insert;
        columns.get(ours).filter(is_key)?;
        let is_text = |name: &str| columns.get(name).is_some_and(|column| TEXT.contains(&column.r#type.as_str()));
        let is_known = |name: &str| {
            name == ours
                || name == refers.column
                || name == "severity"
                || FILLED.iter().any(|(filled, ..)| *filled == name)
        };
        let all_may = columns.iter().filter(|(name, _)| is_filled(columns, name)).all(|(_, column)| column.may_insert);
        let none_is_missing = columns.iter().all(|(name, column)| !column.must_be_given || is_known(name));
        (NEEDED.into_iter().all(is_text) && all_may && none_is_missing && refers.may_select).then_some(ours)
    }

    /// The statement that makes them, before the rows that lead to them.
    pub(super) fn incidents(&self) -> Option<String> {
        let (columns, ours) = (self.incidents?, self.incident_key()?);
        let column = self.columns.get("incident_id")?;
        let (refers, link) = (column.refers.as_ref()?, linked_by(column)?);
        let table = format!("{}.{}", quoted(&refers.schema), quoted(&refers.table));
        let severity = format!("({SEVERITIES})[max(array_position({SEVERITIES}, part.severity)) OVER of_it]");
        let mut names = vec![quoted(ours), "severity".to_owned()];
        let mut values = vec!["coalesce(part.first, part.id) AS incident".to_owned(), severity];
        for (name, _, value) in FILLED.iter().filter(|(name, ..)| is_filled(columns, name)) {
            names.push(quoted(name));
            values.push(bounded(&columns[*name], value));
        }
        let linked = format!("SELECT FROM {table} AS linked WHERE linked.{} = {link}", quoted(&refers.column));
        let again = self.goes_on(columns).unwrap_or_else(|| "NOTHING".to_owned());
        // In one order, so that two writers do not wait for each other.
        Some(with_parts(&format!(
            "\nINSERT INTO {table} AS kept ({})\nSELECT DISTINCT ON (incident) {} FROM part\n\
             WHERE part.severity = ANY ({SEVERITIES}) AND NOT EXISTS ({linked})\n\
             WINDOW of_it AS (PARTITION BY coalesce(part.first, part.id))\nORDER BY incident, part.created_at\n\
             ON CONFLICT ({}) DO {again}",
            names.join(", "),
            values.join(", "),
            quoted(ours),
        )))
    }

    /// It came again: what is worse is noted.
    fn goes_on(&self, columns: &Columns) -> Option<String> {
        let changed = ["severity", "cui_involved", "dfars_reportable", "updated_at"];
        let there: Vec<&str> = changed.into_iter().filter(|name| columns.contains_key(*name)).collect();
        if !there.iter().all(|name| may_change(columns, name)) || !may_read_status(columns) {
            return None;
        }
        let rank = |of: &str| format!("coalesce(array_position({SEVERITIES}, {of}.severity::text), 0)");
        let is_worse = format!("({} < {} AND {})", rank("kept"), rank("excluded"), untouched(columns));
        let mut news = vec![is_worse.clone()];
        let mut sets = vec![format!("severity = CASE WHEN {is_worse} THEN excluded.severity ELSE kept.severity END")];
        for name in ["cui_involved", "dfars_reportable"].into_iter().filter(|name| is_filled(columns, name)) {
            news.push(format!("(excluded.{name} AND kept.{name} IS NOT TRUE)"));
            sets.push(format!("{name} = coalesce(kept.{name}, FALSE) OR excluded.{name}"));
        }
        if there.contains(&"updated_at") {
            sets.push("updated_at = now()".to_owned());
        }
        Some(format!("UPDATE SET {}\nWHERE {}", sets.join(", "), news.join(" OR ")))
    }

    /// It is over.
    pub(super) fn ends(&self) -> Option<String> {
        let (columns, ours) = (self.incidents?, self.incident_key()?);
        let refers = self.columns.get("incident_id")?.refers.as_ref()?;
        let mut sets = vec!["status = 'closed'"];
        for (name, set) in
            [("closed_at", "closed_at = coalesce(part.acked_at, now())"), ("updated_at", "updated_at = now()")]
        {
            sets.extend(columns.contains_key(name).then_some(set));
            if columns.contains_key(name) && !columns[name].may_update {
                return None;
            }
        }
        let is_text = |column: &&Column| TEXT.contains(&column.r#type.as_str());
        columns.get("status").filter(is_text).filter(|status| status.may_update && status.may_select)?;
        Some(format!(
            "ended AS (\n    UPDATE {}.{} AS kept SET {}\n    FROM part WHERE part.closes AND kept.{} = part.id AND {UNTOUCHED}\n)",
            quoted(&refers.schema),
            quoted(&refers.table),
            sets.join(", "),
            quoted(ours),
        ))
    }
}

fn is_filled(columns: &Columns, name: &str) -> bool {
    let types = FILLED.iter().find(|(filled, ..)| *filled == name).map(|(_, types, _)| *types);
    let is_of = |types: &[&str]| columns.get(name).is_some_and(|column| types.contains(&column.r#type.as_str()));
    if name == "severity" { is_of(TEXT) } else { types.is_some_and(is_of) }
}

fn may_change(columns: &Columns, name: &str) -> bool {
    columns.get(name).is_some_and(|column| column.may_update && column.may_select)
}

fn may_read_status(columns: &Columns) -> bool {
    columns.get("status").is_none_or(|status| status.may_select)
}

fn untouched(columns: &Columns) -> &'static str {
    if columns.contains_key("status") { UNTOUCHED } else { "TRUE" }
}
