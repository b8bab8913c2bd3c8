//! The reader: asks a mapping for its settings one by one, records each problem and each description, and goes on.

use super::describe::{FieldDoc, Shape};
use super::node::{Key, Node, Place, Value};
use super::problem::{Problem, suggest};
use super::units::{parse_bytes, parse_duration};
use crate::text::Secret;
use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;

/// Loads the content of a secret's file; the error says why not.
type Loader<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// What one reading of a configuration collects.
pub struct Session<'a> {
    problems: RefCell<Vec<Problem>>,
    load: &'a Loader<'a>,
}

impl<'a> Session<'a> {
    /// Begins a reading. `load` is called with the path of each `{file: PATH}`.
    pub fn new(load: &'a Loader<'a>) -> Session<'a> {
        Session { problems: RefCell::default(), load }
    }

    /// Records a problem that was found outside a reader.
    pub fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// All problems so far, in the order of the file's lines.
    #[must_use]
    pub fn problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        problems
    }
}

/// Reads one mapping. Ask for every setting, then call [`Reader::finish`].
pub struct Reader<'a> {
    session: &'a Session<'a>,
    entries: &'a [(Key, Node)],
    place: Place,
    path: String,
    fields: RefCell<Vec<FieldDoc>>,
    /// Nothing is there to be read: only describe, and miss nothing.
    describing: bool,
}

/// A setting that was asked for; say what happens when it is missing.
#[must_use = "say whether it is required, optional, or what its default is"]
pub struct Field<'r, 'a, T> {
    reader: &'r Reader<'a>,
    doc: FieldDoc,
    /// `None` where it is missing; `Some(None)` where it is there and wrong, which has been reported.
    value: Option<Option<T>>,
}

impl<'a> Reader<'a> {
    /// A reader over a mapping; anything else is reported, nothing at all is an empty mapping.
    pub fn new(session: &'a Session<'a>, node: &'a Node, path: &str) -> Reader<'a> {
        let entries: &[(Key, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                session.report(Problem {
                    place: node.place.clone(),
                    path: path.to_owned(),
                    what: format!("found {}", node.found()),
                    allowed: Some("a mapping (`key: value` lines or `{key: value}`)".to_owned()),
                    hint: None,
                });
                return Reader { describing: true, ..Reader::over(session, &[], node.place.clone(), path) };
            }
        };
        Reader::over(session, entries, node.place.clone(), path)
    }

    /// A reader over nothing, to learn what could be set.
    pub fn describing(session: &'a Session<'a>) -> Reader<'a> {
        Reader { describing: true, ..Reader::over(session, &[], Place::default(), "") }
    }

    fn over(session: &'a Session<'a>, entries: &'a [(Key, Node)], place: Place, path: &str) -> Reader<'a> {
        Reader { session, entries, place, path: path.to_owned(), fields: RefCell::default(), describing: false }
    }

    /// The setting's path below this mapping.
    #[must_use]
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where the mapping stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether this run only describes: then values are placeholders and checks between settings make no sense.
    #[must_use]
    pub fn is_describing(&self) -> bool {
        self.describing
    }

    /// The node of a key, if it is there.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// All keys with their nodes, for a mapping with names of the user's own.
    #[must_use]
    pub fn entries(&self) -> &'a [(Key, Node)] {
        self.entries
    }

    /// The session, to read or report further down.
    #[must_use]
    pub fn session(&self) -> &'a Session<'a> {
        self.session
    }

    /// Reports that a setting's value, though well formed, cannot be used.
    pub fn reject(&self, name: &str, what: impl Into<String>, allowed: impl Into<String>) {
        if self.describing {
            return;
        }
        let place = self.node(name).map_or_else(|| self.place.clone(), |node| node.place.clone());
        self.session.report(Problem {
            place,
            path: self.path_of(name),
            what: what.into(),
            allowed: Some(allowed.into()).filter(|allowed: &String| !allowed.is_empty()),
            hint: None,
        });
    }

    /// A setting of any form. `parse` says what is allowed when it refuses.
    pub fn field<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        shape: Shape,
        parse: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Field<'_, 'a, T> {
        let value = self.node(name).filter(|node| node.value != Value::Null).map(|node| {
            parse(node).map_err(|allowed| self.reject(name, format!("found {}", node.found()), allowed)).ok()
        });
        Field { reader: self, doc: FieldDoc { name, doc, shape, required: false, default: None }, value }
    }

    /// Text.
    pub fn text(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, String> {
        self.field(name, doc, Shape::Text("text"), |node| scalar(node, "text"))
    }

    /// Text of a certain form; `form` says which, and `parse` decides.
    pub fn parsed<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        form: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Field<'_, 'a, T> {
        self.field(name, doc, Shape::Text(form), |node| parse(&scalar(node, form)?).ok_or_else(|| form.to_owned()))
    }

    /// A secret: text, or `{file: PATH}` whose content without the last line break is the secret.
    pub fn secret(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, Secret> {
        let load = self.session.load;
        self.field(name, doc, Shape::Secret, |node| secret(node, load))
    }

    /// Names of one's own, each with a secret.
    pub fn secret_map(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, Vec<(String, Secret)>> {
        let load = self.session.load;
        self.field(name, doc, Shape::Map(Box::new(Shape::Secret)), |node| match &node.value {
            Value::Map(entries) => {
                entries.iter().map(|(key, value)| Ok((key.name.clone(), secret(value, load)?))).collect()
            }
            _ => Err("a mapping of names to texts or to {file: PATH}".to_owned()),
        })
    }

    /// `true` or `false`.
    pub fn bool(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, bool> {
        self.field(name, doc, Shape::Bool, |node| match plain(node) {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err("true, false".to_owned()),
        })
    }

    /// A whole number from `min` to `max`.
    pub fn integer(&self, name: &'static str, doc: &'static str, min: i64, max: i64) -> Field<'_, 'a, i64> {
        self.field(name, doc, Shape::Integer { min, max }, |node| {
            plain(node)
                .and_then(|text| text.parse().ok())
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| format!("a whole number from {min} to {max}"))
        })
    }

    /// A duration with its unit.
    pub fn duration(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, Duration> {
        self.parsed(name, doc, "a duration such as 500ms, 30s, 5m, 28h or 7d", parse_duration)
    }

    /// A size in bytes.
    pub fn bytes(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, u64> {
        self.parsed(name, doc, "a size such as 64KiB, 16MiB or 1GiB", parse_bytes)
    }

    /// One of some words; each stands beside what it means.
    pub fn one_of<T: Copy>(
        &self,
        name: &'static str,
        doc: &'static str,
        words: &[(&'static str, T)],
    ) -> Field<'_, 'a, T> {
        let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let allowed = names.join(", ");
        self.field(name, doc, Shape::OneOf(names), |node| {
            let text = scalar(node, &allowed)?;
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or(allowed)
        })
    }

    /// Some of some words, at least one; one alone is a list of one.
    pub fn some_of<T: Copy>(
        &self,
        name: &'static str,
        doc: &'static str,
        words: &[(&'static str, T)],
    ) -> Field<'_, 'a, Vec<T>> {
        let names: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
        let allowed = format!("one or more of {}", names.join(", "));
        let one = |node: &Node| {
            let text = scalar(node, &allowed)?;
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or(allowed.clone())
        };
        self.field(name, doc, Shape::List(Box::new(Shape::OneOf(names))), |node| match &node.value {
            Value::List(items) if items.is_empty() => Err(allowed.clone()),
            Value::List(items) => {
                let named = |item: &Node| one(item).map_err(|allowed| format!("{allowed}, not {}", item.found()));
                items.iter().map(named).collect()
            }
            _ => Ok(vec![one(node)?]),
        })
    }

    /// A list of texts; one text alone is a list of one.
    pub fn texts(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, Vec<String>> {
        self.field(name, doc, Shape::List(Box::new(Shape::Text("text"))), |node| match &node.value {
            Value::List(items) => items.iter().map(|item| scalar(item, "a list of texts")).collect(),
            _ => scalar(node, "a text or a list of texts").map(|text| vec![text]),
        })
    }

    /// Names of one's own, each with a text.
    pub fn text_map(&self, name: &'static str, doc: &'static str) -> Field<'_, 'a, Vec<(String, String)>> {
        self.field(name, doc, Shape::Map(Box::new(Shape::Text("text"))), |node| match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| Ok((key.name.clone(), scalar(value, "a mapping of names to texts")?)))
                .collect(),
            _ => Err("a mapping of names to texts".to_owned()),
        })
    }

    /// A mapping of fixed names. `read` runs also where it is missing, over nothing, so that defaults and descriptions
    /// come from the same lines; the result is `None` then.
    pub fn section<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        read: impl FnOnce(&Reader<'_>) -> T,
    ) -> Field<'_, 'a, T> {
        let node = self.node(name);
        let inner = match node {
            Some(node) => Reader::new(self.session, node, &self.path_of(name)),
            None => Reader::describing(self.session),
        };
        let value = read(&inner);
        let shape = Shape::Section(inner.finish());
        Field {
            reader: self,
            doc: FieldDoc { name, doc, shape, required: false, default: None },
            value: node.map(|_| Some(value)),
        }
    }

    /// A list of mappings of fixed names, each read by `read`.
    pub fn sections<T>(
        &self,
        name: &'static str,
        doc: &'static str,
        mut read: impl FnMut(&Reader<'_>) -> T,
    ) -> Field<'_, 'a, Vec<T>> {
        let sample = Reader::describing(self.session);
        read(&sample);
        let shape = Shape::List(Box::new(Shape::Section(sample.finish())));
        let value = self.node(name).filter(|node| node.value != Value::Null).map(|node| {
            let items = match &node.value {
                Value::List(items) => items.as_slice(),
                _ => std::slice::from_ref(node),
            };
            let read_item = |(index, item)| {
                let inner = Reader::new(self.session, item, &format!("{}[{index}]", self.path_of(name)));
                let value = read(&inner);
                inner.finish();
                value
            };
            Some(items.iter().enumerate().map(read_item).collect())
        });
        Field { reader: self, doc: FieldDoc { name, doc, shape, required: false, default: None }, value }
    }

    /// Takes note of a setting that is read elsewhere, so that it is known and described.
    pub fn known(&self, doc: FieldDoc) {
        self.fields.borrow_mut().push(doc);
    }

    /// Reports every key that nobody asked for, with the one that was probably meant; returns what was asked for.
    pub fn finish(self) -> Vec<FieldDoc> {
        let fields = self.fields.into_inner();
        for (key, _) in self.entries {
            if fields.iter().any(|field| field.name == key.name) {
                continue;
            }
            let names: Vec<_> = fields.iter().map(|field| field.name).collect();
            let path = if self.path.is_empty() { key.name.clone() } else { format!("{}.{}", self.path, key.name) };
            self.session.report(Problem {
                place: key.place.clone(),
                path,
                what: format!("unknown setting `{}`", key.name),
                allowed: Some(names.join(", ")),
                hint: suggest(&key.name, names.iter().copied()),
            });
        }
        fields
    }
}

impl<T> Field<'_, '_, T> {
    /// It must be there. Where it is not, or is wrong, that has been reported, and `placeholder` stands in: nothing
    /// that was read in a session with problems may be used.
    pub fn required(mut self, placeholder: T) -> T {
        self.doc.required = true;
        if self.value.is_none() && !self.reader.describing {
            self.reader.session.report(Problem {
                place: self.reader.place.clone(),
                path: self.reader.path_of(self.doc.name),
                what: "is missing".to_owned(),
                allowed: None,
                hint: Some(format!("add `{}:` here: {}", self.doc.name, self.doc.doc)),
            });
        }
        self.register().unwrap_or(placeholder)
    }

    /// It may be left out.
    pub fn optional(self) -> Option<T> {
        self.register()
    }

    /// It may be left out, and is `value` then.
    pub fn default(mut self, value: T) -> T
    where
        T: Display,
    {
        self.doc.default = Some(value.to_string());
        self.register().unwrap_or(value)
    }

    /// It may be left out, and is `value` then, which a user would write as `shown`.
    pub fn default_shown(mut self, value: T, shown: &str) -> T {
        self.doc.default = Some(shown.to_owned());
        self.register().unwrap_or(value)
    }

    fn register(self) -> Option<T> {
        self.reader.fields.borrow_mut().push(self.doc);
        self.value.flatten()
    }
}

/// A scalar's text; `allowed` is the error otherwise.
fn scalar(node: &Node, allowed: &str) -> Result<String, String> {
    match &node.value {
        Value::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(allowed.to_owned()),
    }
}

/// A secret as text or as the content of a file.
fn secret(node: &Node, load: &Loader<'_>) -> Result<Secret, String> {
    let allowed = "text, or {file: PATH}";
    let Value::Map(entries) = &node.value else {
        return scalar(node, allowed).map(Secret::new);
    };
    match entries.as_slice() {
        [(key, path)] if key.name == "file" => {
            let path = scalar(path, "a path")?;
            let content = load(&path).map_err(|why| format!("a file that can be read: {path}: {why}"))?;
            Ok(Secret::new(content.trim_end_matches(['\r', '\n']).to_owned()))
        }
        _ => Err(allowed.to_owned()),
    }
}

/// A scalar's text where it was not quoted.
fn plain(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, quoted: false } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar_node(line: usize, text: &str) -> Node {
        let place = Place { file: "b.yaml".into(), line, column: 1 };
        Node { place, value: Value::Scalar { text: text.into(), quoted: false } }
    }

    fn map(entries: Vec<(&str, Node)>) -> Node {
        let entries = entries
            .into_iter()
            .map(|(name, node)| (Key { name: name.into(), place: node.place.clone() }, node))
            .collect();
        Node { place: Place { file: "b.yaml".into(), line: 1, column: 1 }, value: Value::Map(entries) }
    }

    fn read(reader: &Reader<'_>) -> (String, i64, bool) {
        (
            reader.text("host", "Where the server is.").required(String::new()),
            reader.integer("port", "Its port.", 1, 65535).default(25),
            reader.bool("enabled", "Whether it is used.").default(true),
        )
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place() {
        let node = map(vec![
            ("prot", scalar_node(2, "25")),
            ("port", scalar_node(3, "70000")),
            ("enabled", scalar_node(4, "yes")),
        ]);
        let session = Session::new(&|_| Err("no files here".into()));
        let reader = Reader::new(&session, &node, "channels.mail.email");
        read(&reader);
        reader.finish();
        let told: Vec<String> = session.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "b.yaml:1:1: channels.mail.email.host: is missing\n    hint: add `host:` here: Where the server is.",
                "b.yaml:2:1: channels.mail.email.prot: unknown setting `prot`; allowed: host, port, enabled\n    hint: did you mean `port`?",
                "b.yaml:3:1: channels.mail.email.port: found \"70000\"; allowed: a whole number from 1 to 65535",
                "b.yaml:4:1: channels.mail.email.enabled: found \"yes\"; allowed: true, false",
            ]
        );
    }

    #[test]
    fn the_same_calls_describe_the_settings() {
        let session = Session::new(&|_| Err("no files here".into()));
        let reader = Reader::describing(&session);
        read(&reader);
        let fields = reader.finish();
        assert!(session.problems().is_empty());
        assert_eq!(
            fields.iter().map(|f| (f.name, f.required)).collect::<Vec<_>>(),
            [("host", true), ("port", false), ("enabled", false)]
        );
        let schema = Shape::Section(fields).schema();
        assert_eq!(schema["required"], serde_json::json!(["host"]));
        assert_eq!(schema["properties"]["port"]["default"], "25");
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_break() {
        let file = map(vec![("file", scalar_node(2, "/run/secrets/x"))]);
        let node = map(vec![("password", file)]);
        let session =
            Session::new(&|path| if path == "/run/secrets/x" { Ok("s3cret\n".into()) } else { Err("?".into()) });
        let reader = Reader::new(&session, &node, "");
        let secret = reader.secret("password", "").optional();
        reader.finish();
        assert_eq!(secret.map(|s| s.expose().to_owned()), Some("s3cret".to_owned()));
        assert!(session.problems().is_empty());
    }
}
