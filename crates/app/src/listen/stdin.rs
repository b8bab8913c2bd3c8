//! Standard input as a source: JSON lines until it ends.

use super::lines::Lines;
use crate::reception::Reception;

/// What came over standard input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub accepted: u64,
    pub refused: u64,
}

/// Reads standard input to its end. A line that is refused is told in the log, and the others go on.
pub(crate) async fn read(reception: &Reception) -> std::io::Result<Read> {
    let mut stdin = tokio::io::stdin();
    let mut lines = Lines::new(reception, "stdin");
    let mut read = Read::default();
    while let Some(answers) = lines.next(&mut stdin).await? {
        for answer in answers {
            match answer.refusal() {
                None => read.accepted += 1,
                Some(why) => {
                    read.refused += 1;
                    tracing::error!(input = "stdin", why, "line refused");
                }
            }
        }
    }
    Ok(read)
}
