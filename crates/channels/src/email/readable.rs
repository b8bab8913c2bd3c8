//! A mail as its reader sees it: headers and parts decoded. Reads only what the file beside it writes: what is encoded in
//! another way stays as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The message with line feeds, its headers unfolded, every part as text.
pub(crate) fn readable(message: &[u8]) -> String {
    entity(&String::from_utf8_lossy(message).replace("\r\n", "\n"))
}

fn entity(text: &str) -> String {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let head = head.replace("\n ", " ").replace("\n\t", " ");
    let shown: Vec<String> = head.lines().map(words).collect();
    format!("{}\n\n{}", shown.join("\n"), content(&head, body))
}

fn content(head: &str, body: &str) -> String {
    let boundary = head.split_once("boundary=\"").and_then(|(_, rest)| rest.split('"').next());
    if let Some(boundary) = boundary {
        let between = format!("--{boundary}");
        let parts = body.split(between.as_str()).skip(1).take_while(|part| !part.starts_with("--"));
        let parts = parts.map(|part| format!("{between}\n{}\n", entity(part.trim_start_matches('\n')).trim_end()));
        return parts.collect::<String>() + &between + "--\n";
    }
    let encoding = head.lines().find_map(|line| line.strip_prefix("Content-Transfer-Encoding: "));
    let bytes = match encoding.map(str::trim) {
        Some("base64") => base64(body),
        Some("quoted-printable") => quoted_printable(&body.replace("=\n", ""), false),
        _ => None,
    };
    let text = bytes.map_or_else(|| body.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    text.replace("\r\n", "\n")
}

fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok()
}

/// RFC 2045, section 6.7, without soft line breaks; in encoded words `_` is a space (RFC 2047, section 4.2).
fn quoted_printable(text: &str, is_word: bool) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'=' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            b'_' if is_word => b' ',
            byte => byte,
        });
    }
    Some(bytes)
}

/// A header's line with its encoded words decoded (RFC 2047): white space between two of them is none.
fn words(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    let mut after_word = false;
    while let Some((before, found)) = rest.split_once("=?") {
        let decoded = word(found);
        if !(after_word && decoded.is_some() && before.trim().is_empty()) {
            shown.push_str(before);
        }
        after_word = decoded.is_some();
        if let Some((text, behind)) = decoded {
            shown.push_str(&text);
            rest = behind;
        } else {
            shown.push_str("=?");
            rest = found;
        }
    }
    shown + rest
}

/// The text of an encoded word without its `=?`, and what stands behind it.
fn word(text: &str) -> Option<(String, &str)> {
    let (_, text) = text.split_once('?')?;
    let (encoding, text) = text.split_once('?')?;
    let (encoded, behind) = text.split_once("?=")?;
    let bytes = match encoding {
        "B" | "b" => base64(encoded),
        "Q" | "q" => quoted_printable(encoded, true),
        _ => None,
    }?;
    Some((String::from_utf8_lossy(&bytes).into_owned(), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_parts_are_read_as_they_were_meant() {
        let mail = "Subject: =?utf-8?B?W0hJR0hdIGdyw7bDn2Vy?=\r\n =?utf-8?Q?_than_=C3=A4?= =? x\r\n\
            Content-Type: multipart/alternative;\r\n boundary=\"=_1\"\r\n\r\n--=_1\r\nContent-Type: text/plain\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nZ3LD\r\ntsOfZXI=\r\n--=_1\r\nContent-Type: text/html\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>gr=C3=B6=\r\n=C3=9Fer</p>\r\n--=_1--\r\n";
        assert_eq!(
            readable(mail.as_bytes()),
            "Subject: [HIGH] größer than ä =? x\nContent-Type: multipart/alternative; boundary=\"=_1\"\n\n--=_1\n\
             Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\ngrößer\n--=_1\nContent-Type: text/html\n\
             Content-Transfer-Encoding: quoted-printable\n\n<p>größer</p>\n--=_1--\n"
        );
    }

    #[test]
    fn what_is_not_encoded_stays_and_what_is_broken_is_shown() {
        let plain = "Subject: x\n\na=3D\n\nb\n";
        assert_eq!(readable(plain.as_bytes()), plain);
        let broken = "Content-Transfer-Encoding: base64\n\n!!\n";
        assert_eq!(readable(broken.as_bytes()), broken);
    }
}
