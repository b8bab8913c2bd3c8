//! YAML text becomes the tree of settings, in which every value knows its place. Bounded in size, depth and in what
//! aliases may multiply to, so that no text can exhaust memory. Knows no setting and no environment: scalars keep
//! their text, and only the setting that wants a number makes one of it (`on`, `no` and `1.0` stay what they are).

use balefire_model::settings::{Key, Node, Place, Problem, Value};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::{HashMap, hash_map};
use std::sync::Arc;

/// How large one file may be. A thousand channels fit ten times over.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// How deep values may be nested; the deepest setting needs eight.
const DEPTH_MAX: usize = 64;
/// How many values a file may hold, counting each use of an alias as a copy.
const NODES_MAX: usize = 100_000;
/// How much text these values may hold together.
const TEXT_BYTES_MAX: usize = 8 << 20;

/// What one text came to.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The tree; none where the text is no YAML, which is among the problems.
    pub(crate) node: Option<Node>,
    /// Everything that is wrong with it.
    pub(crate) problems: Vec<Problem>,
}

/// Reads one YAML document. No text at all is a document without a value.
pub(crate) fn parse(text: &str, file: &Arc<str>) -> Parsed {
    let mut builder = Builder::new(text, file);
    if text.len() > FILE_BYTES_MAX {
        builder.refuse(Marker::new(0, 1, 0), "the file is too large", &format!("at most {FILE_BYTES_MAX} bytes"));
        return Parsed { node: None, problems: builder.problems };
    }
    let complete = builder.read(text.strip_prefix('\u{feff}').unwrap_or(text));
    let nothing = Node { place: Place { file: file.clone(), line: 1, column: 1 }, value: Value::Null };
    let node = complete.then(|| builder.root.take().unwrap_or(nothing));
    Parsed { node, problems: builder.problems }
}

/// A collection whose end has not been seen yet.
enum Open {
    List { place: Place, anchor: usize, items: Vec<Node> },
    Map(OpenMap),
}

struct OpenMap {
    place: Place,
    anchor: usize,
    entries: Vec<(Key, Node)>,
    /// Every key so far, and where it stands.
    names: HashMap<String, Place>,
    /// The key whose value comes next.
    key: Option<PendingKey>,
    /// The values of `<<`, whose entries fill in what the mapping does not say itself.
    merges: Vec<Node>,
}

enum PendingKey {
    Named(Key),
    Merge,
    /// Was reported; its value is dropped.
    Refused,
}

/// A finished value behind an anchor, with what a copy of it costs.
struct Anchored {
    node: Node,
    cost: Cost,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    text_bytes: usize,
}

struct Builder<'t> {
    text: &'t str,
    file: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    spent: Cost,
    problems: Vec<Problem>,
}

/// What usually lies behind the parser's words.
const SYNTAX_HINTS: &[(&str, &str)] = &[
    ("tab", "indent with spaces, never with tabs"),
    ("mapping values are not allowed", "a text that contains `: ` needs quotes"),
    ("quoted scalar", "close the quote"),
    ("flow", "close each { and [ that was opened above"),
    ("did not find expected key", "indent this line like its neighbours of the same level"),
    ("unknown anchor", "define the anchor above with `&NAME`, or put the text in quotes"),
    ("cannot start any token", "put the text in quotes"),
];

/// The reading cannot go on; the reason has been reported.
struct Stop;

impl<'t> Builder<'t> {
    fn new(text: &'t str, file: &Arc<str>) -> Builder<'t> {
        Builder {
            text,
            file: file.clone(),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            spent: Cost::default(),
            problems: Vec::new(),
        }
    }

    /// Whether the document was read to its end.
    fn read(&mut self, text: &str) -> bool {
        let mut documents = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    self.refuse_syntax(*error.marker(), error.info());
                    return false;
                }
            };
            if let Event::DocumentStart(_) = event {
                documents += 1;
                if documents > 1 {
                    self.refuse(
                        span.start,
                        "a second document begins here",
                        "one document; use conf.d/ for more files",
                    );
                    return false;
                }
            }
            if self.take(event, span.start).is_err() {
                return false;
            }
        }
        true
    }

    fn take(&mut self, event: Event<'_>, at: Marker) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.charge(at, Cost { nodes: 1, text_bytes: text.len() })?;
                let value = self.scalar(&text, style, tag.as_deref(), at);
                self.finished(Node { place: self.place(at), value }, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag, at);
                let place = self.place(at);
                self.opened(Open::List { place, anchor, items: Vec::new() }, at)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag, at);
                let place = self.place(at);
                let (entries, names, merges) = (Vec::new(), HashMap::new(), Vec::new());
                self.opened(Open::Map(OpenMap { place, anchor, entries, names, key: None, merges }), at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { place, anchor, items }) => {
                    self.finished(Node { place, value: Value::List(items) }, anchor, at)
                }
                Some(Open::Map(map)) => {
                    let anchor = map.anchor;
                    let node = self.closed(map);
                    self.finished(node, anchor, at)
                }
                None => Ok(()),
            },
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id) else {
                    self.refuse(at, "an alias stands inside the value that it names", "aliases of finished values");
                    return Err(Stop);
                };
                let (node, cost) = (anchored.node.clone(), anchored.cost);
                self.charge(at, cost)?;
                self.finished(node, 0, at)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn opened(&mut self, open: Open, at: Marker) -> Result<(), Stop> {
        self.charge(at, Cost { nodes: 1, text_bytes: 0 })?;
        if self.open.len() == DEPTH_MAX {
            self.refuse(at, "values are nested too deep", &format!("at most {DEPTH_MAX} levels"));
            return Err(Stop);
        }
        self.open.push(open);
        Ok(())
    }

    /// A value is complete: it becomes an anchor's value, and the next item, key or value of what is open.
    fn finished(&mut self, node: Node, anchor: usize, at: Marker) -> Result<(), Stop> {
        if anchor != 0 {
            let cost = cost_of(&node);
            // The kept copy is paid for as well: nested anchors would multiply without any alias.
            self.charge(at, cost)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), cost });
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map(map)) => match map.key.take() {
                None => {
                    let key = self.key(node);
                    if let Some(Open::Map(map)) = self.open.last_mut() {
                        map.key = Some(key);
                    }
                }
                Some(PendingKey::Named(key)) => map.entries.push((key, node)),
                Some(PendingKey::Merge) => map.merges.push(node),
                Some(PendingKey::Refused) => {}
            },
        }
        Ok(())
    }

    fn key(&mut self, node: Node) -> PendingKey {
        let Value::Scalar { text: name, quoted } = node.value else {
            self.problems.push(Problem {
                place: node.place,
                path: String::new(),
                what: "a key is no text".to_owned(),
                allowed: Some("a name before the colon, in quotes if it is `null` or `~`".to_owned()),
                hint: None,
            });
            return PendingKey::Refused;
        };
        if name == "<<" && !quoted {
            return PendingKey::Merge;
        }
        let Some(Open::Map(map)) = self.open.last_mut() else { return PendingKey::Refused };
        if let Some(first) = map.names.get(&name) {
            let what = format!("the key stands twice in one mapping; first at {first}");
            let hint = Some("keep one of the two".to_owned());
            self.problems.push(Problem { place: node.place, path: name, what, allowed: None, hint });
            return PendingKey::Refused;
        }
        map.names.insert(name.clone(), node.place.clone());
        PendingKey::Named(Key { name, place: node.place })
    }

    fn closed(&mut self, mut map: OpenMap) -> Node {
        for merge in std::mem::take(&mut map.merges) {
            let place = merge.place.clone();
            let parts = match merge.value {
                Value::List(items) => items,
                value => vec![Node { place: merge.place, value }],
            };
            for part in parts {
                let Value::Map(entries) = part.value else {
                    self.problems.push(Problem {
                        place: place.clone(),
                        path: "<<".to_owned(),
                        what: format!("found {}", part.found()),
                        allowed: Some("an alias of a mapping, or a list of them".to_owned()),
                        hint: None,
                    });
                    continue;
                };
                for (key, node) in entries {
                    if let hash_map::Entry::Vacant(unset) = map.names.entry(key.name.clone()) {
                        unset.insert(key.place.clone());
                        map.entries.push((key, node));
                    }
                }
            }
        }
        Node { place: map.place, value: Value::Map(map.entries) }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Value {
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag.map(Cow::Borrowed), at);
        }
        let quoted = is_text || style != ScalarStyle::Plain;
        match text {
            "" | "~" | "null" | "Null" | "NULL" if !quoted => Value::Null,
            _ => Value::Scalar { text: text.to_owned(), quoted },
        }
    }

    fn refuse_tag(&mut self, tag: Option<Cow<'_, Tag>>, at: Marker) {
        if let Some(tag) = tag {
            self.refuse(at, &format!("found the tag `{}`", balefire_model::text::one_line(&tag.to_string())), "!!str");
        }
    }

    fn charge(&mut self, at: Marker, cost: Cost) -> Result<(), Stop> {
        self.spent.nodes += cost.nodes;
        self.spent.text_bytes += cost.text_bytes;
        if self.spent.nodes <= NODES_MAX && self.spent.text_bytes <= TEXT_BYTES_MAX {
            return Ok(());
        }
        let allowed = format!("at most {NODES_MAX} values and {TEXT_BYTES_MAX} bytes, aliases counted as copies");
        self.refuse(at, "the file holds too much", &allowed);
        Err(Stop)
    }

    fn place(&self, at: Marker) -> Place {
        Place { file: self.file.clone(), line: at.line().max(1), column: at.col() + 1 }
    }

    fn refuse(&mut self, at: Marker, what: &str, allowed: &str) {
        self.problems.push(Problem {
            place: self.place(at),
            path: String::new(),
            what: what.to_owned(),
            allowed: Some(allowed.to_owned()),
            hint: None,
        });
    }

    fn refuse_syntax(&mut self, at: Marker, info: &str) {
        let line = self.text.lines().nth(at.line().saturating_sub(1)).unwrap_or_default();
        let mut hints = SYNTAX_HINTS.iter().filter(|(fragment, _)| info.contains(fragment)).map(|(_, hint)| *hint);
        let hint = if line.contains("${") && line.contains(['{', '[']) && info.contains("flow") {
            Some("inside { } and [ ], write a substitution in quotes: \"${NAME}\"")
        } else {
            hints.next()
        };
        self.problems.push(Problem {
            place: self.place(at),
            path: String::new(),
            what: format!("this is no YAML: {info}"),
            allowed: None,
            hint: hint.map(str::to_owned),
        });
    }
}

fn cost_of(node: &Node) -> Cost {
    let add = |a: Cost, b: Cost| Cost { nodes: a.nodes + b.nodes, text_bytes: a.text_bytes + b.text_bytes };
    let own = |text_bytes| Cost { nodes: 1, text_bytes };
    match &node.value {
        Value::Null => own(0),
        Value::Scalar { text, .. } => own(text.len()),
        Value::List(items) => items.iter().map(cost_of).fold(own(0), add),
        Value::Map(entries) => {
            entries.iter().map(|(key, node)| add(own(key.name.len()), cost_of(node))).fold(own(0), add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        let parsed = parse(text, &"b.yaml".into());
        if parsed.problems.is_empty() {
            return parsed.node.map(|node| show(&node)).unwrap_or_default();
        }
        parsed.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    /// Compact, with quotes around what is text whatever it looks like.
    fn show(node: &Node) -> String {
        let join = |parts: Vec<String>| parts.join(",");
        match &node.value {
            Value::Null => "~".to_owned(),
            Value::Scalar { text, quoted: true } => format!("{text:?}"),
            Value::Scalar { text, quoted: false } => text.clone(),
            Value::List(items) => format!("[{}]", join(items.iter().map(show).collect())),
            Value::Map(entries) => {
                format!(
                    "{{{}}}",
                    join(entries.iter().map(|(key, node)| format!("{}:{}", key.name, show(node))).collect())
                )
            }
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        assert_eq!(check("[on, no, 1.0, 0660, '25', !!str 25, ~, null, '']"), r#"[on,no,1.0,0660,"25","25",~,~,""]"#);
        assert_eq!(check("a: |\n  x\n  y\nb: >\n  x\n  y\n"), r#"{a:"x\ny\n",b:"x y\n"}"#);
        assert_eq!(check("\u{feff}a: 1"), "{a:1}");
        assert_eq!(check(""), "~");
    }

    #[test]
    fn aliases_are_copies_and_merges_fill_in() {
        assert_eq!(check("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\n"), "{a:{p:1,q:2},b:{p:1,q:2},c:{q:3,p:1}}");
        assert_eq!(check("a: &x {p: 1}\nb: &y {q: 2}\nc: {<<: [*x, *y]}\n"), "{a:{p:1},b:{q:2},c:{p:1,q:2}}");
        assert_eq!(check("<<: 1"), "b.yaml:1:5: <<: found \"1\"; allowed: an alias of a mapping, or a list of them");
    }

    #[test]
    fn what_is_no_configuration_is_refused_at_its_place() {
        assert_eq!(
            check("a: 1\nb: {c: 2, c: 3}\na: 4\n"),
            "b.yaml:2:11: c: the key stands twice in one mapping; first at b.yaml:2:5\n    hint: keep one of the two\n\
             b.yaml:3:1: a: the key stands twice in one mapping; first at b.yaml:1:1\n    hint: keep one of the two"
        );
        assert_eq!(
            check("a: 1\n---\nb: 2\n"),
            "b.yaml:2:1: a second document begins here; allowed: one document; use conf.d/ for more files"
        );
        assert_eq!(check("a: !secret x"), "b.yaml:1:4: found the tag `!secret`; allowed: !!str");
        assert_eq!(
            check("a: &x [*x]"),
            "b.yaml:1:8: an alias stands inside the value that it names; allowed: aliases of finished values"
        );
        assert!(check("[a]: 1").starts_with("b.yaml:1:1: a key is no text"));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_built() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let previous = level - 1;
            let aliases = vec![format!("*a{previous}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(check(&text).contains("the file holds too much; allowed: at most 100000 values"), "{}", check(&text));

        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 1_000].join(", "));
        assert!(check(&long).contains("the file holds too much"));
        assert!(check(&"[".repeat(200)).contains("values are nested too deep; allowed: at most 64 levels"));
        assert!(check(&"- ".repeat(10_000)).contains("values are nested too deep"));
        assert!(check(&" ".repeat(FILE_BYTES_MAX + 1)).starts_with("b.yaml:1:1: the file is too large"));
    }
}
