//! Skills as a user has them: a folder, an agent that reads it, a list that says what is missing, a switch.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::gateway::{self, Gateway};
use crate::support::talk::say;
use crate::support::ws::{self, Ws};
use crate::support::{Answer, Upstream, golden};

const MAIN: &str = "agent:main:main";
const CANARY: &str = "canary-skill-0123456789abcdef";

fn put(folder: &Path, text: &str) {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("SKILL.md"), text).expect("a skill");
}

fn weather(gateway: &Gateway) -> std::path::PathBuf {
    let folder = gateway.state_dir().join("skills/weather");
    let head = "---\nname: weather-report\ndescription: Tell the weather\nmetadata: {\"openclaw\": {\"primaryEnv\": \
                \"WEATHER_API_KEY\", \"requires\": {\"env\": [\"WEATHER_API_KEY\"]}}}\n---\nAsk the frog.\n";
    put(&folder, head);
    folder
}

fn skill<'a>(report: &'a Value, name: &str) -> &'a Value {
    let skills = report["skills"].as_array().expect("skills");
    skills.iter().find(|skill| skill["name"] == name).unwrap_or_else(|| panic!("{name} in {report}"))
}

#[test]
fn an_agent_reads_a_skill_and_its_commands_get_the_credential() {
    let upstream = Upstream::by(|asked| match asked.body["messages"].as_array().expect("messages").len() {
        2 => {
            let prompt = asked.body["messages"][0]["content"].to_string();
            let place = prompt.split("<location>").nth(1).and_then(|rest| rest.split("</location>").next());
            Answer::Call { name: "read", arguments: json!({ "path": place.expect("a place") }) }
        }
        4 => {
            Answer::Call { name: "exec", arguments: json!({ "command": "echo \"key=$WEATHER_API_KEY\" | tr a-z A-Z" }) }
        }
        _ => Answer::say("Sunny."),
    });
    let entry = json!({ "weather-report": { "apiKey": CANARY } });
    let gateway = Gateway::start(upstream.config_and(json!({
        "skills": { "entries": entry }, "gateway": { "tools": { "allow": ["read", "ls"] } },
    })));
    let folder = weather(&gateway);
    let mut client = gateway.operator();
    say(&mut client, MAIN, "How is the weather?", "run-1");
    let asked = upstream.wait_asked(3);
    let prompt = asked[0].body["messages"][0]["content"].to_string();
    assert!(prompt.contains("<name>weather-report</name>") && !prompt.contains("Ask the frog"), "{prompt}");
    assert!(asked[1].body["messages"][3].to_string().contains("Ask the frog."), "the state directory is open for it");
    assert!(asked[2].body["messages"][5].to_string().contains(&format!("KEY={}", CANARY.to_uppercase())));
    let told = [prompt, gateway.log(), client.ok("skills.status", json!({})).to_string()];
    assert!(told.iter().all(|text| !text.contains(CANARY)), "{told:?}");

    // Beside the skill the state directory stays closed, and what lies in it is not for writing.
    for (tool, args) in [
        ("read", json!({ "path": gateway.state_dir().join("openclaw.json") })),
        ("read", json!({ "path": folder.join("../../openclaw.json") })),
        ("ls", json!({ "path": gateway.state_dir() })),
    ] {
        let refused = client.ok("tools.invoke", json!({ "name": tool, "args": args }));
        assert!(refused["error"]["message"].to_string().contains("belongs to the gateway itself"), "{refused}");
    }
    let listed = client.ok("tools.invoke", json!({ "name": "ls", "args": { "path": folder } }));
    assert!(listed["output"].to_string().contains("SKILL.md"), "{listed}");
}

#[test]
fn a_message_asks_for_a_skill_by_name() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::start(upstream.config_and(json!({ "agents": { "defaults": { "skills": ["tea"] } } })));
    put(
        &gateway.workspace().join("skills/tea"),
        "---\nname: tea\ndescription: Make tea\ndisable-model-invocation: true\n---\n",
    );
    put(&gateway.workspace().join("skills/gin"), "---\nname: gin\ndescription: Make gin\n---\n");
    let mut client = gateway.operator();
    let prompt = |n: usize| upstream.wait_asked(n)[n - 1].body["messages"][0]["content"].to_string();
    say(&mut client, MAIN, "Hello", "run-1");
    assert!(!prompt(1).contains("tea/SKILL.md"));
    say(&mut client, MAIN, "Please $tea now", "run-2");
    assert!(prompt(2).contains("## Skills asked for") && prompt(2).contains("skills/tea/SKILL.md"));
    say(&mut client, MAIN, "/tea with milk", "run-3");
    assert!(prompt(3).contains("skills/tea/SKILL.md"));

    say(&mut client, MAIN, "Some $gin", "run-4");
    let history = client.ok("chat.history", json!({ "sessionKey": MAIN }));
    let last = history["messages"].as_array().expect("messages").last().expect("a message").to_string();
    assert!(last.contains("This agent may not use the skill $gin"), "{last}");
    assert_eq!(upstream.asked().len(), 3, "no model was asked");

    let commands = client.ok("commands.list", json!({}));
    let named =
        |name: &str| commands["commands"].as_array().expect("commands").iter().find(|row| row["name"] == name).cloned();
    golden::has(
        &named("tea").expect("a command"),
        &json!({ "source": "skill", "textAliases": ["/tea"], "skillDisplayName": "tea", "skillModelVisible": false }),
    );
    assert!(named("gin").is_none() && named("status").is_some());
    let metadata = client.ok("chat.metadata", json!({ "sessionKey": MAIN }));
    assert!(metadata["commands"].to_string().contains("\"skillDisplayName\":\"tea\""));
}

#[test]
fn what_is_missing_is_said_and_a_switch_is_kept_in_the_file() {
    let gateway = Gateway::start(json!({}));
    weather(&gateway);
    put(&gateway.workspace().join("skills/broken"), "no head at all");
    let mut client = gateway.operator();
    let report = client.ok("skills.status", json!({ "agentId": "main" }));
    golden::has(
        skill(&report, "weather-report"),
        &json!({
            "source": "openclaw-managed", "bundled": false, "skillKey": "weather-report", "eligible": false,
            "modelVisible": false, "primaryEnv": "WEATHER_API_KEY", "disabled": false, "install": [],
            "missing": { "bins": [], "anyBins": [], "env": ["WEATHER_API_KEY"], "config": [], "os": [] },
        }),
    );
    assert_eq!(report["managedSkillsDir"], json!(gateway.state_dir().join("skills")));
    gateway.says("skills/broken: it does not begin with a line of three dashes");

    let update = |client: &mut Ws, more: Value| {
        let mut params = json!({ "skillKey": "weather-report" });
        gateway::merge(&mut params, more);
        client.ok("skills.update", params)
    };
    let updated = update(&mut client, json!({ "apiKey": CANARY, "env": { "CITY": "Oslo" } }));
    golden::has(&updated, &json!({ "ok": true, "skillKey": "weather-report" }));
    assert!(!updated.to_string().contains(CANARY) && updated["config"]["apiKey"].is_string(), "{updated}");
    let file = fs::read_to_string(gateway.config_path()).expect("the file");
    assert!(file.contains(CANARY) && file.contains("Oslo"), "{file}");
    let report = client.ok("skills.status", json!({}));
    golden::has(skill(&report, "weather-report"), &json!({ "eligible": true, "modelVisible": true }));
    update(&mut client, json!({ "enabled": false, "apiKey": "", "env": { "CITY": " " } }));
    let file = fs::read_to_string(gateway.config_path()).expect("the file");
    assert!(!file.contains(CANARY) && !file.contains("Oslo"), "{file}");
    let report = client.ok("skills.status", json!({}));
    golden::has(skill(&report, "weather-report"), &json!({ "disabled": true, "eligible": false }));

    let error = client.err("skills.update", json!({ "source": "clawhub", "all": true }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("from a registry")), "{error}");
    let error = client.err("skills.update", json!({ "skillKey": "x", "env": { "LD_PRELOAD": "/tmp/x.so" } }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("LD_PRELOAD")), "{error}");
    let error = client.err("skills.update", json!({ "enabled": true }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("skillKey")), "{error}");
    let error = client.err("skills.status", json!({ "agentId": "nobody" }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("nobody")), "{error}");
    let mut reader = Ws::open(gateway.addr());
    reader.hello(ws::backend(&["operator.read"]));
    reader.ok("skills.status", json!({}));
    let error = reader.err("skills.update", json!({ "skillKey": "x", "enabled": true }));
    assert!(error["message"].as_str().is_some_and(|text| text.contains("operator.admin")), "{error}");
}

#[test]
fn the_command_line_shows_skills_with_and_without_a_gateway() {
    let mut gateway = Gateway::start(json!({}));
    weather(&gateway);
    put(&gateway.workspace().join("skills/tea"), "---\nname: tea\ndescription: Make tea\n---\n");
    let run = |gateway: &Gateway, args: &[&str]| {
        let port = gateway.port.to_string();
        let output = gateway::run(gateway.home(), args, &[("OPENCLAW_GATEWAY_PORT", port.as_str())]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    for stopped in [false, true] {
        let (ok, out, err) = run(&gateway, &["skills"]);
        assert!(ok && out.starts_with("Skills (1/2 ready)"), "{out}{err}");
        assert_eq!(err.contains("what lies on this host"), stopped, "{err}");
        let (_, out, _) = run(&gateway, &["skills", "list", "--eligible", "--json"]);
        let listed: Value = serde_json::from_str(&out).expect("JSON alone");
        assert_eq!(listed["skills"].as_array().map(Vec::len), Some(1));
        let (_, out, _) = run(&gateway, &["skills", "check"]);
        assert!(out.contains("- weather-report: variable WEATHER_API_KEY"), "{out}");
        let (_, out, _) = run(&gateway, &["skills", "info", "tea"]);
        assert!(out.contains("Make tea") && out.contains("ready"), "{out}");
        let (ok, _, err) = run(&gateway, &["skills", "info", "coffee"]);
        assert!(!ok && err.contains("there is no skill \"coffee\""), "{err}");
        if !stopped {
            gateway.stop();
        }
    }
    // One that was named is not stood in for.
    let url = format!("ws://127.0.0.1:{}", gateway.port);
    let (ok, out, _) = run(&gateway, &["skills", "list", "--url", &url, "--token", "x"]);
    assert!(!ok && out.is_empty(), "{out}");
}
