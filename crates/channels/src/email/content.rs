//! What a mail says: its subject and its parts, made by the user's templates or built in. Knows neither headers nor how
//! parts are encoded.

use super::html;
use super::message::native_text;
use crate::dialect::{self, Dialect};
use crate::mark;
use crate::shown::line;
use crate::template::{Form, Template, TemplateError, made};
use balefire_model::Delivery;
use balefire_model::settings::Reader;

/// As much as a template may make of a subject before it is cut to its place.
const SUBJECT_BYTES_MAX: usize = 8 * 1024;
/// As much of a part: encoded it takes three times as much, and both parts keep the limit of a mail.
const PART_BYTES_MAX: usize = 128 * 1024;

/// What a mail says.
pub(super) struct Content {
    pub(super) subject: String,
    pub(super) text: String,
    /// The alternative for programs that show HTML.
    pub(super) page: Option<String>,
    /// Records for which there is no room in the text, as JSON.
    pub(super) attachment: Option<Vec<u8>>,
}

/// Where the texts come from.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) dialect: Dialect,
    pub(super) subject: Option<Template>,
    pub(super) text: Option<Template>,
    pub(super) page: Option<Template>,
}

impl Texts {
    pub(super) fn read(reader: &Reader<'_>) -> Texts {
        let dialect = reader
            .one_of("dialect", "The texts: our own as text and HTML, or one of the two of BT-08.", dialect::WORDS)
            .default_shown(Dialect::Native, "native");
        let doc = "The subject as a template in Jinja syntax; docs/templates.md has the names that it knows.";
        let subject = Template::read(reader, "subject_template", doc, Form::Line, SUBJECT_BYTES_MAX);
        let doc = "The text part as a template. Without `html_template` the mail has no other part then.";
        let text = Template::read(reader, "text_template", doc, Form::Lines, PART_BYTES_MAX);
        let doc = "The HTML part as a template, beside the text part; values are escaped by themselves.";
        let page = Template::read(reader, "html_template", doc, Form::Page, PART_BYTES_MAX);
        Texts { dialect, subject, text, page }
    }

    pub(super) fn has_template(&self) -> bool {
        self.subject.is_some() || self.text.is_some() || self.page.is_some()
    }

    /// One template that fails takes the others of the mail with it: the note must stand in what is read.
    pub(super) fn content(&self, delivery: &Delivery<'_>) -> Content {
        if !self.has_template() {
            return self.built_in(delivery, None);
        }
        made(delivery, || self.templated(delivery)).unwrap_or_else(|note| self.built_in(delivery, Some(&note)))
    }

    /// What a mail about a run says, under the subject of the user's. The other templates are for one incident.
    pub(super) fn with_subject(&self, content: Content, delivery: &Delivery<'_>) -> Content {
        let Some(template) = &self.subject else { return content };
        match made(delivery, || template.render_marked(delivery, SUBJECT_BYTES_MAX)) {
            Ok(subject) => Content { subject: line(&subject, dialect::TITLE_BYTES_MAX).into_owned(), ..content },
            Err(note) => Content { text: format!("{note}\n\n{}", content.text), ..content },
        }
    }

    fn built_in(&self, delivery: &Delivery<'_>, note: Option<&str>) -> Content {
        let is_native = self.dialect == Dialect::Native;
        let mut sentences = mark::sentences(delivery, note);
        // The bodies of BT-08 have a notice of their own.
        sentences.extend(mark::scan_sentence(delivery.incident).filter(|_| is_native));
        let mut told = sentences.clone();
        told.extend(mark::ack_url(delivery).map(|url| format!("Acknowledge: {url}")));
        Content {
            subject: mark::mark(delivery) + &dialect::mail_subject(self.dialect, delivery.incident),
            text: if is_native {
                native_text(delivery.incident, &told)
            } else {
                dialect::mail_body(self.dialect, delivery.incident, &sentences)
            },
            page: is_native.then(|| html::page(delivery, &sentences)),
            attachment: None,
        }
    }

    fn templated(&self, delivery: &Delivery<'_>) -> Result<Content, TemplateError> {
        let mut content = self.built_in(delivery, None);
        if let Some(template) = &self.subject {
            let subject = template.render_marked(delivery, SUBJECT_BYTES_MAX)?;
            content.subject = line(&subject, dialect::TITLE_BYTES_MAX).into_owned();
        }
        if let Some(template) = &self.text {
            content.text = template.render_filled(delivery, PART_BYTES_MAX)?;
            content.page = None;
        }
        if let Some(template) = &self.page {
            content.page = Some(template.render_filled(delivery, PART_BYTES_MAX)?);
        }
        Ok(content)
    }
}
