//! Putting away sessions that nobody uses: archived in place, or removed when a program made them.
//!
//! Looks first, then acts; what is to be done is a list that can be shown. Bounded: one pass takes at most [`STEPS`].
//!
//! Invariants: a session that is pinned, main, of a group or a thread, or was used within the hour is never put away;
//! only sessions of programs (jobs, hooks, helpers) are removed.

use rusqlite::Connection;

use super::{SessionRow, delete, get, update};
use crate::store::StoreError;
use crate::store::sql::statement;

/// Sessions put away in one pass: each removal takes transcripts along, and others wait for the writer.
pub const STEPS: usize = 200;
/// Used so recently, a session may be in use.
const FRESH_MS: i64 = 3_600_000;

/// What may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Sessions idle for longer; `None`: none.
    pub idle_ms: Option<i64>,
    /// The same for those that a dashboard began.
    pub dashboard_idle_ms: Option<i64>,
    /// How many may be there that are not archived.
    pub most: Option<usize>,
    /// Sessions of people used within this time stay, whatever the others say.
    pub recent_ms: i64,
    /// Last part of the key of an agent's main session.
    pub main_key: String,
}

/// What becomes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Idle for too long, as the policy says for all or for dashboards.
    Aged,
    AgedDashboard,
    /// There are too many.
    Surplus,
    /// A program's, and idle for too long or too many.
    Removed,
}

impl Fate {
    /// As `archiveReason`.
    pub fn reason(self) -> &'static str {
        match self {
            Fate::Aged | Fate::Removed => "age-retention",
            Fate::AgedDashboard => "stale-dashboard",
            Fate::Surplus => "active-session-cap",
        }
    }
}

/// What a pass would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Sessions that are not archived.
    pub before: usize,
    pub steps: Vec<(String, Fate)>,
}

impl Plan {
    pub fn count(&self, of: impl Fn(Fate) -> bool) -> usize {
        self.steps.iter().filter(|(_, fate)| of(*fate)).count()
    }
}

/// Looks which sessions of an agent, or of all, a policy lets go. `spared` is kept whatever the policy says.
pub fn plan(
    conn: &Connection,
    agent_id: Option<&str>,
    policy: &Policy,
    spared: &[String],
    now_ms: i64,
) -> Result<Plan, StoreError> {
    let sql = "SELECT key, agent_id, updated_at_ms, pinned_at_ms IS NOT NULL FROM sessions
               WHERE archived_at_ms IS NULL AND (?1 IS NULL OR agent_id = ?1) ORDER BY updated_at_ms, id";
    let mut found = statement(conn, sql)?;
    let mut rows = found.query([agent_id])?;
    let mut plan = Plan::default();
    // Those that stay for now, the longest untouched first: the surplus comes from here.
    let mut staying: Vec<(String, bool)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, agent): (String, String) = (row.get(0)?, row.get(1)?);
        let (updated, pinned): (i64, bool) = (row.get(2)?, row.get(3)?);
        plan.before += 1;
        let (program, idle) = (is_programs(&key), now_ms.saturating_sub(updated));
        let main = key.strip_prefix("agent:").and_then(|rest| rest.strip_prefix(agent.as_str()));
        let protected = pinned
            || idle < FRESH_MS
            || (!program && idle < policy.recent_ms)
            || key == "global"
            || main.and_then(|rest| rest.strip_prefix(':')) == Some(policy.main_key.as_str())
            || (!program && is_shared(&key))
            || spared.contains(&key);
        if protected {
            continue;
        }
        let longer = |limit: Option<i64>| limit.is_some_and(|limit| idle > limit);
        if longer(policy.idle_ms) {
            plan.steps.push((key, if program { Fate::Removed } else { Fate::Aged }));
        } else if !program && key.contains(":dashboard:") && longer(policy.dashboard_idle_ms) {
            plan.steps.push((key, Fate::AgedDashboard));
        } else {
            staying.push((key, program));
        }
    }
    let surplus = policy.most.map_or(0, |most| (plan.before - plan.steps.len()).saturating_sub(most));
    let fate = |program| if program { Fate::Removed } else { Fate::Surplus };
    plan.steps.extend(staying.into_iter().take(surplus).map(|(key, program)| (key, fate(program))));
    Ok(plan)
}

/// Does the first steps of a plan; those used meanwhile stay. Returns how many were done.
pub fn carry_out(conn: &Connection, steps: &[(String, Fate)], now_ms: i64) -> Result<usize, StoreError> {
    let mut done = 0;
    for (key, fate) in steps.iter().take(STEPS) {
        let Some(mut row) = get(conn, key)? else { continue };
        if row.archived_at_ms.is_some() || now_ms.saturating_sub(row.updated_at_ms) < FRESH_MS {
            continue;
        }
        done += 1;
        if *fate == Fate::Removed {
            delete(conn, key)?;
            continue;
        }
        row.archived_at_ms = Some(now_ms);
        let mut facts = row.facts();
        facts.archive_reason = Some(fate.reason().to_owned());
        row.set_facts(&facts);
        update(conn, &row)?;
    }
    Ok(done)
}

impl SessionRow {
    /// Takes a session out of the archive that nobody put there by hand. For when somebody speaks in it again.
    pub fn wake(&mut self) {
        if self.archived_at_ms.is_none() {
            return;
        }
        let mut facts = self.facts();
        if facts.archive_reason.take().is_some() {
            self.archived_at_ms = None;
            self.set_facts(&facts);
        }
    }
}

/// Begun by a job, a hook, a helper of an agent or a check of a model.
fn is_programs(key: &str) -> bool {
    [":cron:", ":hook:", ":subagent:", ":heartbeat", ":explicit:model-run-"].iter().any(|part| key.contains(part))
}

/// Stands for a place in a messenger that others know.
fn is_shared(key: &str) -> bool {
    [":group:", ":channel:", ":thread:", ":topic:", ":room:"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::open_memory;
    use crate::store::sessions::{ensure, patch};

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn filled(rows: &[(&str, i64)]) -> Connection {
        let conn = open_memory().expect("a database");
        for (key, age) in rows {
            ensure(&conn, key, "main", 1000 * DAY - age, None).expect("a row");
        }
        conn
    }

    fn policy() -> Policy {
        Policy {
            idle_ms: Some(30 * DAY),
            dashboard_idle_ms: Some(7 * DAY),
            most: None,
            recent_ms: 0,
            main_key: "main".into(),
        }
    }

    fn fates(conn: &Connection, policy: &Policy) -> Vec<(String, Fate)> {
        plan(conn, None, policy, &["agent:main:spared".into()], 1000 * DAY).expect("a plan").steps
    }

    #[test]
    fn what_is_old_goes_and_what_is_dear_stays() {
        let conn = filled(&[
            ("agent:main:main", 99 * DAY),
            ("global", 99 * DAY),
            ("agent:main:telegram:group:7", 99 * DAY),
            ("agent:main:spared", 99 * DAY),
            ("agent:main:pinned", 99 * DAY),
            ("agent:main:openai:old", 31 * DAY),
            ("agent:main:openai:young", 29 * DAY),
            ("agent:main:dashboard:old", 8 * DAY),
            ("agent:main:dashboard:young", 6 * DAY),
            ("agent:main:cron:j:run:1", 31 * DAY),
            ("agent:main:subagent:main", 31 * DAY),
        ]);
        patch(&conn, "agent:main:pinned", |row| row.pinned_at_ms = Some(1)).expect("written");
        let gone: Vec<(&str, Fate)> = vec![
            ("agent:main:openai:old", Fate::Aged),
            ("agent:main:cron:j:run:1", Fate::Removed),
            ("agent:main:subagent:main", Fate::Removed),
            ("agent:main:dashboard:old", Fate::AgedDashboard),
        ];
        let expected: Vec<_> = gone.iter().map(|(key, fate)| (key.to_string(), *fate)).collect();
        assert_eq!(fates(&conn, &policy()), expected);
        assert_eq!(fates(&conn, &Policy { recent_ms: 40 * DAY, ..policy() }).len(), 2, "programs have no such time");
        assert_eq!(fates(&conn, &Policy { idle_ms: None, dashboard_idle_ms: None, ..policy() }), []);

        assert_eq!(carry_out(&conn, &expected, 1000 * DAY).expect("done"), 4);
        let row = get(&conn, "agent:main:openai:old").expect("reads").expect("kept");
        assert_eq!(
            (row.archived_at_ms, row.facts().archive_reason.as_deref()),
            (Some(1000 * DAY), Some("age-retention"))
        );
        assert_eq!(row.updated_at_ms, 969 * DAY, "putting away is no use");
        assert!(get(&conn, "agent:main:subagent:main").expect("reads").is_none());
        assert_eq!(fates(&conn, &policy()), [], "nothing is left to do");
    }

    #[test]
    fn a_surplus_is_the_longest_unused() {
        let conn = filled(&[
            ("agent:main:main", 90 * DAY),
            ("agent:main:c", 3 * DAY),
            ("agent:main:hook:b", 4 * DAY),
            ("agent:main:a", 5 * DAY),
            ("agent:main:now", HOUR / 2),
        ]);
        let most = |most| fates(&conn, &Policy { most: Some(most), ..policy() });
        assert_eq!(most(5), []);
        assert_eq!(most(3), [("agent:main:a".into(), Fate::Surplus), ("agent:main:hook:b".into(), Fate::Removed)]);
        assert_eq!(most(0).len(), 3, "what is protected stays above the cap");
        assert_eq!(plan(&conn, Some("other"), &policy(), &[], 0).expect("a plan"), Plan::default());
    }

    #[test]
    fn who_speaks_in_a_session_wakes_it_unless_a_person_put_it_away() {
        let mut row = SessionRow { archived_at_ms: Some(1), ..SessionRow::default() };
        row.wake();
        assert_eq!(row.archived_at_ms, Some(1));
        row.extra = r#"{"archiveReason":"stale-dashboard"}"#.into();
        row.wake();
        assert_eq!((row.archived_at_ms, row.extra.as_str()), (None, "{}"));
    }
}
