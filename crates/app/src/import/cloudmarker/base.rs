//! What Cloudmarker has without any file: its search path, and the names that its own configuration defines. Facts only.

/// Where it looks where no file is named, in this order; all that are there count, the later over the earlier.
pub(crate) const SEARCH_PATH: [&str; 4] =
    ["/etc/cloudmarker.yaml", "~/.cloudmarker.yaml", "~/cloudmarker.yaml", "cloudmarker.yaml"];

/// The name of the configuration below in places.
pub(super) const NAME: &str = "Cloudmarker's own configuration";

/// What the files are laid over: the plugins that can be named without being defined, and the audit that runs where no
/// file says otherwise. The events that came after release 0.1.0 are in it, too.
pub(crate) const TEXT: &str = "\
plugins:
  mockcloud: {plugin: cloudmarker.clouds.mockcloud.MockCloud}
  filestore: {plugin: cloudmarker.stores.filestore.FileStore}
  esstore: {plugin: cloudmarker.stores.esstore.EsStore}
  mongodbstore: {plugin: cloudmarker.stores.mongodbstore.MongoDBStore}
  mockevent: {plugin: cloudmarker.events.mockevent.MockEvent}
audits:
  mockaudit: {clouds: [mockcloud], stores: [filestore], events: [mockevent], alerts: [filestore]}
run: [mockaudit]
schedule: \"00:00\"
";

/// When the audits run where no file says otherwise.
pub(super) const DEFAULT_TIME: &str = "00:00";

/// Whether a plugin that no file defines comes with Cloudmarker: a cloud or an event, which stays there.
pub(super) fn is_own_event_or_cloud(key: &str) -> bool {
    key.ends_with("event") || key.ends_with("cloud")
}
