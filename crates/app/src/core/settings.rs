//! The configuration as the engine wants it.

use crate::config::Config;
use balefire_engine::{ChannelPolicy, Rate, Retry, Settings};

/// The largest body where no HTTP listener says otherwise: the socket takes bodies, too.
const BODY_BYTES_MAX: u64 = 16 << 20;

impl Config {
    /// The largest body that is taken.
    pub(crate) fn body_bytes_max(&self) -> u64 {
        self.http.as_ref().map_or(BODY_BYTES_MAX, |http| http.body_bytes_max)
    }

    /// What the engine needs to know.
    pub(crate) fn public_url(&self) -> Option<String> {
        self.http.as_ref().and_then(|http| http.public_url.clone())
    }

    pub(crate) fn engine_settings(&self) -> Settings {
        let policy = |channel: &crate::config::ConfiguredChannel| ChannelPolicy {
            name: channel.name.clone(),
            kind: channel.kind.key.to_owned(),
            in_flight: channel.channel.limits().in_flight,
            retry: Retry { initial: channel.retry.initial, cap: channel.retry.cap, horizon: channel.retry.horizon },
            fallback: channel.fallback.clone(),
            follows_up: channel.follows_up,
            hears_acks: channel.follows_up && channel.channel.hears_acks(),
            storm: channel.storm,
            stale: channel.stale,
            digest: channel.digest.clone(),
            collects: channel.collecting.collects,
            marks: channel.collecting.marks,
            repeats: channel.repeats,
            has_template: channel.channel.limits().has_template,
            rates: channel.rates.iter().map(|rate| Rate { count: rate.count, per: rate.per }).collect(),
        };
        Settings {
            routing: self.routing.clone(),
            channels: self.channels.iter().map(|channel| (channel.name.clone(), policy(channel))).collect(),
            digest: self.digest.clone(),
            runs: self.runs,
            reports: self.reports,
            dedup: self.dedup,
        }
    }
}
