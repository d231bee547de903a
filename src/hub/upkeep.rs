//! When sessions nobody uses are put away: by themselves at most twice an hour, when a run ends, and when somebody asks.
//!
//! What goes is the store's knowledge ([`crate::store::sessions::upkeep`]); here is what the configuration says of it.
//! There is no timer: a gateway nobody talks to has no more sessions than before.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::cron::interval;
use super::main_key;
use crate::config::Config;
use crate::config::sections::Retention;
use crate::store::Store;
use crate::store::sessions::upkeep::{self, Plan, Policy};

/// Between two passes that nobody asked for.
const REST: Duration = Duration::from_secs(30 * 60);
/// Unless the configuration says otherwise (the reference's page on sessions).
const IDLE: &str = "30d";
const DASHBOARD_IDLE: &str = "7d";
const MOST: u64 = 5_000;

/// Whether upkeep acts, or only says what it would do: `session.maintenance.mode`.
pub fn acts(config: &Config) -> bool {
    config.session.maintenance.mode.as_deref() != Some("warn")
}

/// `session.maintenance` as a policy.
pub fn policy(config: &Config) -> Policy {
    let said = &config.session.maintenance;
    let most = said.max_entries.unwrap_or(MOST);
    Policy {
        idle_ms: time("pruneAfter", said.prune_after.as_ref(), IDLE),
        dashboard_idle_ms: time("archiveDashboardAfter", said.archive_dashboard_after.as_ref(), DASHBOARD_IDLE),
        most: Some(usize::try_from(most).unwrap_or(usize::MAX)),
        recent_ms: time("preserveRecent", said.preserve_recent.as_ref(), "0m").unwrap_or(0),
        main_key: main_key(config).to_owned(),
    }
}

/// A length of time in milliseconds, a bare number being days; `None` when it is switched off. What cannot be read puts
/// nothing away.
fn time(key: &str, said: Option<&Retention>, usual: &str) -> Option<i64> {
    let days = |days: f64| Duration::try_from_secs_f64(days * 86_400.0).ok();
    let (time, text) = match said {
        None => (interval(usual), usual.to_owned()),
        Some(Retention::Off(_)) => return None,
        Some(Retention::Days(number)) => (days(*number), number.to_string()),
        // What counts minutes elsewhere counts days here.
        Some(Retention::For(text)) => match text.trim().parse::<f64>() {
            Ok(number) => (days(number), text.clone()),
            Err(_) => (interval(text), text.clone()),
        },
    };
    let Some(time) = time else {
        log::warn!("session.maintenance.{key}: \"{text}\" is no length of time like 30d; nothing is put away for it");
        return None;
    };
    i64::try_from(time.as_millis()).ok().filter(|ms| *ms > 0)
}

/// The clock of the passes nobody asks for.
#[derive(Default)]
pub struct Upkeep {
    /// Of the last one, in Unix milliseconds.
    last: AtomicI64,
}

impl Upkeep {
    /// Begins a pass when one is due. `done` hears how many sessions were put away, if any. Waits for nothing.
    pub fn begin(&self, store: &Store, config: &Config, now_ms: i64, done: impl FnOnce(usize) + Send + 'static) {
        let last = self.last.load(Ordering::Relaxed);
        // A clock that was set back must not stop upkeep for years.
        let due = last == 0 || now_ms < last || now_ms - last >= REST.as_millis() as i64;
        if !due || self.last.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let (policy, acts) = (policy(config), acts(config));
        let job = move |conn: &rusqlite::Connection| {
            let Plan { steps, .. } = upkeep::plan(conn, None, &policy, &[], now_ms)?;
            let count = if acts { upkeep::carry_out(conn, &steps, now_ms)? } else { 0 };
            Ok((steps.len(), count))
        };
        store.submit("put unused sessions away", job, move |result| match result {
            Ok((0, _)) => {}
            Ok((found, _)) if !acts => {
                log::warn!("{found} sessions could be put away (session.maintenance.mode is warn; openclaw sessions cleanup --enforce does it)");
            }
            Ok((_, 0)) => {}
            Ok((_, count)) => {
                log::info!("{count} sessions that nobody uses were put away (session.maintenance)");
                done(count);
            }
            Err(error) => log::error!("{error}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Policy {
        let mut config = Config::default();
        config.session.maintenance = serde_json::from_str(text).expect("a section");
        policy(&config)
    }

    #[test]
    fn the_configuration_names_times_and_switches_them_off() {
        const DAY: i64 = 86_400_000;
        let usual = of("{}");
        assert_eq!((usual.idle_ms, usual.dashboard_idle_ms, usual.most), (Some(30 * DAY), Some(7 * DAY), Some(5000)));
        assert_eq!(usual.recent_ms, 0);
        let own = of(r#"{"pruneAfter":"2w","archiveDashboardAfter":false,"maxEntries":3,"preserveRecent":"1d"}"#);
        assert_eq!((own.idle_ms, own.dashboard_idle_ms, own.most), (Some(14 * DAY), None, Some(3)));
        assert_eq!(own.recent_ms, DAY);
        let bare = of(r#"{"pruneAfter":"14","archiveDashboardAfter":0,"preserveRecent":2}"#);
        assert_eq!((bare.idle_ms, bare.dashboard_idle_ms, bare.recent_ms), (Some(14 * DAY), None, 2 * DAY));
        let odd = of(r#"{"pruneAfter":"soon","archiveDashboardAfter":"0","preserveRecent":false}"#);
        assert_eq!((odd.idle_ms, odd.dashboard_idle_ms, odd.recent_ms), (None, None, 0));
    }
}
