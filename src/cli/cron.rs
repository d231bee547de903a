//! `openclaw cron`, also called `automations`: scheduled jobs of a running gateway.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::args::{
    CronAdd, CronDisable, CronEdit, CronEnable, CronGet, CronList, CronRm, CronRun, CronRuns, CronShow, CronStatus,
    Wanted, Writing,
};
use super::calls::Calls;
use super::failure::{Failure, Kind};
use super::output::{Shell, age, clean, list_at, number_at, shorten, table, text_at};
use super::settings::Settings;
use crate::client::Identity;
use crate::hub::cron::{interval, schedule};
use crate::sys::clock;
use crate::wire::misfit;
use crate::wire::tree::json;

/// Shows the jobs.
pub fn list(shell: &mut Shell, args: &CronList) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let mut jobs = Vec::new();
    let mut client = calls.connect(reader())?;
    let whole = loop {
        let params = json!({"includeDisabled": args.all, "limit": 200, "offset": jobs.len(), "agentId": args.agent});
        let page = calls.ask(&mut client, "cron.list", without_nulls(params))?;
        jobs.extend(list_at(&page, "/jobs").iter().cloned());
        if page["hasMore"] != true || list_at(&page, "/jobs").is_empty() {
            break page;
        }
    };
    client.close();
    for job in &mut jobs {
        job["status"] = status_of(job).into();
    }
    if args.json {
        let previews = &whole["deliveryPreviews"];
        return shell.json(&json!({"jobs": jobs, "total": whole["total"], "deliveryPreviews": previews}));
    }
    if jobs.is_empty() {
        return shell.line("No automations.");
    }
    let rows: Vec<_> = jobs.iter().map(row).collect();
    for line in table(&["ID", "Name", "Schedule", "Next", "Last", "Status", "Agent"], &rows) {
        shell.line(line)?;
    }
    Ok(())
}

fn row(job: &Value) -> Vec<String> {
    let text = |at: &str| text_at(job, at).unwrap_or_default();
    let name = text_at(job, "/displayName").unwrap_or_else(|| text("/name"));
    vec![
        text("/id"),
        shorten(&name, 32),
        shorten(&schedule_of(job), 32),
        when(number_at(job, "/state/nextRunAtMs")),
        when(number_at(job, "/state/lastRunAtMs")),
        text("/status"),
        text_at(job, "/effectiveAgentId").unwrap_or_else(|| "-".into()),
    ]
}

fn schedule_of(job: &Value) -> String {
    let schedule = &job["schedule"];
    let text = |at: &str| text_at(schedule, at).unwrap_or_default();
    match text("/kind").as_str() {
        "at" => format!("at {}", text("/at")),
        "every" => format!("every {}", age(number_at(schedule, "/everyMs").unwrap_or(0))),
        _ => match text_at(schedule, "/tz") {
            Some(zone) => format!("{} @ {zone}", text("/expr")),
            None => text("/expr"),
        },
    }
}

/// `in 5m`, `2h ago`.
fn when(at: Option<u64>) -> String {
    let now = clock::now_ms();
    match at {
        None => "-".into(),
        Some(at) if at > now => format!("in {}", age(at - now)),
        Some(at) => format!("{} ago", age(now - at)),
    }
}

fn status_of(job: &Value) -> String {
    if job["enabled"] == false {
        return "disabled".into();
    }
    if job["state"]["runningAtMs"].is_u64() {
        return "running".into();
    }
    text_at(job, "/state/lastRunStatus").unwrap_or_else(|| "idle".into())
}

/// Prints the scheduler's state as JSON.
pub fn status(shell: &mut Shell, args: &CronStatus) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let status = calls.once(reader(), "cron.status", json!({}))?;
    shell.json(&status)
}

/// Shows one job for people.
pub fn show(shell: &mut Shell, args: &CronShow) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let mut client = calls.connect(reader())?;
    let page =
        calls.ask(&mut client, "cron.list", json!({"includeDisabled": true, "limit": 200, "query": args.job}))?;
    let jobs = list_at(&page, "/jobs");
    let by_id = jobs.iter().find(|job| job["id"] == args.job.as_str());
    let named: Vec<&Value> = jobs
        .iter()
        .filter(|job| job["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&args.job)))
        .collect();
    let mut job = match (by_id, named.as_slice()) {
        (Some(job), _) => job.clone(),
        (None, [only]) => (*only).clone(),
        (None, []) => calls.ask(&mut client, "cron.get", json!({"id": args.job}))?,
        (None, several) => {
            let ids: Vec<_> = several.iter().filter_map(|job| text_at(job, "/id")).collect();
            return Err(Failure::usage(format!("several automations have this name: {}", ids.join(", "))));
        }
    };
    client.close();
    job["status"] = status_of(&job).into();
    if args.json {
        return shell.json(&job);
    }
    let id = text_at(&job, "/id").unwrap_or_default();
    let preview = text_at(&page["deliveryPreviews"], &format!("/{id}/label"));
    let facts = [
        ("ID", Some(id)),
        ("Name", text_at(&job, "/name")),
        ("Description", text_at(&job, "/description")),
        ("Status", text_at(&job, "/status")),
        ("Schedule", Some(schedule_of(&job))),
        (
            "Next run",
            number_at(&job, "/state/nextRunAtMs").map(|at| format!("{} ({})", clock::iso(at), when(Some(at)))),
        ),
        (
            "Last run",
            number_at(&job, "/state/lastRunAtMs").map(|at| format!("{} ({})", clock::iso(at), when(Some(at)))),
        ),
        ("Last error", text_at(&job, "/state/lastError")),
        ("Session", text_at(&job, "/sessionTarget")),
        ("Agent", text_at(&job, "/effectiveAgentId")),
        ("Message", text_at(&job, "/payload/message").or(text_at(&job, "/payload/text"))),
        ("Delivery", preview),
    ];
    for (label, value) in facts {
        if let Some(value) = value {
            shell.fact(label, value)?;
        }
    }
    Ok(())
}

/// Prints one job as JSON.
pub fn get(shell: &mut Shell, args: &CronGet) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let job = calls.once(reader(), "cron.get", json!({"id": args.job}))?;
    shell.json(&job)
}

/// Makes a job.
pub fn add(shell: &mut Shell, args: &CronAdd) -> Result<(), Failure> {
    let mut writing = args.writing();
    if args.schedule.len() > 2 {
        return Err(Failure::usage("quote the schedule and the message"));
    }
    match args.schedule.first().map(String::as_str) {
        Some(text) if text.trim().starts_with('@') || text.trim().contains(' ') => {
            writing.cron = writing.cron.or(Some(text))
        }
        Some(text) => writing.at = writing.at.or(Some(text)),
        None => {}
    }
    writing.message = writing.message.or(args.schedule.get(1).map(String::as_str));
    let mut job = fields(&writing)?;
    if !job.contains_key("schedule") {
        return Err(Failure::usage("when? give a schedule, --at, --every or --cron"));
    }
    let Some(kind) = job.get("payload").and_then(|payload| payload["kind"].as_str()).map(str::to_string) else {
        return Err(Failure::usage("what? give a message, --system-event or --command"));
    };
    if !job.contains_key("name") {
        let words = writing.message.or(writing.system_event).or(writing.command).unwrap_or("automation");
        job.insert("name".into(), shorten(words.lines().next().unwrap_or(words), 60).into());
    }
    job.entry("sessionTarget").or_insert_with(|| {
        let current = kind == "agentTurn" && args.session_key.is_some();
        match kind.as_str() {
            "systemEvent" => "main",
            _ if current => "current",
            _ => "isolated",
        }
        .into()
    });
    let isolated = job["sessionTarget"] != "main";
    if isolated && !job.contains_key("delivery") {
        job.insert("delivery".into(), json!({"mode": "announce", "channel": "last"}));
    }
    job.entry("wakeMode").or_insert_with(|| "now".into());
    job.insert("enabled".into(), (!args.disabled).into());
    if let Some(key) = &args.declaration_key {
        job.insert("declarationKey".into(), key.as_str().into());
    }
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let made = calls.once(writer(), "cron.add", Value::Object(job))?;
    shell.json(&made)
}

/// Changes a job.
pub fn edit(shell: &mut Shell, args: &CronEdit) -> Result<(), Failure> {
    let mut patch = fields(&args.writing())?;
    if args.enable || args.disable {
        patch.insert("enabled".into(), args.enable.into());
    }
    if args.clear_agent {
        patch.insert("agentId".into(), Value::Null);
    }
    if args.clear_model {
        let payload = patch.entry("payload").or_insert_with(|| json!({"kind": "agentTurn"}));
        payload["model"] = Value::Null;
    }
    if patch.is_empty() {
        return Err(Failure::usage("nothing to change"));
    }
    update(shell, args.wanted(), args.timeout, &args.job, Value::Object(patch))
}

pub fn enable(shell: &mut Shell, args: &CronEnable) -> Result<(), Failure> {
    update(shell, args.wanted(), args.timeout, &args.job, json!({"enabled": true}))
}

pub fn disable(shell: &mut Shell, args: &CronDisable) -> Result<(), Failure> {
    update(shell, args.wanted(), args.timeout, &args.job, json!({"enabled": false}))
}

fn update(shell: &mut Shell, wanted: Wanted, timeout: Option<u64>, id: &str, patch: Value) -> Result<(), Failure> {
    let calls = calls(shell, wanted, timeout)?;
    let job = calls.once(writer(), "cron.update", json!({"id": id, "patch": patch}))?;
    shell.json(&job)
}

/// Removes a job.
pub fn rm(shell: &mut Shell, args: &CronRm) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let gone = calls.once(writer(), "cron.remove", json!({"id": args.job}))?;
    shell.json(&gone)
}

/// Runs a job, and waits for the end if asked to.
pub fn run(shell: &mut Shell, args: &CronRun) -> Result<(), Failure> {
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let mode = if args.due { "due" } else { "force" };
    let begun = calls.once(writer(), "cron.run", json!({"id": args.job, "mode": mode}))?;
    let Some(run_id) = text_at(&begun, "/runId").filter(|_| args.wait) else { return shell.json(&begun) };
    let until = Instant::now() + time(args.wait_timeout.as_deref(), "--wait-timeout")?.unwrap_or(WAIT);
    let pause = time(args.poll_interval.as_deref(), "--poll-interval")?.unwrap_or(LOOK);
    if pause.is_zero() {
        return Err(Failure::usage("--poll-interval must be more than nothing"));
    }
    loop {
        let calls = self::calls(shell, args.wanted(), args.timeout)?;
        let page = calls.once(reader(), "cron.runs", json!({"id": args.job, "runId": run_id, "limit": 1}))?;
        if let Some(entry) = list_at(&page, "/entries").first() {
            shell.json(entry)?;
            return match entry["completionStatus"] == "succeeded" {
                true => Ok(()),
                false => Err(Failure::told()),
            };
        }
        if Instant::now() + pause >= until {
            return Err(Failure::new(Kind::Refused, "the run has not ended in time; it goes on"));
        }
        std::thread::sleep(pause);
    }
}

/// Prints the history of runs as JSON.
pub fn runs(shell: &mut Shell, args: &CronRuns) -> Result<(), Failure> {
    let job = args.job.as_ref().or(args.id.as_ref());
    let limit = match args.limit.as_deref().map(str::parse::<u64>) {
        None => None,
        Some(Ok(limit @ 1..=200)) => Some(limit),
        Some(_) => return Err(Failure::usage("--limit is a number from 1 to 200")),
    };
    let params = json!({
        "id": job, "scope": if job.is_some() { "job" } else { "all" }, "runId": args.run_id, "limit": limit,
        "offset": args.offset, "status": args.status, "query": args.query, "sortDir": args.sort,
    });
    let calls = calls(shell, args.wanted(), args.timeout)?;
    let page = calls.once(reader(), "cron.runs", without_nulls(params))?;
    shell.json(&page)
}

/// The fields of a job that the flags name.
fn fields(writing: &Writing) -> Result<Map<String, Value>, Failure> {
    let mut job = Map::new();
    for (name, text) in &writing.texts {
        if let Some(text) = text {
            job.insert((*name).into(), text.as_str().into());
        }
    }
    if let Some(schedule) = schedule_in(writing)? {
        job.insert("schedule".into(), schedule);
    }
    if let Some(payload) = payload_in(writing)? {
        job.insert("payload".into(), payload);
    }
    if let Some(session) = writing.session {
        job.insert("sessionTarget".into(), session.into());
    }
    if let Some(forget) = writing.delete_after_run {
        job.insert("deleteAfterRun".into(), forget.into());
    }
    if let Some(delivery) = delivery_in(writing)? {
        job.insert("delivery".into(), delivery);
    }
    Ok(job)
}

fn schedule_in(writing: &Writing) -> Result<Option<Value>, Failure> {
    let given = [writing.at, writing.every, writing.cron].iter().flatten().count();
    if given > 1 {
        return Err(Failure::usage("give one of --at, --every and --cron"));
    }
    if given == 0 && (writing.tz.is_some() || writing.stagger.is_some()) {
        return Err(Failure::usage("--tz, --exact and --stagger say more about --at or --cron"));
    }
    Ok(match (writing.at, writing.every, writing.cron) {
        (Some(at), _, _) => Some(json!({"kind": "at", "at": moment(at, writing.tz)?})),
        (_, Some(every), _) => {
            let every = time(Some(every), "--every")?.unwrap_or_default();
            Some(json!({"kind": "every", "everyMs": every.as_millis() as u64}))
        }
        (_, _, Some(expr)) => {
            let stagger = time(writing.stagger, "--stagger")?.map(|time| time.as_millis() as u64);
            Some(without_nulls(json!({"kind": "cron", "expr": expr, "tz": writing.tz, "staggerMs": stagger})))
        }
        _ => None,
    })
}

/// A time, or one that is so far from now, as ISO 8601 in UTC.
fn moment(text: &str, zone: Option<&str>) -> Result<String, Failure> {
    if let Some(after) = interval(text).filter(|_| !text.contains('-')) {
        return Ok(clock::iso(clock::now_ms().saturating_add(after.as_millis() as u64)));
    }
    let bad = || Failure::usage(format!("{text:?} is no time (2027-02-01T16:00:00Z, or 20m for a time from now)"));
    if let (Some(zone), Ok(civil)) = (zone, text.parse::<jiff::civil::DateTime>())
        && text.parse::<jiff::Timestamp>().is_err()
    {
        let zone = schedule::zone(Some(zone)).map_err(Failure::usage)?;
        return zone.to_timestamp(civil).map(|at| at.to_string()).map_err(|_| bad());
    }
    schedule::moment(text).map(|ms| clock::iso(ms.max(0) as u64)).ok_or_else(bad)
}

fn payload_in(writing: &Writing) -> Result<Option<Value>, Failure> {
    let command = writing.command.or(writing.command_argv);
    if [writing.message, writing.system_event, command].iter().flatten().count() > 1 {
        return Err(Failure::usage("give one of a message, --system-event and --command"));
    }
    if let Some(text) = writing.system_event {
        return Ok(Some(json!({"kind": "systemEvent", "text": text})));
    }
    if writing.command.is_some() || writing.command_argv.is_some() || writing.command_cwd.is_some() {
        let argv = match (writing.command, writing.command_argv) {
            (Some(line), _) => Some(json!(["sh", "-lc", line])),
            (_, Some(text)) => {
                let words: Vec<String> =
                    misfit::read(text).map_err(|_| Failure::usage("--command-argv is a JSON array of texts"))?;
                Some(json!(words))
            }
            _ => None,
        };
        return Ok(Some(without_nulls(json!({
            "kind": "command", "argv": argv, "cwd": writing.command_cwd,
            "outputMaxBytes": writing.output_max_bytes, "timeoutSeconds": writing.timeout_seconds,
        }))));
    }
    let turn = without_nulls(json!({
        "kind": "agentTurn", "message": writing.message, "model": writing.model,
        "fallbacks": commas(writing.fallbacks), "thinking": writing.thinking,
        "timeoutSeconds": writing.timeout_seconds, "toolsAllow": commas(writing.tools),
        "lightContext": writing.light_context.then_some(true),
    }));
    Ok(Some(turn).filter(|turn| turn.as_object().is_some_and(|turn| turn.len() > 1)))
}

fn commas(text: Option<&str>) -> Option<Vec<&str>> {
    text.map(|text| text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
}

fn delivery_in(writing: &Writing) -> Result<Option<Value>, Failure> {
    let target = writing.channel.or(writing.to).or(writing.account).or(writing.thread_id);
    let mode = match (writing.no_deliver, writing.webhook, writing.announce || target.is_some()) {
        (true, None, _) => "none",
        (false, Some(_), false) => "webhook",
        (false, None, true) => "announce",
        (false, None, false) if writing.best_effort => return Ok(Some(json!({"bestEffort": true}))),
        (false, None, false) => return Ok(None),
        _ => return Err(Failure::usage("give one of --announce, --webhook and --no-deliver")),
    };
    Ok(Some(without_nulls(json!({
        "mode": mode, "channel": writing.channel, "to": writing.webhook.or(writing.to), "accountId": writing.account,
        "threadId": writing.thread_id, "bestEffort": writing.best_effort.then_some(true),
    }))))
}

fn time(text: Option<&str>, flag: &str) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(None) };
    match interval(text) {
        Some(time) => Ok(Some(time)),
        None => Err(Failure::usage(format!("{flag} is a time such as 30s, 10m, 2h or 1d, not {:?}", clean(text)))),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

fn calls(shell: &mut Shell, wanted: Wanted, timeout: Option<u64>) -> Result<Calls, Failure> {
    Calls::new(&Settings::load(shell)?, wanted, timeout, USUAL)
}

fn reader() -> Identity {
    Identity::cli(&["operator.read"])
}

fn writer() -> Identity {
    Identity::cli(&["operator.admin"])
}

const USUAL: Duration = Duration::from_secs(30);

/// How long `run --wait` waits, and how often it looks.
const WAIT: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use argh::FromArgs;

    use super::super::args::Cli;
    use super::super::args::{Command, CronCommand};
    use super::*;

    fn written(args: &[&str]) -> Result<Value, String> {
        let mut all = vec!["cron", "edit"];
        all.extend(args);
        all.push("job");
        let cli = Cli::from_args(&["openclaw"], &all).map_err(|early| early.output)?;
        let Some(Command::Cron(cron)) = cli.command else { return Err("no cron".into()) };
        let CronCommand::Edit(edit) = cron.command else { return Err("no edit".into()) };
        fields(&edit.writing()).map(Value::Object).map_err(|failure| failure.message)
    }

    #[test]
    fn flags_become_the_fields_of_a_job() {
        assert_eq!(
            written(&["--cron", "0 7 * * *", "--tz", "Europe/Berlin", "--exact"]).expect("fine")["schedule"],
            json!({"kind": "cron", "expr": "0 7 * * *", "tz": "Europe/Berlin", "staggerMs": 0})
        );
        assert_eq!(written(&["--every", "1h30m"]).expect("fine")["schedule"]["everyMs"], 5_400_000);
        let summer = written(&["--at", "2027-07-01T09:00:00", "--tz", "Europe/Berlin"]).expect("fine");
        assert_eq!(summer["schedule"]["at"], "2027-07-01T07:00:00Z");
        assert_eq!(
            written(&["--command", "ls -l", "--timeout-seconds", "5"]).expect("fine")["payload"],
            json!({"kind": "command", "argv": ["sh", "-lc", "ls -l"], "timeoutSeconds": 5})
        );
        assert_eq!(
            written(&["--model", "a/b", "--tools", "read, ls"]).expect("fine")["payload"],
            json!({"kind": "agentTurn", "model": "a/b", "toolsAllow": ["read", "ls"]})
        );
        assert_eq!(
            written(&["--channel", "telegram", "--to", "1"]).expect("fine")["delivery"],
            json!({"mode": "announce", "channel": "telegram", "to": "1"})
        );
        assert_eq!(written(&["--no-deliver"]).expect("fine")["delivery"], json!({"mode": "none"}));
        for wrong in [
            &["--cron", "* * * * *", "--every", "1m"][..],
            &["--every", "often"],
            &["--at", "soon"],
            &["--tz", "UTC"],
            &["--message", "a", "--command", "b"],
            &["--webhook", "https://a/", "--announce"],
            &["--command-argv", "ls"],
        ] {
            written(wrong).expect_err("refused");
        }
    }
}
