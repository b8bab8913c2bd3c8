//! The sections `people` and `teams`, and the channels that refer to them: `person:NAME` and `team:NAME` among the
//! recipients of mail and Slack become addresses before the channels are read. Knows neither mail nor Slack.

use super::Finding;
use super::named::{Named, items_of, read_named, report, report_unknown, text_of, texts_of};
use balefire_model::settings::{Node, Place, Problem, Reader, Value, suggest};
use balefire_model::text::{cut, is_unsafe};
use std::collections::{BTreeMap, BTreeSet};

/// For each kind of channel that takes people: the settings that name them, and which address of a person it takes.
const TAKES_PEOPLE: [(&str, &[&str], &str); 2] = [("email", &["to", "cc"], "email"), ("slack", &["to"], "slack")];

const EMAIL_FORM: &str = "an address such as anna@example.org";
const SLACK_FORM: &str = "a user's id such as U023BECGF, or an e-mail address";

/// Who may be named where somebody takes care of an incident, and who hears of incidents by their own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct People {
    names: Vec<String>,
    teams: Vec<Team>,
    /// Who is named among the recipients of each channel.
    reached: Reached,
}

/// For each channel that names people, whom.
pub(super) type Reached = BTreeMap<String, BTreeSet<String>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Team {
    name: String,
    members: Vec<String>,
    place: Place,
}

impl People {
    /// Whether a name is a person's or a team's; everybody is known where nobody is configured.
    pub(crate) fn knows(&self, name: &str) -> bool {
        (self.names.is_empty() && self.teams.is_empty())
            || self.names.iter().any(|known| known == name)
            || self.teams.iter().any(|team| team.name == name)
    }

    /// The names that can be used, for a message.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str).chain(self.teams.iter().map(|team| team.name.as_str()))
    }

    /// Whether there is a team of this name.
    pub(crate) fn has_team(&self, name: &str) -> bool {
        self.teams.iter().any(|team| team.name == name)
    }

    /// All teams' names.
    pub(crate) fn teams(&self) -> impl Iterator<Item = &str> {
        self.teams.iter().map(|team| team.name.as_str())
    }

    /// Who is in a team.
    pub(crate) fn members(&self, team: &str) -> &[String] {
        self.teams.iter().find(|known| known.name == team).map(|team| team.members.as_slice()).unwrap_or_default()
    }

    /// Who is named among the recipients of a channel: by name, by team, or by address.
    pub(crate) fn reached_by(&self, channel: &str) -> impl Iterator<Item = &String> {
        self.reached.get(channel).into_iter().flatten()
    }

    pub(super) fn with_reached(self, reached: Reached) -> People {
        People { reached, ..self }
    }

    /// The teams that stand and fall with one person.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        self.teams.iter().filter(|team| team.members.len() < 2).map(|team| Finding {
            code: "small-team",
            subject: format!("teams.{}", team.name),
            text: "has one member; when that one is away, nobody hears".to_owned(),
            place: Some(team.place.clone()),
        })
    }
}

/// Reads both sections.
pub(super) fn read_people(reader: &Reader<'_>) -> People {
    let doc = "Who people are: a name of your own, and where they can be reached. Recipients of mail and Slack refer to \
               them as `person:NAME`.";
    let describe = |sample: &Reader<'_>| read_person(sample);
    let names = read_named(reader, "people", doc, describe, |Named { key, reader }| {
        read_person(&reader);
        if !reader.is_describing() && reader.node("email").is_none() && reader.node("slack").is_none() {
            reader.reject("email", "is missing, and so is `slack`", "at least one of the two");
        }
        reader.finish();
        key.name.clone()
    });
    let doc =
        "Teams: a name of your own and the people in it. Recipients of mail and Slack refer to them as `team:NAME`.";
    let describe = |sample: &Reader<'_>| drop(read_members(sample, &[]));
    let teams = read_named(reader, "teams", doc, describe, |Named { key, reader }| {
        let members = read_members(&reader, &names);
        if names.contains(&key.name) {
            let what = format!("a person has the name {:?}, too", cut(&key.name, 80));
            reader.reject("members", what, "names of teams that nobody has");
        }
        reader.finish();
        Team { name: key.name.clone(), members, place: key.place.clone() }
    });
    People { names, teams, reached: Reached::default() }
}

fn read_person(reader: &Reader<'_>) {
    let address = |text: &str| {
        let (local, domain) = text.rsplit_once('@')?;
        (!local.is_empty() && !domain.is_empty() && !text.chars().any(is_unsafe)).then(|| text.to_owned())
    };
    reader.parsed("email", "Where mail reaches them.", EMAIL_FORM, address).optional();
    let user = |text: &str| {
        let is_id = text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        (is_id || address(text).is_some()).then(|| text.to_owned())
    };
    reader.parsed("slack", "Their id in Slack, or the address of their account there.", SLACK_FORM, user).optional();
}

fn read_members(reader: &Reader<'_>, people: &[String]) -> Vec<String> {
    let members = reader.texts("members", "Names of `people`.").required(Vec::new());
    if members.is_empty() && !reader.is_describing() && reader.node("members").is_some() {
        reader.reject("members", "names nobody", "at least one of `people`, better two");
    }
    for (node, name) in texts_of(reader, "members") {
        if !people.iter().any(|known| known == name) {
            let what = format!("there is no person {:?}", cut(name, 80));
            report_unknown(reader.session(), node, &reader.path_of("members"), what, people);
        }
    }
    for (index, node) in items_of(reader, "members").iter().enumerate() {
        let is_again = members.iter().take(index).any(|name| text_of(node) == Some(name.as_str()));
        if is_again {
            let (path, what) = (reader.path_of("members"), "is named twice".to_owned());
            report(reader.session(), node, &path, what, "each person once");
        }
    }
    members
}

/// Puts addresses in place of people and teams, and reports those that lead nowhere. What it reports of a setting says
/// more than what the channel's kind would. Says, too, who is named by which channel.
pub(super) fn address(tree: &mut Node) -> (Vec<Problem>, Reached) {
    let book = Book::of(tree);
    let mut problems = Vec::new();
    let mut reached = Reached::new();
    for (name, channel) in entries_of(tree, "channels") {
        for (kind, settings, address) in TAKES_PEOPLE {
            for (setting, node) in entries_of(channel, kind).filter(|(key, _)| settings.contains(&key.as_str())) {
                let path = format!("channels.{name}.{kind}.{setting}");
                reached.entry(name.clone()).or_default().extend(book.named(node, address));
                book.replace(node, address, &path, &mut problems);
            }
        }
    }
    (problems, reached)
}

/// Who can be reached where, as the tree says.
#[derive(Debug, Default)]
struct Book {
    /// Names, and their addresses by the name of the setting.
    people: BTreeMap<String, BTreeMap<String, String>>,
    teams: BTreeMap<String, Vec<String>>,
}

impl Book {
    fn of(tree: &mut Node) -> Book {
        let mut book = Book::default();
        let texts = |node: &Node| node_items(node).iter().filter_map(text_of).map(str::to_owned).collect::<Vec<_>>();
        for (name, person) in entries_of(tree, "people") {
            let Value::Map(entries) = &person.value else { continue };
            let addresses =
                entries.iter().filter_map(|(key, node)| Some((key.name.clone(), text_of(node)?.to_owned())));
            book.people.insert(name.clone(), addresses.collect());
        }
        for (name, team) in entries_of(tree, "teams") {
            book.teams.insert(name.clone(), team.get("members").map(texts).unwrap_or_default());
        }
        book
    }

    /// The people among these recipients.
    fn named(&self, node: &Node, address: &str) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        for text in node_items(node).iter().filter_map(text_of) {
            match text.trim().split_once(':') {
                Some(("person", name)) => _ = named.insert(name.trim().to_owned()),
                Some(("team", name)) => named.extend(self.teams.get(name.trim()).into_iter().flatten().cloned()),
                _ => {
                    let is_theirs = |addresses: &BTreeMap<String, String>| {
                        addresses.get(address).is_some_and(|own| own.trim().eq_ignore_ascii_case(text.trim()))
                    };
                    named.extend(self.people.iter().filter(|(_, own)| is_theirs(own)).map(|(name, _)| name.clone()));
                }
            }
        }
        named
    }

    fn replace(&self, node: &mut Node, address: &str, path: &str, problems: &mut Vec<Problem>) {
        if !node_items(node).iter().filter_map(text_of).any(is_reference) {
            return;
        }
        let mut items: Vec<Node> = Vec::new();
        for item in node_items(node) {
            let Some(reference) = text_of(item).filter(|text| is_reference(text)) else {
                items.push(item.clone());
                continue;
            };
            match self.addresses(reference.trim(), address) {
                Ok(addresses) => {
                    let new = addresses.into_iter().filter(|text| items.iter().all(|item| text_of(item) != Some(text)));
                    let new: Vec<Node> = new.map(|text| text_at(&item.place, text)).collect();
                    items.extend(new);
                }
                Err((what, allowed, hint)) => {
                    let (place, path) = (item.place.clone(), path.to_owned());
                    problems.push(Problem { place, path, what, allowed: Some(allowed), hint });
                }
            }
        }
        node.value = Value::List(items);
    }

    /// The addresses behind a reference; else what is wrong, what is allowed, and a hint.
    fn addresses(&self, reference: &str, address: &str) -> Result<Vec<String>, (String, String, Option<String>)> {
        let (form, name) = reference.split_once(':').unwrap_or(("", reference));
        let name = name.trim();
        let members = match form {
            "team" => self.teams.get(name).cloned(),
            _ => self.people.contains_key(name).then(|| vec![name.to_owned()]),
        };
        let Some(members) = members else {
            let known: Vec<String> = match form {
                "team" => self.teams.keys().map(|name| format!("team:{name}")).collect(),
                _ => self.people.keys().map(|name| format!("person:{name}")).collect(),
            };
            let allowed = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
            let what = format!("there is no {form} {:?}", cut(name, 80));
            return Err((what, allowed, suggest(reference, known.iter().map(String::as_str))));
        };
        // Members that nobody is were reported where the team stands.
        let known = members.iter().filter_map(|member| Some((member, self.people.get(member)?)));
        let found = known.map(|(member, addresses)| {
            addresses.get(address).cloned().ok_or_else(|| {
                let what = format!("{} has no address for this kind of channel", cut(member, 80));
                let allowed = format!("people with `{address}`");
                (what, allowed, Some(format!("add `{address}:` to `people.{}`", cut(member, 80))))
            })
        });
        found.collect()
    }
}

fn is_reference(text: &str) -> bool {
    ["person:", "team:"].iter().any(|form| text.trim().starts_with(form))
}

/// The items of a list, or the one that stands alone.
fn node_items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        _ => std::slice::from_ref(node),
    }
}

fn text_at(place: &Place, text: String) -> Node {
    Node { place: place.clone(), value: Value::Scalar { text, quoted: true } }
}

/// The entries of the mapping under a name, to be changed; none where it is none.
fn entries_of<'a>(node: &'a mut Node, name: &str) -> impl Iterator<Item = (String, &'a mut Node)> {
    let entries = match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, node)| node),
        _ => None,
    };
    let entries = match entries.map(|node| &mut node.value) {
        Some(Value::Map(entries)) => entries.as_mut_slice(),
        _ => &mut [],
    };
    entries.iter_mut().map(|(key, node)| (key.name.clone(), node))
}
