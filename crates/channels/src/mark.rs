//! What a message that is not the first about its incident says of itself, in the same words in every kind: a mark for a
//! line, sentences for a body. Does not know where they stand.

use crate::shown::line;
use balefire_model::{Delivery, Incident, Reason, Repeats};

/// Names of channels are shorter than this.
const NAME_BYTES_MAX: usize = 100;

/// The marks before a subject or a line, each with a space behind it; nothing for the first message.
pub(crate) fn mark(delivery: &Delivery<'_>) -> String {
    reason(delivery).to_owned() + &stand_in(delivery)
}

/// The mark of why the message goes out.
pub(crate) fn reason(delivery: &Delivery<'_>) -> &'static str {
    match delivery.reason {
        // The titles of these are of our own making, and say it.
        Reason::Opened | Reason::Summary | Reason::Run | Reason::Test => "",
        Reason::Acked => "[ACKNOWLEDGED] ",
        Reason::Resolved => "[RESOLVED] ",
        Reason::Escalated => "[ESCALATED] ",
        Reason::Repeated => "[REPEATED] ",
        // The name of the other channel says more.
        Reason::Fallback if delivery.stands_in_for.is_some() => "",
        Reason::Fallback => "[FALLBACK] ",
    }
}

/// The mark of the channel that should have carried it.
pub(crate) fn stand_in(delivery: &Delivery<'_>) -> String {
    delivery.stands_in_for.map(|channel| format!("[FOR {}] ", line(channel, NAME_BYTES_MAX))).unwrap_or_default()
}

/// The mark of what counts as the doing of a scan of our own.
pub(crate) fn scan(incident: &Incident) -> &'static str {
    if incident.internal_scan.is_some() { "[INTERNAL SCAN] " } else { "" }
}

/// The same as a sentence, with what makes it count.
pub(crate) fn scan_sentence(incident: &Incident) -> Option<String> {
    let because = line(incident.internal_scan.as_deref()?, NAME_BYTES_MAX);
    Some(format!("An internal security scan was under way when this incident came in ({because})."))
}

/// The link by which its reader acknowledges the incident, where there is still something to acknowledge.
pub(crate) fn ack_url<'a>(delivery: &Delivery<'a>) -> Option<&'a str> {
    match delivery.reason {
        Reason::Opened | Reason::Escalated | Reason::Repeated | Reason::Fallback => delivery.ack_url,
        Reason::Acked | Reason::Resolved | Reason::Summary | Reason::Run | Reason::Test => None,
    }
}

/// The same as sentences, and the note of what else is to be said; each is one harmless line.
pub(crate) fn sentences(delivery: &Delivery<'_>, note: Option<&str>) -> Vec<String> {
    let mut sentences = Vec::new();
    match delivery.reason {
        Reason::Resolved => sentences.push("This incident is over.".to_owned()),
        Reason::Escalated => sentences.push("Nobody has acknowledged this incident in time.".to_owned()),
        Reason::Acked => sentences.push("The acknowledgement of this incident has changed.".to_owned()),
        Reason::Repeated => sentences.push(match delivery.repeats {
            Some(Repeats { count, since, last }) => {
                format!("This incident came again: {count} times since {since:.0}, the last time as {last}.")
            }
            None => "This incident came again.".to_owned(),
        }),
        Reason::Opened | Reason::Fallback | Reason::Summary | Reason::Run | Reason::Test => {}
    }
    if let Some(channel) = delivery.stands_in_for {
        let channel = line(channel, NAME_BYTES_MAX);
        sentences.push(format!("This message stands in for channel {channel}, which is failing."));
    } else if delivery.reason == Reason::Fallback {
        sentences.push("This message stands in for another channel, which is failing.".to_owned());
    }
    sentences.extend(note.map(|note| format!("Note: {note}")));
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn check(reason: Reason, stands_in_for: Option<&str>, expected: (&str, &[&str])) {
        let incident = fixture::incident();
        let delivery = Delivery { reason, stands_in_for, ..fixture::delivery(&incident) };
        let (mark, sentences) = (mark(&delivery), sentences(&delivery, None));
        let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
        assert_eq!((mark.as_str(), sentences.as_slice()), expected);
    }

    #[test]
    fn a_message_says_why_it_is_not_the_first_and_for_whom_it_stands_in() {
        let stands_in = "This message stands in for channel soc-mail, which is failing.";
        check(Reason::Opened, None, ("", &[]));
        check(Reason::Test, None, ("", &[]));
        check(Reason::Resolved, None, ("[RESOLVED] ", &["This incident is over."]));
        check(Reason::Escalated, None, ("[ESCALATED] ", &["Nobody has acknowledged this incident in time."]));
        check(Reason::Repeated, None, ("[REPEATED] ", &["This incident came again."]));
        check(Reason::Fallback, Some("soc-mail"), ("[FOR soc-mail] ", &[stands_in]));
        let over = "This incident is over.";
        check(Reason::Resolved, Some("soc-mail"), ("[RESOLVED] [FOR soc-mail] ", &[over, stands_in]));
        check(
            Reason::Escalated,
            Some("soc-mail"),
            ("[ESCALATED] [FOR soc-mail] ", &["Nobody has acknowledged this incident in time.", stands_in]),
        );
    }

    #[test]
    fn a_link_to_acknowledge_is_shown_where_something_is_open() {
        let incident = fixture::incident();
        let link = |reason| {
            let delivery =
                Delivery { reason, ack_url: Some("https://b/ack/1?c=a&s=0"), ..fixture::delivery(&incident) };
            ack_url(&delivery).is_some()
        };
        assert!(link(Reason::Opened) && link(Reason::Escalated) && link(Reason::Fallback));
        assert!(!link(Reason::Resolved) && !link(Reason::Summary) && !link(Reason::Test));
    }
}
