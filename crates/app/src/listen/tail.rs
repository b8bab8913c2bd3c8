//! placeholder
use crate::config::TailFrom;
use crate::reception::Reception;
use std::path::PathBuf;
use tokio::sync::watch;
pub(crate) async fn follow(
    _n: String,
    _p: PathBuf,
    _f: TailFrom,
    _k: Option<(String, u64)>,
    _r: Reception,
    _s: watch::Receiver<bool>,
) {
}
