//! `${NAME}` and `${NAME:-default}` in values become what the environment says. Works on scalars after parsing, so that
//! a value cannot inject structure. Keys are never substituted. Knows no setting; the environment is a function.

use super::Environment;
use balefire_model::settings::{Node, Place, Problem, Value};
use balefire_model::text;

/// How much text the environment may add to one configuration, so that a short file cannot become a huge one.
const ADDED_BYTES_MAX: usize = 8 << 20;

const ALLOWED: &str = "${NAME}, ${NAME:-default}, and $${ for the characters ${ themselves";

/// A scalar that was changed. Kept so that messages show what the file says instead of what the environment holds:
/// it may be a secret.
pub(crate) struct Substitution {
    place: Place,
    raw: String,
    text: String,
}

/// What substitution came to.
#[derive(Default)]
pub(crate) struct Substituted {
    /// What was changed.
    pub(crate) substitutions: Vec<Substitution>,
    /// What could not be, and is still in the tree as it was written.
    pub(crate) problems: Vec<Problem>,
    added_bytes: usize,
}

impl Substituted {
    /// Substitutes in a tree, in place.
    pub(crate) fn apply(&mut self, node: &mut Node, path: &str, env: &Environment<'_>) {
        match &mut node.value {
            Value::Null => {}
            Value::Scalar { text, quoted } => {
                if let Some(changed) = self.expand(text, &node.place, path, env) {
                    // A number in quotes is text, but inside { } and [ ] a substitution cannot be written without
                    // quotes; what is nothing but a substitution is therefore taken as if it had none.
                    *quoted = *quoted && !is_one_reference(text);
                    let raw = std::mem::replace(text, changed.clone());
                    self.substitutions.push(Substitution { place: node.place.clone(), raw, text: changed });
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.apply(item, &format!("{path}[{index}]"), env);
                }
            }
            Value::Map(entries) => {
                for (key, item) in entries {
                    let name = &key.name;
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.apply(item, &inner, env);
                }
            }
        }
    }

    /// The text with every reference replaced; none where there is nothing to replace, or where that failed.
    fn expand(&mut self, text: &str, place: &Place, path: &str, env: &Environment<'_>) -> Option<String> {
        if !text.contains("${") {
            return None;
        }
        let mut report = |what: String, allowed: Option<&str>, hint: Option<String>| {
            let allowed = allowed.map(str::to_owned);
            self.problems.push(Problem { place: place.clone(), path: path.to_owned(), what, allowed, hint });
        };
        let (mut result, mut rest, mut failed) = (String::new(), text, false);
        while let Some(start) = rest.find("${") {
            if let Some(before) = rest[..start].strip_suffix('$') {
                result.push_str(before);
                result.push_str("${");
                rest = &rest[start + 2..];
                continue;
            }
            result.push_str(&rest[..start]);
            let Some(reference) = Reference::read(&rest[start..]) else {
                report(format!("found {:?}", text::cut(&rest[start..], 40)), Some(ALLOWED), None);
                return None;
            };
            rest = &rest[start + reference.length..];
            match reference.value(env) {
                Some(value) => result.push_str(&value),
                None => {
                    let name = reference.name;
                    let hint = format!("set {name}, or give a default: ${{{name}:-...}}");
                    report(format!("the environment variable {name} is not set"), None, Some(hint));
                    failed = true;
                }
            }
            if self.added_bytes + result.len() > ADDED_BYTES_MAX {
                report(
                    "the environment adds too much text".to_owned(),
                    Some(&format!("{ADDED_BYTES_MAX} bytes in all")),
                    None,
                );
                return None;
            }
        }
        result.push_str(rest);
        self.added_bytes += result.len();
        (!failed).then_some(result)
    }
}

/// Takes what the environment held out of a message, and shows what the file says instead.
pub(crate) fn hide_values(problem: &mut Problem, substitutions: &[Substitution]) {
    for substitution in substitutions.iter().filter(|substitution| substitution.place == problem.place) {
        let Substitution { raw, text, .. } = substitution;
        let shown = format!("the value of {raw}");
        let quoted = format!("{:?}", text::cut(text, 80));
        for message in [Some(&mut problem.what), problem.allowed.as_mut(), problem.hint.as_mut()].into_iter().flatten()
        {
            // A very short text would be found inside innocent words, and gives nothing away.
            let part = |part: &str| if text.len() < 4 { part.to_owned() } else { part.replace(text.as_str(), raw) };
            *message = message.split(quoted.as_str()).map(part).collect::<Vec<_>>().join(&shown);
        }
    }
}

struct Reference<'t> {
    name: &'t str,
    default: Option<&'t str>,
    /// In bytes, from the dollar sign to the closing brace.
    length: usize,
}

impl<'t> Reference<'t> {
    /// Reads a text that begins with `${`.
    fn read(text: &'t str) -> Option<Reference<'t>> {
        let end = text.find('}')?;
        let inner = &text[2..end];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then_some(Reference { name, default, length: end + 1 })
    }

    /// As in the shell, an empty variable takes the default where there is one.
    fn value(&self, env: &Environment<'_>) -> Option<String> {
        match (env(self.name), self.default) {
            (Some(value), None) => Some(value),
            (Some(value), Some(_)) if !value.is_empty() => Some(value),
            (_, default) => default.map(str::to_owned),
        }
    }
}

fn is_one_reference(text: &str) -> bool {
    text.starts_with("${") && Reference::read(text).is_some_and(|reference| reference.length == text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(String, bool), String> {
        let place = Place { file: "b.yaml".into(), line: 1, column: 1 };
        let mut node = Node { place, value: Value::Scalar { text: text.into(), quoted: true } };
        let env = |name: &str| match name {
            "HOST" => Some("mail: {x: 1}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut substituted = Substituted::default();
        substituted.apply(&mut node, "a.b", &env);
        match (substituted.problems.first(), node.value) {
            (Some(problem), _) => Err(problem.to_string()),
            (None, Value::Scalar { text, quoted }) => Ok((text, quoted)),
            (None, other) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_value_stays_one_scalar_whatever_it_holds() {
        assert_eq!(check("smtp.${HOST}!"), Ok(("smtp.mail: {x: 1}!".into(), true)));
        assert_eq!(check("${HOST}"), Ok(("mail: {x: 1}".into(), false)));
    }

    #[test]
    fn a_default_stands_in_for_what_is_missing_or_empty() {
        assert_eq!(check("${NONE:-25}"), Ok(("25".into(), false)));
        assert_eq!(check("${EMPTY:-a:-b}"), Ok(("a:-b".into(), false)));
        assert_eq!(check("x${EMPTY}y"), Ok(("xy".into(), true)));
    }

    #[test]
    fn two_dollars_stand_for_one_and_other_dollars_for_themselves() {
        assert_eq!(check("$${HOST} costs $5 $$"), Ok(("${HOST} costs $5 $$".into(), true)));
    }

    #[test]
    fn what_is_missing_or_malformed_is_told() {
        assert_eq!(
            check("${NONE}").unwrap_err(),
            "b.yaml:1:1: a.b: the environment variable NONE is not set\n    hint: set NONE, or give a default: ${NONE:-...}"
        );
        for text in ["${", "${}", "${a b}", "${1x}", "${HOST", "${HOST-x}"] {
            assert!(check(text).unwrap_err().contains("allowed: ${NAME}, ${NAME:-default}"), "{text}");
        }
    }

    #[test]
    fn messages_show_the_file_and_not_the_environment() {
        let place = Place { file: "b.yaml".into(), line: 1, column: 1 };
        let substitution =
            Substitution { place: place.clone(), raw: "${TOKEN}".into(), text: "hunter2 \"quoted\"".into() };
        let mut problem = Problem {
            place,
            path: "port".into(),
            what: format!("found {:?}", "hunter2 \"quoted\""),
            allowed: Some("a number, not hunter2 \"quoted\"".into()),
            hint: None,
        };
        hide_values(&mut problem, &[substitution]);
        assert_eq!(
            problem.to_string(),
            "b.yaml:1:1: port: found the value of ${TOKEN}; allowed: a number, not ${TOKEN}"
        );
    }
}
