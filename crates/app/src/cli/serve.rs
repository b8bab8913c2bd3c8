//! `balefire serve`: everything is opened, served until a signal comes, and closed in order.

use super::{Exit, Place, fail};
use crate::config::{Config, InputKind, Overrides, Problems};
use crate::core::{self, Core, Stopping};
use crate::http::{App, Places, Server};
use crate::listen::{spool, stdin, tail};
use crate::logs::{self, LogFormat};
use crate::reception::Reception;
use crate::reload::Reloader;
use crate::scan_marker::ScanMarker;
use crate::scheduler::{self, Runs};
use crate::transport::tls;
use crate::watch::{self as audit_watch, HeardOf, RowsSeen, Surroundings, Watchers};
use crate::{clock, environment, service};
use anyhow::Context;
use balefire_intake::Limits;
use clap::Args;
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long attempts under way may take after the order to stop. What is not done by then is done after the next start.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Run the engine.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where HTTP is served, in place of the configuration's; `none` for nowhere
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Take incidents from standard input, too: one JSON object a line
    #[arg(long)]
    stdin: bool,
    /// Stop when standard input has ended and every delivery has been tried
    #[arg(long, requires = "stdin")]
    exit_when_done: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value_t, env = "BALEFIRE_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module
    #[arg(long, default_value = "info", env = "BALEFIRE_LOG", value_name = "FILTER")]
    log: String,
}

impl Serve {
    pub(crate) fn run(self, place: Place) -> Exit {
        if let Err(error) = logs::start(self.log_format, &self.log) {
            return fail(Exit::Usage, error.as_ref());
        }
        tls::install_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("io").build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return fail(Exit::Failed, &error),
        };
        let served = runtime.block_on(self.serve(place));
        runtime.shutdown_timeout(Duration::from_secs(1));
        match served {
            Ok(exit) => exit,
            Err(error) if error.is::<Problems>() => fail(Exit::Usage, error.as_ref()),
            Err(error) => fail(Exit::Failed, error.as_ref()),
        }
    }

    async fn serve(self, place: Place) -> anyhow::Result<Exit> {
        let overrides = Overrides { data: place.data, listen: self.listen.clone() };
        let loaded = Config::load(place.config.as_deref(), &overrides, &environment::variable, &environment::host())?;
        for finding in &loaded.findings {
            tracing::warn!(code = finding.code, subject = finding.subject, "{}", finding.text);
        }
        let config = Arc::new(loaded.config);
        let core = core::start(&config, environment::terminal(), env!("CARGO_PKG_VERSION"))?;
        let current = watch::Sender::new(config.clone());
        let (runs, keepers) = scheduler::open(&config.schedules, &core.inputs);
        let (heard, rows) = (HeardOf::knowing(clock::moment(), &core.inputs), Arc::new(RowsSeen::default()));
        let heard = Arc::new(heard);
        let around = surroundings(&core, &current, (&heard, &rows));
        let (watchers, watching) = audit_watch::open(&config, &core.inputs, around.clone());
        let reloader = Reloader::new(place.config, overrides, current.clone(), (runs.clone(), watchers.clone()));
        let app = app((&core, &current, heard), reloader, (runs, watchers));
        let server = Server::bind(app.clone(), config.http.as_ref(), &config.socket).await?;
        tracing::info!(
            http = server.address().map(|address| address.to_string()),
            socket = %config.socket.path.display(),
            data = %config.data.display(),
            "ready"
        );
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(stop.subscribe()));
        tasks.spawn(service::feed_watchdog(core.mailbox.clone(), stop.subscribe()));
        for input in &config.inputs {
            let InputKind::Tail { path, from, .. } = &input.kind;
            let known = core.inputs.get(&input.name).cloned();
            let (name, path) = (input.name.clone(), path.clone());
            tasks.spawn(tail::follow(name, path, *from, known, app.reception.clone(), stop.subscribe()));
        }
        tasks.spawn(spool::follow(app.reception.clone(), stop.subscribe()));
        tasks.spawn(keepers.run(app.reception.clone(), stop.subscribe()));
        tasks.spawn(watching.run(core.mailbox.clone(), stop.subscribe()));
        tasks.spawn(around.outward.clone().send(around, stop.subscribe()));
        tasks.spawn(rows.ask(current.subscribe(), stop.subscribe()));
        service::tell(&[NotifyState::Ready]);
        let (reason, exit) = self.wait(&app, &core).await?;
        tracing::info!(reason, "stopping");
        service::tell(&[NotifyState::Stopping]);
        stop.send_replace(true);
        while tasks.join_next().await.is_some() {}
        close(core, reason).await?;
        Ok(exit)
    }

    /// Waits for whatever ends us, and says what it was.
    async fn wait(&self, app: &App, core: &Core) -> anyhow::Result<(String, Exit)> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut engine_is_gone = tokio::time::interval(Duration::from_millis(200));
        let mut input = std::pin::pin!(self.read_stdin(app));
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(("SIGTERM".to_owned(), Exit::Done)),
                _ = interrupt.recv() => return Ok(("SIGINT".to_owned(), Exit::Done)),
                _ = hang_up.recv() => reload(app).await,
                ended = &mut input => return Ok(("standard input has ended".to_owned(), ended?)),
                _ = engine_is_gone.tick() => {
                    if core.engine.is_finished() {
                        return Ok(("the engine has ended".to_owned(), Exit::Failed));
                    }
                }
            }
        }
    }

    /// Ends only where that is to end us.
    async fn read_stdin(&self, app: &App) -> anyhow::Result<Exit> {
        if self.stdin {
            let read = stdin::read(&app.reception).await.context("cannot read standard input")?;
            tracing::info!(accepted = read.accepted, refused = read.refused, "standard input has ended");
            if self.exit_when_done {
                all_tried(app).await;
                return Ok(if read.refused > 0 { Exit::Refused } else { Exit::Done });
            }
        }
        std::future::pending().await
    }
}

fn surroundings(
    core: &Core,
    current: &watch::Sender<Arc<Config>>,
    (heard, rows): (&Arc<HeardOf>, &Arc<RowsSeen>),
) -> Surroundings {
    Surroundings {
        heard: heard.clone(),
        mailbox: core.mailbox.clone(),
        durable: core.durable.clone(),
        metrics: core.metrics.clone(),
        config: current.subscribe(),
        rows: rows.clone(),
        outward: Arc::default(),
    }
}

fn app(
    (core, current, heard): (&Core, &watch::Sender<Arc<Config>>, Arc<HeardOf>),
    reloader: Reloader,
    (runs, watchers): (Runs, Watchers),
) -> App {
    let body_bytes_max = current.borrow().body_bytes_max();
    let reception = Reception {
        mailbox: core.mailbox.clone(),
        metrics: core.metrics.clone(),
        config: current.subscribe(),
        limits: Limits::default(),
        allowances: Arc::default(),
        marker: ScanMarker::default(),
        heard,
    };
    App {
        reception,
        mailbox: core.mailbox.clone(),
        durable: core.durable.clone(),
        metrics: core.metrics.clone(),
        config: current.subscribe(),
        reloader: Arc::new(reloader),
        places: Places::new(body_bytes_max),
        signer: core.signer.clone(),
        runs,
        watchers,
    }
}

/// Returns when nothing waits for its first attempt and none is under way.
async fn all_tried(app: &App) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let waits = |queue: &balefire_engine::QueueStatus| queue.in_flight > 0 || queue.untried > 0;
        if !app.metrics.queues_now().iter().any(waits) {
            return;
        }
    }
}

async fn reload(app: &App) {
    let now = NotifyState::monotonic_usec_now();
    match now {
        Ok(now) => service::tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic time for the service manager"),
    }
    if let Err(why) = app.reloader.reload(&app.mailbox).await {
        tracing::error!(why, "configuration not reloaded; the old one stays in force");
    }
    service::tell(&[NotifyState::Ready]);
}

async fn close(core: Core, reason: String) -> anyhow::Result<()> {
    let deadline = clock::monotonic() + DRAIN_TIME_MAX;
    core.mailbox.stop(Stopping { reason, deadline });
    let (engine, viewer) = (core.engine, core.viewer);
    let ended = tokio::task::spawn_blocking(move || {
        let ended = engine.join();
        viewer.finish();
        ended
    });
    let workers = match ended.await.context("the closing thread failed")? {
        Ok(workers) => workers.context("the journal could not be written")?,
        Err(_) => anyhow::bail!("the engine's thread panicked; what was accepted is in the journal"),
    };
    let mut workers = workers;
    while workers.join_next().await.is_some() {}
    tracing::info!("stopped");
    Ok(())
}
