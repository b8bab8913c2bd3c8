//! Runs: batches that a scanner brackets. Their records are collected for the channels that want them together, and when a
//! run is over each of these gets one delivery for all. The records themselves stay in the journal.

use crate::engine::{Effects, Engine};
use crate::health::{OWN_SOURCE, own};
use crate::retry::later;
use balefire_model::record::{Planned, RouteTaken, Routed, RunEnd, RunEnded, RunStep};
use balefire_model::run::{RunId, RunKey, RunMark, RunPart, findings, told_by_severity};
use balefire_model::{Fingerprint, Incident, Position, Reason, Record, text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Who finds that a run has begun, in `detected_by`; what routes match on.
pub const RUN_STARTED: &str = "balefire.run_started";
/// Who finds that it is over.
pub const RUN_ENDED: &str = "balefire.run_ended";

/// How many runs may be open at once; the one that was heard of longest ago is ended then.
const OPEN_MAX: usize = 10_000;
/// Of how many ended runs it is remembered that they are over; the oldest go first.
const ENDED_MAX: usize = 10_000;
/// As much of a run's name as is shown.
const NAME_BYTES_MAX: usize = 120;
/// How many channels with undelivered messages a notice names.
const CHANNELS_TOLD_MAX: usize = 20;

/// What the configuration says of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSettings {
    /// How long after its last record a run is over whose end nobody sends.
    pub close_after: Duration,
}

impl Default for RunSettings {
    fn default() -> RunSettings {
        RunSettings { close_after: Duration::from_secs(6 * 3600) }
    }
}

/// A run that is not over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    id: RunId,
    /// From 1.
    part: u32,
    from: Position,
    to: Position,
    began_at: Timestamp,
    heard_at: Timestamp,
    counts: [u64; 5],
    /// How many incidents, marks among them, wait for which channel.
    collected: BTreeMap<String, u64>,
}

/// All of them, and which ones are over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Runs {
    /// By a number of our own, in the order in which they began.
    open: BTreeMap<u64, Run>,
    next: u64,
    /// With the number of parts that they had, the oldest first.
    ended: VecDeque<(RunId, u32)>,
    #[serde(skip)]
    numbers: BTreeMap<RunId, u64>,
    #[serde(skip)]
    heard: BTreeSet<(Timestamp, u64)>,
    #[serde(skip)]
    parts: BTreeMap<RunId, u32>,
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty()
    }

    /// What a snapshot kept, with all that follows from it.
    pub(crate) fn restored(mut self) -> Runs {
        self.numbers = self.open.iter().map(|(number, run)| (run.id.clone(), *number)).collect();
        self.heard = self.open.iter().map(|(number, run)| (run.heard_at, *number)).collect();
        self.parts = self.ended.iter().cloned().collect();
        self
    }

    fn get(&self, id: &RunId) -> Option<&Run> {
        self.numbers.get(id).map(|number| &self.open[number])
    }

    /// Whether an incident changes nothing: the end of a run that is over is told once.
    fn is_repeat(&self, id: &RunId, mark: RunMark) -> bool {
        mark == RunMark::End && !self.numbers.contains_key(id) && self.parts.contains_key(id)
    }

    /// Takes note of an incident of a run.
    pub(crate) fn routed(&mut self, at: Timestamp, routed: &Routed) {
        let Some(RunStep { id, mark }) = &routed.run else { return };
        if self.is_repeat(id, *mark) {
            return;
        }
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None => self.begin(at, id, routed.accepted_at),
        };
        let run = self.open.get_mut(&number).expect("every number is that of an open run");
        self.heard.remove(&(run.heard_at, number));
        self.heard.insert((at, number));
        run.heard_at = at;
        run.to = routed.accepted_at;
        if *mark == RunMark::Record {
            run.counts[routed.severity as usize] += 1;
        }
        for channel in &routed.collected {
            match run.collected.get_mut(channel) {
                Some(count) => *count += 1,
                None => _ = run.collected.insert(channel.clone(), 1),
            }
        }
    }

    fn begin(&mut self, at: Timestamp, id: &RunId, from: Position) -> u64 {
        let number = self.next;
        self.next += 1;
        let part = self.parts.get(id).copied().unwrap_or(0) + 1;
        let (counts, collected) = ([0; 5], BTreeMap::new());
        let run = Run { id: id.clone(), part, from, to: from, began_at: at, heard_at: at, counts, collected };
        self.numbers.insert(id.clone(), number);
        self.heard.insert((at, number));
        self.open.insert(number, run);
        number
    }

    /// Takes note that a run is over.
    pub(crate) fn ended(&mut self, id: &RunId) {
        let Some(run) = self.numbers.remove(id).and_then(|number| Some((number, self.open.remove(&number)?))) else {
            return;
        };
        let (number, run) = run;
        self.heard.remove(&(run.heard_at, number));
        if self.parts.insert(id.clone(), run.part).is_some() {
            self.ended.retain(|(other, _)| other != id);
        }
        self.ended.push_back((id.clone(), run.part));
        if self.ended.len() > ENDED_MAX
            && let Some((oldest, _)) = self.ended.pop_front()
        {
            self.parts.remove(&oldest);
        }
    }

    /// When the first run is over if nothing more comes of it.
    pub(crate) fn closes_at(&self, after: Duration) -> Option<Timestamp> {
        self.heard.first().map(|(heard, _)| later(*heard, after))
    }

    pub(crate) fn set_back(&mut self, earlier: impl Fn(Timestamp) -> Timestamp) {
        self.heard = self.heard.iter().map(|(heard, number)| (earlier(*heard), *number)).collect();
        for run in self.open.values_mut() {
            run.heard_at = earlier(run.heard_at);
        }
    }
}

impl Engine {
    /// Takes an incident of a run from the channels that get it later, with the others. Its marks are no alerts: they go
    /// to nobody else.
    pub(crate) fn take_for_run(&self, incident: &Incident, routed: &mut Routed) -> Option<RunStep> {
        let RunPart { run, mark } = incident.run.clone()?;
        if routed.deliveries.iter().any(|planned| planned.reason == Reason::Test) {
            return None;
        }
        let step = RunStep { id: RunId { source: incident.source.clone(), run }, mark };
        let is_record = mark == RunMark::Record;
        let collects = |channel: &String| self.settings.channels.get(channel).is_some_and(|policy| policy.collects);
        let wants = |channel: &String| self.settings.channels.get(channel).is_some_and(|policy| policy.marks);
        let (later, now): (Vec<Planned>, Vec<Planned>) =
            std::mem::take(&mut routed.deliveries).into_iter().partition(|planned| collects(&planned.channel));
        let later = later.into_iter().map(|planned| planned.channel);
        let is_repeat = self.state.runs.is_repeat(&step.id, mark);
        routed.collected = later.filter(|channel| is_record || (wants(channel) && !is_repeat)).collect();
        if is_record {
            routed.deliveries = now;
        } else {
            let is_history = |planned: &Planned| self.settings.routing.history.as_ref() == Some(&planned.channel);
            routed.deliveries = now.into_iter().filter(is_history).collect();
            routed.escalations.clear();
        }
        if routed.deliveries.is_empty() && routed.collected.is_empty() && routed.history_only.is_none() {
            let what = if is_repeat { "it was over before" } else { "a mark is no alert" };
            routed.history_only = Some(format!("it marks the {} of a run: {what}", word(mark)));
        }
        routed.run = Some(step.clone());
        Some(step)
    }

    /// What follows when an incident of a run is in: the run has begun, or is over.
    pub(crate) fn follow_run(&mut self, now: Timestamp, step: &RunStep, effects: &mut Effects) {
        let Some(run) = self.state.runs.get(&step.id) else { return };
        if run.from == run.to && run.part == 1 {
            let (title, about) = (format!("Run {} has begun", name(&run.id.run)), about(run));
            let incident = self.notice(now, RUN_STARTED, run, (title, about));
            let (at, routed) = (self.state.position(), self.route_notice(now, &incident));
            let routed = Routed { accepted_at: at, ..routed };
            self.record(now, Record::Accepted(Arc::new(incident)), effects);
            self.record(now, Record::Routed(routed), effects);
        }
        if step.mark == RunMark::End {
            self.end_run(now, &step.id, RunEnd::Mark, effects);
        }
        while self.state.runs.open.len() > OPEN_MAX {
            let oldest = self.state.runs.heard.first().map(|(_, number)| self.state.runs.open[number].id.clone());
            self.end_run(now, &oldest.expect("what is open was heard of"), RunEnd::Crowd, effects);
        }
    }

    /// Ends the runs of which nothing was heard for too long.
    pub(crate) fn close_runs(&mut self, now: Timestamp, effects: &mut Effects) {
        if self.draining {
            return;
        }
        let after = self.settings.runs.close_after;
        while let Some((heard, number)) = self.state.runs.heard.first()
            && later(*heard, after) <= now
        {
            let id = self.state.runs.open[number].id.clone();
            self.end_run(now, &id, RunEnd::Time, effects);
        }
    }

    /// One incident tells of the end; each channel that collected something gets one delivery, in the same step.
    fn end_run(&mut self, now: Timestamp, id: &RunId, by: RunEnd, effects: &mut Effects) {
        let Some(run) = self.state.runs.get(id).cloned() else { return };
        let incident = self.ending(now, &run, by);
        let accepted_at = self.state.position();
        let routed = self.route_notice(now, &incident);
        let channels: Vec<String> = run.collected.keys().cloned().collect();
        let plan =
            |channel: &String| Planned { follows_up: false, ..self.plan_of(incident.id, Reason::Run, channel.clone()) };
        let mut deliveries: Vec<Planned> = channels.iter().map(plan).collect();
        let mut routes = Vec::new();
        let mut history_only = routed.history_only;
        if !channels.is_empty() {
            history_only = None;
            let because = "the run is over, and they collected its records".to_owned();
            routes.push(RouteTaken { route: OWN_SOURCE.to_owned(), because, channels, muted_by: None });
        }
        routes.extend(routed.routes);
        deliveries.extend(routed.deliveries);
        let ended = RunEnded {
            id: id.clone(),
            part: run.part,
            incident: incident.id,
            from: run.from,
            to: run.to,
            by,
            counts: run.counts,
        };
        self.record(now, Record::Accepted(Arc::new(incident)), effects);
        self.record(now, Record::RunEnded(ended), effects);
        let routed = Routed { accepted_at, routes, deliveries, history_only, ..routed };
        self.record(now, Record::Routed(routed), effects);
    }

    /// The incident that tells that a run is over.
    fn ending(&self, now: Timestamp, run: &Run, by: RunEnd) -> Incident {
        let part = if run.part > 1 { format!(", part {}", run.part) } else { String::new() };
        let count: u64 = run.counts.iter().sum();
        let title = format!(
            "Run {}{part}: {}, {}",
            name(&run.id.run),
            counted(count, "record"),
            counted(findings(&run.counts), "finding")
        );
        let seconds = now.duration_since(run.began_at).as_secs().max(0);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let mut told = format!(
            "{}\nEnded: {}\nDuration: {hours:02} h {minutes:02} m {seconds:02} s\nRecords: {count} ({})",
            about(run),
            time(now),
            told_by_severity(&run.counts)
        );
        for (channel, count) in &run.collected {
            told = format!("{told}\nFor channel {channel}: {count}");
        }
        for line in self.undelivered(run) {
            told = format!("{told}\n{line}");
        }
        let mut incident = self.notice(now, RUN_ENDED, run, (title, told));
        incident.notes.extend(match by {
            RunEnd::Mark => None,
            RunEnd::Time => {
                let seconds = self.settings.runs.close_after.as_secs();
                Some(format!("its end did not come: closed because nothing came of it for {seconds} s"))
            }
            RunEnd::Crowd => Some(format!("its end did not come: closed because {OPEN_MAX} other runs are open")),
        });
        if run.part > 1 {
            incident.notes.push("late: these records came after the end of the run had come".to_owned());
        }
        incident
    }

    /// What of that which came in during a run was given up, in lines.
    fn undelivered(&self, run: &Run) -> Vec<String> {
        let mut given_up: BTreeMap<&str, u64> = BTreeMap::new();
        let meanwhile = |at: Position| (run.from..=run.to).contains(&at);
        for (_, letter) in self.state.dead.iter().filter(|(_, letter)| meanwhile(letter.accepted_at)) {
            *given_up.entry(&letter.channel).or_default() += 1;
        }
        let line = |(channel, count)| format!("Given up by channel {channel} meanwhile: {count}");
        given_up.into_iter().take(CHANNELS_TOLD_MAX).map(line).collect()
    }

    fn notice(&self, now: Timestamp, found: &str, run: &Run, (title, description): (String, String)) -> Incident {
        let RunKey { key, version, worker } = &run.id.run;
        let shown = |text: &str| text::cut(&text::one_line(text), NAME_BYTES_MAX).into_owned();
        let mut labels =
            vec![("audit_key", shown(key)), ("audit_version", shown(version)), ("run_source", shown(&run.id.source))];
        labels.extend((!worker.is_empty()).then(|| ("target_worker", shown(worker))));
        let seed = format!("{found}\n{}\n{key}\n{version}\n{worker}\n{}", run.id.source, self.state.position());
        let incident = own(now, &seed, (found, balefire_model::Severity::Info), (title, description), &labels);
        let matter = [("audit_key", key.as_str()), ("source", run.id.source.as_str())];
        let fingerprint = Fingerprint::derive(found, "", matter.into_iter());
        Incident { fingerprint, nist_controls: Vec::new(), ..incident }
    }

    /// Who hears of a run's begin and end beside the channels that collect: whom the routes name. Those that collect get
    /// the run itself.
    fn route_notice(&self, now: Timestamp, incident: &Incident) -> Routed {
        let decision = self.settings.routing.decide(incident, now);
        let collects = |channel: &String| self.settings.channels.get(channel).is_some_and(|policy| policy.collects);
        let channels = decision.channels.into_iter().filter(|channel| !collects(channel));
        let plan = |channel| Planned { follows_up: false, ..self.plan_of(incident.id, Reason::Opened, channel) };
        let deliveries: Vec<Planned> = channels.map(plan).collect();
        let silence = "the channels that its routes name take runs as a whole";
        let silence = decision.history_only.unwrap_or_else(|| silence.to_owned());
        Routed {
            incident: incident.id,
            accepted_at: self.state.position(),
            severity: incident.severity,
            cui_involved: false,
            routes: decision.routes,
            history_only: deliveries.is_empty().then_some(silence),
            deliveries,
            escalations: Vec::new(),
            run: None,
            collected: Vec::new(),
            sighting: None,
        }
    }
}

fn word(mark: RunMark) -> &'static str {
    match mark {
        RunMark::Begin => "begin",
        RunMark::Record => "middle",
        RunMark::End => "end",
    }
}

/// `mockaudit 20261122_013522`, harmless.
fn name(run: &RunKey) -> String {
    let shown = |text: &str| text::cut(&text::one_line(text), NAME_BYTES_MAX).into_owned();
    format!("{} {}", shown(&run.key), shown(&run.version)).trim_end().to_owned()
}

/// The first lines of both notices.
fn about(run: &Run) -> String {
    let shown = |text: &str| text::cut(&text::one_line(text), NAME_BYTES_MAX).into_owned();
    format!("About: {}\nStarted: {}", shown(&run.id.run.key), time(run.began_at))
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S +0000 (UTC)").to_string()
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
