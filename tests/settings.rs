//! Settings that change what a model is asked, who may choose it, and what stands around it.

use serde_json::{Value, json};

use crate::support::scratch::Scratch;
use crate::support::talk::{SESSION, say, send};
use crate::support::{Answer, Gateway, Upstream, golden};

/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// What the last model call carried.
fn last(upstream: &Upstream) -> Value {
    upstream.asked().last().expect("a request").body.clone()
}

fn system(body: &Value) -> String {
    body["messages"][0]["content"].as_str().expect("a system message").to_owned()
}

#[test]
fn parameters_effort_and_differences_of_an_endpoint_reach_it() {
    let upstream = Upstream::friendly();
    let mut provider = upstream.provider("openai-completions");
    provider["models"][0]["reasoning"] = json!(true);
    provider["models"][0]["params"] = json!({ "temperature": 0.25, "topP": 0.5 });
    provider["models"][0]["compat"] =
        json!({ "maxTokensField": "max_completion_tokens", "supportsUsageInStreaming": false, "supportsTools": false });
    let gateway = Gateway::start(json!({
        "agents": { "defaults": {
            "model": { "primary": "stub/stub-model" },
            "thinkingDefault": "high",
            "params": { "temperature": 0.75, "extra_body": { "top_k": 40 } },
            "models": { "stub/stub-model": { "params": { "maxTokens": 99 } } },
        } },
        "models": { "providers": { "stub": provider } },
    }));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "hello", "run-1");
    let body = last(&upstream);
    golden::has(
        &body,
        &json!({
            "temperature": 0.75, "top_p": 0.5, "top_k": 40, "max_completion_tokens": 99, "reasoning_effort": "high",
        }),
    );
    for absent in ["tools", "stream_options", "max_tokens"] {
        assert!(body.get(absent).is_none(), "{absent} in {body}");
    }
    let row = client.ok("sessions.describe", json!({ "key": SESSION }));
    assert_eq!(row["session"]["thinkingDefault"], "high");
    client.ok("sessions.patch", json!({ "key": SESSION, "thinkingLevel": "low" }));
    say(&mut client, SESSION, "again", "run-2");
    assert_eq!(last(&upstream)["reasoning_effort"], "low", "what a session says goes first");
}

#[test]
fn a_model_may_be_elsewhere_and_a_key_may_be_a_bearer() {
    let (near, far) = (Upstream::friendly(), Upstream::script([Answer::say("from afar")]));
    let mut provider = near.provider("openai-completions");
    let mut elsewhere = provider["models"][0].clone();
    elsewhere["id"] = json!("far-model");
    elsewhere["api"] = json!("anthropic-messages");
    elsewhere["baseUrl"] = json!(format!("http://{}", far.addr()));
    elsewhere["headers"] = json!({ "x-tenant": "blue" });
    provider["models"].as_array_mut().expect("models").push(elsewhere);
    provider["authHeader"] = json!(true);
    let gateway = Gateway::start(json!({
        "agents": { "defaults": { "model": { "primary": "stub/far-model" } } },
        "models": { "mode": "replace", "providers": { "stub": provider } },
    }));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "hello", "run-1");
    assert!(near.asked().is_empty());
    let asked = far.asked().pop().expect("asked");
    let header =
        |name: &str| asked.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(header("authorization"), Some("Bearer sk-upstream-canary-5fb1"));
    assert_eq!((header("x-api-key"), header("x-tenant")), (None, Some("blue")));
}

#[test]
fn only_permitted_models_can_be_chosen() {
    let upstream = Upstream::friendly();
    let mut provider = upstream.provider("openai-completions");
    let mut other = provider["models"][0].clone();
    other["id"] = json!("other");
    provider["models"].as_array_mut().expect("models").push(other);
    let gateway = Gateway::start(json!({
        "agents": { "defaults": {
            "model": { "primary": "stub/stub-model" },
            "modelPolicy": { "allow": ["stub/stub-model"] },
        } },
        "models": { "providers": { "stub": provider } },
    }));
    let mut client = gateway.operator();
    let ids = |list: Value| -> Vec<String> {
        let rows = list["models"].as_array().expect("models").clone();
        rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(client.ok("models.list", json!({}))), ["stub-model"]);
    assert_eq!(ids(client.ok("models.list", json!({ "view": "provider-config" }))), ["stub-model", "other"]);
    assert!(ids(client.ok("models.list", json!({ "view": "all" }))).contains(&"local".to_owned()));
    assert_eq!(ids(client.ok("chat.metadata", json!({}))), ["stub-model"]);
    say(&mut client, SESSION, "hello", "run-1");
    let refused = client.err("sessions.patch", json!({ "key": SESSION, "model": "stub/other" }));
    assert_eq!(refused["message"], "model not allowed: stub/other");
    let id = client.request(
        "agent",
        json!({ "message": "hi", "sessionKey": SESSION, "model": "stub/other", "idempotencyKey": "run-2" }),
    );
    client.response(&id).expect("accepted");
    let refused = client.response(&id).expect_err("the failure");
    let words = refused["message"].as_str().expect("words");
    assert!(words.contains("\"stub/other\" is not allowed by agents.defaults.modelPolicy.allow"), "{words}");
    send(&mut client, SESSION, "/model stub/other", "run-3");
    let answer = client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "run-3");
    assert!(answer.to_string().contains("is not allowed by"), "{answer}");
    assert_eq!(upstream.asked().len(), 1);
}

#[test]
fn what_follows_a_new_beginning_is_said_in_it() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config_and(json!({ "session": { "resetTriggers": ["start over"] } })));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "remember the number 1789", "run-1");
    let before = client.ok("sessions.describe", json!({ "key": SESSION }))["session"]["sessionId"].clone();
    say(&mut client, SESSION, "/new and what now?", "run-2");
    let body = last(&upstream).to_string();
    assert!(body.contains("and what now?") && !body.contains("1789") && !body.contains("/new"), "{body}");
    let after = client.ok("sessions.describe", json!({ "key": SESSION }))["session"]["sessionId"].clone();
    assert_ne!(before, after);
    let picture = json!({ "type": "image", "mimeType": "image/png", "content": PIXEL });
    client.ok(
        "chat.send",
        json!({
            "sessionKey": SESSION, "message": "/new", "idempotencyKey": "run-p", "attachments": [picture],
        }),
    );
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "run-p");
    assert_eq!(upstream.asked().len(), 3, "a picture alone is something to say");
    let after = client.ok("sessions.describe", json!({ "key": SESSION }))["session"]["sessionId"].clone();
    say(&mut client, SESSION, "Start OVER", "run-3");
    assert_eq!(upstream.asked().len(), 3, "nothing is left to ask");
    let begun = client.ok("sessions.describe", json!({ "key": SESSION }))["session"]["sessionId"].clone();
    assert_ne!(begun, after);
}

#[test]
fn workspace_files_go_into_a_prompt_as_often_as_configured() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config_and(json!({ "agents": { "defaults": {
        "contextInjection": "continuation-skip",
    } } })));
    let home = gateway.workspace();
    std::fs::create_dir_all(&home).expect("a workspace");
    std::fs::write(home.join("AGENTS.md"), "Mind the canary bird.").expect("written");
    std::fs::write(home.join("IDENTITY.md"), "- Name: Clawd\n- Emoji: 🦞\n").expect("written");
    let mut client = gateway.operator();
    say(&mut client, SESSION, "hello", "run-1");
    assert!(system(&last(&upstream)).contains("canary bird"));
    say(&mut client, SESSION, "and again", "run-2");
    assert!(!system(&last(&upstream)).contains("canary bird"), "the conversation has had it");
    let face = client.ok("agent.identity.get", json!({ "agentId": "main" }));
    golden::has(&face, &json!({ "name": "Clawd", "nameSource": "workspace", "avatar": "🦞", "emoji": "🦞" }));
}

#[test]
fn tools_start_where_the_agent_works_and_the_workspace_stays_open() {
    let place = Scratch::new();
    std::fs::write(place.path().join("note.txt"), "a note of the project").expect("written");
    let upstream = Upstream::script([
        Answer::Call { name: "read", arguments: json!({ "path": "note.txt" }) },
        Answer::Call { name: "exec", arguments: json!({ "command": "pwd" }) },
        Answer::say("done"),
    ]);
    let gateway = Gateway::start(upstream.config_and(json!({
        "agents": { "defaults": { "cwd": place.path() } },
        "tools": { "fs": { "workspaceOnly": true }, "exec": { "mode": "full" } },
    })));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "look", "run-1");
    let body = last(&upstream);
    let real = place.path().canonicalize().expect("a directory");
    assert!(system(&body).contains(&format!("Your working directory is {}.", place.path().display())));
    let told = body["messages"].to_string();
    assert!(told.contains("a note of the project") && told.contains(&format!("{}", real.display())), "{told}");
}

#[test]
fn runs_over_the_limit_wait() {
    let held = || Answer::Hold(vec!["one ".into()], vec!["two".into()]);
    let upstream = Upstream::script([held(), Answer::say("second")]);
    let gateway = Gateway::start(upstream.config_and(json!({ "agents": { "defaults": { "maxConcurrent": 1 } } })));
    let mut client = gateway.operator();
    send(&mut client, "agent:main:a", "first", "run-1");
    upstream.wait_asked(1);
    send(&mut client, "agent:main:b", "second", "run-2");
    assert_eq!(upstream.asked().len(), 1);
    upstream.release();
    client.event_where("chat", |chat| chat["state"] == "final" && chat["runId"] == "run-2");
    let said: Vec<String> = upstream.asked().iter().map(|asked| asked.body.to_string()).collect();
    assert!(said[0].contains("first") && said[1].contains("second"), "{said:?}");
}

#[test]
fn answers_carry_the_header_and_the_console_the_lines_of_the_file() {
    let gateway = Gateway::start(json!({
        "gateway": { "http": { "securityHeaders": { "strictTransportSecurity": "max-age=31536000" } } },
        "logging": { "consoleStyle": "json" },
    }));
    for path in ["/healthz", "/nowhere"] {
        assert_eq!(gateway.get(path).header("strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
    let log = gateway.log();
    let line = log.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let line: Value = serde_json::from_str(line).expect("JSON");
    golden::has(&line, &json!({ "level": "info", "subsystem": "gateway" }));
}
