//! Every bound of decoding in one place. What is over a bound is refused with what was found and what is allowed;
//! nothing is cut.

/// Bounds on what one body may hold. Sizes are bytes: of JSON text for items, of decoded text for fields. The size of
/// the whole body is the transport's to bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one item's JSON.
    pub item_bytes_max: usize,
    /// Items in one body.
    pub items_max: usize,
    /// Levels of objects and lists in one item; the item itself is the first.
    pub depth_max: usize,
    /// Bytes of `title`.
    pub title_bytes_max: usize,
    /// Bytes of `description`.
    pub description_bytes_max: usize,
    /// Bytes each of `severity`, `detected_by`, `incident_id`, `fingerprint` and one of `nist_controls`.
    pub name_bytes_max: usize,
    /// Entries of `nist_controls`.
    pub nist_controls_max: usize,
    /// Entries of `events`.
    pub events_max: usize,
    /// Entries of `labels`.
    pub labels_max: usize,
    /// Bytes of one label's key.
    pub label_key_bytes_max: usize,
    /// Bytes of one label's value.
    pub label_value_bytes_max: usize,
    /// Fields beside ours.
    pub extra_fields_max: usize,
    /// Bytes of the name of such a field.
    pub extra_key_bytes_max: usize,
    /// Faults told about one item; the others are only counted, so that an answer cannot outgrow its question.
    pub errors_per_item_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            item_bytes_max: 1024 * 1024,
            items_max: 10_000,
            depth_max: 64,
            title_bytes_max: 64 * 1024,
            description_bytes_max: 256 * 1024,
            name_bytes_max: 256,
            nist_controls_max: 256,
            events_max: 1_000,
            labels_max: 256,
            label_key_bytes_max: 128,
            label_value_bytes_max: 4 * 1024,
            extra_fields_max: 1_000,
            extra_key_bytes_max: 1024,
            errors_per_item_max: 16,
        }
    }
}
