//! The list `findings`: what the records of a cloud audit weigh here, in place of what their format says. Knows conditions
//! and incidents; not where records come from, nor who hears of them.

use super::named::report_repeated;
use super::routes::read_matchers;
use balefire_engine::matcher::Matcher;
use balefire_intake::Kind;
use balefire_intake::normalise::assign;
use balefire_model::settings::Reader;
use balefire_model::text::cut;
use balefire_model::{Incident, Severity};

/// How long a title may become; what is put into it may be long.
const TITLE_BYTES_MAX: usize = 64 * 1024;

/// One entry of the list.
#[derive(Clone, Debug)]
pub(crate) struct FindingRule {
    /// Its name, as notes show it.
    name: String,
    /// What must hold of the record.
    matchers: Vec<Matcher>,
    severity: Option<Severity>,
    title: Option<String>,
    nist_controls: Option<Vec<String>>,
    cui_involved: Option<bool>,
}

/// Reads the list.
pub(crate) fn read_finding_rules(reader: &Reader<'_>) -> Vec<FindingRule> {
    let doc = "What records of cloud audits weigh, in place of the built-in table (docs/migrating/cloudmarker.md): asked \
               in order, the first that matches counts. The begin and the end of an audit stay info.";
    let rules = reader.sections("findings", doc, read_rule).optional().unwrap_or_default();
    report_repeated(reader, "findings", "finding");
    rules
}

fn read_rule(reader: &Reader<'_>) -> FindingRule {
    let form = "a text of 1 to 64 characters";
    let name = reader.parsed("name", "Its name, as notes of incidents show it.", form, |text| {
        let clean = !text.chars().any(balefire_model::text::is_unsafe);
        ((1..=64).contains(&text.chars().count()) && clean).then(|| text.to_owned())
    });
    let name = name.required(String::new());
    let doc = "Conditions that must all hold, such as `record_type = firewall_rule_event` or `com.exposed_ports = 22`.";
    if reader.texts("match", doc).optional().is_none_or(|conditions| conditions.is_empty()) {
        reader.reject("match", "found no condition", "at least one, such as `record_type = firewall_rule_event`");
    }
    let matchers = read_matchers(reader);
    let severity = reader.parsed("severity", "How bad it is.", Severity::ALLOWED, Severity::parse).optional();
    let doc = "Its title; `{NAME}` stands for the label of that name, such as `{reference}`.";
    let title = reader
        .parsed("title", doc, "a text that is not blank", |text| (!text.trim().is_empty()).then(|| text.to_owned()));
    let title = title.optional();
    let nist_controls = reader.texts("nist_controls", "The controls of NIST SP 800-171 that it is about.").optional();
    let doc = "Whether controlled unclassified information is involved.";
    let cui_involved = reader.bool("cui_involved", doc).optional();
    FindingRule { name, matchers, severity, title, nist_controls, cui_involved }
}

/// Gives a record what the first rule that matches it says.
pub(crate) fn weigh(rules: &[FindingRule], kind: Kind, incident: &mut Incident) {
    if !matches!(kind, Kind::Finding | Kind::CloudRecord) {
        return;
    }
    let Some(rule) = rules.iter().find(|rule| rule.matchers.iter().all(|matcher| matcher.holds(incident))) else {
        return;
    };
    if let Some(severity) = rule.severity {
        assign(incident, severity);
    }
    if let Some(title) = &rule.title {
        // Labels are hostile and may be blank; a title never is.
        let filled = filled(title, incident);
        incident.title = if filled.trim().is_empty() { rule.name.clone() } else { filled };
    }
    if let Some(controls) = &rule.nist_controls {
        incident.nist_controls.clone_from(controls);
    }
    incident.cui_involved |= rule.cui_involved.unwrap_or_default();
    incident.notes.push(format!("weighed by the finding {:?} of the configuration", rule.name));
}

/// The title with labels in place of their names; a label that is missing is nothing. What a label says is not looked
/// into again.
fn filled(title: &str, incident: &Incident) -> String {
    let mut text = String::with_capacity(title.len());
    let mut rest = title;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if is_label(name) => {
                text.push_str(incident.labels.get(name).map_or("", String::as_str));
                rest = after;
            }
            _ => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    cut(&text, TITLE_BYTES_MAX).into_owned()
}

fn is_label(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::settings::{Node, Session};

    fn rules(yaml: &str) -> Vec<FindingRule> {
        let node = super::super::yaml::parse(yaml, &"b.yaml".into()).node.unwrap();
        read(&node)
    }

    fn read(node: &Node) -> Vec<FindingRule> {
        let load = |_: &str| Ok(String::new());
        let session = Session::new(&load);
        let reader = Reader::new(&session, node, "");
        let rules = read_finding_rules(&reader);
        reader.finish();
        assert_eq!(session.problems(), []);
        rules
    }

    fn record() -> Incident {
        let mut incident = crate::sample::test_incident(crate::ids::incident(), crate::clock::now(), "c", "us");
        incident.labels = [("record_type", "firewall_rule_event"), ("reference", "{record_type} rule-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        incident
    }

    const RULES: &str = "findings:\n- {name: doors, match: [record_type = firewall_rule_event], severity: critical, \
                         title: 'Open {x: {reference}{missing}', nist_controls: [3.1.1], cui_involved: true}\n\
                         - {name: all, match: [record_type =~ .*], severity: low}\n";

    #[test]
    fn the_first_rule_that_matches_says_what_a_record_weighs() {
        let mut incident = record();
        weigh(&rules(RULES), Kind::Finding, &mut incident);
        assert_eq!((incident.severity, incident.title.as_str()), (Severity::Critical, "Open {x: {record_type} rule-1"));
        assert_eq!((incident.nist_controls.as_slice(), incident.cui_involved), (["3.1.1".to_owned()].as_slice(), true));
        assert_eq!(incident.notes, ["weighed by the finding \"doors\" of the configuration"]);
    }

    #[test]
    fn marks_and_incidents_of_others_weigh_what_they_did() {
        for kind in [Kind::Mark, Kind::Incident] {
            let mut incident = record();
            weigh(&rules(RULES), kind, &mut incident);
            assert_eq!((incident.severity, incident.notes.len()), (Severity::Info, 0), "{kind:?}");
        }
    }

    #[test]
    fn a_title_of_nothing_but_missing_labels_is_the_rules_name() {
        let mut incident = record();
        weigh(
            &rules("findings: [{name: n, match: record_type != none, title: '{missing}'}]"),
            Kind::Finding,
            &mut incident,
        );
        assert_eq!(incident.title, "n");
    }
}
