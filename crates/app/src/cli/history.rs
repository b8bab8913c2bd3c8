//! Questions about incidents: asked of the server or, where none runs, of the data directory, with the same answers.

use super::client::{Client, ClientError, Question, Reach, encoded};
use super::place::Place;
use super::{Exit, Failure, output};
use crate::clock;
use crate::core::catch_up;
use crate::story;
use anyhow::Context;
use balefire_model::IncidentId;
use balefire_store::journal::{FileJournal, JournalOptions, OpenError};
use balefire_store::view::{IncidentView, Query, View, ViewError, ViewReader};
use jiff::Timestamp;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long a further question is repeated where the server is too busy for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Ask<'a> {
    List(&'a Query),
    Show(&'a str),
    Why(&'a str),
    Stats(Span),
    Rules(Span),
    Export(&'a Query),
}

/// From when to when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) since: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
}

/// Who answers.
pub(crate) enum Source {
    Server(Client),
    Disk(Disk),
}

/// The data directory, held by this process.
pub(crate) struct Disk {
    /// Holds the lock: no server can start while its view is read and written here.
    _journal: FileJournal,
    view: ViewReader,
}

/// Asks the server or, where none answers, the directory. The answer is JSON; what a sender wrote stands in it byte for
/// byte.
pub(crate) fn ask(place: &Place, reach: &Reach, question: &Ask<'_>) -> Result<String, Failure> {
    Ok(open(place, reach, question)?.1)
}

/// The same, for whoever asks more than once: who answers, and the first answer.
pub(crate) fn open(place: &Place, reach: &Reach, question: &Ask<'_>) -> Result<(Source, String), Failure> {
    let client = place.client(reach)?;
    let unreachable = match client.ask(&Question::get(question.path())) {
        Ok(reply) => {
            let answer = reply.text()?;
            return Ok((Source::Server(client), answer));
        }
        Err(error @ ClientError::Unreachable { .. }) if reach.url.is_none() => error,
        Err(error) => return Err(error.into()),
    };
    let data = place.directory()?;
    if !Place::journal(&data).is_dir() {
        let message = format!("{unreachable} There is no journal in {} to look at, either", data.display());
        return Err(Failure::new(Exit::Unreachable, message));
    }
    let disk = Disk::open(&data, unreachable)?;
    let answer = disk.answer(question)?;
    Ok((Source::Disk(disk), answer))
}

impl Source {
    /// A further question.
    pub(crate) fn ask(&self, question: &Ask<'_>) -> Result<String, Failure> {
        match self {
            Source::Server(client) => client.ask_patiently(&Question::get(question.path()), PATIENCE)?.text(),
            Source::Disk(disk) => disk.answer(question),
        }
    }
}

impl Disk {
    /// Takes the lock and brings the view up to date.
    fn open(data: &Path, unreachable: ClientError) -> Result<Disk, Failure> {
        let (journal, _) = match FileJournal::open(&Place::journal(data), JournalOptions::default()) {
            Ok(opened) => opened,
            // A server is there after all; that its socket does not answer is what went wrong.
            Err(OpenError::Locked { holder, .. }) => {
                let message = format!("{unreachable} Process {holder} works in {}", data.display());
                return Err(Failure::new(Exit::Unreachable, message));
            }
            Err(error) => return Err(error.into()),
        };
        let dir = Place::view(data);
        let mut view = View::open(&dir)?;
        let upto = journal.reader().position();
        catch_up(&mut view, &journal.reader(), |position| {
            output::progress(&format!("reading record {position} of {upto}"));
        })
        .context("the view cannot follow the journal; `balefire rebuild` makes it anew")?;
        output::progress_ends();
        Ok(Disk { _journal: journal, view: ViewReader::open(&dir)? })
    }

    fn answer(&self, question: &Ask<'_>) -> Result<String, Failure> {
        Ok(match question {
            Ask::List(query) => json!({ "incidents": self.view.list(query)? }).to_string(),
            Ask::Show(id) => story::incident(&self.find(id)?)?,
            Ask::Why(id) => {
                let incident = self.find(id)?;
                story::why(&incident, &self.view.story(incident.row.id)?).to_string()
            }
            Ask::Stats(Span { since, until }) => {
                json!(self.view.stats(*since, *until, story::measure(clock::now()))?).to_string()
            }
            Ask::Rules(Span { since, until }) => json!(self.view.rules(*since, *until)?).to_string(),
            Ask::Export(query) => story::page(&self.view.export(query, story::PAGE_BYTES_MAX)?)?,
        })
    }

    fn find(&self, id: &str) -> Result<IncidentView, Failure> {
        let found = match id.parse::<IncidentId>() {
            Ok(id) => Some(id),
            Err(_) => self.view.find(id).map_err(wrong_id)?,
        };
        let incident = found.map(|id| self.view.incident(id)).transpose()?.flatten();
        incident.ok_or_else(|| {
            let id = balefire_model::text::one_line(id);
            let id = balefire_model::text::cut(&id, 80);
            Failure::new(Exit::NotFound, format!("there is no incident {id}"))
        })
    }
}

fn wrong_id(error: ViewError) -> Failure {
    let is_usage = matches!(error, ViewError::NotAnId { .. } | ViewError::Ambiguous { .. });
    Failure { exit: if is_usage { Exit::Usage } else { Exit::Failed }, error: error.into() }
}

impl Ask<'_> {
    fn path(&self) -> String {
        match self {
            Ask::List(query) => format!("/api/v1/incidents?{}", query_text(query)),
            Ask::Show(id) => format!("/api/v1/incidents/{}", encoded(id)),
            Ask::Why(id) => format!("/api/v1/incidents/{}/why", encoded(id)),
            Ask::Stats(span) => format!("/api/v1/incidents/stats?{}", span.text()),
            Ask::Rules(span) => format!("/api/v1/incidents/rules?{}", span.text()),
            Ask::Export(query) => format!("/api/v1/incidents/export?{}", query_text(query)),
        }
    }
}

fn query_text(query: &Query) -> String {
    let severities: Vec<&str> = query.severities.iter().map(|severity| severity.as_str()).collect();
    let members = [
        ("since", query.since.map(|time| time.to_string())),
        ("until", query.until.map(|time| time.to_string())),
        ("severity", (!severities.is_empty()).then(|| severities.join(","))),
        ("source", query.source.clone()),
        ("text", query.text.clone()),
        ("state", query.state.map(|state| state.to_string())),
        ("rule", query.rule.clone()),
        ("assigned_to", query.assigned_to.as_ref().map(|whose| whose.as_str().to_owned())),
        ("cui", query.is_cui.then(|| "true".to_owned())),
        ("reportable", query.is_reportable.then(|| "true".to_owned())),
        ("limit", Some(query.limit.to_string())),
        ("before", query.before.map(|id| id.to_string())),
    ];
    joined(members)
}

impl Span {
    fn text(self) -> String {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
        joined([("since", time(self.since)), ("until", time(self.until))])
    }
}

/// The members that are set, as the part of an address behind the question mark.
fn joined(members: impl IntoIterator<Item = (&'static str, Option<String>)>) -> String {
    let set = members.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
    set.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use balefire_model::{Severity, State};
    use balefire_store::view::Whose;

    #[test]
    fn a_filter_asks_the_server_what_it_asks_the_disk() {
        let query = Query {
            since: Some("2026-11-22T03:00:00Z".parse().unwrap()),
            severities: vec![Severity::Critical, Severity::High],
            text: Some("a b&c=ä".to_owned()),
            state: Some(State::Open),
            assigned_to: Some(Whose::of("nobody")),
            is_reportable: true,
            limit: 7,
            ..Query::default()
        };
        let expected = "/api/v1/incidents?since=2026-11-22T03%3A00%3A00Z&severity=critical%2Chigh\
                        &text=a%20b%26c%3D%C3%A4&state=open&assigned_to=nobody&reportable=true&limit=7";
        assert_eq!(Ask::List(&query).path(), expected);
    }

    #[test]
    fn an_id_cannot_leave_its_part_of_the_path() {
        assert_eq!(Ask::Show("../x?y").path(), "/api/v1/incidents/..%2Fx%3Fy");
    }
}
