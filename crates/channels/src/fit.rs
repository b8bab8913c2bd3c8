//! Makes an incident small enough for a far side that takes only so much: step by step less of it, with a note that says
//! so, until what is made of it fits. Archives do not come here: they get everything.

use balefire_model::Incident;
use balefire_model::incident::Extra;
use balefire_model::text::cut;
use std::borrow::Cow;

/// What is kept at each step: bytes of each text, bytes of the description, how many labels and controls.
const STEPS: [(usize, usize, usize); 6] =
    [(8_192, 262_144, 1_000), (2_048, 32_768, 200), (512, 4_096, 50), (128, 512, 10), (48, 48, 2), (0, 0, 0)];

/// Renders the incident whole, or as much of it as gives at most `limit` bytes. Below some 1,000 bytes nothing may fit;
/// then the smallest rendering comes back.
pub(crate) fn fit<T>(
    incident: &Incident,
    limit: usize,
    render: impl Fn(&Incident) -> T,
    size: impl Fn(&T) -> usize,
) -> T {
    // An incident that is far too large is not rendered whole only to be thrown away.
    if text_bytes(incident) <= limit {
        let whole = render(incident);
        if size(&whole) <= limit {
            return whole;
        }
    }
    let mut smaller = render(&shortened(incident, STEPS[0]));
    for step in &STEPS[1..] {
        if size(&smaller) <= limit {
            break;
        }
        smaller = render(&shortened(incident, *step));
    }
    smaller
}

fn text_bytes(incident: &Incident) -> usize {
    incident.title.len()
        + incident.description.len()
        + incident.labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        + incident.nist_controls.iter().map(String::len).sum::<usize>()
        + incident.events.iter().map(|event| event.get().len()).sum::<usize>()
        + incident.extra.0.iter().map(|(_, value)| value.get().len()).sum::<usize>()
}

fn shortened(incident: &Incident, (text_max, description_max, count_max): (usize, usize, usize)) -> Incident {
    let short = |text: &String| cut(text, text_max).into_owned();
    let mut notes: Vec<String> = incident.notes.iter().take(count_max).map(short).collect();
    notes.push(left_out(incident, count_max).into_owned());
    Incident {
        id: incident.id,
        title: short(&incident.title),
        severity: incident.severity,
        severity_original: incident.severity_original.as_ref().map(short),
        detected_by: short(&incident.detected_by),
        description: cut(&incident.description, description_max).into_owned(),
        nist_controls: incident.nist_controls.iter().take(count_max).map(short).collect(),
        cui_involved: incident.cui_involved,
        incident_id: incident.incident_id.as_ref().map(short),
        events: Vec::new(),
        labels: incident.labels.iter().take(count_max).map(|(name, value)| (short(name), short(value))).collect(),
        fingerprint: balefire_model::Fingerprint(short(&incident.fingerprint.0)),
        source: short(&incident.source),
        event_time: incident.event_time,
        received_at: incident.received_at,
        notes,
        run: None,
        internal_scan: incident.internal_scan.clone(),
        extra: Extra::default(),
    }
}

fn left_out(incident: &Incident, count_max: usize) -> Cow<'static, str> {
    let labels = incident.labels.len().saturating_sub(count_max);
    let (events, fields) = (incident.events.len(), incident.extra.0.len());
    if events + fields + labels == 0 {
        return "shortened to the size that the channel takes".into();
    }
    format!(
        "shortened to the size that the channel takes: without {events} events, {fields} other fields, {labels} labels"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::incident;

    fn json(incident: &Incident) -> Vec<u8> {
        serde_json::to_vec(incident).expect("an incident is JSON")
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(fit(&incident(), 10_000, json, Vec::len), json(&incident()));
    }

    #[test]
    fn what_does_not_fit_says_what_is_missing() {
        let mut large = incident();
        large.description = "\0".repeat(1 << 20);
        large.events = vec![serde_json::value::RawValue::from_string("[1]".into()).expect("JSON")];
        for limit in [1_200, 2_000, 16_000, 100_000, 1 << 20] {
            let fitted = fit(&large, limit, json, Vec::len);
            assert!(fitted.len() <= limit, "{} > {limit}", fitted.len());
            let told: Incident = serde_json::from_slice(&fitted).expect("still an incident");
            assert!(told.notes.iter().any(|note| note.contains("without 1 events")), "{:?}", told.notes);
            assert!(told.description.contains("bytes]"), "{}", told.description);
        }
    }
}
