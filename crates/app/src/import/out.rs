//! Settings as YAML text that means the same when it is read again, whatever stands in them. Knows no setting.

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Text; written so that it stays text, and so that nothing in it is a reference to the environment.
    Text(String),
    /// Text in which references to the environment stay references.
    Reference(String),
    /// A number or a truth value, as it is written.
    Plain(String),
    /// The content of a file.
    FileOf(String),
    List(Vec<Out>),
    Map(Vec<(String, Out)>),
}

impl Out {
    pub(crate) fn text(text: impl Into<String>) -> Out {
        Out::Text(text.into())
    }

    pub(crate) fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Out {
        Out::List(texts.into_iter().map(Out::text).collect())
    }

    pub(crate) fn map<const N: usize>(entries: [(&str, Out); N]) -> Out {
        Out::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// The value as a document: mappings over several lines, lists of mappings too, everything else on one line.
pub(crate) fn yaml(value: &Out) -> String {
    let mut text = String::new();
    write(&mut text, value, 0);
    text
}

fn write(text: &mut String, value: &Out, indent: usize) {
    let pad = " ".repeat(indent);
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                text.push_str(&format!("{pad}{}:", scalar(key)));
                write_below(text, value, indent);
            }
        }
        Out::List(items) if items.iter().any(|item| matches!(item, Out::Map(_))) => {
            for item in items {
                let mut inner = String::new();
                write(&mut inner, item, indent + 2);
                text.push_str(&format!("{pad}- {}", inner.trim_start()));
            }
        }
        other => text.push_str(&format!("{pad}{}\n", flow(other))),
    }
}

fn write_below(text: &mut String, value: &Out, indent: usize) {
    match value {
        Out::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            write(text, value, indent + 2);
        }
        Out::List(items) if items.iter().any(|item| matches!(item, Out::Map(_))) => {
            text.push('\n');
            write(text, value, indent + 2);
        }
        other => text.push_str(&format!(" {}\n", flow(other))),
    }
}

fn flow(value: &Out) -> String {
    match value {
        Out::Text(value) => scalar(&value.replace("${", "$${")),
        Out::Reference(value) => scalar(value),
        Out::Plain(value) => value.clone(),
        Out::FileOf(path) => format!("{{file: {}}}", scalar(&path.replace("${", "$${"))),
        Out::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Out::Map(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Without quotes only where no YAML could take it for anything but this text.
fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./@-".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"];
    if is_word && !means_more.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let json = serde_json::to_string(text).expect("a text is JSON");
    json.chars().fold(String::with_capacity(json.len()), |mut safe, c| {
        if c != '\u{20}' && balefire_model::text::is_unsafe(c) {
            let mut units = [0; 2];
            // Of what is unsafe, only tags lie beyond the basic plane; YAML has eight digits for them.
            match c.encode_utf16(&mut units) {
                [unit] => safe.push_str(&format!("\\u{unit:04x}")),
                _ => safe.push_str(&format!("\\U{:08x}", u32::from(c))),
            }
        } else {
            safe.push(c);
        }
        safe
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_yaml;
    use proptest::prelude::*;

    fn text_of(node: &balefire_model::settings::Node) -> Option<&str> {
        match &node.value {
            balefire_model::settings::Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    #[test]
    fn what_is_written_is_laid_out_for_people() {
        let value = Out::map([
            ("a", Out::map([("b", Out::text("yes")), ("c", Out::Plain("25".to_owned()))])),
            ("l", Out::List(vec![Out::map([("name", Out::text("x y")), ("to", Out::texts(["p", "q"]))])])),
            ("s", Out::FileOf("/run/s".to_owned())),
            ("d", Out::text("${X}")),
            ("e", Out::Reference("${X:-1}".to_owned())),
        ]);
        let expected = "a:\n  b: \"yes\"\n  c: 25\nl:\n  - name: \"x y\"\n    to: [p, q]\ns: {file: /run/s}\nd: \"$${X}\"\ne: \"${X:-1}\"\n";
        assert_eq!(yaml(&value), expected);
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was_written(text in any::<String>(), key in "[a-z]{1,8}") {
            let written = yaml(&Out::Map(vec![(key.clone(), Out::texts([text.clone()]))]));
            let parsed = parse_yaml(&written, "t");
            prop_assert_eq!(&parsed.problems, &[]);
            let node = parsed.node.unwrap();
            let balefire_model::settings::Value::List(items) = &node.get(&key).unwrap().value else { panic!("{written}") };
            let expected = text.replace("${", "$${");
            prop_assert_eq!(text_of(&items[0]), Some(expected.as_str()));
        }
    }
}
