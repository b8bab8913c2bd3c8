//! `${NAME}` and `${NAME:-default}` in values become what the environment says. Works on scalars after parsing, so that
//! a value cannot inject structure. Keys are never substituted. Knows no setting; the environment is a function.

use super::Environment;
use balefire_model::settings::{Node, Place, Problem, Value};
use balefire_model::text;

/// How much text the environment may add to one configuration, so that a short file cannot become a huge one.
const ADDED_BYTES_MAX: usize = 8 << 20;

/// How deep references may stand in each other's defaults: no more than a person can read.
const NESTED_MAX: i32 = 8;

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
        let mut faults = Vec::new();
        let result = replaced(text, env, &mut faults);
        if faults.is_empty() && self.added_bytes + result.len() > ADDED_BYTES_MAX {
            faults.push(Fault::TooMuch);
        }
        self.added_bytes += result.len();
        let is_whole = faults.is_empty();
        for fault in faults {
            let (what, allowed, hint) = fault.told();
            self.problems.push(Problem { place: place.clone(), path: path.to_owned(), what, allowed, hint });
        }
        is_whole.then_some(result)
    }
}

/// Whether all references in the text can be read; `$${` counts as none.
pub(crate) fn is_understood(text: &str) -> bool {
    let mut faults = Vec::new();
    replaced(text, &|_| Some(String::new()), &mut faults);
    faults.is_empty() && !text.contains("$${")
}

/// The text with every reference replaced; none where one cannot be.
pub(crate) fn expanded(text: &str, env: &Environment<'_>) -> Option<String> {
    let mut faults = Vec::new();
    let result = replaced(text, env, &mut faults);
    faults.is_empty().then_some(result)
}

/// What is wrong with a reference.
enum Fault<'t> {
    Malformed(&'t str),
    Missing(&'t str),
    TooMuch,
}

impl Fault<'_> {
    /// What is wrong, what is allowed, and a hint.
    fn told(&self) -> (String, Option<String>, Option<String>) {
        match self {
            Fault::Malformed(found) => (format!("found {:?}", text::cut(found, 40)), Some(ALLOWED.to_owned()), None),
            Fault::Missing(name) => {
                let hint = format!("set {name}, or give a default: ${{{name}:-...}}");
                (format!("the environment variable {name} is not set"), None, Some(hint))
            }
            Fault::TooMuch => {
                let allowed = format!("{ADDED_BYTES_MAX} bytes in all");
                ("the environment adds too much text".to_owned(), Some(allowed), None)
            }
        }
    }
}

/// The text with its references replaced, as far as that goes. A default may hold references of its own.
fn replaced<'t>(text: &'t str, env: &Environment<'_>, faults: &mut Vec<Fault<'t>>) -> String {
    let (mut result, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("${") {
        if result.len() > ADDED_BYTES_MAX {
            faults.push(Fault::TooMuch);
            return result;
        }
        if let Some(before) = rest[..start].strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        result.push_str(&rest[..start]);
        let Some(reference) = Reference::read(&rest[start..]) else {
            faults.push(Fault::Malformed(&rest[start..]));
            return result;
        };
        rest = &rest[start + reference.length..];
        // As in the shell, an empty variable takes the default where there is one.
        match (env(reference.name), reference.default) {
            (Some(value), None) => result.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => result.push_str(&value),
            (_, Some(default)) => result.push_str(&replaced(default, env, faults)),
            (None, None) => faults.push(Fault::Missing(reference.name)),
        }
    }
    result.push_str(rest);
    result
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
        let end = closing_brace(text)?;
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
}

/// Where the reference ends with which the text begins; none where it does not end, or holds too many others.
fn closing_brace(text: &str) -> Option<usize> {
    let (mut depth, mut before) = (0, [b' '; 2]);
    for (at, byte) in text.bytes().enumerate() {
        match (before, byte) {
            ([b'$', b'$'], b'{') => {}
            ([_, b'$'], b'{') => depth += 1,
            (_, b'}') => depth -= 1,
            _ => {}
        }
        match depth {
            0 if byte == b'}' => return Some(at),
            NESTED_MAX => return None,
            _ => before = [before[1], byte],
        }
    }
    None
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
    fn a_default_may_hold_references_of_its_own() {
        assert_eq!(check("${NONE:-${HOST}}"), Ok(("mail: {x: 1}".into(), false)));
        assert_eq!(check("a${EMPTY:-b${NONE:-c}}d}"), Ok(("abcd}".into(), true)));
        assert_eq!(check("${HOST:-${NONE}}"), Ok(("mail: {x: 1}".into(), false)));
        assert_eq!(check("${NONE:-$${x}"), Ok(("${x".into(), false)));
        assert!(check("${EMPTY:-${NONE}}").unwrap_err().contains("NONE is not set"));
        assert!(check("${EMPTY:-${NONE}").unwrap_err().contains("found \"${EMPTY"));
        assert!(check(&"${EMPTY:-".repeat(100_000)).unwrap_err().contains("allowed"));
        assert!(check(&("${EMPTY:-".repeat(8) + &"}".repeat(8))).unwrap_err().contains("allowed"));
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
