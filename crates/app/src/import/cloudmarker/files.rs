//! The arguments of `FileStore` become the settings of a channel of the kind `file` that writes the same files. Knows the
//! user's home only as a text.

use super::params::Params;
use crate::import::Out;

/// Where its files go if nothing is said.
const DEFAULT_PATH: &str = "/tmp/cloudmarker";

/// The channel's settings; `home` takes the place of `~`.
pub(super) fn file(params: &mut Params<'_>, home: Option<&str>) -> Out {
    let path = match (params.text("path"), home) {
        (None, _) => DEFAULT_PATH.to_owned(),
        (Some(path), Some(home)) if path == "~" || path.starts_with("~/") => {
            params.changed("path", "path", "with your home directory for `~`");
            format!("{home}{}", &path[1..])
        }
        (Some(path), _) if path.starts_with('~') => {
            params.changed("path", "path", "`~` means nothing here: write the whole path");
            path.to_owned()
        }
        (Some(path), _) => {
            params.mapped("path", "path");
            path.to_owned()
        }
    };
    Out::map([("layout", Out::text("cloudmarker")), ("path", Out::text(path))])
}
