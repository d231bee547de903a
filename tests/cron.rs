//! Scheduled jobs, news and heartbeats: made, run, kept over a restart and a crash, held back when they cost too much.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::golden;
use crate::support::talk::{SESSION, roles, say};
use crate::support::upstream::{Answer, Upstream};
use crate::support::wait;
use crate::support::ws::Ws;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

fn turn(schedule: Value, message: &str) -> Value {
    json!({
        "name": "job", "schedule": schedule, "sessionTarget": "isolated", "wakeMode": "now",
        "payload": { "kind": "agentTurn", "message": message },
    })
}

fn hourly() -> Value {
    json!({ "kind": "every", "everyMs": 3_600_000 })
}

fn soon(ms: u64) -> Value {
    let at = std::time::Duration::from_millis(now_ms() + ms);
    json!({ "kind": "at", "at": humane(at) })
}

/// A time as ISO 8601, without a calendar of our own: seconds since the epoch are what `every` and `at` share.
fn humane(since: Duration) -> String {
    let stamp = jiff::Timestamp::from_millisecond(since.as_millis() as i64).expect("a time");
    stamp.to_string()
}

fn cron_event(client: &mut Ws, id: &str, action: &str) -> Value {
    client.event_where("cron", |event| event["jobId"] == id && event["action"] == action)["payload"].take()
}

fn add(client: &mut Ws, job: Value) -> String {
    client.ok("cron.add", job)["id"].as_str().expect("an id").to_string()
}

#[test]
fn a_job_is_made_listed_changed_run_and_removed() {
    let upstream = Upstream::script([Answer::say("Cron says hi.")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let made = client.ok("cron.add", turn(hourly(), "cron says hi"));
    let id = made["id"].as_str().expect("an id").to_string();
    let (created, next) =
        (made["createdAtMs"].as_u64().expect("a time"), made["nextRunAtMs"].as_u64().expect("a time"));
    assert_eq!(next - created, 3_600_000);
    golden::has(
        &made,
        &json!({
            "enabled": true, "schedule": { "kind": "every", "everyMs": 3_600_000, "anchorMs": created },
            "payload": { "kind": "agentTurn", "message": "cron says hi", "toolsAllow": ["*"] },
            "scheduledToolPolicy": { "version": 1, "mode": "trusted" }, "state": { "nextRunAtMs": next },
            "deliveryPreview": { "label": "not requested", "detail": "not requested" },
        }),
    );
    golden::has(&cron_event(&mut client, &id, "added"), &json!({ "job": { "id": id, "name": "job" } }));
    golden::has(&client.ok("cron.status", json!({})), &json!({ "enabled": true, "jobs": 1, "nextWakeAtMs": next }));
    let list = client.ok("cron.list", json!({ "includeDisabled": true, "limit": 200, "offset": 0 }));
    golden::has(&list, &json!({ "total": 1, "hasMore": false, "nextOffset": null }));
    golden::has(&list["jobs"][0], &json!({ "id": id, "effectiveAgentId": "main" }));

    let run = client.ok("cron.run", json!({ "id": id, "mode": "force" }));
    assert_eq!((&run["ok"], &run["enqueued"]), (&json!(true), &json!(true)));
    cron_event(&mut client, &id, "started");
    let ended = cron_event(&mut client, &id, "finished");
    golden::has(&ended, &json!({ "status": "ok", "completionStatus": "succeeded", "nextRunAtMs": next }));
    let runs = client.ok("cron.runs", json!({ "id": id, "limit": 5 }));
    golden::has(
        &runs["entries"][0],
        &json!({
            "jobId": id, "action": "finished", "status": "ok", "summary": "Cron says hi.", "runId": run["runId"],
            "deliveryStatus": "not-requested", "usage": { "input_tokens": 11, "output_tokens": 7 },
        }),
    );
    let session = runs["entries"][0]["sessionKey"].as_str().expect("a session").to_string();
    assert!(session.starts_with(&format!("agent:main:cron:{id}:run:")), "{session}");
    let row = client.ok("sessions.describe", json!({ "key": session }));
    golden::has(
        &row["session"],
        &json!({ "displayName": "Automation: job", "classification": "cron", "createdVia": "cron" }),
    );

    let off = client.ok("cron.update", json!({ "id": id, "patch": { "enabled": false, "name": "renamed" } }));
    golden::has(&off, &json!({ "enabled": false, "name": "renamed", "state": { "lastRunStatus": "ok" } }));
    assert!(off.get("nextRunAtMs").is_none() && off["configRevision"] != made["configRevision"]);
    assert_eq!(client.ok("cron.list", json!({}))["total"], 0, "it is switched off");
    let due = client.ok("cron.run", json!({ "jobId": id, "mode": "due" }));
    golden::has(&due, &json!({ "ok": true, "ran": false, "reason": "not-due" }));
    assert_eq!(client.ok("cron.remove", json!({ "id": id })), json!({ "ok": true, "removed": true }));
    let gone = client.err("cron.remove", json!({ "id": id }));
    golden::has(&gone, &json!({ "code": "INVALID_REQUEST", "details": { "code": "CRON_JOB_NOT_FOUND", "jobId": id } }));
    assert_eq!(client.ok("cron.runs", json!({ "id": id }))["total"], 1, "the history stays");
}

#[test]
fn what_cannot_be_scheduled_is_refused_with_a_reason() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let mut refused = |change: Value, words: &str| {
        let mut job = turn(hourly(), "hello");
        for (name, value) in change.as_object().expect("fields") {
            job[name] = value.clone();
        }
        let error = client.err("cron.add", job);
        assert!(error["message"].as_str().is_some_and(|text| text.contains(words)), "{words}: {error}");
    };
    refused(json!({ "schedule": { "kind": "cron", "expr": "61 * * * *" } }), "schedule.expr");
    refused(json!({ "schedule": { "kind": "on-exit", "command": "true" } }), "watches no commands");
    refused(json!({ "agentId": "nobody" }), "unknown agent id");
    refused(json!({ "sessionTarget": "main" }), "main cron jobs require payload.kind=\"systemEvent\"");
    refused(json!({ "trigger": { "script": "1" } }), "trigger");
    refused(json!({ "extra": 1 }), "unexpected property 'extra'");
    refused(json!({ "delivery": { "mode": "webhook", "to": "file:///etc/passwd" } }), "http or https");
    let past = json!({ "name": "job", "schedule": { "kind": "at", "at": "2001-01-01T00:00:00Z" },
                       "payload": { "kind": "systemEvent", "text": "late" } });
    assert!(client.err("cron.add", past)["message"].as_str().expect("words").contains("in the past"));
    let zone = json!({ "kind": "cron", "expr": "0 9 * * *", "tz": "Mars/Olympus" });
    assert!(client.err("cron.add", turn(zone, "x"))["message"].as_str().expect("words").contains("time zone"));
    assert_eq!(client.ok("cron.list", json!({ "includeDisabled": true }))["total"], 0);
}

#[test]
fn a_declared_job_is_one_job_however_often_it_is_declared() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let mut job = turn(json!({ "kind": "cron", "expr": "0 9 * * *", "tz": "UTC" }), "hello");
    job["declarationKey"] = json!("mine");
    let first = client.ok("cron.add", job.clone());
    assert_eq!(first["created"], true);
    golden::has(&client.ok("cron.add", job.clone()), &json!({ "created": false, "updated": false }));
    job["payload"]["message"] = json!("other");
    let third = client.ok("cron.add", job);
    golden::has(&third, &json!({ "created": false, "updated": true, "job": { "id": first["job"]["id"] } }));
}

#[test]
fn a_reminder_is_said_in_the_main_session_and_is_gone() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let reminder = json!({
        "name": "tea", "schedule": soon(300), "payload": { "kind": "systemEvent", "text": "The tea is ready." },
    });
    let id = add(&mut client, reminder);
    let ended = cron_event(&mut client, &id, "finished");
    assert_eq!(ended["status"], "ok");
    cron_event(&mut client, &id, "removed");
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    let messages = asked[0].body["messages"].as_array().expect("messages");
    assert_eq!(messages.last().expect("one")["content"], "System: The tea is ready.");
    assert_eq!(roles(&client.ok("chat.history", json!({ "sessionKey": SESSION }))), ["user", "assistant"]);
    assert_eq!(client.ok("cron.list", json!({ "includeDisabled": true }))["total"], 0);
}

#[test]
fn jobs_survive_a_restart_and_what_was_missed_a_moment_ago_runs_once() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let kept = add(&mut client, turn(hourly(), "hourly"));
    let late = add(&mut client, turn(soon(1_500), "late"));
    let due = client.ok("cron.get", json!({ "id": late }))["nextRunAtMs"].as_u64().expect("a time");
    let before = client.ok("cron.get", json!({ "id": kept }));
    let home = gateway.kill();
    wait::until("its time to pass", || (now_ms() > due).then_some(()));
    assert_eq!(upstream.asked().len(), 0, "nobody was there");
    let gateway = Gateway::with(upstream.config()).home(home).start();
    let mut client = gateway.operator();
    wait::until("the missed one to run", || {
        (client.ok("cron.runs", json!({ "scope": "all" }))["total"] == 1).then_some(())
    });
    let after = client.ok("cron.get", json!({ "id": kept }));
    assert_eq!((&after["nextRunAtMs"], &after["schedule"]), (&before["nextRunAtMs"], &before["schedule"]));
    let home = gateway.kill();
    let gateway = Gateway::with(upstream.config()).home(home).start();
    let mut client = gateway.operator();
    assert_eq!(client.ok("cron.runs", json!({ "scope": "all" }))["total"], 1);
    assert_eq!(upstream.asked().len(), 1, "once");
}

#[test]
fn a_run_that_a_crash_cut_off_is_reported_and_not_repeated() {
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = add(&mut client, turn(hourly(), "a long one"));
    client.ok("cron.run", json!({ "id": id }));
    upstream.wait_asked(1);
    assert_eq!(client.ok("cron.run", json!({ "id": id }))["reason"], "already-running");
    let home = gateway.kill();
    let gateway = Gateway::with(upstream.config()).home(home).start();
    let mut client = gateway.operator();
    let runs = wait::until("it to be reported", || {
        let runs = client.ok("cron.runs", json!({ "id": id }));
        (runs["total"] == 1).then_some(runs)
    });
    golden::has(&runs["entries"][0], &json!({ "status": "error", "completionStatus": "failed" }));
    assert!(runs["entries"][0]["error"].as_str().expect("words").contains("interrupted"));
    let job = client.ok("cron.get", json!({ "id": id }));
    assert!(job["state"].get("runningAtMs").is_none() && job["state"]["consecutiveErrors"] == 1, "{job}");
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn a_command_runs_without_a_model() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    let mut job = turn(hourly(), "");
    job["payload"] = json!({ "kind": "command", "argv": ["sh", "-c", "echo out; exit 3"] });
    let id = add(&mut client, job);
    client.ok("cron.run", json!({ "id": id }));
    let ended = cron_event(&mut client, &id, "finished");
    golden::has(&ended, &json!({ "status": "error", "error": "the command ended with 3: out", "summary": "out" }));
    client.ok(
        "cron.update",
        json!({ "id": id, "patch": { "payload": { "kind": "command", "argv": ["echo", "fine"] } } }),
    );
    client.ok("cron.run", json!({ "id": id }));
    let ended = client.event_where("cron", |event| event["action"] == "finished" && event["status"] == "ok");
    assert_eq!(ended["payload"]["summary"], "fine");
}

#[test]
fn removing_a_job_stops_its_run() {
    let upstream = Upstream::script([Answer::Silent]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let id = add(&mut client, turn(hourly(), "a long one"));
    client.ok("cron.run", json!({ "id": id }));
    upstream.wait_asked(1);
    client.ok("cron.remove", json!({ "id": id }));
    assert!(upstream.left(0, wait::LIMIT).is_some(), "the model is not listened to any more");
}

#[test]
fn news_wakes_an_agent_now_or_waits_for_its_next_turn() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    assert_eq!(
        client.ok("wake", json!({ "mode": "next-heartbeat", "text": "the door is open" })),
        json!({ "ok": true })
    );
    assert_eq!(client.ok("system-event", json!({ "text": "Node: gap", "mode": "ui" })), json!({ "ok": true }));
    say(&mut client, SESSION, "hello", "run-1");
    let asked = upstream.asked();
    assert!(asked[0].body["messages"][0]["content"].as_str().expect("text").contains("the door is open"));
    client.ok("wake", json!({ "mode": "now", "text": "the house burns" }));
    let asked = upstream.wait_asked(2);
    let messages = asked[1].body["messages"].as_array().expect("messages");
    assert_eq!(messages.last().expect("one")["content"], "System: the house burns");
    client.ok("wake", json!({ "mode": "now", "text": "it burns still" }));
    client.ok("health", json!({}));
    assert_eq!(upstream.asked().len(), 2, "half a minute lies between two turns nobody asked for");
    client.err("wake", json!({ "mode": "now", "text": " " }));
    client.err("wake", json!({ "mode": "now", "text": "x", "agentId": "nobody" }));
}

#[test]
fn heartbeats_are_off_unless_set_and_spend_nothing_when_nobody_would_hear_them() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    assert!(client.ok("last-heartbeat", json!({})).is_null());
    assert_eq!(client.ok("cron.status", json!({}))["jobs"], 0);
    drop(gateway);
    let beat = |target: &str| {
        upstream
            .config_and(json!({ "agents": { "defaults": { "heartbeat": { "every": "200ms", "target": target } } } }))
    };
    let gateway = Gateway::start(beat("owner"));
    let mut client = gateway.operator();
    let event = client.event("heartbeat");
    golden::has(&event["payload"], &json!({ "status": "skipped", "reason": "no-route" }));
    assert_eq!(client.ok("last-heartbeat", json!({}))["reason"], "no-route");
    let list = client.ok("cron.list", json!({}));
    golden::has(&list["jobs"][0], &json!({ "declarationKey": "heartbeat:main", "payload": { "kind": "heartbeat" } }));
    client.err("cron.remove", json!({ "id": list["jobs"][0]["id"] }));
    assert_eq!(upstream.asked().len(), 0);
    drop(gateway);
    let gateway = Gateway::start(beat("none"));
    let mut client = gateway.operator();
    upstream.wait_asked(1);
    let event = client.event_where("heartbeat", |event| event["reason"] != "no-route");
    golden::has(
        &event["payload"],
        &json!({ "status": "skipped", "reason": "target-none", "preview": "Hello from upstream." }),
    );
    let shown = |client: &mut Ws| client.ok("health", json!({}))["agents"][0]["heartbeat"].take();
    golden::has(&shown(&mut client), &json!({ "enabled": true, "every": "200ms", "everyMs": 200, "target": "none" }));
    assert_eq!(client.ok("set-heartbeats", json!({ "enabled": false })), json!({ "ok": true, "enabled": false }));
    golden::has(&shown(&mut client), &json!({ "enabled": false, "every": "disabled", "everyMs": null }));
    assert_eq!(upstream.asked().len(), 1, "the floor holds however short the interval is");
}

#[test]
fn automatic_runs_stop_when_there_is_no_credit_and_when_the_day_is_used_up() {
    let upstream = Upstream::script([Answer::say("One.")]);
    let gateway = Gateway::start(upstream.config_and(json!({ "cron": { "maxTokensPerDay": 10 } })));
    let mut client = gateway.operator();
    let first = add(&mut client, turn(soon(100), "first"));
    assert_eq!(cron_event(&mut client, &first, "finished")["status"], "ok");
    let second = add(&mut client, turn(soon(100), "second"));
    let ended = cron_event(&mut client, &second, "finished");
    assert_eq!(ended["status"], "skipped");
    assert!(ended["error"].as_str().expect("words").contains("maxTokensPerDay"), "{ended}");
    assert!(client.ok("cron.status", json!({}))["suspended"].is_string());
    assert_eq!(upstream.asked().len(), 1);
    let third = client.ok("cron.run", json!({ "id": second }));
    assert_eq!(third["enqueued"], true, "a person may");
    upstream.wait_asked(2);
}

#[test]
fn the_command_line_makes_lists_runs_and_removes_jobs() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let cli = |args: &[&str]| {
        let port = gateway.port.to_string();
        let mut all = args.to_vec();
        all.extend(["--port", &port, "--token", crate::support::gateway::TOKEN]);
        let output = crate::support::gateway::run(gateway.home(), &all, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let made = cli(&["automations", "create", "0 7 * * *", "Summarise the night.", "--name", "Brief", "--no-deliver"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    golden::has(&made, &json!({ "name": "Brief", "schedule": { "expr": "0 7 * * *" }, "sessionTarget": "isolated" }));
    let id = made["id"].as_str().expect("an id");
    let list = cli(&["cron", "list"]);
    assert!(list.contains("Brief") && list.contains("0 7 * * *") && list.contains("idle"), "{list}");
    let ended: Value =
        serde_json::from_str(&cli(&["cron", "run", id, "--wait", "--poll-interval", "50ms"])).expect("JSON");
    golden::has(&ended, &json!({ "status": "ok", "completionStatus": "succeeded", "summary": "Hello from upstream." }));
    assert!(cli(&["cron", "show", "brief"]).contains("ok"));
    let edited: Value = serde_json::from_str(&cli(&["cron", "edit", id, "--every", "2h"])).expect("JSON");
    assert_eq!(edited["schedule"]["everyMs"], 7_200_000);
    cli(&["cron", "disable", id]);
    assert!(cli(&["cron"]).contains("No automations."));
    let runs: Value = serde_json::from_str(&cli(&["cron", "runs", id])).expect("JSON");
    assert_eq!(runs["total"], 1);
    cli(&["cron", "rm", id]);
    assert_eq!(cli(&["system", "event", "--text", "news"]).trim(), "ok");
    assert_eq!(cli(&["system", "heartbeat", "last"]).trim(), "null");
}

#[test]
fn results_go_to_a_webhook_that_may_be_reached_and_to_no_other() {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a caller");
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while !request.ends_with(b"}") {
            let read = std::io::Read::read(&mut stream, &mut chunk).expect("bytes");
            assert!(read > 0, "the caller left");
            request.extend_from_slice(&chunk[..read]);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("told");
        String::from_utf8(request).expect("text")
    });
    let upstream = Upstream::friendly();
    let rules = json!({ "cron": {
        "webhookToken": "hook-secret", "webhookSsrfPolicy": { "allowedHostnames": ["127.0.0.1"] },
    } });
    let gateway = Gateway::start(upstream.config_and(rules));
    let mut client = gateway.operator();
    let mut job = turn(hourly(), "hello");
    job["delivery"] = json!({ "mode": "webhook", "to": format!("http://{address}/in") });
    let id = add(&mut client, job.clone());
    client.ok("cron.run", json!({ "id": id }));
    golden::has(&cron_event(&mut client, &id, "finished"), &json!({ "deliveryStatus": "delivered" }));
    let request = received.join().expect("received");
    assert!(request.to_ascii_lowercase().contains("authorization: bearer hook-secret"), "{request}");
    assert!(request.contains("\"summary\":\"Hello from upstream.\""), "{request}");
    job["delivery"]["to"] = json!("http://[::1]:9/in");
    let id = add(&mut client, job);
    client.ok("cron.run", json!({ "id": id }));
    let ended = cron_event(&mut client, &id, "finished");
    golden::has(&ended, &json!({ "status": "ok", "completionStatus": "failed", "deliveryStatus": "not-delivered" }));
}

#[test]
fn runs_are_listed_as_tasks_and_can_be_cancelled() {
    let upstream = Upstream::script([Answer::say("One."), Answer::Silent]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "first", "run-1");
    crate::support::talk::send(&mut client, SESSION, "second", "run-2");
    upstream.wait_asked(2);
    let open = client.ok("tasks.list", json!({ "sessionKey": SESSION, "status": ["queued", "running"] }));
    assert_eq!(open["tasks"].as_array().map(Vec::len), Some(1));
    golden::has(&open["tasks"][0], &json!({ "id": "run-2", "status": "running", "agentId": "main" }));
    let all = client.ok("tasks.list", json!({ "limit": 1 }));
    assert_eq!(all["nextCursor"], "1");
    for (moment, first) in [("createdAt", "run-2"), ("startedAt", "run-2"), ("endedAt", "run-1")] {
        let sorted = client.ok("tasks.list", json!({ "sortBy": moment, "sessionKey": SESSION }));
        assert_eq!(sorted["tasks"][0]["id"], first, "{moment}: {sorted}");
    }
    golden::has(&client.ok("tasks.get", json!({ "taskId": "run-1" }))["task"], &json!({ "status": "completed" }));
    client.err("tasks.get", json!({ "taskId": "nobody" }));
    let gone = client.ok("tasks.cancel", json!({ "taskId": "run-2" }));
    assert_eq!(gone, json!({ "found": true, "cancelled": true }));
    assert_eq!(client.ok("tasks.cancel", json!({ "taskId": "nobody" }))["found"], false);
    client.event_where("chat", |chat| chat["runId"] == "run-2" && chat["state"] == "aborted");
}
