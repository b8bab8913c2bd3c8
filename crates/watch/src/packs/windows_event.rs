//! A Windows event in the shapes in which shippers write one: its XML as JSON (with `Event` around it or not, attributes beside
//! or under a name of their own), Winlogbeat's, NXLog's, Wazuh's, Fluent Bit's and PowerShell's. Judges nothing.
//!
//! Source: events in the tests of Elastic's integrations, in OTRF's Security-Datasets and in the tests of shippers, read November
//! 2026.

use super::field::{at, first, list, text};
use serde_json::Value;
use std::borrow::Cow;

/// What every Windows event has.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    event: &'a Value,
    pub(super) id: u32,
    /// In small letters.
    pub(super) channel: String,
    /// In small letters.
    pub(super) computer: String,
    /// In small letters; empty where it is not told.
    pub(super) provider: String,
}

/// Without one of these in its text an event is none of Windows.
pub(super) const MARKS: &[&str] = &["EventID", "EventId", "event_id", "eventID", "EventCode", "LogName"];

const IDS: [&str; 10] = [
    "Event.System.EventID",
    "System.EventID",
    "winlog.event_id",
    "win.system.eventID",
    "EventID",
    "EventId",
    "EventCode",
    "event_id",
    "Id",
    "event.code",
];
const CHANNELS: [&str; 7] = [
    "Event.System.Channel",
    "System.Channel",
    "winlog.channel",
    "win.system.channel",
    "Channel",
    "LogName",
    "log_name",
];
const COMPUTERS: [&str; 9] = [
    "Event.System.Computer",
    "System.Computer",
    "winlog.computer_name",
    "win.system.computer",
    "Computer",
    "ComputerName",
    "MachineName",
    "Hostname",
    "computer_name",
];
const PROVIDERS: [&str; 12] = [
    "Event.System.Provider.Name",
    "Event.System.Provider.@Name",
    "Event.System.Provider.#attributes.Name",
    "System.Provider.Name",
    "System.Provider.@Name",
    "System.Provider.#attributes.Name",
    "winlog.provider_name",
    "win.system.providerName",
    "ProviderName",
    "SourceName",
    "provider_name",
    "Provider",
];
const RECORDS: [&str; 9] = [
    "Event.System.EventRecordID",
    "System.EventRecordID",
    "winlog.record_id",
    "win.system.eventRecordID",
    "EventRecordID",
    "EventRecordId",
    "RecordNumber",
    "RecordId",
    "record_id",
];

impl Entry<'_> {
    pub(super) fn of(event: &Value) -> Option<Entry<'_>> {
        let id: u32 = first(event, &IDS)?.trim().parse().ok()?;
        let small = |paths: &[&str]| first(event, paths).map(|text| text.trim().to_ascii_lowercase());
        let channel = small(&CHANNELS)?;
        let (computer, provider) = (small(&COMPUTERS).unwrap_or_default(), small(&PROVIDERS).unwrap_or_default());
        // The old interface has a qualifier in the upper half.
        Some(Entry { event, id: id & 0xffff, channel, computer, provider })
    }

    /// Its number in its log.
    pub(super) fn record(&self) -> Option<u64> {
        first(self.event, &RECORDS)?.trim().parse().ok()
    }

    /// Whether a provider of this name wrote it, as far as that is told: numbers are each provider's own.
    pub(super) fn is_of(&self, provider: &str) -> bool {
        self.provider.is_empty() || self.provider.contains(provider)
    }

    /// A field of what the event itself says. Fluent Bit and PowerShell have only its place; NXLog writes it beside the rest.
    pub(super) fn data(&self, name: &str, place: usize) -> Option<Cow<'_, str>> {
        self.inside(name, place).or_else(|| either(self.event, name))
    }

    /// The same for what has the name of something that every event has.
    pub(super) fn inside(&self, name: &str, place: usize) -> Option<Cow<'_, str>> {
        const PLACES: [&str; 8] = [
            "Event.EventData",
            "EventData",
            "winlog.event_data",
            "winlog.user_data",
            "win.eventdata",
            "win.logFileCleared",
            "Event.UserData.LogFileCleared",
            "UserData.LogFileCleared",
        ];
        let fields = || PLACES.iter().filter_map(|path| at(self.event, path));
        let named = fields().find_map(|fields| either(fields, name));
        // XML has a list of values, each with its name as an attribute.
        let is_of = |item: &&Value| {
            let names = ["Name", "@Name", "#attributes.Name"];
            names.iter().any(|path| text(item, path).as_deref() == Some(name))
        };
        let in_list =
            || fields().find_map(|fields| first(list(fields, "Data").iter().find(is_of)?, &["#text", "text", "Value"]));
        let inserted = || list(self.event, "StringInserts").get(place).and_then(Value::as_str).map(Cow::Borrowed);
        let property = || text(list(self.event, "Properties").get(place)?, "Value");
        named.or_else(in_list).or_else(inserted).or_else(property)
    }
}

/// A field, also with a small letter in front.
fn either<'a>(fields: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    text(fields, name).or_else(|| {
        let mut letters = name.chars();
        let small = letters.next()?.to_ascii_lowercase().to_string() + letters.as_str();
        text(fields, &small)
    })
}
