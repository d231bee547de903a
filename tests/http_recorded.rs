//! Every HTTP exchange recorded from the reference, asked again here: the same status, the same type, the same words of
//! errors and the same shape of answers, or a reason in `tests/spec/http_differs.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TOKEN};
use crate::support::raw::{self, Reply};
use crate::support::{Answer, Upstream, golden};

const RECORDED: &str = include_str!("spec/http.tsv");
const DIFFERS: &str = include_str!("spec/http_differs.tsv");
/// Stands at the end of what was cut.
const CUT: &str = "…";
const HOOK: &str = "hook-token-0123456789abcdef-0123456789";

/// One exchange, and where it stands.
struct Recorded {
    line: usize,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: &'static str,
    status: &'static str,
    kind: String,
    answer: String,
}

#[test]
fn recorded_exchanges_have_the_recorded_answers() {
    let upstream = stub();
    let gateway = Gateway::start(upstream.config_and(json!({
        "hooks": { "enabled": true, "token": HOOK },
        "agents": { "list": [{ "id": "main" }, { "id": "second" }] },
    })));
    // Somebody wrote in the main session before the recording began.
    let mut operator = gateway.operator();
    let sent = operator.ok("chat.send", json!({ "sessionKey": "main", "message": "hi", "idempotencyKey": "first" }));
    operator.ok("agent.wait", json!({ "runId": sent["runId"], "timeoutMs": 10_000 }));
    let mut known: BTreeMap<usize, &str> = DIFFERS.lines().skip(1).map(reason).collect();
    let mut wrong = String::new();
    for recorded in recorded() {
        let headers: Vec<_> = recorded.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = raw::request(gateway.addr(), recorded.method, &recorded.path, &headers, recorded.body.as_bytes());
        let (want, got) = (recorded.told(), told(&reply));
        // Long answers were cut when they were recorded: what is left of them must be there.
        let same = match want.strip_suffix(CUT) {
            Some(begun) => got.starts_with(begun),
            None => want == got,
        };
        match (same, known.remove(&recorded.line)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(why)) => {
                writeln!(wrong, "line {}: is as recorded, but listed: {why}", recorded.line).expect("memory");
            }
            (false, None) => {
                let Recorded { line, method, path, body, .. } = &recorded;
                writeln!(wrong, "line {line}: {method} {path} {body}\n  recorded {want}\n  here     {got}")
                    .expect("memory");
            }
        }
    }
    assert!(known.is_empty(), "no such lines, or lines that cannot be asked: {known:?}");
    assert!(wrong.is_empty(), "{wrong}");
}

fn reason(line: &'static str) -> (usize, &'static str) {
    let (number, why) = line.split_once('\t').expect("a line number and a reason");
    assert!(why.len() > 10, "{line}");
    (number.parse().expect("a line number"), why)
}

/// What can be asked again: not the requests whose body the recording left out.
fn recorded() -> impl Iterator<Item = Recorded> {
    let rows = RECORDED.lines().enumerate().skip(1).map(|(at, line)| (at + 1, line.split('\t').collect::<Vec<_>>()));
    let whole =
        rows.filter(|(_, row)| row[1] != "POST" || !row[5].is_empty() || row[8].contains("Missing user message"));
    whole.map(|(line, row)| {
        let own = |text: &str| text.replace("tok123", TOKEN).replace("hooktok456", HOOK);
        let mut headers: Vec<(String, String)> = match row[3] {
            "ok" => vec![("Authorization".into(), format!("Bearer {TOKEN}"))],
            "bad" => vec![("Authorization".into(), "Bearer wrong".into())],
            _ => Vec::new(),
        };
        if !row[4].is_empty() {
            let extra: BTreeMap<String, String> = serde_json::from_str(row[4]).expect("headers");
            headers.extend(extra.into_iter().map(|(name, value)| (name, own(&value))));
        }
        let kind = match row[7].is_empty() {
            true => String::new(),
            false => {
                let head: BTreeMap<String, Value> = serde_json::from_str(row[7]).expect("headers of the answer");
                head.get("content-type").and_then(Value::as_str).unwrap_or_default().to_string()
            }
        };
        Recorded {
            line,
            method: row[1],
            path: own(row[2]),
            headers,
            body: row[5],
            status: row[6],
            kind,
            answer: if row[7].contains("json") { row[8].to_string() } else { row[8].replace("\\n", "\n") },
        }
    })
}

impl Recorded {
    fn told(&self) -> String {
        summary(self.status.parse().unwrap_or(0), &self.kind, &self.answer)
    }
}

fn told(reply: &Reply) -> String {
    summary(reply.status, reply.header("content-type").unwrap_or_default(), &reply.text())
}

/// What an application can depend on.
fn summary(status: u16, kind: &str, body: &str) -> String {
    let body = if kind.starts_with("text/html") {
        "a page".into()
    } else if kind.starts_with("text/event-stream") {
        events(body)
    } else if let Ok(value) = serde_json::from_str::<Value>(body) {
        // An answer that failed has ids of its own.
        if status < 400 || value.get("id").is_some() { golden::shape(&value).to_string() } else { value.to_string() }
    } else if kind.starts_with("application/json") {
        CUT.into()
    } else if body.len() > 200 {
        "a file".into()
    } else {
        body.to_string()
    };
    format!("{status} {kind} {body}")
}

/// The shapes of the events, neighbours of one shape once.
fn events(body: &str) -> String {
    let mut shapes: Vec<String> = Vec::new();
    for line in body.lines().filter(|line| !line.is_empty()) {
        if line.ends_with(CUT) {
            shapes.push(CUT.into());
            break;
        }
        let shape = match line.strip_prefix("data: ").map(serde_json::from_str::<Value>) {
            Some(Ok(value)) => golden::shape(&value).to_string(),
            _ => line.to_string(),
        };
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes.join("\n           ")
}

/// The upstream of the recording: it repeats, calls a tool when told to, and fails when told to.
fn stub() -> Upstream {
    Upstream::by(|asked| {
        let messages = asked.body["messages"].as_array().cloned().unwrap_or_default();
        let last = messages.last().cloned().unwrap_or_default();
        let said = last["content"].as_str().map_or_else(|| last["content"].to_string(), str::to_owned);
        if said.contains("FAIL") {
            return Answer::Refuse(400, "stub bad request");
        }
        match said.contains("TOOLCALL:get_weather") {
            true => Answer::Call { name: "get_weather", arguments: json!({ "city": "Oslo" }) },
            false => Answer::say("Hello from stub: hello"),
        }
    })
}
