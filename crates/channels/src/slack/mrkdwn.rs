//! Text as Slack shows it. Slack reads `&`, `<` and `>` as its own syntax in every text: links, mentions of people, of
//! channels, of everybody (docs.slack.dev/messaging/formatting-message-text, "Escaping text"). Knows no message.

use crate::shown::bounded;
use balefire_model::text::{lines, one_line};
use std::borrow::Cow;

/// The text without syntax.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
}

/// One line of at most `limit` bytes, which are at least as many as its characters, that is only text.
pub(super) fn line(text: &str, limit: usize) -> Cow<'_, str> {
    bounded(text, limit, |text| escaped(one_line(text)))
}

/// Lines of at most `limit` bytes in all that are only text.
pub(super) fn paragraphs(text: &str, limit: usize) -> Cow<'_, str> {
    bounded(text.trim_end(), limit, |text| escaped(lines(text)))
}

fn escaped(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mentions_and_links_are_only_text() {
        assert_eq!(
            line("<!channel> & <@U1>\n<https://evil|ok>", 500),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;\\n&lt;https://evil|ok&gt;"
        );
        assert_eq!(paragraphs("a\r\n<!here>\n\n", 500), "a\n&lt;!here&gt;");
        assert!(matches!(escape("plain"), Cow::Borrowed("plain")));
    }

    proptest! {
        #[test]
        fn nothing_is_syntax_and_the_limit_holds(text: String, limit in 40usize..200) {
            let text = format!("{text}<&>").repeat(10);
            for shown in [line(&text, limit), paragraphs(&text, limit)] {
                prop_assert!(shown.len() <= limit && !shown.contains(['<', '>']));
                prop_assert!(shown.split('&').skip(1).all(|rest| ["amp;", "lt;", "gt;"].iter().any(|name| rest.starts_with(name))));
            }
        }
    }
}
