//! The life of the process: start, serve, stop.

use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, at, bounded, never, select, tick, unbounded};

use super::facts::{Knowledge, Sources};
use super::log_file::{self, Files, LogFile};
use super::prepare::{Prepared, address, prepare};
use super::reload::{self, Outcome, Reloader};
use super::results;
use super::tls::Certificate;
use super::{DRAIN, FAREWELL, LOCK_WAIT, Options, STORE_CLOSE, StartError, beacon, bind, limits, models, watchdog};
use crate::agent::{Engine, Launcher};
use crate::auth::Attempts;
use crate::auth::devices::Devices;
use crate::channels::{self, Host};
use crate::hub::approvals::Approvals;
use crate::hub::cron;
use crate::hub::devices::RECORDS;
use crate::hub::health::Seen;
use crate::hub::messengers::Messengers;
use crate::hub::run::{NewRun, Starter, Waiting};
use crate::hub::talks::{self, Talks};
use crate::hub::{Boot, ConfigDesk, Event, Hub, Now, Parts, Pool, Shared, State, Stop, TaskContext};
use crate::net::mdns::Published;
use crate::net::{Legacy, Limits, Server};
use crate::providers::discover;
use crate::routes::{Hooks, Site, hooks_problem};
use crate::rpc::admin::Admin;
use crate::rpc::{self, Desk};
use crate::store::sessions::{self, ListFilter};
use crate::store::{StateLock, Store, StoreError, inbox, kv};
use crate::sys::notify::Notifier;
use crate::sys::signals::{self, Signal};
use crate::sys::swap::Swap;
use crate::sys::{Env, clock, files, handed, host, ports, random};
use crate::wire::misfit;
use crate::wire::presence::PresenceEntry;

/// A state thread keeps its maps on the heap; its stack holds one handler at a time.
const STATE_STACK: usize = crate::sys::stack(512 << 10);
/// An accepted message older than this is not answered after a restart: its sender has moved on (milliseconds).
const INBOX_TTL: i64 = 10 * 60 * 1000;
/// A message whose run killed the process so often is not tried again.
const INBOX_ATTEMPTS: u32 = 3;
/// The same for a message of a messenger, which nobody sends again: it may have met bad luck more often.
const INBOX_ATTEMPTS_KEPT: u32 = 5;

/// Runs the gateway until it is told to stop.
pub fn run(options: &Options, env: &Env) -> Result<(), StartError> {
    let mut started = Instant::now();
    // First of all: until they are taken, a child would inherit them.
    let handed = handed::take(env);
    let mut prepared = prepare(options, env)?;
    let log = log_file::start(&wanted(options, &prepared));
    greet(&prepared);
    let (told, signals) = unbounded();
    signals::start_into(told, |signal| signal).map_err(|e| StartError::Failed(format!("watch signals: {e}")))?;
    if options.force && prepared.port != 0 {
        bind::force(prepared.port)?;
    }
    let _lock = lock(&prepared)?;
    let listeners = bind::bind_first(&prepared, handed)?;
    let mut gateway = Gateway::open(prepared, listeners, options, env, log.clone(), started)?;
    loop {
        let port = gateway.port;
        let mut legacy = match gateway.serve(&signals, env)? {
            End::Stopped => return Ok(()),
            End::Restart(_) if supervised(env) && files::program_was_replaced() => {
                log::info!("restart: the program was replaced; the service manager starts the new one");
                Notifier::from_env(env).stopping();
                return Ok(());
            }
            End::Restart(legacy) => legacy,
        };
        // In this process: the state lock stays ours, and nobody has to find a new process.
        started = Instant::now();
        prepared = prepare(options, env)?;
        if options.port == Some(0) {
            // Clients come back to where they were.
            prepared.port = port;
        }
        log.follow(&wanted(options, &prepared), Files::MayMove);
        greet(&prepared);
        let listeners = bind_again(&prepared, &mut legacy.listeners)?;
        gateway = Gateway::open(prepared, listeners, options, env, log.clone(), started)?;
        gateway.server.welcome(legacy.waiting);
    }
}

/// How serving came to an end.
enum End {
    Stopped,
    /// The listeners are still open.
    Restart(Legacy),
}

/// Whether somebody starts this process again when it ends with 0. What a shell inherited from its session does not
/// count, or a gateway in a terminal would end instead of restarting.
fn supervised(env: &Env) -> bool {
    let own = std::process::id().to_string();
    let told = env.get("OPENCLAW_SERVICE_MARKER").is_some() || env.get("SYSTEMD_EXEC_PID") == Some(own.as_str());
    told && !env.flag("OPENCLAW_NO_RESPAWN")
}

fn wanted<'a>(options: &'a Options, prepared: &'a Prepared) -> log_file::Wanted<'a> {
    log_file::Wanted {
        paths: &prepared.paths,
        config: &prepared.config,
        verbose: options.verbose,
        level: options.log_level.as_deref(),
    }
}

fn greet(prepared: &Prepared) {
    log::info!("loading configuration… {}", prepared.config.path.display());
    for warning in &prepared.warnings {
        log::warn!("{warning}");
    }
    for warning in channels::account::unknown_keys(&prepared.config) {
        log::warn!("{warning}");
    }
    if let Some(problem) = hooks_problem(&prepared.config) {
        log::error!("{problem}");
    }
    log::info!("resolving authentication… {}", prepared.policy.mode.as_str());
    log::info!("starting...");
}

/// Binds after a restart, with the listeners of before; an accept thread that lost its own may take a moment to let go.
fn bind_again(prepared: &Prepared, open: &mut Vec<TcpListener>) -> Result<Vec<TcpListener>, StartError> {
    let end = Instant::now() + FAREWELL;
    loop {
        match bind::bind(prepared, open) {
            Err(_) if Instant::now() < end => drop(never::<()>().recv_timeout(Duration::from_millis(20))),
            bound => return bound,
        }
    }
}

/// The state directory belongs to one gateway at a time.
fn lock(prepared: &Prepared) -> Result<StateLock, StartError> {
    let begun = Instant::now();
    loop {
        match StateLock::take(&prepared.paths.state_dir) {
            Ok(lock) => return Ok(lock),
            Err(StoreError::Locked { pid, .. }) => {
                if prepared.port != 0 && bind::is_gateway(prepared.port) {
                    return Err(StartError::Config(bind::already(prepared.port)));
                }
                if begun.elapsed() >= LOCK_WAIT {
                    let profile =
                        pid.and_then(ports::profile).map(|name| format!(", profile {name}")).unwrap_or_default();
                    let pid = pid.map_or_else(|| "unknown".to_string(), |pid| pid.to_string());
                    let ms = LOCK_WAIT.as_millis();
                    return Err(StartError::Config(format!(
                        "gateway already running (pid {pid}); lock timeout after {ms}ms (state directory {}{profile})",
                        prepared.paths.state_dir.display()
                    )));
                }
                // The other one may be about to end; nothing tells us when it has.
                let _ = never::<()>().recv_timeout(Duration::from_millis(100));
            }
            Err(error) => return Err(StartError::Failed(error.to_string())),
        }
    }
}

/// Everything that runs.
struct Gateway {
    server: Server,
    hub: Hub,
    store: Store,
    /// Until it is dropped others of the network find us.
    _published: Option<Published>,
    /// Closed when the state thread has ended.
    state_ended: Receiver<()>,
    url: String,
    port: u16,
    engine: Arc<Engine>,
    knowledge: Arc<Knowledge>,
    reloader: Reloader,
    ready: Arc<AtomicBool>,
    started: Instant,
}

impl Gateway {
    fn open(
        prepared: Prepared,
        listeners: Vec<TcpListener>,
        options: &Options,
        env: &Env,
        log: LogFile,
        started: Instant,
    ) -> Result<Gateway, StartError> {
        let port = listeners.first().and_then(|l| l.local_addr().ok()).map_or(prepared.port, |a| a.port());
        Notifier::from_env(env).keep(&listeners);
        let host = prepared.listen.host().to_string();
        let tls = Certificate::open(&prepared.config, &prepared.paths, &[&host])?;
        let url = format!("{}://{}", if tls.is_some() { "wss" } else { "ws" }, address(prepared.listen.host(), port));
        let served = tls.as_ref().map(|certificate| certificate.config.clone());
        let file = prepared.paths.database();
        let store = Store::open(&file).map_err(|e| of_store(&file, e))?;
        let seen = seen(&store).map_err(|e| of_store(&file, e))?;
        let jobs = store.read("read the automations", cron::load).map_err(|e| of_store(&file, e))?;
        let talks = store.read("read the last conversations", |conn| kv::list(conn, talks::SCOPE));
        let talks = talks.map_err(|e| of_store(&file, e))?;
        let devices = devices(&store).map_err(|e| of_store(&file, e))?;
        let rules = Approvals::open(&store).map_err(|e| of_store(&file, e))?;
        let limits = limits::of_host(env);
        let knowledge = Arc::new(Knowledge::default());
        let registry = models::registry(&prepared.config, Vec::new(), knowledge.clone());
        let (paths, listen) = (prepared.paths.clone(), prepared.listen.clone());
        let listen_on = listen.clone();
        let shared = Arc::new(Shared {
            boot: boot(&prepared, port, &limits, started),
            catalogue: Swap::new(models::catalogue(&prepared.config, &registry)),
            policy: Swap::new(prepared.policy),
            config: Swap::new(prepared.config),
            attempts: Attempts::default(),
            suspended: AtomicBool::new(false),
            talks: Talks::load(talks),
        });
        let (hub, inbox) = Hub::new();
        let engine = Arc::new(Engine::new(hub.clone(), store.clone(), shared.clone(), registry));
        let state_ended = spawn_state(
            Parts {
                messengers: Messengers::new(channel_host(&hub, &store, &shared)),
                shared: shared.clone(),
                hub: hub.clone(),
                store: store.clone(),
                launcher: Box::new(Launcher(engine.clone())),
                devices,
                approvals: rules,
                seen,
                cron: jobs,
                outlet: Box::new(results::Messengers {
                    hub: hub.clone(),
                    store: store.clone(),
                    shared: shared.clone(),
                }),
                advertised: rpc::advertised(),
            },
            inbox,
        )?;
        let reloader = Reloader::new(reload::Parts {
            options: options.clone(),
            env: env.clone(),
            paths: paths.clone(),
            listen,
            port,
            engine: engine.clone(),
            knowledge: knowledge.clone(),
            log: log.clone(),
            tls,
        });
        let pool = Pool::default();
        let (tail, asked, toolbox) = (log.clone(), engine.clone(), engine.clone());
        let desk = ConfigDesk { shared: shared.clone(), paths, env: env.clone(), reload: Box::new(reloader.asker()) };
        pool.open(TaskContext {
            hub: hub.clone(),
            store: store.clone(),
            log_file: Box::new(move || tail.current()),
            desk,
            tools: Box::new(move |agent, session| toolbox.toolbox(agent, session)),
            providers: Box::new(move || asked.registry.get()),
        });
        knowledge.fill(Sources {
            hub: hub.clone(),
            shared: shared.clone(),
            store: store.clone(),
            log,
            url: url.clone(),
        });
        let ready = Arc::new(AtomicBool::new(false));
        let desk = Desk { hub: hub.clone(), pool, shared };
        let site = Site {
            desk,
            engine: engine.clone(),
            admin: Admin::default(),
            hooks: Hooks::default(),
            ready: ready.clone(),
        };
        let server = Server::start(listeners, Arc::new(site), limits, served)
            .map_err(|e| StartError::Failed(format!("start serving: {e}")))?;
        let _published = beacon::publish(&engine.shared.config.get(), env, &listen_on, port);
        Ok(Gateway {
            server,
            _published,
            hub,
            store,
            state_ended,
            url,
            port,
            engine,
            knowledge,
            reloader,
            ready,
            started,
        })
    }

    /// From ready to the end.
    fn serve(mut self, signals: &Receiver<Signal>, env: &Env) -> Result<End, StartError> {
        self.take_up_inbox();
        // The state thread was started a moment ago.
        let _ = self.hub.tell("start automations", |state, now| state.start_cron(now));
        // After what was left from before, so that old messages come first.
        // The state thread was started a moment ago.
        let _ = self.hub.tell("start channels", |state, _| state.apply_channels());
        self.ready.store(true, Ordering::Relaxed);
        log::info!("listening on {} (pid {}, {} ms)", self.url, std::process::id(), self.started.elapsed().as_millis());
        log::info!("ready");
        let manager = Notifier::from_env(env);
        manager.ready(&format!("listening on {}", self.url));
        // Closed on every way out of here, which ends the watchdog.
        let (serving, stopping) = bounded(0);
        let subject = watchdog::Subject { hub: self.hub.clone(), port: self.port, tls: self.url.starts_with("wss:") };
        watchdog::start(Notifier::from_env(env), subject, stopping);
        self.look_around();
        loop {
            let due = self.reloader.next().map_or_else(never, at);
            let outcome = select! {
                recv(signals) -> signal => match signal {
                    Ok(Signal::Stop(name)) => {
                        manager.stopping();
                        drop(serving);
                        return self.stop(Some(name), "gateway stopping", None).map(|_| End::Stopped);
                    }
                    Ok(Signal::Restart(name)) if self.engine.shared.config.get().commands.restart => {
                        log::info!("received {name}; restarting");
                        Outcome::Restart
                    }
                    Ok(Signal::Restart(name)) => {
                        log::warn!("{name} restart ignored (not authorized; commands.restart=false).");
                        Outcome::Nothing
                    }
                    Ok(Signal::HangUp) => {
                        self.reloader.touched();
                        Outcome::Nothing
                    }
                    Err(_) => return self.stop(Some("signals"), "gateway stopping", None).map(|_| End::Stopped),
                },
                recv(self.reloader.changed()) -> _ => {
                    self.reloader.touched();
                    Outcome::Nothing
                }
                recv(self.reloader.asked()) -> wish => match wish {
                    Ok(answer) => {
                        self.reloader.asked_to(answer);
                        Outcome::Nothing
                    }
                    Err(_) => Outcome::Nothing,
                },
                recv(self.reloader.loaded()) -> loaded => self.reloader.finished(loaded.ok()),
                recv(due) -> _ => {
                    self.reloader.due();
                    Outcome::Nothing
                }
                recv(self.state_ended) -> _ => return Err(StartError::Broken("the state thread")),
            };
            match outcome {
                Outcome::Nothing => {}
                Outcome::Applied => self.look_around(),
                Outcome::Restart => {
                    drop(serving);
                    return self.stop(None, "gateway restarting", Some(1500)).map(End::Restart);
                }
            }
        }
    }

    /// Messages that were accepted before the last end and never begun.
    fn take_up_inbox(&self) {
        let rows = match self.store.read("read the inbox", |conn| inbox::list(conn, 0, 256, 16 << 20)) {
            Ok(rows) => rows,
            Err(error) => {
                log::error!("{error}");
                return;
            }
        };
        let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
        for row in rows {
            let run_id = row.run_id.clone();
            let waiting = misfit::read::<Waiting>(&row.payload).ok();
            // Messages of messengers stay until they are answered and count when they begin.
            let kept = waiting.as_ref().is_some_and(Waiting::is_kept);
            let most = if kept { INBOX_ATTEMPTS_KEPT } else { INBOX_ATTEMPTS };
            let old = now.saturating_sub(row.created_at_ms) > INBOX_TTL || row.attempts >= most;
            let (Some(waiting), false) = (waiting, old) else {
                log::warn!(
                    "a message of session {} was accepted before the last end and is too old to be answered",
                    row.session_key
                );
                self.store.submit("drop an old message", move |conn| inbox::remove(conn, &run_id), complain);
                continue;
            };
            if !kept {
                self.store.submit("count an attempt", move |conn| inbox::bump_attempts(conn, &run_id), complain);
            }
            let run = NewRun {
                run_id: row.run_id.as_str().into(),
                session_key: row.session_key.into(),
                agent_id: row.agent_id.into(),
                input: waiting.into_input(),
                starter: Starter::Inbox,
                conn: 0,
                timeout: None,
                received: Instant::now(),
            };
            // The state thread was started a moment ago.
            let _ = self.hub.tell("inbox", move |state, now| state.begin_run(run, now));
        }
    }

    /// With nothing but the embedded model: is there a model server on this host?
    fn look_around(&self) {
        if !self.engine.registry.get().only_builtin() {
            return;
        }
        let (engine, knowledge) = (self.engine.clone(), self.knowledge.clone());
        let looked = std::thread::Builder::new().name("discover".into()).stack_size(STATE_STACK).spawn(move || {
            let found = discover::local(discover::PROBES);
            let config = engine.shared.config.get();
            if found.is_empty() {
                log::info!(
                    "no model provider is configured: builtin/local answers (it knows this gateway, nothing else)"
                );
                return;
            }
            let names: Vec<String> = found.iter().map(|s| format!("{} ({})", s.id, s.base_url)).collect();
            log::info!("found a local model server: {}", names.join(", "));
            let registry = models::registry(&config, found, knowledge);
            engine.shared.catalogue.set(models::catalogue(&config, &registry));
            engine.registry.set(registry);
        });
        if let Err(error) = looked {
            log::warn!("look for a local model server: {error}");
        }
    }

    fn stop(
        self,
        signal: Option<&str>,
        reason: &'static str,
        restart_expected_ms: Option<u64>,
    ) -> Result<Legacy, StartError> {
        let begun = Instant::now();
        if let Some(signal) = signal {
            log::info!("received {signal}; shutting down");
        }
        // Before a restart clients still come in: while runs end they are told at once when to try again.
        if restart_expected_ms.is_none() {
            self.server.stop_accepting();
        }
        let stop = Stop { reason, restart_expected_ms, drain: DRAIN };
        if self.hub.post(Event::Stop(stop)).is_ok() {
            let limit = after(DRAIN + Duration::from_secs(5));
            select! {
                recv(self.state_ended) -> _ => {}
                recv(limit) -> _ => log::error!("the state thread did not end in time"),
            }
        }
        let legacy = self.server.hand_over();
        self.server.close_idle_http();
        let limit = Instant::now() + FAREWELL;
        let look = tick(Duration::from_millis(5));
        while self.server.connections() > 0 && Instant::now() < limit {
            // Closing frames and last answers are on their way.
            let _ = look.recv();
        }
        self.server.kick_all();
        if !self.store.close(STORE_CLOSE) {
            log::error!("the database did not close in time");
        }
        log::info!(target: "shutdown", "completed cleanly in {}ms", begun.elapsed().as_millis());
        Ok(legacy)
    }
}

fn complain<T>(result: Result<T, StoreError>) {
    if let Err(error) = result {
        log::error!("{error}");
    }
}

fn of_store(file: &Path, error: StoreError) -> StartError {
    let text = format!("{error} ({})", file.display());
    match error {
        StoreError::NewerSchema { .. } | StoreError::Foreign { .. } => StartError::Config(text),
        _ => StartError::Failed(text),
    }
}

/// What accounts of messengers may use: they tell the state thread and never see it.
fn channel_host(hub: &Hub, store: &Store, shared: &Arc<Shared>) -> Host {
    let (hub, shared) = (hub.clone(), shared.clone());
    Host {
        store: store.clone(),
        config: Arc::new(move || shared.config.get()),
        report: Arc::new(move |key, life, event| {
            // The state thread is gone only when the gateway stops; what is safe stays safe.
            let _ = hub.post(Event::Channel(Box::new((key.clone(), life, event))));
        }),
    }
}

fn spawn_state(parts: Parts, inbox: Receiver<Event>) -> Result<Receiver<()>, StartError> {
    let (alive, ended) = bounded(0);
    std::thread::Builder::new()
        .name("state".into())
        .stack_size(STATE_STACK)
        .spawn(move || {
            let now = Now { at: Instant::now(), ms: clock::now_ms() };
            State::new(parts, now).run(&inbox);
            drop(alive);
        })
        .map_err(|e| StartError::Failed(format!("start the state thread: {e}")))?;
    Ok(ended)
}

fn seen(store: &Store) -> Result<Seen, StoreError> {
    let (rows, count) = store
        .read("count sessions", |conn| sessions::list(conn, &ListFilter { limit: 40, ..ListFilter::default() }))?;
    let recent = rows.into_iter().map(|row| (row.key, row.agent_id, u64::try_from(row.updated_at_ms).unwrap_or(0)));
    Ok(Seen { count, recent: recent.collect() })
}

fn devices(store: &Store) -> Result<Devices, StoreError> {
    let records = store.read("read the devices", |conn| kv::list(conn, RECORDS))?;
    let (devices, unreadable) = Devices::load(records);
    for name in unreadable {
        log::error!("the record of device {name} cannot be read; the device must be approved again");
    }
    Ok(devices)
}

fn boot(prepared: &Prepared, port: u16, limits: &Limits, started: Instant) -> Boot {
    let (boot_id, now) = (random::uuid(), clock::now_ms());
    let version = env!("CARGO_PKG_VERSION");
    let (name, ip) = (host::hostname(), host::primary_ipv4().map(|ip| ip.to_string()));
    let shown = ip.as_ref().map_or_else(|| name.clone(), |ip| format!("{name} ({ip})"));
    let lan_host = match prepared.listen.host() {
        _ if prepared.listen.is_loopback() => None,
        any if any.is_unspecified() => ip.clone(),
        IpAddr::V6(own) => Some(format!("[{own}]")),
        own => Some(own.to_string()),
    };
    Boot {
        lan_host,
        version,
        build_id: format!("{version}-rust"),
        own: PresenceEntry {
            text: Some(format!("Gateway: {shown} · app {version} · mode gateway · reason self")),
            host: Some(name),
            ip,
            version: Some(version.into()),
            platform: Some(host::platform_release()),
            device_family: Some(host::device_family().into()),
            mode: Some("gateway".into()),
            reason: Some("self".into()),
            instance_id: Some(boot_id.clone()),
            ts: now,
            ..PresenceEntry::default()
        },
        boot_id,
        started,
        started_ms: now,
        port,
        state_dir: prepared.paths.state_dir.display().to_string(),
        database: prepared.paths.database().display().to_string(),
        max_payload: limits.max_payload as u64,
        max_buffered: limits.max_buffered as u64,
    }
}
