//! What a bench prints: the numbers, the parameters that belong to them, the machine, and what others do.

use super::latency::Latencies;
use serde_json::{Map, Value, json};
use std::fs;
use std::process::Command;

/// The result of one bench.
pub(super) struct Report {
    parameters: Vec<(&'static str, String)>,
    numbers: Vec<(&'static str, f64, &'static str)>,
    comparison: Option<&'static str>,
}

impl Report {
    pub(super) fn new() -> Report {
        Report { parameters: Vec::new(), numbers: Vec::new(), comparison: None }
    }

    pub(super) fn parameter(mut self, name: &'static str, value: impl ToString) -> Report {
        self.parameters.push((name, value.to_string()));
        self
    }

    /// A number and its unit.
    pub(super) fn number(mut self, name: &'static str, value: f64, unit: &'static str) -> Report {
        self.numbers.push((name, value, unit));
        self
    }

    pub(super) fn latencies(self, latencies: &Latencies) -> Report {
        self.number("p50", latencies.percentile_ms(0.5), "ms")
            .number("p90", latencies.percentile_ms(0.9), "ms")
            .number("p99", latencies.percentile_ms(0.99), "ms")
            .number("max", latencies.max_ms(), "ms")
    }

    /// What others do on such a machine.
    pub(super) fn comparison(mut self, text: &'static str) -> Report {
        self.comparison = Some(text);
        self
    }

    /// For people.
    pub(super) fn text(&self, name: &str) -> String {
        let mut text = format!("{name}\n");
        for (name, value, unit) in &self.numbers {
            let digits = if *value >= 1000.0 { 0 } else { 2 };
            text.push_str(&format!("  {name:<22} {value:>12.digits$} {unit}\n"));
        }
        let parameters: Vec<String> = self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("  with {}\n", parameters.join(" ")));
        let machine: Vec<String> = machine().iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("  on   {}\n", machine.join(" ")));
        if let Some(comparison) = self.comparison {
            text.push_str(&format!("  cf.  {comparison}\n"));
        }
        text
    }

    /// For programs: names end in their unit.
    pub(super) fn json(&self, name: &str) -> Value {
        let unit_name = |unit: &str| unit.replace("/s", "_per_s").replace(' ', "_");
        let numbers: Map<String, Value> = self
            .numbers
            .iter()
            .map(|(name, value, unit)| (format!("{}_{}", name.replace(' ', "_"), unit_name(unit)), json!(value)))
            .collect();
        let strings = |pairs: &[(&str, String)]| -> Map<String, Value> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
        };
        json!({
            "bench": name,
            "numbers": numbers,
            "parameters": strings(&self.parameters),
            "machine": strings(&machine()),
            "comparison": self.comparison,
        })
    }
}

/// Where and on which sources it was measured; "unknown" where the system does not say.
fn machine() -> [(&'static str, String); 3] {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or_else(|_| unknown(), |cores| cores.to_string());
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let describe = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = describe.ok().filter(|output| output.status.success());
    let commit = commit.map_or_else(unknown, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    [("commit", commit), ("cores", cores), ("kernel", kernel)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_carries_numbers_with_units_and_their_parameters() {
        let report = Report::new().parameter("connections", 16).number("rate", 20_123.4, "incidents/s");
        let text = report.text("accept-single");
        assert!(text.contains("20123 incidents/s"), "{text}");
        assert!(text.contains("with connections=16"), "{text}");
        let json = report.json("accept-single");
        assert_eq!(json["numbers"]["rate_incidents_per_s"], 20_123.4);
        assert_eq!(json["parameters"]["connections"], "16");
    }
}
