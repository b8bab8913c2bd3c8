//! What is said of runs: the section `runs`, and `collect` and `marks` of a channel. Decides nothing.

use balefire_channels::TakesRuns;
use balefire_engine::RunSettings;
use balefire_model::settings::Reader;

/// How a channel gets what belongs to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collecting {
    /// Together, when the run is over.
    pub(crate) collects: bool,
    /// With the marks of its begin and end.
    pub(crate) marks: bool,
}

/// What the settings of a channel say, before its kind is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Collect {
    collects: Option<bool>,
    marks: Option<bool>,
}

/// Reads what the section says of the records of runs.
pub(super) fn read_runs(reader: &Reader<'_>) -> RunSettings {
    let doc =
        "How long after its last record a run is over whose end nobody sends; what comes later is a part of its own.";
    let usual = RunSettings::default();
    let close_after = reader.duration("close_after", doc).default_shown(usual.close_after, "6h");
    if close_after.is_zero() {
        reader.reject("close_after", "found 0", "more than nothing");
    }
    RunSettings { close_after }
}

impl Collect {
    pub(super) fn read(reader: &Reader<'_>) -> Collect {
        let doc = "`run`: what belongs to a run comes together, when the run is over; everything else at once. If not set: \
                   `record`, but for files with `layout: cloudmarker`.";
        let collects = reader.one_of("collect", doc, &[("record", false), ("run", true)]).optional();
        let doc = "With `collect: run`: whether the marks of a run's begin and end are among its records. If not set: for \
                   programs and files they are, for people they are not.";
        Collect { collects, marks: reader.bool("marks", doc).optional() }
    }

    /// What holds for a channel that takes runs in this way.
    pub(super) fn resolve(self, reader: &Reader<'_>, takes: Option<TakesRuns>) -> Collecting {
        let Some(takes) = takes else {
            if self.collects == Some(true) {
                let what = "this kind takes records one by one";
                reader.reject(
                    "collect",
                    what,
                    "`record`; the kinds email, slack, exec, and file with a layout take runs",
                );
            }
            return Collecting::default();
        };
        let collects = self.collects.unwrap_or(takes.by_default);
        if takes.by_default && !collects {
            reader.reject("collect", "files with a layout are written when a run is over", "`run`");
        }
        if self.marks.is_some() && !collects {
            reader.reject("marks", "has a meaning only with `collect: run`", "");
        }
        Collecting { collects, marks: self.marks.unwrap_or(takes.marks) }
    }
}
