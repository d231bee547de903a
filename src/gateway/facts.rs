//! Live data for the embedded model: what the gateway knows of itself, asked for when somebody asks.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::log_file::LogFile;
use crate::agent::tools::TOOLS;
use crate::hub::{Hub, Shared};
use crate::providers::builtin::{FactSheet, Facts, Topic};
use crate::store::Store;
use crate::store::sessions::{self, ListFilter};
use crate::sys::{clock, host};
use crate::wire::misfit;

/// Bytes looked at from the end of the log.
const LOG_BYTES: u64 = 64 << 10;
/// Problems shown of it.
const LOG_LINES: usize = 5;
/// Sessions shown.
const SESSIONS: usize = 8;

/// Answers the embedded model's questions. Filled when everything is up.
#[derive(Default)]
pub struct Knowledge(OnceLock<Sources>);

pub struct Sources {
    pub hub: Hub,
    pub shared: Arc<Shared>,
    pub store: Store,
    pub log: LogFile,
    pub url: String,
}

impl Knowledge {
    pub fn fill(&self, sources: Sources) {
        // Filled once, by the start.
        let _ = self.0.set(sources);
    }
}

impl Facts for Knowledge {
    fn gather(&self, topic: Topic) -> FactSheet {
        let Some(sources) = self.0.get() else { return FactSheet::default() };
        match topic {
            Topic::Health => sources.health(),
            Topic::Sessions => sources.sessions(),
            Topic::Models => sources.models(),
            Topic::Config => sources.config(),
            Topic::Logs => sources.logs(),
            Topic::Version => sources.version(),
            Topic::Network => sources.network(),
            Topic::Tools => {
                FactSheet::default().fact("Tools", TOOLS.iter().map(|t| t.name).collect::<Vec<_>>().join(", "))
            }
            Topic::Channels => sources.channels(),
            Topic::Service => {
                FactSheet::default().line("`openclaw gateway status` shows whether it is installed as a service.")
            }
            Topic::Jobs => sources.jobs(),
            Topic::Devices => sources.devices(),
        }
    }
}

impl Sources {
    fn health(&self) -> FactSheet {
        let Ok(status) = self.hub.ask("facts", |state, now| state.status(now)) else { return FactSheet::default() };
        FactSheet::default()
            .fact("State", "running")
            .fact("Uptime", span(status.uptime_ms / 1000))
            .fact("Clients", status.connections)
            .fact("Runs now", status.tasks.active)
            .fact("Runs so far", format!("{} ({} failed)", status.tasks.terminal, status.tasks.failures))
            .fact("Sessions", status.sessions.count)
            .fact("Memory", format!("{:.1} MB", host::rss_kb() as f64 / 1024.0))
    }

    fn devices(&self) -> FactSheet {
        let Ok(list) = self.hub.ask("facts", |state, now| state.device_list(now)) else { return FactSheet::default() };
        let sheet = FactSheet::default().fact("Paired devices", list.paired.len()).fact("Waiting", list.pending.len());
        list.paired.iter().take(SESSIONS).fold(sheet, |sheet, device| {
            let name = device.label.as_deref().or(device.display_name.as_deref()).unwrap_or(&device.client_id);
            sheet.line(format!("{name} ({}, {})", device.role, device.platform))
        })
    }

    fn sessions(&self) -> FactSheet {
        let filter = ListFilter { limit: SESSIONS, ..ListFilter::default() };
        let Ok((rows, total)) = self.store.read("list sessions", |conn| sessions::list(conn, &filter)) else {
            return FactSheet::default();
        };
        let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX);
        rows.iter().fold(FactSheet::default().fact("Sessions", total), |sheet, row| {
            let age = u64::try_from((now - row.updated_at_ms).max(0) / 1000).unwrap_or(0);
            sheet.line(format!("{} ({} messages, {} ago)", row.key, row.message_count, span(age)))
        })
    }

    fn channels(&self) -> FactSheet {
        let Ok(looks) = self.hub.ask("facts", |state, _| state.messengers.looks()) else { return FactSheet::default() };
        if looks.is_empty() {
            return FactSheet::default().line("No messenger is connected; `openclaw channels add` connects one.");
        }
        looks.iter().take(SESSIONS).fold(FactSheet::default().fact("Accounts", looks.len()), |sheet, look| {
            let state = match (&look.facts.last_error, look.running) {
                _ if !look.account.enabled => "off".to_string(),
                (_, true) if look.facts.connected => "connected".to_string(),
                (Some(error), _) => error.clone(),
                _ => "not connected".to_string(),
            };
            sheet.line(format!("{}: {state}", look.account.key))
        })
    }

    fn jobs(&self) -> FactSheet {
        let known = self.hub.ask("facts", |state, _| {
            let jobs = state.cron.jobs();
            jobs.map(|job| (job.record.spec.name.clone(), job.record.state.next_run_at_ms)).collect::<Vec<_>>()
        });
        let Ok(jobs) = known else { return FactSheet::default() };
        if jobs.is_empty() {
            return FactSheet::default().line("No automation is set up; `openclaw cron add` sets one up.");
        }
        let now = clock::now_ms();
        jobs.iter().take(SESSIONS).fold(FactSheet::default().fact("Automations", jobs.len()), |sheet, (name, next)| {
            let when =
                next.map_or("not due".to_string(), |at| format!("due in {}", span((at.saturating_sub(now)) / 1000)));
            sheet.line(format!("{name} ({when})"))
        })
    }

    fn models(&self) -> FactSheet {
        let catalogue = self.shared.catalogue.get();
        let sheet = FactSheet::default().fact("Default model", format!("{}/{}", catalogue.provider, catalogue.model));
        catalogue.rows.iter().fold(sheet, |sheet, row| {
            let note = if row.available { "" } else { " (no key)" };
            sheet.line(format!("{}/{}{note}", row.provider, row.id))
        })
    }

    fn config(&self) -> FactSheet {
        let config = self.shared.config.get();
        let mut sheet = FactSheet::default().fact("File", config.path.display());
        if !config.exists {
            sheet = sheet.line("The file does not exist; defaults are in force.");
        }
        let unresolved = config.unresolved.iter().map(|u| format!("{}: {}", u.path, u.reason));
        config.warnings.iter().cloned().chain(unresolved).fold(sheet, FactSheet::line)
    }

    fn logs(&self) -> FactSheet {
        let Some(file) = self.log.current() else {
            return FactSheet::default().fact("Log", "kept by the service manager");
        };
        let sheet = FactSheet::default().fact("Log", file.display());
        let problems = problems(&file).unwrap_or_default();
        if problems.is_empty() {
            return sheet.line("No warnings or errors lately.");
        }
        problems.into_iter().fold(sheet, FactSheet::line)
    }

    fn version(&self) -> FactSheet {
        FactSheet::default()
            .fact("Version", self.shared.boot.version)
            .fact("Platform", format!("{} {}", host::platform(), std::env::consts::ARCH))
            .fact("Protocol", crate::wire::PROTOCOL)
    }

    fn network(&self) -> FactSheet {
        let auth = match self.shared.policy.get().mode {
            crate::auth::Mode::Token => "token",
            crate::auth::Mode::Password => "password",
            crate::auth::Mode::None => "none (this host only)",
            crate::auth::Mode::TrustedProxy => "trusted-proxy",
        };
        FactSheet::default().fact("URL", &self.url).fact("Auth", auth)
    }
}

/// The last warnings and errors of the log.
fn problems(file: &Path) -> std::io::Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Line {
        time: String,
        level: String,
        message: String,
    }
    let mut log = std::fs::File::open(file)?;
    let size = log.metadata()?.len();
    log.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    log.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found: Vec<String> = text
        .lines()
        .rev()
        .filter_map(|line| misfit::read::<Line>(line).ok())
        .filter(|line| matches!(line.level.as_str(), "warn" | "error"))
        .take(LOG_LINES)
        .map(|line| format!("{} {}: {}", line.time, line.level, crate::wire::frame::cut(&line.message, 200)))
        .collect();
    found.reverse();
    Ok(found)
}

fn span(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", s / 60),
        s if s < 86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        s => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}
