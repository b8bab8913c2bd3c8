//! How fast the journal appends beside a plain loop of write and fdatasync with the same bytes. The store's example
//! measures, in one process; this reads what it prints.

use super::options::Options;
use super::report::Report;
use crate::workspace::{Workspace, started};
use anyhow::{Context, Result, ensure};
use std::fs;

/// Records of 900 bytes in batches of 256, as the example's constants say.
pub(super) fn append(options: &Options) -> Result<Report> {
    let records = options.incidents.unwrap_or(1_000_000).to_string();
    let workspace = Workspace::load(&std::env::current_dir().context("no current directory")?)?;
    let directory = workspace.target.join(format!("bench-{}", std::process::id()));
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let output = started("cargo")
        .args(["run", "--quiet", "--release", "--package", "balefire-store", "--example", "journal_bench", "--"])
        .arg(&directory)
        .arg(&records)
        .output();
    fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    let output = output.context("cannot run cargo")?;
    ensure!(output.status.success(), "journal_bench failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    read(&String::from_utf8_lossy(&output.stdout), records)
}

fn read(said: &str, records: String) -> Result<Report> {
    let rate = |name: &str| {
        let line =
            said.lines().find(|line| line.starts_with(name)).with_context(|| format!("no {name:?} in {said:?}"))?;
        let number = line.split(", ").nth(1).and_then(|text| text.split(' ').next());
        number.and_then(|text| text.parse::<f64>().ok()).with_context(|| format!("no rate in {line:?}"))
    };
    let (plain, append) = (rate("plain")?, rate("append:")?);
    Ok(Report::new()
        .number("appended", append, "records/s")
        .number("plain loop", plain, "records/s")
        .number("times as long", plain / append, "times")
        .parameter("records", records)
        .parameter("record_bytes", 900)
        .parameter("records_per_batch", 256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_are_read_from_what_the_example_prints() {
        let said = "10 records of 900 bytes\nplain write and fdatasync: 1.000 s, 741548 records/s, 1.35 us each\n\
                    append: 2.000 s, 370774 records/s, 2.70 us each\nappend takes 2.00 times as long as the plain loop\n";
        let json = read(said, "10".to_owned()).unwrap().json("journal-append");
        assert_eq!(json["numbers"]["appended_records_per_s"], 370_774.0);
        assert_eq!(json["numbers"]["times_as_long_times"], 2.0);
        assert!(read("nothing", "10".to_owned()).is_err());
    }
}
