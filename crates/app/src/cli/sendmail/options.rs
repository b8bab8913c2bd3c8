//! The command line of sendmail(8), as the programs of a machine write it. Opens nothing.

use std::path::PathBuf;

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// `-t`: the recipients stand in the mail.
    pub(super) from_head: bool,
    /// `-i`, `-oi`: a line with a dot alone does not end the mail.
    pub(super) ignore_dots: bool,
    /// `-f`, `-r`: the sender's address.
    pub(super) from: Option<String>,
    /// `-F`: the sender's name.
    pub(super) name: Option<String>,
    /// `-s`: the subject, as for mail(1), which smartd believes to call. Then all that comes is text.
    pub(super) subject: Option<String>,
    /// Recipients.
    pub(super) recipients: Vec<String>,
    /// `--spool`
    pub(super) spool: Option<PathBuf>,
    /// `--socket`
    pub(super) socket: Option<PathBuf>,
    /// `--config`
    pub(super) config: Option<PathBuf>,
    /// `--data`
    pub(super) data: Option<PathBuf>,
    /// What was not understood and passed over: an option too many must cost no alert.
    pub(super) passed_over: Vec<String>,
}

/// What cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UsageError {
    #[error(
        "-b{mode} ({meaning}) is not what this sendmail does; allowed: a mail on standard input, with -t or recipients"
    )]
    Mode { mode: String, meaning: &'static str },
    #[error(
        "-q (run the queue) has nothing to do here: the server takes in what waits; allowed: a mail on standard input"
    )]
    Queue,
    #[error("option {option} needs a value")]
    Value { option: String },
    #[error(
        "found {found}; allowed: --spool DIR, --socket PATH, --config FILE, --data DIR and the options of sendmail(8)"
    )]
    Long { found: String },
    #[error("no recipients; allowed: -t, or recipients as arguments")]
    Recipients,
}

/// The letters with a value, attached or as the next argument: those of sendmail and Postfix.
const WITH_VALUE: &str = "ABCFLNORVXfhoprs";
/// The letters whose value is attached, if there is any.
const WITH_ATTACHED: &str = "bdeq";
/// The letters without a value.
const ALONE: &str = "GIUcimntvx";

/// Reads the arguments behind the program's name.
pub(super) fn parse(arguments: &[String]) -> Result<Options, UsageError> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            options.recipients.extend(rest.by_ref().cloned());
        } else if let Some(long) = argument.strip_prefix("--") {
            options.take_long(long, &mut rest)?;
        } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            options.take_letters(letters, &mut rest)?;
        } else {
            options.recipients.push(argument.clone());
        }
    }
    if !options.from_head && options.recipients.is_empty() {
        return Err(UsageError::Recipients);
    }
    Ok(options)
}

impl Options {
    fn take_long(&mut self, long: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), UsageError> {
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let place = match name {
            "spool" => &mut self.spool,
            "socket" => &mut self.socket,
            "config" => &mut self.config,
            "data" => &mut self.data,
            _ => return Err(UsageError::Long { found: format!("--{}", balefire_model::text::one_line(name)) }),
        };
        let value = attached.or_else(|| rest.next().cloned()).filter(|value| !value.is_empty());
        *place = Some(PathBuf::from(value.ok_or_else(|| UsageError::Value { option: format!("--{name}") })?));
        Ok(())
    }

    /// Letters behind one dash: several without a value may stand together.
    fn take_letters(&mut self, letters: &str, rest: &mut std::slice::Iter<'_, String>) -> Result<(), UsageError> {
        for (at, letter) in letters.char_indices() {
            let attached = &letters[at + letter.len_utf8()..];
            if WITH_VALUE.contains(letter) {
                let value = if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_owned()) };
                let value = value.ok_or_else(|| UsageError::Value { option: format!("-{letter}") })?;
                self.take_value(letter, value);
                return Ok(());
            }
            if WITH_ATTACHED.contains(letter) {
                return mode(letter, attached);
            }
            match letter {
                't' => self.from_head = true,
                'i' => self.ignore_dots = true,
                letter if ALONE.contains(letter) => {}
                _ => {
                    self.passed_over.push(format!("-{letters}"));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn take_value(&mut self, letter: char, value: String) {
        match letter {
            'f' | 'r' => self.from = Some(value).filter(|from| !from.is_empty()),
            's' => self.subject = Some(value),
            'F' => self.name = Some(value).filter(|name| !name.is_empty()),
            'o' if value == "i" => self.ignore_dots = true,
            // Bodies are taken as they are; who is told of what is the routes' to say.
            _ => {}
        }
    }
}

/// What `-b`, `-q` and the like ask for: only mail on standard input is ours.
fn mode(letter: char, attached: &str) -> Result<(), UsageError> {
    let meaning = match (letter, attached) {
        ('q', _) => return Err(UsageError::Queue),
        ('b', "m") | ('d' | 'e', _) => return Ok(()),
        ('b', "s") => "an SMTP session on standard input",
        ('b', "d" | "D" | "l") => "a daemon",
        ('b', "p" | "P") => "a list of the queue",
        ('b', "i" | "I") => "a database of aliases",
        ('b', "v") => "to verify addresses",
        ('b', "t") => "to test addresses",
        _ => "a mode that is not known",
    };
    Err(UsageError::Mode { mode: balefire_model::text::one_line(attached).into_owned(), meaning })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, UsageError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn good(line: &str) -> Options {
        parsed(line).unwrap()
    }

    #[test]
    fn what_programs_write_is_understood() {
        // auditd, Debian's cron, smartd's script, mdadm, logwatch, bsd-mailx, sudo.
        let head = Options { from_head: true, ..Options::default() };
        assert_eq!(good("-t"), head);
        assert_eq!(good("-t -froot"), Options { from: Some("root".into()), ..head.clone() });
        let cron = good("-FCronDaemon -i -B8BITMIME -oem root");
        assert_eq!(
            (cron.name.as_deref(), cron.ignore_dots, &cron.recipients[..]),
            (Some("CronDaemon"), true, &["root".to_owned()][..])
        );
        assert_eq!(good("-oi -t"), Options { ignore_dots: true, ..head.clone() });
        assert_eq!(
            good("-ti -f a@b -F Name -B 8BITMIME -N never -V id -R hdrs"),
            Options { ignore_dots: true, from: Some("a@b".into()), name: Some("Name".into()), ..head.clone() }
        );
        assert_eq!(good("-bm -em -v -odb -r x -- -odd@name b").recipients, ["-odd@name", "b"]);
        assert_eq!(good("-t").passed_over, [""; 0]);
        let smartd = good("-s SMART root");
        assert_eq!((smartd.subject.as_deref(), &smartd.recipients[..]), (Some("SMART"), &["root".to_owned()][..]));
    }

    #[test]
    fn where_things_are_can_be_said() {
        let options = good("root --spool /a --socket=/b --config c --data=d");
        let paths = [options.spool, options.socket, options.config, options.data];
        assert_eq!(paths.map(|path| path.unwrap().display().to_string()), ["/a", "/b", "c", "d"]);
    }

    #[test]
    fn what_is_no_mail_on_standard_input_is_refused_with_words() {
        for (line, words) in [
            ("-bs", "SMTP session"),
            ("-bd", "daemon"),
            ("-bp", "list of the queue"),
            ("-bi", "aliases"),
            ("-bz x", "not known"),
            ("-q", "queue"),
            ("-q15m", "queue"),
            ("", "no recipients"),
            ("-i", "no recipients"),
            ("-t -f", "-f needs a value"),
            ("--frob x", "found --frob"),
            ("root --spool", "--spool needs a value"),
            ("root --spool=", "--spool needs a value"),
        ] {
            let error = parsed(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn an_option_that_nobody_knows_costs_no_alert() {
        let options = good("-t -Z9 -tQ");
        assert!(options.from_head);
        assert_eq!(options.passed_over, ["-Z9", "-tQ"]);
    }
}
