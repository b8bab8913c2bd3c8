//! What is odd about a configuration that can come into force: what can do nothing, and what is unsafe. Refuses nothing.

use super::resolve::{fields, is_loopback};
use super::sources::Source;
use super::{Config, ConfiguredChannel, fallback, intervals, watch};
use balefire_channels::Transport;
use balefire_engine::route::FindingCode;
use balefire_model::settings::{Node, Place, Shape, Value};
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A short fixed word for scripts, such as `unreachable-channel`.
    pub(crate) code: &'static str,
    /// What it is about, such as a channel's name or a setting's path.
    pub(crate) subject: String,
    /// What is odd, and what to do.
    pub(crate) text: String,
    /// Where it stands, where it stands in one place.
    pub(crate) place: Option<Place>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {} [{}]", self.subject, self.text, self.code)
    }
}

/// All findings about a resolved configuration.
pub(crate) fn of(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.channels.is_empty() {
        // What routing would say follows from this alone.
        findings.push(Finding {
            code: "no-channel",
            subject: "channels".to_owned(),
            text: "no channel is configured: incidents are recorded, and nothing is sent".to_owned(),
            place: None,
        });
    } else {
        let mut found = config.routing.findings();
        let no_route = found.iter().filter(|finding| finding.code == FindingCode::ChannelUnreached);
        let unreached =
            fallback::unreached(&config.channels, no_route.map(|finding| finding.subject.as_str()).collect());
        let unreached: Vec<String> = unreached.into_iter().map(str::to_owned).collect();
        found.retain(|finding| finding.code != FindingCode::ChannelUnreached || unreached.contains(&finding.subject));
        findings.extend(found.into_iter().map(|finding| Finding {
            place:
                (finding.code == FindingCode::ChannelUnreached).then(|| place_of(config, &finding.subject)).flatten(),
            code: finding.code.as_str(),
            subject: finding.subject,
            text: finding.sentence,
        }));
    }
    findings.extend(intervals::unused(config));
    findings.extend(config.people.findings());
    findings.extend(watch::findings(config));
    findings.extend(same_file(&config.channels));
    findings.extend(tokens_in_clear(config));
    findings
}

fn place_of(config: &Config, channel: &str) -> Option<Place> {
    config.channels.iter().find(|known| known.name == channel).map(|known| known.place.clone())
}

fn same_file(channels: &[ConfiguredChannel]) -> Vec<Finding> {
    let mut seen: Vec<(PathBuf, &str)> = Vec::new();
    let mut findings = Vec::new();
    for channel in channels {
        let Transport::File(file) = channel.channel.transport() else { continue };
        let path = normal(&file.path);
        match seen.iter().find(|(known, _)| *known == path) {
            None => seen.push((path, &channel.name)),
            Some((_, first)) => findings.push(Finding {
                code: "same-file",
                subject: channel.name.clone(),
                text: format!("writes {} as `{first}` does; their lines mix, and rotation loses some", path.display()),
                place: Some(channel.place.clone()),
            }),
        }
    }
    findings
}

/// The path without `.` and doubled separators; links and `..` are left alone, since only the disk knows them.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

fn tokens_in_clear(config: &Config) -> Option<Finding> {
    let http = config.http.as_ref()?;
    (http.tls.is_none() && !is_loopback(http.listen)).then(|| Finding {
        code: "tokens-in-clear",
        subject: "http.listen".to_owned(),
        text: format!("tokens come to {} without TLS; set `http.tls`, or put a TLS proxy before it", http.listen),
        place: None,
    })
}

/// Secrets that stand in a file that every user of the machine may read. Looks at the tree before substitution: what
/// comes from the environment or from a file is fine.
pub(crate) fn plain_secrets(tree: &Node, sources: &[Source]) -> Vec<Finding> {
    let open: Vec<&str> =
        sources.iter().filter(|source| source.readable_by_all).map(|source| source.name.as_ref()).collect();
    let mut findings = Vec::new();
    if !open.is_empty() {
        walk(tree, &Shape::Section(fields()), "", &mut |node, path| {
            if open.contains(&node.place.file.as_ref()) {
                findings.push(Finding {
                    code: "plain-secret",
                    subject: path.to_owned(),
                    text: "a secret stands in a file that everybody may read; use {file: PATH} or ${NAME}, or \
                           `chmod o-r`"
                        .to_owned(),
                    place: Some(node.place.clone()),
                });
            }
        });
    }
    findings
}

/// Whether a text is the address of a database that holds no password: it is kept as a secret only because it might.
fn is_address_without_password(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    ["postgresql", "postgres", "mongodb", "mongodb+srv"].contains(&scheme)
        && !user.contains(':')
        && !rest.to_ascii_lowercase().contains("password")
}

/// Calls `found` for each secret that is written out.
fn walk(node: &Node, shape: &Shape, path: &str, found: &mut impl FnMut(&Node, &str)) {
    match (shape, &node.value) {
        (Shape::Secret, Value::Scalar { text, .. })
            if !text.is_empty() && !text.contains("${") && !is_address_without_password(text) =>
        {
            found(node, path);
        }
        (Shape::List(item), Value::List(items)) => items.iter().for_each(|node| walk(node, item, path, found)),
        (Shape::List(item), _) => walk(node, item, path, found),
        (Shape::Map(item), Value::Map(entries)) => {
            for (key, node) in entries {
                walk(node, item, &format!("{path}.{}", key.name), found);
            }
        }
        (Shape::Section(fields), Value::Map(entries)) => {
            for (key, node) in entries {
                let Some(field) = fields.iter().find(|field| field.name == key.name) else { continue };
                let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                walk(node, &field.shape, &path, found);
            }
        }
        _ => {}
    }
}
