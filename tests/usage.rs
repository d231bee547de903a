//! What was used: by day, by session, by model; and whether a provider answers.

use serde_json::{Value, json};

use crate::support::gateway::Gateway;
use crate::support::golden;
use crate::support::talk::{SESSION, say};
use crate::support::upstream::{Answer, USAGE, Upstream};

const MAIN: &str = "agent:main:main";
const CALL: u64 = USAGE.0 + USAGE.1;

#[test]
fn what_was_used_is_summed_up_by_day() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "hello", "run-1");
    let cost = client.ok("usage.cost", json!({ "days": 7 }));
    let daily = cost["daily"].as_array().expect("days");
    assert_eq!(daily.len(), 7);
    let (input, output) = USAGE;
    golden::has(&cost["totals"], &json!({ "input": input, "output": output, "totalTokens": input + output }));
    let spent: u64 = daily.iter().filter_map(|day| day["input"].as_u64()).sum();
    assert_eq!(spent, input, "the days add up");
    assert_eq!(client.ok("usage.status", json!({}))["providers"], json!([]));
    assert!(
        client.err("usage.cost", json!({ "startDate": "soon" }))["message"].as_str().expect("text").contains("date")
    );
}

/// The only row of a list.
fn only(rows: &Value) -> &Value {
    match rows.as_array().map(Vec::as_slice) {
        Some([row]) => row,
        _ => panic!("not one row: {rows:#}"),
    }
}

#[test]
fn a_session_shows_what_it_used_and_what_was_said() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "false" }) },
        Answer::say("It failed."),
        Answer::say("elsewhere"),
        Answer::say("afresh"),
    ]);
    let full = json!({ "tools": { "exec": { "security": "full", "ask": "off" } } });
    let gateway = Gateway::start(upstream.config_and(full));
    let mut client = gateway.operator();
    say(&mut client, MAIN, "try it", "run-1");
    say(&mut client, "agent:main:other", "and here", "run-2");

    let usage = client.ok("sessions.usage", json!({ "range": "7d", "mode": "specific", "timeZone": "Europe/Vienna" }));
    let rows = usage["sessions"].as_array().expect("sessions");
    let keys: Vec<&str> = rows.iter().filter_map(|row| row["key"].as_str()).collect();
    assert_eq!(rows.len(), 2, "{keys:?}");
    let main = rows.iter().find(|row| row["key"] == MAIN).expect("the main session");
    golden::has(main, &json!({ "agentId": "main", "scope": "instance", "hasContextWeight": false }));
    let said = &main["usage"];
    golden::has(
        said,
        &json!({
            "totalTokens": 2 * CALL,
            "messageCounts": { "total": 3, "user": 1, "assistant": 2, "toolCalls": 1, "toolResults": 1 },
            "toolUsage": { "totalCalls": 1, "uniqueTools": 1, "tools": [{ "name": "exec", "count": 1 }] },
            "modelUsage": [{ "provider": "stub", "model": "stub-model", "count": 2 }],
        }),
    );
    golden::has(only(&said["dailyBreakdown"]), &json!({ "tokens": 2 * CALL, "input": 2 * USAGE.0 }));
    golden::has(only(&said["dailyMessageCounts"]), &json!({ "user": 1, "assistant": 2 }));
    golden::has(only(&said["dailyModelUsage"]), &json!({ "model": "stub-model", "count": 2 }));
    assert_eq!(said["activityDates"][0], said["dailyBreakdown"][0]["date"]);
    assert!(said["firstActivity"].as_i64() <= said["lastActivity"].as_i64());
    let all = &usage["aggregates"];
    golden::has(all, &json!({ "sessionCount": 2, "messages": { "total": 5 }, "tools": { "totalCalls": 1 } }));
    golden::has(only(&all["byModel"]), &json!({ "provider": "stub", "totals": { "totalTokens": 3 * CALL } }));
    golden::has(only(&all["byProvider"]), &json!({ "provider": "stub", "count": 3 }));
    assert!(all["byProvider"][0].get("model").is_none());
    golden::has(only(&all["byAgent"]), &json!({ "agentId": "main" }));
    golden::has(only(&all["daily"]), &json!({ "tokens": 3 * CALL, "messages": 5, "toolCalls": 1 }));
    golden::has(&usage["totals"], &json!({ "totalTokens": 3 * CALL }));
    assert_eq!(usage["cacheStatus"]["status"], "fresh");

    let one = client.ok("sessions.usage", json!({ "key": MAIN, "includeContextWeight": true }));
    assert_eq!(only(&one["sessions"])["contextWeight"], Value::Null);
    assert_eq!(one["totals"]["totalTokens"], 2 * CALL);
    let few = client.ok("sessions.usage", json!({ "limit": 1, "agentScope": "all", "range": "all" }));
    golden::has(&few["totals"], &json!({ "totalTokens": 3 * CALL }));
    assert_eq!(only(&few["sessions"])["key"], "agent:main:other", "the last used first");

    client.ok("sessions.reset", json!({ "key": MAIN }));
    say(&mut client, MAIN, "again", "run-3");
    let now = client.ok("sessions.usage", json!({ "key": MAIN }));
    golden::has(&only(&now["sessions"])["usage"]["messageCounts"], &json!({ "user": 1, "assistant": 1 }));
    let ever = client.ok("sessions.usage", json!({ "key": MAIN, "groupBy": "family" }));
    let ever = only(&ever["sessions"]);
    golden::has(&ever["usage"], &json!({ "totalTokens": 3 * CALL, "messageCounts": { "user": 2, "assistant": 3 } }));
    assert_eq!((&ever["scope"], ever["includedSessionIds"].as_array().map(Vec::len)), (&json!("family"), Some(2)));

    client.ok("sessions.delete", json!({ "key": "agent:main:other" }));
    let left = client.ok("sessions.usage", json!({ "limit": 9 }));
    let gone = left["sessions"].as_array().expect("rows").iter().find(|row| row["key"] == "agent:main:other");
    assert!(gone.is_some_and(|row| row.get("sessionId").is_none()), "what was used stays counted");
}

#[test]
fn one_session_is_told_answer_by_answer() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "hello", "run-1");
    say(&mut client, MAIN, "hello again", "run-2");
    let series = client.ok("sessions.usage.timeseries", json!({ "key": "main" }));
    let grown: Vec<_> = series["points"].as_array().expect("points").iter().map(|p| &p["cumulativeTokens"]).collect();
    assert_eq!(grown, [&json!(CALL), &json!(2 * CALL)]);
    let logs = client.ok("sessions.usage.logs", json!({ "key": MAIN, "limit": 3 }));
    let roles: Vec<_> = logs["logs"].as_array().expect("lines").iter().map(|line| &line["role"]).collect();
    assert_eq!(roles, ["assistant", "user", "assistant"], "the newest, in their order");
    golden::has(&logs["logs"][1], &json!({ "content": "hello again" }));
    assert_eq!(logs["logs"][2]["tokens"], CALL);
    assert_eq!(client.ok("sessions.usage.logs", json!({ "key": "nothing" }))["logs"], json!([]));
    let error = client.err("sessions.usage.timeseries", json!({ "key": "nothing" }));
    golden::has(
        &error,
        &json!({ "code": "INVALID_REQUEST", "message": "No transcript found for session: agent:main:nothing" }),
    );
}

#[test]
fn days_that_are_none_are_refused() {
    let gateway = Gateway::start(json!({}));
    let mut client = gateway.operator();
    for (params, said) in [
        (json!({ "startDate": "2026-02-30", "endDate": "2026-03-01" }), "invalid startDate"),
        (json!({ "startDate": "2026-02-01" }), "together"),
        (json!({ "mode": "specific", "timeZone": "Middle/Earth" }), "invalid timeZone"),
        (json!({ "mode": "specific", "utcOffset": "UTC+15" }), "invalid utcOffset"),
        (json!({ "agentScope": "all", "agentId": "main" }), "agentScope=all"),
    ] {
        for method in ["usage.cost", "sessions.usage"] {
            let error = client.err(method, params.clone());
            assert_eq!(error["code"], "INVALID_REQUEST");
            assert!(error["message"].as_str().expect("a message").contains(said), "{method} {params}: {error}");
        }
    }
    let error = client.err("sessions.usage", json!({ "agentScope": "all", "key": "main" }));
    assert!(error["message"].as_str().expect("a message").contains("agentScope=all"));
    assert_eq!(client.err("sessions.usage", json!({ "limit": 0 }))["code"], "INVALID_REQUEST");
}

#[test]
fn a_provider_is_asked_for_a_word() {
    let upstream =
        Upstream::script([Answer::say("OK"), Answer::Refuse(401, "no such key"), Answer::Refuse(402, "empty")]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    let sound = client.ok("models.probe", json!({ "provider": "stub" }));
    golden::has(&sound, &json!({ "provider": "stub", "status": "ok" }));
    golden::has(only(&sound["results"]), &json!({ "label": "Configured credential · stub-model", "status": "ok" }));
    assert!(sound["latencyMs"].is_u64() && sound.get("error").is_none());
    for status in ["auth", "billing"] {
        let refused = client.ok("models.probe", json!({ "provider": "Stub", "timeoutMs": 1 }));
        golden::has(&refused, &json!({ "status": status }));
        assert!(!refused["error"].as_str().expect("a sentence").contains("sk-upstream-canary"));
    }
    assert_eq!(upstream.asked().len(), 3, "nothing is asked twice");
    assert_eq!(client.ok("models.probe", json!({ "provider": "builtin" }))["status"], "ok");
    let nobody = client.ok("models.probe", json!({ "provider": "nobody" }));
    golden::has(&nobody, &json!({ "status": "no_model", "results": [] }));
    assert!(nobody["error"].as_str().expect("a sentence").contains("stub, builtin"));
    assert_eq!(client.err("models.probe", json!({ "provider": " " }))["code"], "INVALID_REQUEST");
    assert_eq!(client.err("models.probe", json!({ "provider": "stub", "agentId": "x" }))["code"], "INVALID_REQUEST");
}

#[test]
fn every_profile_of_a_provider_is_asked_and_the_best_counts() {
    let upstream = Upstream::by(|asked| {
        let good = asked.headers.iter().any(|(name, value)| name == "authorization" && value.ends_with("good"));
        if good { Answer::say("OK") } else { Answer::Refuse(401, "no such key") }
    });
    let key = |key: &str| json!({ "provider": "stub", "mode": "api_key", "keyRef": { "source": "env", "provider": "default", "id": key } });
    let profiles = json!({ "auth": { "profiles": { "stub:a": key("BAD_KEY"), "stub:b": key("GOOD_KEY") } } });
    let gateway =
        Gateway::with(upstream.config_and(profiles)).env("BAD_KEY", "sk-bad").env("GOOD_KEY", "sk-good").start();
    let mut client = gateway.operator();
    let both = client.ok("models.probe", json!({ "provider": "stub" }));
    golden::has(&both, &json!({ "status": "ok" }));
    let rows: Vec<_> =
        both["results"].as_array().expect("rows").iter().map(|row| (&row["profileId"], &row["status"])).collect();
    assert_eq!(rows, [(&json!("stub:a"), &json!("auth")), (&json!("stub:b"), &json!("ok"))]);
    let one = client.ok("models.probe", json!({ "provider": "stub", "profileId": "stub:a" }));
    golden::has(&one, &json!({ "status": "auth" }));
    say(&mut client, SESSION, "hello", "run-1");
}
