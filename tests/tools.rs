//! Tools of the agent: what the model may call, where it acts, what comes back.

use serde_json::json;

use crate::support::talk::{SESSION, chat_state, payloads, roles, say, send};
use crate::support::{Answer, Gateway, Upstream, Ws, golden, ws};

#[test]
fn a_tool_runs_between_two_calls_of_the_model() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "echo tool-output-42" }) },
        Answer::say("The tool said 42."),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = Ws::open(gateway.addr());
    let mut params = ws::backend(&["operator.admin"]);
    params["caps"] = json!(["tool-events"]);
    client.hello(params);
    send(&mut client, SESSION, "use a tool", "run-1");
    let frames = client.frames_until("the final", |frame| chat_state(frame) == Some("final"));
    let tools: Vec<&str> = payloads(&frames, "agent")
        .into_iter()
        .filter(|agent| agent["stream"] == "tool")
        .filter_map(|agent| agent["data"]["phase"].as_str())
        .collect();
    assert_eq!((tools.first(), tools.last()), (Some(&"start"), Some(&"result")), "{tools:?}");
    let asked = upstream.wait_asked(2);
    let offered = asked[0].body["tools"].to_string();
    for tool in ["read", "write", "edit", "exec", "session_status"] {
        assert!(offered.contains(&format!("\"name\":\"{tool}\"")), "{tool} is offered");
    }
    let sent_back = asked[1].body["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(sent_back.contains("tool-output-42") && sent_back.contains("\"role\":\"tool\""), "{sent_back}");
    let history = client.ok("chat.history", json!({ "sessionKey": SESSION }));
    assert_eq!(roles(&history), ["user", "assistant", "toolResult", "assistant"]);
    golden::has(&history["messages"][2], &json!({ "toolName": "exec", "isError": false }));
}

#[test]
fn files_are_written_edited_and_read_in_the_workspace() {
    let upstream = Upstream::script([
        Answer::Call { name: "write", arguments: json!({ "path": "notes/day.txt", "content": "old line\n" }) },
        Answer::Call {
            name: "edit",
            arguments: json!({ "path": "notes/day.txt", "oldText": "old", "newText": "new" }),
        },
        Answer::Call { name: "read", arguments: json!({ "path": "notes/day.txt" }) },
        Answer::say("done"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "keep a note", "run-1");
    let text = std::fs::read_to_string(gateway.workspace().join("notes/day.txt")).expect("the file is there");
    assert_eq!(text, "new line\n");
    let asked = upstream.wait_asked(4);
    let read = asked[3].body["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(read.contains("new line"), "{read}");
}

#[test]
fn a_denied_tool_is_not_offered_and_not_run() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "touch forbidden" }) },
        Answer::say("I could not."),
    ]);
    let gateway = Gateway::start(upstream.config_and(json!({ "tools": { "deny": ["exec"] } })));
    let mut client = gateway.operator();
    say(&mut client, SESSION, "try", "run-1");
    let asked = upstream.wait_asked(2);
    assert!(!asked[0].body["tools"].to_string().contains("\"name\":\"exec\""));
    assert!(!gateway.workspace().join("forbidden").exists());
    assert!(asked[1].body["messages"].to_string().contains("exec"), "the model is told");
}

#[test]
fn a_command_that_runs_too_long_or_says_too_much_is_cut() {
    let upstream = Upstream::script([
        Answer::Call { name: "exec", arguments: json!({ "command": "sleep 600", "timeout": 1 }) },
        Answer::Call { name: "exec", arguments: json!({ "command": "yes | head -c 20000000" }) },
        Answer::say("done"),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, SESSION, "go", "run-1");
    let asked = upstream.wait_asked(3);
    let last =
        |index: usize| asked[index].body["messages"].as_array().expect("messages").last().expect("one").to_string();
    assert!(last(1).contains("time"), "{}", last(1));
    assert!(last(2).len() < 1_000_000, "{} bytes came back", last(2).len());
}

#[test]
fn the_tools_of_an_agent_are_listed_for_people() {
    let gateway = Gateway::start(json!({ "tools": { "deny": ["write", "edit"] } }));
    let mut client = gateway.operator();
    let catalog = client.ok("tools.catalog", json!({}));
    assert_eq!(catalog["agentId"], "main");
    let profiles: Vec<_> = catalog["profiles"].as_array().expect("profiles").iter().map(|p| &p["id"]).collect();
    assert_eq!(profiles, ["minimal", "coding", "messaging", "full"]);
    let groups = catalog["groups"].as_array().expect("groups");
    let files = groups.iter().find(|group| group["id"] == "fs").expect("files");
    let read = files["tools"].as_array().expect("tools").iter().find(|tool| tool["id"] == "read").expect("read");
    crate::support::golden::has(read, &json!({ "source": "core", "risk": "low" }));
    assert!(read["defaultProfiles"].as_array().is_some_and(|own| own.contains(&json!("coding"))), "{read}");
    let count: usize = groups.iter().map(|group| group["tools"].as_array().map_or(0, Vec::len)).sum();

    let effective = client.ok("tools.effective", json!({ "sessionKey": "main" }));
    crate::support::golden::has(&effective, &json!({ "agentId": "main", "profile": "full" }));
    let own = effective["groups"][0]["tools"].as_array().expect("tools");
    let names: Vec<&str> = own.iter().filter_map(|tool| tool["id"].as_str()).collect();
    assert!(names.contains(&"read") && names.contains(&"exec") && !names.contains(&"write"), "{names:?}");
    assert!(names.len() < count && own.iter().all(|tool| tool["rawDescription"].is_string()));
    assert!(!names.contains(&"nodes"), "no node is paired");
    assert_eq!(client.err("tools.catalog", json!({ "agentId": "nobody" }))["code"], "INVALID_REQUEST");
    assert_eq!(client.err("tools.effective", json!({}))["code"], "INVALID_REQUEST");
}

#[test]
fn an_agent_reads_what_else_was_talked_about() {
    let other = "agent:main:dinner";
    let upstream = Upstream::script([
        Answer::say("Soup, as always."),
        Answer::Call { name: "sessions_list", arguments: json!({ "kinds": ["other"], "includeLastMessage": true }) },
        Answer::Call { name: "sessions_history", arguments: json!({ "sessionKey": other }) },
        Answer::Call { name: "sessions_history", arguments: json!({ "sessionKey": "agent:main:nowhere" }) },
        Answer::say("You had soup."),
    ]);
    let gateway = Gateway::on(&upstream);
    let mut client = gateway.operator();
    say(&mut client, other, "what is for dinner?", "run-1");
    say(&mut client, SESSION, "what did we eat?", "run-2");
    let asked = upstream.wait_asked(5);
    let answer =
        |at: usize| asked[at].body["messages"].as_array().and_then(|all| all.last()).expect("one")["content"].clone();
    let json = |at: usize| serde_json::from_str::<serde_json::Value>(answer(at).as_str().expect("text")).expect("JSON");
    let list = json(2);
    assert_eq!((&list["count"], &list["sessions"][0]["key"]), (&json!(1), &json!(other)), "{list}");
    let history = json(3);
    let said: Vec<_> = history["messages"].as_array().expect("messages").iter().map(|one| &one["content"]).collect();
    assert_eq!(said, [&json!("what is for dinner?"), &json!("Soup, as always.")], "{history}");
    assert!(answer(4).as_str().is_some_and(|text| text.contains("no session agent:main:nowhere")), "{}", answer(4));
}

#[test]
fn what_an_agent_may_see_of_other_sessions_is_configured() {
    let upstream = Upstream::script([Answer::say("hm")]);
    let seen = |scope: &str, key: &str| {
        let agents = json!({ "list": [{ "id": "main" }, { "id": "second" }] });
        let config = json!({ "agents": agents, "tools": { "sessions": { "visibility": scope } } });
        let gateway = Gateway::start(upstream.config_and(config));
        let mut client = gateway.operator();
        for (at, own) in ["agent:main:main", "agent:main:a", "agent:second:b"].into_iter().enumerate() {
            say(&mut client, own, "hello", &format!("run-{at}"));
        }
        let ask = json!({ "tool": "sessions_list", "args": {}, "sessionKey": key });
        let reply = gateway.post("/tools/invoke", &ask).json();
        let list = reply["result"]["content"][0]["text"].as_str().expect("text").to_owned();
        let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
        list["count"].as_u64().expect("a count")
    };
    assert_eq!(seen("all", "agent:main:a"), 3);
    assert_eq!(seen("agent", "agent:main:a"), 2);
    assert_eq!(seen("tree", "agent:main:main"), 2);
    assert_eq!(seen("tree", "agent:main:a"), 1);
    assert_eq!(seen("self", "agent:main:main"), 1);
}
