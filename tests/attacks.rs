//! Attacks on the boundary, each named after its number in the list of demands. Others with numbers stand beside what
//! they attack: t13, t15, t22, t33 in the unit tests, t05 to t10 among the liars, t01, t20, t24 with the protocol, t14,
//! t17, t21, t23, t26 to t29 with devices, t30 with nodes, t31 in the matrix.

use std::os::unix::fs::PermissionsExt;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::support::device::{Defect, Device};
use crate::support::gateway::{self, Gateway, TOKEN, bearer};
use crate::support::talk::SESSION;
use crate::support::ws::{self, Ws};
use crate::support::{Answer, Upstream, raw};

const EX_CONFIG: Option<i32> = Some(78);

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token(name: &str, secret: &str, scopes: &[&str]) -> Value {
    json!({ "name": name, "hash": sha256(secret), "scopes": scopes })
}

#[test]
fn t02_a_page_without_an_origin_is_refused() {
    let gateway = Gateway::start(json!({}));
    for headers in [&[][..], &[("Origin", "null")], &[("Origin", "")]] {
        let mut ws = Ws::open_with(gateway.addr(), "/", headers).expect("upgrade");
        let error = ws.try_hello(ws::connect("openclaw-control-ui", "webchat", &[])).expect_err("no origin");
        assert_eq!(error["details"]["code"], "CONTROL_UI_ORIGIN_NOT_ALLOWED");
        assert_eq!(error["details"]["reason"], "origin missing or invalid");
    }
}

#[test]
fn t03_pages_of_other_sites_change_nothing_and_read_nothing() {
    let gateway = Gateway::start(json!({ "plugins": { "entries": { "admin-http-rpc": { "enabled": true } } } }));
    let open = Gateway::exactly(json!({ "gateway": { "mode": "local", "auth": { "mode": "none" } } })).start();
    let foreign =
        [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("Content-Type", "text/plain")];
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/tools/invoke", "/api/v1/admin/rpc"] {
        let reply = raw::request(gateway.addr(), "POST", path, &foreign, b"{}");
        assert!(matches!(reply.status, 401 | 403), "{path}: {}", reply.status);
        assert!(reply.header("access-control-allow-origin").is_none(), "{path}");
        if path != "/api/v1/admin/rpc" {
            let reply = raw::request(open.addr(), "POST", path, &foreign, b"{}");
            assert_eq!(reply.status, 403, "{path} without a secret");
        }
    }
    // Even with the secret: what a form can send is not taken for JSON.
    let secret = bearer();
    let plain = [("Authorization", secret.as_str()), ("Content-Type", "text/plain;charset=UTF-8")];
    let chat = br#"{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}"#;
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/tools/invoke", "/api/v1/admin/rpc"] {
        let reply = raw::request(gateway.addr(), "POST", path, &plain, chat);
        assert_eq!(reply.status, 415, "{path}: {}", reply.text());
        assert!(reply.text().contains("application/json"), "{path}: {}", reply.text());
    }
    let preflight = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    let reply = raw::request(gateway.addr(), "OPTIONS", "/v1/chat/completions", &preflight, b"");
    assert!(reply.status >= 400 && reply.header("access-control-allow-origin").is_none());
}

#[test]
fn t11_nothing_is_served_without_auth_and_nothing_broken_is_served_at_all() {
    for auth in [json!({ "mode": "none" }), json!({ "mode": "password" })] {
        let ended = Gateway::exactly(json!({ "gateway": { "mode": "local", "bind": "lan", "auth": auth } })).refused();
        assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    }
    let ended = Gateway::exactly(json!({ "gateway": { "mode": "local", "auth": { "mode": "maybe" } } })).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    assert_eq!(Gateway::unconfigured().refused().code, EX_CONFIG);
    let fresh = Gateway::exactly(json!({ "gateway": { "mode": "local" } })).start();
    let mut params = ws::backend(&["operator.admin"]);
    params["auth"] = json!({});
    assert!(Ws::open(fresh.addr()).try_hello(params.clone()).is_err(), "a fresh gateway has a token of its own");
    params["auth"] = json!({ "token": "" });
    assert!(Ws::open(fresh.addr()).try_hello(params).is_err());
    assert_eq!(raw::get(fresh.addr(), "/v1/models", &[]).status, 401);
}

#[test]
fn t12_blank_and_published_tokens_are_refused() {
    for token in ["", "undefined", "null", "change-me-to-a-long-random-token", "your-token"] {
        let ended = Gateway::with(json!({ "gateway": { "auth": { "token": token } } })).refused();
        assert_eq!(ended.code, EX_CONFIG, "token {token:?}: {}", ended.output);
    }
}

#[test]
fn t16_a_credential_in_the_address_opens_nothing_and_stays_out_of_the_log() {
    let gateway = Gateway::start(json!({}));
    for name in ["token", "access_token", "auth", "password"] {
        let path = format!("/v1/models?{name}={TOKEN}");
        assert_eq!(raw::get(gateway.addr(), &path, &[]).status, 401, "{name}");
        let mut ws = Ws::open_with(gateway.addr(), &format!("/?{name}={TOKEN}"), &[]).expect("upgrade");
        let mut params = ws::backend(&["operator.read"]);
        params["auth"] = json!({});
        assert!(ws.try_hello(params).is_err(), "{name}");
    }
    assert!(!gateway.log().contains(TOKEN));
}

#[test]
fn t18_the_token_of_hooks_is_another_one_and_opens_nothing_else() {
    let hooks = |token: &str| json!({ "hooks": { "enabled": true, "token": token } });
    let ended = Gateway::with(hooks(TOKEN)).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
    let hook = "hook-token-0123456789abcdef-0123456789";
    let gateway = Gateway::start(hooks(hook));
    let header = format!("Bearer {hook}");
    let headers = [("Authorization", header.as_str())];
    assert_eq!(raw::get(gateway.addr(), "/v1/models", &headers).status, 401);
    assert_eq!(raw::post(gateway.addr(), "/tools/invoke", &headers, &json!({})).status, 401);
    let mut params = ws::backend(&["operator.read"]);
    params["auth"] = json!({ "token": hook });
    assert!(Ws::open(gateway.addr()).try_hello(params).is_err());
}

#[test]
fn t19_strangers_learn_neither_paths_nor_versions_nor_secrets() {
    let gateway = Gateway::start(json!({ "gateway": { "trustedProxies": ["127.0.0.1"] } }));
    let far = [("X-Forwarded-For", "10.9.8.7")];
    let home = gateway.home().display().to_string();
    for path in
        ["/", "/healthz", "/readyz", "/startupz", "/health", "/ready", "/nope", "/control-ui-config.json", "/api/x"]
    {
        let text = raw::get(gateway.addr(), path, &far).text();
        for secret in [TOKEN, home.as_str(), env!("CARGO_PKG_VERSION"), "agent:main"] {
            assert!(!text.contains(secret), "{path} tells {secret}: {text}");
        }
    }
}

#[test]
fn t25_a_device_is_proved_by_its_signature_on_this_socket_only() {
    let gateway = Gateway::start(json!({}));
    let device = Device::new(1);
    let params = ws::connect("cli", "cli", &["operator.admin"]);
    for (defect, code) in [
        (Defect::Id, "DEVICE_AUTH_DEVICE_ID_MISMATCH"),
        (Defect::PublicKey, "DEVICE_AUTH_DEVICE_ID_MISMATCH"),
        (Defect::Stale, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        (Defect::Future, "DEVICE_AUTH_SIGNATURE_EXPIRED"),
        (Defect::BlankNonce, "DEVICE_AUTH_NONCE_REQUIRED"),
        (Defect::Nonce, "DEVICE_AUTH_NONCE_MISMATCH"),
        (Defect::Signature, "DEVICE_AUTH_SIGNATURE_INVALID"),
        (Defect::OtherKey, "DEVICE_AUTH_SIGNATURE_INVALID"),
    ] {
        let mut ws = Ws::open(gateway.addr());
        let error = device.connect_as(&mut ws, params.clone(), defect).expect_err("not proved");
        assert_eq!(error["details"]["code"], code, "{defect:?}");
        assert_eq!(ws.closed().0, 1008);
    }
    // A proof that was overheard is worth nothing on another socket.
    let mut ws = Ws::open(gateway.addr());
    let overheard = device.proved(&mut ws, params, Defect::None);
    ws.call("connect", overheard.clone()).expect("proved");
    let mut second = Ws::open(gateway.addr());
    let nonce = second.event("connect.challenge")["payload"]["nonce"].clone();
    let error = second.call("connect", overheard.clone()).expect_err("the proof was for another socket");
    assert_eq!(error["details"]["code"], "DEVICE_AUTH_NONCE_MISMATCH");
    // Nor is it with this socket's nonce in the place of its own.
    let mut third = Ws::open(gateway.addr());
    let mut forged = overheard;
    forged["device"]["nonce"] = third.event("connect.challenge")["payload"]["nonce"].clone();
    assert_ne!(forged["device"]["nonce"], nonce, "a nonce is used once");
    let error = third.call("connect", forged).expect_err("the signature is over another nonce");
    assert_eq!(error["details"]["code"], "DEVICE_AUTH_SIGNATURE_INVALID");
    let paired = gateway.operator().ok("device.pair.list", json!({}))["paired"].as_array().map(Vec::len);
    assert_eq!(paired, Some(1), "no failed proof has left a device behind");
}

#[test]
fn t32_writing_in_a_chat_reaches_nothing_of_the_administrator_s() {
    let upstream = Upstream::friendly();
    let secret = "writer-token-0123456789abcdef";
    let mut config = upstream.config();
    gateway::merge(
        &mut config,
        json!({ "gateway": { "auth": { "tokens": [token("w", secret, &["operator.write"])] } } }),
    );
    let gateway = Gateway::start(config);
    let before = std::fs::read(gateway.config_path()).expect("the configuration");
    let mut ws = Ws::open(gateway.addr());
    let mut params = ws::connect("test", "test", &["operator.admin", "operator.write"]);
    params["auth"] = json!({ "token": secret });
    assert_eq!(ws.hello(params)["auth"]["scopes"], json!(["operator.write"]));
    let commands =
        ["/config set gateway.auth.mode none", "/approve x allow", "/allowlist add dm telegram 1", "/restart"];
    for (n, text) in commands.iter().enumerate() {
        let run = format!("run-{n}");
        ws.ok("chat.send", json!({ "sessionKey": SESSION, "message": text, "idempotencyKey": run }));
        ws.event_where("chat", |chat| chat["runId"] == run && chat["state"] != "delta" && chat["state"] != "status");
    }
    assert_eq!(std::fs::read(gateway.config_path()).expect("the configuration"), before);
    let forged = json!({
        "sessionKey": SESSION, "message": "hi", "idempotencyKey": "f", "senderIsOwner": true,
    });
    assert_eq!(ws.err("chat.send", forged)["code"], "INVALID_REQUEST", "nobody says of themselves who they are");
    for method in ["config.patch", "sessions.reset", "device.pair.setupCode", "chat.inject"] {
        assert_eq!(ws.err(method, json!({}))["code"], "FORBIDDEN", "{method}");
    }
}

#[test]
fn t34_a_bearer_calls_no_shell_and_no_controls() {
    let gateway = Gateway::start(json!({}));
    for tool in
        ["exec", "bash", "shell", "write", "edit", "gateway", "cron", "nodes", "sessions_spawn", "sessions_send"]
    {
        let reply = gateway.post("/tools/invoke", &json!({ "tool": tool, "args": { "command": "id" } }));
        assert_eq!(reply.status, 404, "{tool}: {}", reply.text());
    }
}

#[test]
fn t35_reserved_sessions_are_nobody_s_to_name() {
    let gateway = Gateway::start(json!({}));
    let auth = bearer();
    let chat = json!({ "model": "openclaw", "messages": [{ "role": "user", "content": "hi" }] });
    for key in ["subagent:x", "cron:x", "acp:x", "agent:main:subagent:x"] {
        let headers = [("Authorization", auth.as_str()), ("x-openclaw-session-key", key)];
        let reply = raw::post(gateway.addr(), "/v1/chat/completions", &headers, &chat);
        assert_eq!(reply.status, 400, "{key}: {}", reply.text());
    }
    // Webhooks: a payload names no session unless that is allowed, no reserved one even then, and no agent but those
    // that are; a blank agent is no way around.
    let hook = "hook-token-0123456789abcdef-0123456789";
    let with = |more: Value| {
        let mut hooks = json!({ "enabled": true, "token": hook, "allowedAgentIds": ["main"] });
        gateway::merge(&mut hooks, more);
        Gateway::start(json!({ "hooks": hooks }))
    };
    let call = |gateway: &Gateway, more: Value| {
        let mut body = json!({ "message": "hi", "name": "suite" });
        gateway::merge(&mut body, more);
        let auth = format!("Bearer {hook}");
        raw::post(gateway.addr(), "/hooks/agent", &[("Authorization", &auth)], &body).status
    };
    let strict = with(json!({}));
    assert_eq!(call(&strict, json!({})), 200);
    for wrong in [json!({ "sessionKey": "agent:main:main" }), json!({ "agentId": "other" }), json!({ "agentId": "  " })]
    {
        assert!(matches!(call(&strict, wrong.clone()), 400 | 403), "{wrong}");
    }
    let open = with(json!({ "allowRequestSessionKey": true }));
    for key in ["subagent:x", "cron:x", "acp:x", "agent:main:subagent:x", "agent:main:cron:x"] {
        assert!(matches!(call(&open, json!({ "sessionKey": key })), 400 | 403), "{key}");
    }
}

#[test]
fn t04_a_foreign_name_is_never_this_host() {
    let gateway = Gateway::start(json!({}));
    let device = Device::new(41);
    // No silent approval, and none of the scopes a program of this host has.
    let mut ws = Ws::open_named(gateway.addr(), "evil.example", "/", &[]).expect("upgrade");
    let refused = device.connect(&mut ws, &["operator.read"], json!({ "token": TOKEN })).expect_err("not approved");
    assert_eq!(refused["details"]["code"], "PAIRING_REQUIRED");
    let mut ws = Ws::open_named(gateway.addr(), "evil.example", "/", &[]).expect("upgrade");
    if let Ok(hello) = ws.try_hello(ws::backend(&["operator.admin"])) {
        assert_eq!(hello["auth"]["scopes"], json!([]), "{hello}");
    }
    // The page is the same for everybody and says nothing; what says something asks for the secret.
    for path in ["/", "/control-ui-config.json", "/health", "/startupz"] {
        let mut raw = raw::Raw::open(gateway.addr());
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
        let reply = raw.reply();
        assert!(!reply.text().contains(TOKEN), "{path}");
        if path == "/control-ui-config.json" {
            assert_eq!(reply.status, 401);
        }
    }
}

#[test]
fn t36_readers_see_no_secrets_and_what_is_redacted_is_not_written_back() {
    let key = "sk-provider-0123456789abcdef";
    let secret = "reader-token-0123456789abcdef";
    let gateway = Gateway::start(json!({
        "gateway": { "auth": { "tokens": [token("r", secret, &["operator.read"])] } },
        "models": { "providers": { "p": { "baseUrl": "http://127.0.0.1:1/v1", "apiKey": key } } },
    }));
    let mut reader = Ws::open(gateway.addr());
    let mut params = ws::connect("test", "test", &["operator.read"]);
    params["auth"] = json!({ "token": secret });
    reader.hello(params);
    let mut owner = gateway.operator();
    for ws in [&mut reader, &mut owner] {
        for method in
            ["config.get", "logs.tail", "status", "health", "channels.status", "models.list", "models.authStatus"]
        {
            let text = ws.ok(method, json!({})).to_string();
            for hidden in [TOKEN, key, secret] {
                assert!(!text.contains(hidden), "{method} tells a secret");
            }
        }
    }
    let current = owner.ok("config.get", json!({}));
    let raw_text = current["raw"].as_str().expect("the text").to_owned();
    assert!(!raw_text.contains(key));
    owner.ok("config.set", json!({ "raw": raw_text, "baseHash": current["hash"] }));
    let written = std::fs::read_to_string(gateway.config_path()).expect("the configuration");
    assert!(written.contains(TOKEN) && written.contains(key), "the stand-ins did not take the place of the secrets");
}

#[test]
fn limited_tokens_end_when_they_are_revoked_or_over_and_hold_to_their_networks() {
    let gateway = Gateway::start(json!({ "gateway": { "trustedProxies": ["127.0.0.1"] } }));
    let openclaw = |args: &[&str]| {
        let ran = gateway::run(gateway.home(), &[args, &["--json"]].concat(), &[]);
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice::<Value>(&ran.stdout).expect("JSON")
    };
    let made = openclaw(&[
        "tokens",
        "create",
        "--name",
        "probe",
        "--scope",
        "read",
        "--cidr",
        "10.0.0.0/8",
        "--expires",
        "30d",
    ]);
    let secret = made["token"].as_str().expect("shown once").to_owned();
    assert_eq!(made["scopes"], json!(["operator.read"]));
    let text = std::fs::read_to_string(gateway.config_path()).expect("the configuration");
    assert!(!text.contains(&secret) && text.contains(&sha256(&secret)), "kept by its hash only");
    let connect = |from: &str| {
        let mut ws = Ws::open_with(gateway.addr(), "/", &[("X-Forwarded-For", from)]).expect("upgrade");
        let mut params = ws::connect("test", "test", &["operator.read"]);
        params["auth"] = json!({ "token": secret });
        ws.try_hello(params).map(|hello| (ws, hello["auth"]["scopes"].clone()))
    };
    // Each try from somewhere else: a token that is not known yet is a guess.
    let mut tries = 0;
    let mut held = crate::support::wait::until("the token is taken over", || {
        tries += 1;
        connect(&format!("10.1.{}.{}", tries / 250, tries % 250)).ok()
    });
    assert_eq!(held.1, json!(["operator.read"]));
    let error = connect("11.1.2.3").err().expect("not from there");
    assert_eq!(error["details"]["authReason"], "token_address_not_allowed");
    assert_eq!(openclaw(&["tokens"])["tokens"][0]["state"], "good");
    openclaw(&["tokens", "revoke", "probe"]);
    assert_eq!(held.0.closed(), (4001, "gateway auth changed".into()));
    assert_eq!(connect("10.99.2.3").err().expect("revoked")["details"]["code"], "AUTH_TOKEN_MISMATCH");
}

#[test]
fn a_gateway_may_serve_some_networks_only() {
    let networks = json!({ "allowCidrs": ["10.0.0.0/8"], "trustedProxies": ["127.0.0.1"] });
    let gateway = Gateway::start(json!({ "gateway": networks }));
    let auth = bearer();
    let from = |ip: &str| {
        let headers = [("X-Forwarded-For", ip), ("Authorization", auth.as_str())];
        raw::get(gateway.addr(), "/v1/models", &headers)
    };
    assert_eq!(from("10.1.2.3").status, 200);
    let refused = from("11.1.2.3");
    assert_eq!((refused.status, refused.json()["error"]["type"].as_str()), (403, Some("address_not_allowed")));
    assert!(Ws::open_with(gateway.addr(), "/", &[("X-Forwarded-For", "11.1.2.3")]).is_err());
    assert_eq!(gateway.get_with_token("/v1/models").status, 200, "this host always");
    let ended = Gateway::with(json!({ "gateway": { "allowCidrs": ["everywhere"] } })).refused();
    assert_eq!(ended.code, EX_CONFIG, "{}", ended.output);
}

/// Secrets of every kind go through a gateway that logs everything; afterwards none of them is in its log, in what it
/// printed or in a file of its state, and no file is open to others.
#[test]
fn no_secret_is_left_in_a_log_or_a_file() {
    let upstream = Upstream::script([Answer::say("hello"), Answer::say("again")]);
    let (limited, hook) = ("canary-limited-0123456789abcdef", "canary-hook-0123456789abcdef-0123");
    let mut config = upstream.config();
    gateway::merge(
        &mut config,
        json!({
            "gateway": {
                "auth": { "tokens": [token("l", limited, &["operator.read"])] }, "publicOrigin": "https://gw.example",
                "trustedProxies": ["127.0.0.1"],
            },
            "hooks": { "enabled": true, "token": hook },
            "logging": { "level": "trace", "consoleLevel": "trace" },
        }),
    );
    let gateway = Gateway::with(config).start();
    let mut canaries = vec![TOKEN.to_owned(), limited.to_owned(), hook.to_owned()];
    let mut owner = gateway.operator();
    let shown = |auth: Value| {
        let mut ws = Ws::open(gateway.addr());
        let mut params = ws::backend(&["operator.read"]);
        params["auth"] = auth;
        // Most of these are refused, which is when secrets tend to be told.
        let _ = ws.try_hello(params);
    };
    for name in ["token", "password", "deviceToken", "bootstrapToken"] {
        let guess = format!("canary-guess-{name}-0123456789");
        shown(json!({ name: guess }));
        canaries.push(guess);
    }
    shown(json!({ "token": limited }));
    let device = Device::new(1);
    let hello =
        device.connect(&mut Ws::open(gateway.addr()), &["operator.read"], json!({ "token": TOKEN })).expect("in");
    canaries.push(hello["auth"]["deviceToken"].as_str().expect("a token").to_owned());
    let setup = owner.ok("device.pair.setupCode", json!({ "joinUrl": true }));
    let link = setup["joinUrl"].as_str().expect("a link").trim_start_matches("https://gw.example").to_owned();
    let code = gateway.get(&link).json();
    canaries.extend([setup["setupCode"].as_str().expect("a code").to_owned(), link[3..].to_owned()]);
    let bootstrap = code["bootstrapToken"].as_str().expect("a token").to_owned();
    let node = Device::node(2);
    let hello = node.connect(&mut Ws::open(gateway.addr()), &[], json!({ "bootstrapToken": bootstrap })).expect("in");
    canaries.push(bootstrap);
    canaries.push(hello["auth"]["deviceToken"].as_str().expect("a token").to_owned());
    canaries.push(hello["auth"]["deviceTokens"][0]["deviceToken"].as_str().expect("a token").to_owned());
    let own = format!("Bearer {hook}");
    raw::post(gateway.addr(), "/hooks/wake", &[("Authorization", &own)], &json!({ "text": "x" }));
    raw::get(gateway.addr(), &format!("/nope?token={TOKEN}"), &[("X-Api-Key", hook), ("Cookie", limited)]);
    gateway.post(
        "/v1/chat/completions",
        &json!({ "model": "openclaw", "messages": [{ "role": "user", "content": "hi" }] }),
    );
    owner.ok("config.get", json!({}));
    owner.ok("device.token.rotate", json!({ "deviceId": device.id, "role": "operator" }));
    let printed = gateway.log();
    let home = gateway.kill();
    for canary in &canaries {
        assert!(!printed.contains(canary.as_str()), "printed: {canary}");
    }
    let mut folders = vec![home.path().to_path_buf()];
    let config = gateway::config_path(home.path());
    let mut looked_at = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let meta = std::fs::symlink_metadata(&path).expect("its facts");
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            // The configuration is where its owner keeps secrets, and its backups are copies of it.
            let own = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("openclaw.json"));
            if !meta.is_file() || path == config || own {
                continue;
            }
            looked_at += 1;
            let inside =
                path.starts_with(gateway::state_dir(home.path())) && !path.starts_with(gateway::workspace(home.path()));
            if inside {
                assert_eq!(meta.permissions().mode() & 0o077, 0, "{} is open to others", path.display());
            }
            let bytes = std::fs::read(&path).expect("its content");
            for canary in &canaries {
                let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
                assert!(!found, "{} holds {canary}", path.display());
            }
        }
    }
    assert!(looked_at > 0, "there was something to look at");
}
