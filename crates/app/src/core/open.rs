//! The start: journal, engine, view and workers, in this order; each only on top of what is proven.

use super::driver::Driver;
use super::durable::Durable;
use super::incidents::Incidents;
use super::mailbox::Mailbox;
use super::viewer;
use super::workers::Workers;
use crate::ack_link::{KeyError, Signer};
use crate::clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::transport::{self, Terminal};
use balefire_engine::Engine;
use balefire_model::journal::{AppendError, Entry};
use balefire_model::record::kind;
use balefire_model::{Journal, Position, ReadError, Record};
use balefire_store::journal::{FileJournal, JournalOptions, OpenError, Reader};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::task::JoinSet;

/// Why a start failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("cannot create the data directory {path}")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("record {position} of the journal cannot be used")]
    Record {
        position: Position,
        #[source]
        source: balefire_model::record::DecodeError,
    },
    #[error(transparent)]
    Snapshot(#[from] balefire_engine::SnapshotError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Channel(#[from] transport::OpenError),
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// The running core.
pub(crate) struct Core {
    pub mailbox: Arc<Mailbox>,
    pub durable: Arc<Durable>,
    pub metrics: Arc<Metrics>,
    /// How far each input was read, at the start.
    pub inputs: HashMap<String, (String, u64)>,
    /// Ends when the engine has stopped; gives the workers that still finish.
    pub engine: JoinHandle<Result<JoinSet<()>, AppendError>>,
    pub viewer: viewer::Viewer,
    pub signer: Arc<Signer>,
}

/// Opens everything and starts the engine's and the view's threads.
pub(crate) fn start(config: &Config, terminal: Terminal, version: &str) -> Result<Core, StartError> {
    std::fs::create_dir_all(&config.data)
        .map_err(|source| StartError::Directory { path: config.data.clone(), source })?;
    let signer = Arc::new(Signer::open(&config.data)?);
    let (mut journal, opened) = FileJournal::open(&config.data.join("journal"), JournalOptions::default())?;
    let reader = journal.reader();
    let last_snapshot = opened.snapshot.as_ref().map(|stored| stored.position);
    if let Some(cut) = &opened.cut {
        tracing::warn!(segment = cut.segment, offset = cut.offset, bytes = cut.bytes, "unfinished batch was cut off");
    }
    let mut engine = replay(&reader, last_snapshot)?;
    let inputs = engine.state().inputs();

    let settings = Arc::new(config.engine_settings());
    let now = clock::now();
    let effects = engine.resume(now, version, settings.clone());
    let entries: Vec<Entry> = effects.records.iter().map(|record| record.encode(now)).collect();
    let position = journal.append(journal.position(), &entries)?;
    tracing::info!(records = position.0, pending = engine.state().pending(), "journal open");

    let mailbox = Arc::new(Mailbox::default());
    let durable = Arc::new(Durable::new(position, Position(0)));
    let metrics = Arc::new(Metrics::new());
    let mut workers = Workers::new(mailbox.clone(), terminal, tokio::runtime::Handle::current());
    let crew = workers.open(&config.channels)?;
    workers.install(crew);
    let viewer = viewer::start(config.data.join("view"), reader.clone(), durable.clone(), metrics.clone())
        .map_err(StartError::Thread)?;
    let mut driver = Driver {
        engine,
        journal,
        incidents: Incidents::new(reader.clone()),
        reader,
        mailbox: mailbox.clone(),
        durable: durable.clone(),
        workers,
        metrics: metrics.clone(),
        settings,
        last_snapshot,
        under_way: HashMap::new(),
        stopping: None,
        signer: signer.clone(),
        public_url: config.public_url(),
    };
    driver.begin(effects);
    let engine = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || driver.run())
        .map_err(StartError::Thread)?;
    Ok(Core { mailbox, durable, metrics, inputs, engine, viewer, signer })
}

/// The engine's memory as the journal has it.
pub(crate) fn replay(reader: &Reader, snapshot: Option<Position>) -> Result<Engine, StartError> {
    let (mut engine, from) = match snapshot {
        Some(position) => (Engine::restore(&reader.get(position)?.entry.payload)?, position.plus(1)),
        None => (Engine::default(), Position(0)),
    };
    let mut failed = None;
    reader.read(from, reader.position(), &mut |stored| {
        // The largest records by far, and a million of them may follow the last snapshot.
        if stored.entry.kind == kind::ACCEPTED {
            engine.pass();
            return true;
        }
        match Record::decode(&stored.entry) {
            Ok(record) => engine.apply(stored.entry.at, &record),
            Err(source) => failed = Some(StartError::Record { position: stored.position, source }),
        }
        failed.is_none()
    })?;
    failed.map_or(Ok(engine), Err)
}
