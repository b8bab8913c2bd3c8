//! The section `dfars`: within which time incidents must be reported, and when somebody is reminded. Decides nothing.

use balefire_engine::ReportSettings;
use balefire_model::settings::Reader;

/// Reads the section; none where it is not there, and nobody is reminded.
pub(super) fn read_dfars(reader: &Reader<'_>) -> Option<ReportSettings> {
    let doc = "Reminders of reports under DFARS 252.204-7012(c): for incidents that involve controlled unclassified \
               information and are high or critical. Without it they are marked and nobody is reminded.";
    reader.section("dfars", doc, read_section).optional()
}

fn read_section(reader: &Reader<'_>) -> ReportSettings {
    let usual = ReportSettings::default();
    let doc = "How long after it was taken in an incident must be reported. Then `balefire.dfars_overdue` is a critical \
               incident; `balefire incidents reported ID` stops the clock.";
    let report_within = reader.duration("report_within", doc).default_shown(usual.report_within, "72h");
    let doc = "How long before the end of that time `balefire.dfars_due` is a high incident; 0s: never.";
    let remind_before = reader.duration("remind_before", doc).default_shown(usual.remind_before, "24h");
    if report_within.is_zero() || report_within > usual.report_within {
        let found = "the law gives 72 hours, and more than nothing is needed to act";
        reader.reject("report_within", found, "more than 0s, at most 72h");
    }
    // A default gives way to a shorter time; what was set by hand does not.
    if remind_before >= report_within && reader.node("remind_before").is_some() {
        reader.reject("remind_before", "it is not shorter than `report_within`", "less than `report_within`");
    }
    ReportSettings { report_within, remind_before }
}
