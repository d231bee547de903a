//! Every method with every scope over every surface and credential, made from the table of methods itself.
//!
//! Params that fit nowhere are sent: whoever may call a method is told about them, everybody else that a scope is
//! missing. So nothing happens, and nothing but the boundary is tested.

use openclaw::rpc::METHODS;
use openclaw::rpc::table::Need;
use openclaw::wire::scope::{NAMES, Scopes};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::gateway::{self, Gateway, TOKEN};
use crate::support::raw;
use crate::support::ws::{self, Ws};

/// What the boundary says.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Missing(String),
    WrongRole,
    /// The call came through: its params do not fit, or it takes any.
    Through,
}

fn said(answer: Result<Value, Value>) -> Said {
    let Err(error) = answer else { return Said::Through };
    let message = error["message"].as_str().unwrap_or_default();
    if message.starts_with("unauthorized role: ") {
        return Said::WrongRole;
    }
    // A method may forbid for reasons of its own: `users.self` to who is nobody.
    match error["details"]["missingScope"].as_str() {
        Some(scope) if error["code"] == "FORBIDDEN" => Said::Missing(scope.to_owned()),
        _ => Said::Through,
    }
}

/// What the table promises.
fn promised(need: Need, operator: bool, scopes: Scopes) -> Option<Said> {
    Some(match need {
        Need::Any => Said::Through,
        Need::Node if operator => Said::WrongRole,
        Need::Node => Said::Through,
        _ if !operator => Said::WrongRole,
        Need::Scope(scope) if scopes.allows(scope) => Said::Through,
        Need::Scope(scope) => Said::Missing(scope.name().to_owned()),
        // It depends on params, and these have none that count.
        Need::Dynamic => return None,
    })
}

fn token_of(scope: &str) -> String {
    format!("matrix-{scope}-0123456789abcdef")
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gateway() -> Gateway {
    let tokens: Vec<Value> = NAMES
        .iter()
        .map(|(_, name)| json!({ "name": name, "hash": sha256(&token_of(name)), "scopes": [name] }))
        .chain([json!({ "name": "none", "hash": sha256(&token_of("none")), "scopes": [] })])
        .collect();
    Gateway::start(json!({
        "gateway": { "auth": { "tokens": tokens }, "trustedProxies": ["127.0.0.1"] },
        "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } },
        // Every method is called: this one is not to end the others.
        "commands": { "restart": false },
    }))
}

fn subsets() -> impl Iterator<Item = (&'static str, Scopes)> {
    NAMES.iter().map(|(scope, name)| (*name, Scopes::of(&[*scope]))).chain([("none", Scopes::NONE)])
}

#[track_caller]
fn play(open: impl Fn() -> Ws, operator: bool, scopes: Scopes, credential: &str) {
    let mut ws = open();
    let mut refused = 0;
    for method in METHODS {
        let Some(promised) = promised(method.need, operator, scopes) else { continue };
        if promised == Said::WrongRole {
            // The eleventh refusal for the role ends a connection.
            refused += 1;
            if refused % 10 == 0 {
                ws = open();
            }
        }
        let got = said(ws.call(method.name, json!({ "never-a-param": true })));
        assert_eq!(got, promised, "{} as {credential}", method.name);
    }
}

#[test]
fn every_method_asks_for_its_scope_whatever_the_credential() {
    let gateway = gateway();
    for (name, scopes) in subsets() {
        let names: Vec<&str> = scopes.names().collect();
        let limited = || {
            let mut ws = Ws::open_with(gateway.addr(), "/", &[("X-Forwarded-For", "10.9.8.7")]).expect("upgrade");
            let mut params = ws::connect("test", "test", &["operator.admin", name]);
            params["auth"]["token"] = json!(token_of(name));
            assert_eq!(ws.hello(params)["auth"]["scopes"], json!(names), "asking for more gives no more");
            ws
        };
        // An administrator's token may be asked for everything.
        play(limited, true, scopes, &format!("a token with {name}"));
        let shared = || {
            let mut ws = Ws::open(gateway.addr());
            ws.hello(ws::backend(&names));
            ws
        };
        play(shared, true, scopes, &format!("the shared secret with {name}"));
    }
    let deviceless = || {
        let mut ws = Ws::open(gateway.addr());
        ws.hello(ws::connect("test", "test", &["operator.admin"]));
        ws
    };
    play(deviceless, true, Scopes::NONE, "the shared secret of a program nobody knows");
    let node = Device::node(1);
    let as_node = || {
        let mut ws = Ws::open(gateway.addr());
        node.connect(&mut ws, &[], json!({ "token": TOKEN })).expect("let in");
        ws
    };
    play(as_node, false, Scopes::NONE, "a node");
    let device = Device::new(2);
    let as_device = || {
        let mut ws = Ws::open(gateway.addr());
        device.connect(&mut ws, &["operator.read"], json!({ "token": TOKEN })).expect("let in");
        ws
    };
    play(as_device, true, Scopes::parse(["operator.read"]), "a device that may read");
}

/// Every subset there is, by the connection whose scopes are what it asks for.
#[test]
fn every_set_of_scopes_opens_what_is_in_it_and_nothing_else() {
    let gateway = gateway();
    for bits in 0..1u32 << NAMES.len() {
        let chosen = NAMES.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        let names: Vec<&str> = chosen.map(|(_, (_, name))| *name).collect();
        let open = || {
            let mut ws = Ws::open(gateway.addr());
            ws.hello(ws::backend(&names));
            ws
        };
        play(open, true, Scopes::parse(names.iter().copied()), &names.join(" "));
    }
}

/// What depends on params: the same call with other params needs another scope.
#[test]
fn methods_whose_scope_depends_on_params_ask_for_that_scope() {
    let gateway = gateway();
    let node = json!({ "nodeId": "n", "params": {}, "idempotencyKey": "k", "timeoutMs": 1000 });
    let invoke = |command: &str| gateway::merged(&node, json!({ "command": command }));
    let many = |patch: Value| json!({ "targets": [{ "key": "agent:main:none" }], "patch": patch });
    let pairing = json!({ "channel": "telegram", "accountId": "default", "requestId": "ABCD2345" });
    let cases = [
        (
            "agent",
            json!({ "message": "/status", "sessionKey": "agent:main:m", "idempotencyKey": "k" }),
            "operator.write",
        ),
        ("agent", json!({ "message": "/new", "sessionKey": "agent:main:m", "idempotencyKey": "k" }), "operator.admin"),
        (
            "agent",
            json!({ "message": "/status", "sessionKey": "agent:main:m", "idempotencyKey": "k", "cwd": "/" }),
            "operator.admin",
        ),
        ("channels.pairing.approve", pairing.clone(), "operator.pairing"),
        (
            "channels.pairing.approve",
            gateway::merged(&pairing, json!({ "bootstrapCommandOwner": true })),
            "operator.admin",
        ),
        ("node.invoke", invoke("system.notify"), "operator.write"),
        ("node.invoke", invoke("system.execApprovals.set"), "operator.admin"),
        ("sessions.create", json!({ "agentId": "main" }), "operator.write"),
        ("sessions.delete", json!({ "key": "agent:main:none", "archivedOnly": true }), "operator.write"),
        ("sessions.delete", json!({ "key": "agent:main:none" }), "operator.admin"),
        ("sessions.patch", json!({ "key": "agent:main:none", "label": "x" }), "operator.write"),
        ("sessions.patch", json!({ "key": "agent:main:none", "verboseLevel": "on" }), "operator.admin"),
        ("sessions.patchMany", many(json!({ "label": null })), "operator.write"),
        ("sessions.patchMany", many(json!({ "verboseLevel": "on" })), "operator.admin"),
    ];
    let dynamic = METHODS.iter().filter(|method| method.need == Need::Dynamic).map(|method| method.name);
    let missing: Vec<&str> = dynamic.filter(|name| cases.iter().all(|(own, ..)| own != name)).collect();
    assert_eq!(missing, [""; 0], "each has its cases");
    for (name, scopes) in subsets() {
        let names: Vec<&str> = scopes.names().collect();
        let mut ws = Ws::open(gateway.addr());
        ws.hello(ws::backend(&names));
        for (method, params, needed) in &cases {
            let needs = openclaw::wire::scope::Scope::parse(needed).expect("a scope");
            let promised = match scopes.allows(needs) {
                true => Said::Through,
                false => Said::Missing((*needed).to_owned()),
            };
            assert_eq!(said(ws.call(method, params.clone())), promised, "{method} {params} as {name}");
        }
    }
}

/// Headers of an upgrade.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// What a connection was told it may do is what it may do, in every mode and with every other credential.
#[test]
fn every_mode_keeps_to_the_scopes_of_its_hello() {
    let password = "a-password-of-some-length-0123456789";
    let proxied = [("X-Forwarded-For", "10.9.8.7"), ("X-User", "ada")];
    let modes: [(Value, Value, Headers); 3] = [
        (json!({ "mode": "password", "password": password }), json!({ "password": password }), &[]),
        (json!({ "mode": "none" }), json!({}), &[]),
        (
            json!({
                "mode": "trusted-proxy",
                "trustedProxy": { "userHeader": "X-User", "allowLoopback": true, "allowUsers": ["ada"] },
                "identityScopes": { "ada": ["operator.read", "operator.pairing"] },
            }),
            json!({}),
            &proxied,
        ),
    ];
    for (auth, shown, headers) in modes {
        let mode = auth["mode"].to_string();
        let mut config = json!({ "gateway": { "auth": auth, "trustedProxies": ["127.0.0.1"] } });
        config["gateway"]["mode"] = json!("local");
        config["commands"] = json!({ "restart": false });
        let gateway = Gateway::exactly(config).start();
        for asked in [&["operator.admin"][..], &["operator.read"], &["operator.read", "operator.pairing"], &[]] {
            for (id, kind) in [("gateway-client", "backend"), ("test", "test")] {
                let connect = || {
                    let mut ws = Ws::open_with(gateway.addr(), "/", headers).expect("upgrade");
                    let mut params = ws::connect(id, kind, asked);
                    params["auth"] = shown.clone();
                    let hello = ws.try_hello(params);
                    (ws, hello)
                };
                // Some ask for more than such a client can have without a device: they are refused as a whole.
                let Ok(hello) = connect().1 else { continue };
                let granted: Vec<String> = serde_json::from_value(hello["auth"]["scopes"].clone()).expect("names");
                assert!(granted.iter().all(|scope| asked.contains(&scope.as_str())), "{mode} gives {granted:?}");
                let scopes = Scopes::parse(granted.iter().map(String::as_str));
                play(|| connect().0, true, scopes, &format!("{mode} as {id} with {granted:?}"));
            }
        }
    }
}

#[test]
fn t31_http_gives_no_scope_that_a_websocket_would_not() {
    let gateway = gateway();
    for (name, scopes) in subsets() {
        let bearer = format!("Bearer {}", token_of(name));
        let headers = [("Authorization", bearer.as_str()), ("X-Forwarded-For", "10.9.8.7")];
        // `commands.list` is this surface's own list of methods, for everybody it answers at all.
        for method in METHODS.iter().filter(|method| method.name != "commands.list") {
            let Some(promised) = promised(method.need, true, scopes) else { continue };
            let body = json!({ "method": method.name, "params": { "never-a-param": true } });
            let reply = raw::post(gateway.addr(), "/api/v1/admin/rpc", &headers, &body);
            if promised == Said::Through {
                assert!(matches!(reply.status, 200 | 400 | 503), "{} as {name}: {}", method.name, reply.status);
                continue;
            }
            let error = reply.json()["error"].take();
            let unsupported = error["message"].as_str().is_some_and(|text| text.contains("not supported"));
            assert!(reply.status >= 400 && (unsupported || error["code"] == "FORBIDDEN"), "{} as {name}", method.name);
        }
        let reads = scopes.allows(openclaw::wire::scope::Scope::Read);
        let models = raw::get(gateway.addr(), "/v1/models", &headers);
        assert_eq!(models.status, if reads { 200 } else { 403 }, "/v1/models as {name}");
        let narrowed = [headers[0], headers[1], ("x-openclaw-scopes", "operator.approvals")];
        assert_eq!(raw::get(gateway.addr(), "/v1/models", &narrowed).status, 403, "narrowed, as {name}");
        let writes = scopes.allows(openclaw::wire::scope::Scope::Write);
        let chat = json!({ "model": "openclaw", "messages": [{ "role": "user", "content": "hi" }] });
        let answered = raw::post(gateway.addr(), "/v1/chat/completions", &headers, &chat);
        assert_eq!(answered.status == 403, !writes, "/v1/chat/completions as {name}: {}", answered.text());
    }
}
