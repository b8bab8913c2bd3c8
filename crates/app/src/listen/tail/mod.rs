//! A file that grows as a source: each line is taken exactly once, over rotation, truncation and restarts, because how
//! far it was read becomes durable together with what was in it. Decides nothing about lines, and never writes.

use crate::config::TailFrom;
use crate::reception::{Declined, ItemResult, OnError, Receipt, Reception};
use balefire_intake::formats::json::Shape;
use balefire_model::record::InputRead;
use balefire_model::text::one_line;
use bytes::Bytes;
use decide::{AtPath, Position, Rotated};
use files::{Found, Held, Looked};
use identity::Identity;
use parcel::{Parcel, Parcels};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

mod decide;
mod files;
mod identity;
mod parcel;
#[cfg(test)]
mod tests;

/// How often a file is looked at that does not grow. Looking works on every file system; notifications do not.
const ROUND_TIME: Duration = Duration::from_millis(100);

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// The longest wait between two tries of lines that were declined for now.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Follows the file at `path` until `stop` is true. `known` is how far the journal says that the input is read: file and
/// offset. The input's name is the source of its incidents.
///
/// Safe to cancel at any time: what was not durable is read again the next time.
#[expect(clippy::too_many_arguments, reason = "what the configuration, the journal and the run loop each know")]
pub(crate) async fn follow(
    name: String,
    path: PathBuf,
    from: TailFrom,
    known: Option<(String, u64)>,
    reception: Reception,
    stop: watch::Receiver<bool>,
) {
    let bytes_max = reception.limits.item_bytes_max;
    let take = move |handed: Handed| {
        let reception = reception.clone();
        async move { take(&reception, handed).await }
    };
    Follower::new(Tail { name, path, from, known, bytes_max }, take, stop).run().await;
}

/// What is to become durable as one.
#[derive(Clone, Debug)]
struct Handed {
    /// JSON lines; may be none.
    body: Bytes,
    /// Lines that were left out because of their length.
    too_long: usize,
    read: InputRead,
}

async fn take(reception: &Reception, handed: Handed) -> Result<Receipt, Declined> {
    let Handed { body, too_long, read } = handed;
    let source = read.input.clone();
    let receipt = if body.is_empty() {
        reception.note_read(read).await.map(|()| Receipt::default())?
    } else {
        let parcel = crate::reception::Parcel {
            body: &body,
            shape: Shape::Ndjson,
            format: reception.format_of_input(&source),
            source: &source,
            on_error: OnError::Keep,
            idempotency: None,
            read: Some(read),
        };
        reception.take(parcel).await?
    };
    reception.metrics.refused("too_long", too_long);
    Ok(receipt)
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// There may be more at once.
    More,
    Idle,
    Stopped,
}

/// Why a round ended early.
enum Halt {
    Stopped,
    Trouble(String),
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Halt {
        Halt::Trouble(error.to_string())
    }
}

struct Follower<T> {
    name: String,
    path: Arc<PathBuf>,
    from: TailFrom,
    bytes_max: usize,
    /// What is durable.
    position: Option<Position>,
    /// The file that is open; found again from the position after any trouble.
    held: Option<Held>,
    rotated: Rotated,
    buffer: Vec<u8>,
    /// What was last complained of, so that each trouble is told once.
    trouble: Option<String>,
    take: T,
    stop: watch::Receiver<bool>,
}

/// What the configuration and the journal say about the input.
struct Tail {
    name: String,
    path: PathBuf,
    from: TailFrom,
    known: Option<(String, u64)>,
    bytes_max: usize,
}

impl<T, F> Follower<T>
where
    T: Fn(Handed) -> F,
    F: Future<Output = Result<Receipt, Declined>>,
{
    fn new(tail: Tail, take: T, stop: watch::Receiver<bool>) -> Follower<T> {
        let Tail { name, path, from, known, bytes_max } = tail;
        let position = known.and_then(|(file, offset)| {
            let file = Identity::parse(&file);
            if file.is_none() {
                tracing::error!(input = name, "the journal's position is not readable; reading from the beginning");
            }
            file.map(|file| Position { file, offset })
        });
        let path = Arc::new(path);
        let (held, rotated, buffer, trouble) = (None, Rotated::default(), vec![0; CHUNK_BYTES], None);
        Follower { name, path, from, bytes_max, position, held, rotated, buffer, trouble, take, stop }
    }

    async fn run(mut self) {
        let mut rounds = tokio::time::interval(ROUND_TIME);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = rounds.tick() => {}
                _ = self.stop.wait_for(|stop| *stop) => return,
            }
            loop {
                match self.round().await {
                    Progress::More if *self.stop.borrow() => return,
                    Progress::More => {}
                    Progress::Idle => break,
                    Progress::Stopped => return,
                }
            }
        }
    }

    /// One look at the file, and what follows from it.
    async fn round(&mut self) -> Progress {
        let outcome = match self.held.take() {
            None => self.find().await,
            Some(held) => self.go_on(held).await,
        };
        match outcome {
            Ok(progress) => progress,
            Err(Halt::Stopped) => Progress::Stopped,
            Err(Halt::Trouble(why)) => {
                self.complain(why);
                Progress::Idle
            }
        }
    }

    async fn find(&mut self) -> Result<Progress, Halt> {
        let (path, position, from, bytes_max) = (self.path.clone(), self.position.clone(), self.from, self.bytes_max);
        let found = blocking(move || files::find(&path, position.as_ref(), from, bytes_max)).await?;
        self.rotated = Rotated::default();
        let (input, file) = (&self.name, self.path.display());
        let held = match found {
            Found::Nothing(at_path) => {
                if matches!(at_path, AtPath::Missing | AtPath::NoDirectory) {
                    // What appears from now on is new as a whole.
                    self.from = TailFrom::Start;
                }
                self.see(&at_path);
                return Ok(Progress::Idle);
            }
            Found::Ready(held) => {
                if self.position.is_none() {
                    // It may be rotated away before its first line is whole, and must be known again then.
                    self.note(&held).await?;
                }
                held
            }
            Found::AtEnd(held) => {
                let offset = held.splitter.line_start();
                tracing::info!(input, %file, offset, "reading begins after the last line");
                self.note(&held).await?;
                held
            }
            Found::Emptied(held) => {
                tracing::warn!(input, %file, "file was truncated; reading it from the beginning");
                self.note(&held).await?;
                held
            }
            Found::Lost(held, compressed) => {
                let (offset, compressed) =
                    (self.position.as_ref().map(|position| position.offset), compressed.join(", "));
                tracing::warn!(
                    input, %file, offset, compressed = %one_line(&compressed),
                    "the file that was read before is gone, and with it any lines after this offset; reading the new one"
                );
                self.note(&held).await?;
                held
            }
        };
        self.recovered();
        self.held = Some(held);
        Ok(Progress::More)
    }

    async fn go_on(&mut self, mut held: Held) -> Result<Progress, Halt> {
        let (path, mut rotated, mut buffer) = (self.path.clone(), self.rotated, std::mem::take(&mut self.buffer));
        let looked = blocking(move || {
            // A look that failed has dropped its buffer.
            buffer.resize(CHUNK_BYTES, 0);
            let looked = held.look(&path, &mut rotated, &mut buffer)?;
            Ok((held, looked, rotated, buffer))
        });
        let (mut held, looked, rotated, buffer) = looked.await?;
        (self.rotated, self.buffer) = (rotated, buffer);
        match looked {
            Looked::Bytes(count) => {
                let mut parcels = Parcels::new(held.splitter.line_start());
                held.splitter.push(&self.buffer[..count], |line| parcels.push(line));
                self.hand_over(&held, parcels).await?;
                self.held = Some(held);
                Ok(Progress::More)
            }
            Looked::Wait(at_path) => {
                self.held = Some(held);
                self.see(&at_path);
                Ok(Progress::Idle)
            }
            Looked::Emptied => {
                let (input, file) = (&self.name, self.path.display());
                tracing::warn!(input, %file, "file was truncated; reading it from the beginning");
                held.start_over();
                self.note(&held).await?;
                self.held = Some(held);
                Ok(Progress::More)
            }
            Looked::Finished => self.move_on(held).await,
        }
    }

    /// Takes the last line also without its LF, because nobody will write it, and goes on with the next file.
    async fn move_on(&mut self, mut held: Held) -> Result<Progress, Halt> {
        let mut parcels = Parcels::new(held.splitter.line_start());
        if let Some(line) = held.splitter.finish() {
            parcels.push(line);
        }
        self.hand_over(&held, parcels).await?;
        let path = self.path.clone();
        let next = blocking(move || held.successor(&path)).await?;
        tracing::info!(input = self.name, file = %self.path.display(), "file was rotated; going on with the next");
        self.note(&next).await?;
        self.rotated = Rotated::default();
        self.held = Some(next);
        Ok(Progress::More)
    }

    async fn hand_over(&mut self, held: &Held, parcels: Parcels) -> Result<(), Halt> {
        for Parcel { body, starts, too_long, end } in parcels.finish() {
            let position = Position { file: held.identity(end), offset: end };
            let receipt = self.deliver(position, body.into(), &starts, too_long.len()).await?;
            for (offset, error) in too_long {
                tracing::error!(input = self.name, offset, why = %error, "line refused");
            }
            for result in receipt.results {
                let ItemResult::Refused { line, errors, .. } = result else { continue };
                let offset = line.and_then(|line| starts.get(line.saturating_sub(1)));
                let why = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
                tracing::error!(input = self.name, offset, why = %one_line(&why), "line refused");
            }
        }
        Ok(())
    }

    /// Makes known where the file is read to, without lines.
    async fn note(&mut self, held: &Held) -> Result<(), Halt> {
        let offset = held.splitter.line_start();
        let position = Position { file: held.identity(offset), offset };
        self.deliver(position, Bytes::new(), &[], 0).await.map(drop)
    }

    /// Returns when the position is durable, with what was before it. What is declined for now is tried again.
    async fn deliver(
        &mut self,
        position: Position,
        body: Bytes,
        starts: &[u64],
        too_long: usize,
    ) -> Result<Receipt, Halt> {
        let read = InputRead { input: self.name.clone(), file: position.file.to_string(), offset: position.offset };
        let mut handed = Handed { body, too_long, read };
        let mut told = false;
        loop {
            let declined = match (self.take)(handed.clone()).await {
                Ok(receipt) => {
                    self.position = Some(position);
                    return Ok(receipt);
                }
                Err(Declined::Body(_) | Declined::KeyReused) if handed.body.is_empty() => {
                    return Err(Halt::Trouble("the position could not be recorded".to_owned()));
                }
                Err(error @ (Declined::Body(_) | Declined::KeyReused)) => {
                    let why = error.to_string();
                    let offset = starts.first();
                    tracing::error!(input = self.name, offset, why = %one_line(&why), lines = starts.len(), "lines refused");
                    handed.body = Bytes::new();
                    continue;
                }
                Err(declined) => declined,
            };
            if !told {
                let why = declined.to_string();
                tracing::warn!(input = self.name, why = %one_line(&why), "lines wait because they were declined for now");
                told = true;
            }
            let wait = match declined {
                Declined::Overload { retry_after, .. } | Declined::TooFast { retry_after, .. } => retry_after,
                Declined::Unavailable(unavailable) => unavailable.retry_after,
                _ => RETRY_MAX,
            };
            tokio::select! {
                () = tokio::time::sleep(wait.min(RETRY_MAX)) => {}
                _ = self.stop.wait_for(|stop| *stop) => return Err(Halt::Stopped),
            }
        }
    }

    /// Tells what stands at the path, where that is not what we want there.
    fn see(&mut self, at_path: &AtPath) {
        match at_path {
            AtPath::File { .. } => self.recovered(),
            AtPath::Unusable(why) => self.complain(why.clone()),
            AtPath::Missing => self.wait_for("waiting for the file"),
            AtPath::NoDirectory => self.wait_for("waiting for the file; its directory is not there either"),
        }
    }

    fn wait_for(&mut self, what: &'static str) {
        if self.trouble.as_deref() != Some(what) {
            tracing::info!(input = self.name, file = %self.path.display(), what, "nothing to read yet");
            self.trouble = Some(what.to_owned());
        }
    }

    fn complain(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            tracing::error!(input = self.name, file = %self.path.display(), why = %one_line(&why), "cannot read; trying again");
            self.trouble = Some(why);
        }
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            tracing::info!(input = self.name, file = %self.path.display(), "reading");
        }
    }
}

/// File work on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
