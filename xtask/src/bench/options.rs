//! The parameters of a bench, all with a default, all printed with the result.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::time::Duration;

pub(super) const HELP: &str = "  --seconds N        how long to send (default 10)
  --connections N    at once (default 16)
  --batch N          incidents a request in accept-batch, and in deliver-webhook without --rate (default 100)
  --rate N           incidents a second offered: in deliver-webhook (without it: as fast as they are accepted), in
                     deliver-isolation (default 3000) and as criticals in deliver-critical (default 50)
  --incidents N      in the history, for memory (default 100000) and start (default 500000);
                     sent, for deliver-webhook without --rate (default 200000) and deliver-isolation
                     (default 50000); queued, for deliver-critical (default 100000) and deliver-backlog
                     (default 1000000);
                     records, for journal-append (default 1000000) and store-* (default 100000)
  --settings YAML    further settings of the channel in store-*, such as \"requests: 4, batch_documents: 4000\"
  --target ADDRESS   measure a server that runs already (accept-* only), instead of starting one
  --json             one JSON object a bench
";

/// See [`HELP`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    pub(super) duration: Duration,
    pub(super) connections: u32,
    pub(super) batch: u32,
    pub(super) rate: Option<f64>,
    pub(super) incidents: Option<u64>,
    pub(super) settings: Option<String>,
    pub(super) target: Option<SocketAddr>,
    pub(super) json: bool,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Options> {
        let mut options = Options {
            duration: Duration::from_secs(10),
            connections: 16,
            batch: 100,
            rate: None,
            incidents: None,
            settings: None,
            target: None,
            json: false,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = rest.next().with_context(|| format!("{name} needs a value; allowed:\n{HELP}"))?;
            let bad = || format!("{name} does not take {value:?}");
            match name.as_str() {
                "--seconds" => options.duration = Duration::from_secs(value.parse().with_context(bad)?),
                "--connections" => options.connections = value.parse().with_context(bad)?,
                "--batch" => options.batch = value.parse().with_context(bad)?,
                "--rate" => options.rate = Some(value.parse().with_context(bad)?),
                "--incidents" => options.incidents = Some(value.parse().with_context(bad)?),
                "--settings" => options.settings = Some(value.clone()),
                "--target" => options.target = Some(value.parse().with_context(bad)?),
                _ => bail!("no option {name}; allowed:\n{HELP}"),
            }
        }
        Ok(options)
    }

    /// [`Options::settings`] behind others in a YAML mapping.
    pub(super) fn further_settings(&self) -> String {
        self.settings.as_ref().map(|settings| format!(", {settings}")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options> {
        Options::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_what_is_wrong_is_named() {
        let options = parse("--seconds 3 --rate 5000 --json").unwrap();
        assert_eq!((options.duration, options.rate, options.json), (Duration::from_secs(3), Some(5000.0), true));
        assert_eq!(parse("--seconds x").unwrap_err().to_string(), "--seconds does not take \"x\"");
        assert!(parse("--fast 1").unwrap_err().to_string().starts_with("no option --fast; allowed:"));
        assert!(parse("--rate").is_err());
        assert_eq!(parse("--settings requests:4").unwrap().further_settings(), ", requests:4");
        assert_eq!(parse("").unwrap().further_settings(), "");
    }
}
