//! The HTML part of our own mail: one column that mail programs of every age show, in light and in dark, without images
//! or style sheets, and with no link but ours. Everything that comes from an incident is escaped.

use super::message::{description, facts, labels};
use crate::dialect::TITLE_BYTES_MAX;
use crate::mark;
use crate::shown::line;
use balefire_model::{Delivery, Incident, Reason, Severity};
use std::fmt::Write;

/// The page; the sentences stand below the title.
pub(super) fn page(delivery: &Delivery<'_>, sentences: &[String]) -> String {
    let incident = delivery.incident;
    let title = escape(&line(&incident.title, TITLE_BYTES_MAX));
    let is_over = delivery.reason == Reason::Resolved;
    let (bar, ink) = if is_over { OVER } else { colours(incident.severity) };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"supported-color-schemes\" content=\"light dark\">\
         <title>{title}</title></head>\n\
         <body style=\"margin:0;padding:16px;font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;\
         font-size:15px;line-height:1.5\">\n\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"max-width:640px;\
         margin:0 auto;border:1px solid #8a8a8a;border-radius:8px;border-collapse:separate;overflow:hidden\">\n\
         <tr><td style=\"background:{bar};color:{ink};padding:8px 20px;font-size:13px;font-weight:700;\
         letter-spacing:.06em\">{}{}{}</td></tr>\n\
         <tr><td style=\"padding:20px 20px 4px\"><h1 style=\"margin:0;font-size:20px;line-height:1.3;\
         overflow-wrap:anywhere\">{title}</h1></td></tr>\n",
        if is_over { "RESOLVED &middot; " } else { "" },
        incident.severity.as_upper_str(),
        if incident.cui_involved { " &middot; CUI INVOLVED" } else { "" },
    );
    if !sentences.is_empty() {
        let sentences: Vec<String> = sentences.iter().map(|sentence| escape(sentence)).collect();
        write(&mut page, "<tr><td style=\"padding:8px 20px;font-weight:700;overflow-wrap:anywhere\">");
        write(&mut page, &sentences.join("<br>\n"));
        write(&mut page, "</td></tr>\n");
    }
    if let Some(url) = mark::ack_url(delivery) {
        write(
            &mut page,
            &format!(
                "<tr><td style=\"padding:8px 20px\"><a href=\"{}\" style=\"display:inline-block;padding:8px 20px;\
                 border:1px solid #8a8a8a;border-radius:6px;font-weight:700\">Acknowledge</a></td></tr>\n",
                escape(url)
            ),
        );
    }
    let description = description(incident);
    if !description.is_empty() {
        write(&mut page, "<tr><td style=\"padding:8px 20px;white-space:pre-wrap;overflow-wrap:anywhere\">");
        write(&mut page, &escape(&description));
        write(&mut page, "</td></tr>\n");
    }
    write(&mut page, "<tr><td style=\"padding:12px 20px\">\n");
    write_table(&mut page, &facts(incident));
    write(&mut page, "</td></tr>\n");
    write_labels(&mut page, incident);
    write(&mut page, "</table>\n</body></html>\n");
    page
}

fn write_labels(page: &mut String, incident: &Incident) {
    let (mut shown, hidden) = labels(incident);
    if shown.is_empty() {
        return;
    }
    if hidden > 0 {
        shown.push(("…".to_owned(), format!("[cut: {hidden} more labels]")));
    }
    write(
        page,
        "<tr><td style=\"padding:4px 20px 16px\"><div style=\"font-weight:700;padding-bottom:4px\">Labels</div>\n",
    );
    write_table(page, &shown);
    write(page, "</td></tr>\n");
}

fn write_table(page: &mut String, rows: &[(String, String)]) {
    write(page, "<table cellpadding=\"0\" cellspacing=\"0\" style=\"font-size:14px\">\n");
    for (name, value) in rows {
        let (name, value) = (escape(name), escape(value));
        writeln!(
            page,
            "<tr><th scope=\"row\" align=\"left\" valign=\"top\" style=\"padding:2px 16px 2px 0;font-weight:400;\
             opacity:.7\">{name}</th><td style=\"padding:2px 0;overflow-wrap:anywhere\">{value}</td></tr>"
        )
        .expect("a String takes everything");
    }
    write(page, "</table>\n");
}

fn write(page: &mut String, text: &str) {
    page.push_str(text);
}

/// The bar of an incident that is over.
const OVER: (&str, &str) = ("#1b6e3c", "#ffffff");

/// The bar's colour and the text on it; each pair has a contrast of at least 4.5 to 1 (WCAG 2.2, 1.4.3).
fn colours(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::Critical => ("#8e1010", "#ffffff"),
        Severity::High => ("#c62828", "#ffffff"),
        Severity::Medium => ("#f5b301", "#1f1600"),
        Severity::Low => ("#1565c0", "#ffffff"),
        Severity::Info => ("#546e7a", "#ffffff"),
    }
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use proptest::prelude::*;

    #[test]
    fn the_page_shows_what_the_text_shows() {
        let page = page(&fixture::delivery(&fixture::incident()), &[]);
        for part in
            ["Audit log stopped on web-1", "CRITICAL &middot; CUI INVOLVED", "Check auditd.", "3.3.4, 3.3.1", "web-1"]
        {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
    }

    proptest! {
        #[test]
        fn text_from_an_incident_makes_no_markup(text in "[<>&\"'a/!-]{0,40}") {
            let tags = |text: &str| {
                let mut incident = fixture::incident();
                incident.title = text.into();
                incident.description = text.to_owned() + ".";
                incident.detected_by = text.into();
                incident.labels.insert("x".into(), text.into());
                page(&fixture::delivery(&incident), std::slice::from_ref(&incident.title)).matches(['<', '>', '"', '\'']).count()
            };
            prop_assert_eq!(tags(&text), tags("harmless"));
        }
    }
}
