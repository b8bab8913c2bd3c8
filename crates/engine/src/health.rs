//! A channel that fails is an incident: told once, over other channels, and taken back when the channel works again.

use crate::engine::{Act, Effects, Engine};
use crate::open::About;
use crate::queue::Queue;
use crate::route::HISTORY;
use balefire_model::record::{HealthChanged, Planned, RouteTaken, Routed, StateChanged};
use balefire_model::{Cause, Fingerprint, Incident, IncidentId, Outcome, Reason, Record, Severity, State, text};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who finds it, in `detected_by`; what routes match on.
pub const CHANNEL_FAILING: &str = "balefire.channel_failing";
/// Who finds that it is over.
pub const CHANNEL_RECOVERED: &str = "balefire.channel_recovered";
/// The source of incidents of our own making, and who changes their state.
pub const OWN_SOURCE: &str = "balefire";

/// As much of a reply as the incident shows.
const DETAIL_BYTES_MAX: usize = 500;

impl Engine {
    /// Looks at a channel after one of its attempts has ended.
    pub(crate) fn check_health(&mut self, now: Timestamp, channel: u32, outcome: &Outcome, effects: &mut Effects) {
        let queue = &self.state.queues[channel as usize];
        match (queue.told_by, queue.failing) {
            (None, Some((since, cause))) if cause == Cause::Auth || queue.is_failing() => {
                self.tell_failing(now, channel, (since, cause, &shown(outcome)), effects);
            }
            (Some(told_by), None) => self.tell_recovered(now, channel, told_by, effects),
            _ => {}
        }
    }

    fn tell_failing(
        &mut self,
        now: Timestamp,
        channel: u32,
        (since, cause, detail): (Timestamp, Cause, &str),
        effects: &mut Effects,
    ) {
        let name = self.state.names[channel as usize].clone();
        let waiting = self.state.queues[channel as usize].len();
        let severity = Severity::High;
        let seed = format!("{CHANNEL_FAILING}\n{name}\n{}", self.state.position());
        let description = format!(
            "Channel {name} fails since {since}: {} ({detail}).\nDeliveries that wait for it: {waiting}. They are kept \
             and tried again.\nWhat waits: balefire channels list. Why one alert has not arrived: balefire why ID.",
            cause.as_str()
        );
        let labels = [("channel", name.clone()), ("cause", cause.as_str().to_owned())];
        let title = format!("Alert channel {name} is failing ({})", cause.as_str());
        let incident = own(now, &seed, (CHANNEL_FAILING, severity), (title, description), &labels);
        let id = incident.id;
        let changed = HealthChanged {
            channel: name,
            failing_since: Some(since),
            cause,
            detail: detail.to_owned(),
            waiting: waiting as u64,
            told_by: id,
        };
        // First, so that the routing below knows that this channel is of no use.
        self.record(now, Record::HealthChanged(changed), effects);
        let decision = self.settings.routing.decide(&incident, now);
        let silence = "no channel works that could carry it";
        self.tell(now, incident, (decision.routes, decision.channels, silence), effects);
    }

    /// The incident that told of the failing is over, and whoever heard of it hears that, if it wants to hear of ends. The
    /// others hear of an incident of its own; all of them, where somebody has resolved the first one before.
    fn tell_recovered(&mut self, now: Timestamp, channel: u32, told_by: IncidentId, effects: &mut Effects) {
        let name = self.state.names[channel as usize].clone();
        let queue = &self.state.queues[channel as usize];
        let (waiting, by_hand) = (queue.len(), queue.heard.clone());
        let closed_before = by_hand.is_some();
        let open = self.state.open.get(told_by);
        let heard = by_hand.or_else(|| Some(open?.heard().map(str::to_owned).collect())).unwrap_or_default();
        let follows = |channel: &String| self.settings.channels.get(channel).is_some_and(|policy| policy.follows_up);
        let (ends, channels): (Vec<String>, Vec<String>) =
            heard.into_iter().partition(|channel| !closed_before && follows(channel));
        let channels: Vec<String> =
            channels.into_iter().filter(|channel| self.settings.channels.contains_key(channel)).collect();
        let mut description = format!("Channel {name} works again. Deliveries that wait for it: {waiting}.");
        let still: Vec<&str> = self.failing().filter(|failing| *failing != name).collect();
        if !still.is_empty() {
            description = format!("{description}\nStill failing: {}.", still.join(", "));
        }
        let lasted = SignedDuration::from_millis(now.as_millisecond() - i64::try_from(told_by.unix_ms()).unwrap_or(0));
        description = format!("{description}\nIt was told as failing {} s ago.", lasted.as_secs().max(0));
        if closed_before {
            description = format!("{description}\nThe incident that told so, {told_by}, was resolved before that.");
        }
        let seed = format!("{CHANNEL_RECOVERED}\n{name}\n{}", self.state.position());
        let title = format!("Alert channel {name} works again");
        let labels = [("channel", name.clone())];
        let incident = own(now, &seed, (CHANNEL_RECOVERED, Severity::Info), (title, description), &labels);
        let changed = HealthChanged {
            channel: name.clone(),
            failing_since: None,
            cause: Cause::Network,
            detail: String::new(),
            waiting: waiting as u64,
            told_by: incident.id,
        };
        self.record(now, Record::HealthChanged(changed), effects);
        if !closed_before {
            let comment = format!("channel {name} works again");
            let (state, by) = (State::Resolved, OWN_SOURCE.to_owned());
            self.change(now, StateChanged { incident: told_by, state, by, comment }, effects);
        }
        let because = format!("they were told that {name} fails");
        let taken = RouteTaken { route: OWN_SOURCE.to_owned(), because, channels: channels.clone(), muted_by: None };
        let silence = match ends.is_empty() {
            true => "nobody was told that it failed".to_owned(),
            false => format!("whoever was told that it failed hears that incident {told_by} is over"),
        };
        self.tell(now, incident, (vec![taken], channels, &silence), effects);
    }

    /// Accepts an incident of our own making and plans its deliveries: to the channels that were chosen and work, or
    /// else to all that work. `silence` says why it goes to none, where that is so.
    pub(crate) fn tell(
        &mut self,
        now: Timestamp,
        incident: Incident,
        (mut routes, chosen, silence): (Vec<RouteTaken>, Vec<String>, &str),
        effects: &mut Effects,
    ) {
        let failing: Vec<String> = self.failing().map(str::to_owned).collect();
        // A history tells nobody; it gets this one, too, whether it fails or not.
        let history = self.settings.routing.history.clone();
        let chosen: Vec<String> = chosen.into_iter().filter(|name| history.as_ref() != Some(name)).collect();
        let mut channels: Vec<String> = chosen.iter().filter(|name| !failing.contains(name)).cloned().collect();
        if channels.is_empty() && (!chosen.is_empty() || incident.severity > Severity::Info) {
            let works = |name: &&String| !failing.contains(name) && history.as_ref() != Some(name);
            channels = self.settings.channels.keys().filter(works).cloned().collect();
            let because = match chosen.is_empty() {
                true => "no route sends it anywhere now, and it must not stay unheard".to_owned(),
                false => "no channel that its route names works".to_owned(),
            };
            let (route, channels) = (OWN_SOURCE.to_owned(), channels.clone());
            routes.push(RouteTaken { route, because, channels, muted_by: None });
        }
        let mut history_only = channels.is_empty().then(|| silence.to_owned());
        if channels.is_empty() && incident.severity > Severity::Info {
            effects.acts.push(Act::Alarm(format!("{}; every other channel fails too", incident.title)));
        }
        routes.retain(|taken| taken.route != HISTORY);
        if let Some(taken) =
            self.settings.routing.goes_into_history(history_only.take_if(|_| history.is_some()).as_deref())
        {
            channels.extend(history);
            routes.push(taken);
        }
        let about = About { incident: incident.id, accepted_at: self.state.position(), severity: incident.severity };
        // Every channel that hears of it hears of its end, whatever its kind.
        let plan = |channel| Planned { follows_up: true, ..self.plan_of(about.incident, Reason::Opened, channel) };
        let routed = Routed {
            incident: about.incident,
            accepted_at: about.accepted_at,
            severity: about.severity,
            cui_involved: false,
            routes,
            deliveries: channels.into_iter().map(plan).collect(),
            history_only,
            escalations: Vec::new(),
            run: None,
            collected: Vec::new(),
            sighting: None,
        };
        self.record(now, Record::Accepted(Arc::new(incident)), effects);
        self.record(now, Record::Routed(routed), effects);
    }

    /// The configured channels that are known to fail.
    fn failing(&self) -> impl Iterator<Item = &str> {
        let fails = |(_, queue): &(&String, &Queue)| queue.told_by.is_some();
        self.state.names.iter().zip(&self.state.queues).filter(fails).map(|(name, _)| name.as_str())
    }

    /// Whether every configured channel is known to fail; `false` where there is none.
    #[must_use]
    pub fn every_channel_fails(&self) -> bool {
        let mut channels = self.settings.channels.keys().peekable();
        channels.peek().is_some() && channels.all(|name| self.failing().any(|failing| failing == name))
    }
}

fn shown(outcome: &Outcome) -> String {
    let detail = match outcome {
        Outcome::Delivered { receipt } => receipt,
        Outcome::Deferred { detail, .. } | Outcome::Rejected { detail, .. } => detail,
        Outcome::Unknown => return "interrupted".to_owned(),
    };
    text::cut(&text::one_line(detail), DETAIL_BYTES_MAX).into()
}

/// An incident of our own making.
pub(crate) fn own(
    now: Timestamp,
    seed: &str,
    (detected_by, severity): (&str, Severity),
    (title, description): (String, String),
    labels: &[(&str, String)],
) -> Incident {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    // The cause may change while the matter stays the same: the channel alone says what it is about.
    let matter = labels.get("channel").map(|channel| ("channel", channel.as_str()));
    Incident {
        id: IncidentId::derive(now, seed),
        fingerprint: Fingerprint::derive(detected_by, "", matter.into_iter()),
        title,
        severity,
        severity_original: None,
        detected_by: detected_by.to_owned(),
        description,
        nist_controls: vec!["3.3.4".to_owned()],
        cui_involved: false,
        incident_id: None,
        events: Vec::new(),
        labels,
        source: OWN_SOURCE.to_owned(),
        event_time: Some(now),
        received_at: now,
        notes: Vec::new(),
        run: None,
        internal_scan: None,
        extra: balefire_model::incident::Extra::default(),
    }
}
