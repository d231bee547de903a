//! Devices against the real binary: pairing, tokens, setup codes, proxies.

use serde_json::{Value, json};

use crate::support::device::Device;
use crate::support::gateway::{self, Gateway, TOKEN};
use crate::support::{raw, ws::Ws};

/// A gateway that believes a proxy on this host about addresses: the way to be remote in a test.
fn behind_a_proxy(more: Value) -> Gateway {
    let mut config = json!({ "gateway": { "trustedProxies": ["127.0.0.1"] } });
    gateway::merge(&mut config, more);
    Gateway::start(config)
}

fn remote(gateway: &Gateway) -> Ws {
    Ws::open_with(gateway.addr(), "/", &[("X-Forwarded-For", "10.9.8.7")]).expect("upgrade")
}

fn local(gateway: &Gateway) -> Ws {
    Ws::open(gateway.addr())
}

fn secret() -> Value {
    json!({ "token": TOKEN })
}

#[track_caller]
fn pairing_details(refused: Result<Value, Value>) -> Value {
    let error = refused.expect_err("must be approved first");
    assert_eq!(error["code"], "NOT_PAIRED");
    assert_eq!(error["details"]["code"], "PAIRING_REQUIRED");
    error["details"].clone()
}

#[test]
fn a_device_of_this_host_is_given_a_token_and_comes_back_with_it_after_a_restart() {
    let gateway = Gateway::start(json!({}));
    let device = Device::new(1);
    let hello = device.connect(&mut local(&gateway), &["operator.read"], secret()).expect("let in");
    let auth = &hello["auth"];
    assert_eq!((&auth["method"], &auth["scopes"]), (&json!("token"), &json!(["operator.read"])));
    let token = auth["deviceToken"].as_str().expect("a token").to_string();
    assert!(token.len() == 43 && auth["issuedAtMs"].is_u64());
    let setup = Gateway::with(json!({}));
    let gateway = setup.home(gateway.kill()).start();
    let shown = json!({ "deviceToken": token });
    let hello = device.connect(&mut local(&gateway), &["operator.read"], shown).expect("let in");
    assert_eq!((&hello["auth"]["method"], &hello["auth"]["role"]), (&json!("device-token"), &json!("operator")));
    let error = device.connect(&mut local(&gateway), &["operator.read"], json!({ "deviceToken": "wrong" }));
    assert_eq!(error.expect_err("wrong")["details"]["code"], "AUTH_DEVICE_TOKEN_MISMATCH");
    let beside = json!({ "token": TOKEN, "deviceToken": "stale" });
    device.connect(&mut local(&gateway), &["operator.read"], beside).expect("a good secret beside a stale token");
}

#[test]
fn a_remote_device_is_approved_by_an_operator() {
    let gateway = behind_a_proxy(json!({}));
    let mut operator = gateway.operator();
    let device = Device::new(2);
    let mut ws = remote(&gateway);
    let details = pairing_details(device.connect(&mut ws, &["operator.read", "operator.write"], secret()));
    let request = details["requestId"].as_str().expect("a request").to_string();
    assert_eq!(
        details,
        json!({
            "code": "PAIRING_REQUIRED", "reason": "not-paired", "requestId": request,
            "remediationHint": "Approve this device from the pending pairing requests.",
            "recommendedNextStep": "wait_then_retry", "retryable": true, "pauseReconnect": false,
            "deviceId": device.id, "requestedRole": "operator",
            "requestedScopes": ["operator.read", "operator.write"],
        })
    );
    let text = format!("pairing required: device is not approved yet (requestId: {request})");
    assert_eq!(ws.closed(), (1008, text));
    assert_eq!(operator.event("device.pair.requested")["payload"]["remoteIp"], "10.9.8.7");
    let list = operator.ok("device.pair.list", json!({}));
    assert_eq!(list["pending"][0]["requestId"], *request);
    let approved = operator.ok("device.pair.approve", json!({ "requestId": request }));
    assert_eq!(approved["device"]["approvedVia"], "owner");
    let resolved = operator.event("device.pair.resolved")["payload"].take();
    assert_eq!((&resolved["decision"], &resolved["deviceId"]), (&json!("approved"), &json!(device.id)));
    let hello = device.connect(&mut remote(&gateway), &["operator.read"], secret()).expect("approved");
    assert_eq!(hello["auth"]["issuedAtMs"], approved["device"]["createdAtMs"]);
    let details = pairing_details(device.connect(&mut remote(&gateway), &["operator.pairing"], secret()));
    assert_eq!(details["reason"], "scope-upgrade");
    assert_eq!(details["approvedScopes"], json!(["operator.read", "operator.write"]));
    let rejected = operator.ok("device.pair.reject", json!({ "requestId": details["requestId"] }));
    assert_eq!(rejected["deviceId"], *device.id);
    let error = operator.err("device.pair.reject", json!({ "requestId": details["requestId"] }));
    assert_eq!(error["message"], "unknown requestId");
}

#[test]
fn t26_another_machine_behind_the_same_key_is_asked_about_even_here() {
    let gateway = Gateway::start(json!({}));
    let mut device = Device::new(3);
    device.connect(&mut local(&gateway), &["operator.read"], secret()).expect("let in");
    device.platform = "darwin";
    let details = pairing_details(device.connect(&mut local(&gateway), &["operator.read"], secret()));
    assert_eq!(details["reason"], "metadata-upgrade");
}

#[test]
fn t17_sockets_of_a_removed_or_rotated_device_close_at_once() {
    let gateway = Gateway::start(json!({}));
    let mut operator = gateway.operator();
    for method in ["device.token.rotate", "device.token.revoke", "device.pair.remove"] {
        let device = Device::new(4);
        let mut ws = local(&gateway);
        device.connect(&mut ws, &["operator.read"], secret()).expect("let in");
        let params = match method {
            "device.pair.remove" => json!({ "deviceId": device.id }),
            _ => json!({ "deviceId": device.id, "role": "operator" }),
        };
        let result = operator.ok(method, params);
        assert!(result.get("token").is_none(), "{method} tells an operator no token");
        assert_eq!(ws.closed(), (4001, "gateway auth changed".into()), "{method}");
        operator.event("device.pair.changed");
    }
    let list = operator.ok("device.pair.list", json!({}));
    assert_eq!(list["paired"], json!([]));
}

#[test]
fn t27_a_device_with_pairing_scope_cannot_make_an_admin() {
    let gateway = behind_a_proxy(json!({}));
    let mut small = local(&gateway);
    small.hello(crate::support::ws::backend(&["operator.pairing"]));
    let details = pairing_details(Device::new(5).connect(&mut remote(&gateway), &["operator.admin"], secret()));
    let error = small.err("device.pair.approve", json!({ "requestId": details["requestId"] }));
    assert_eq!((&error["code"], &error["details"]["missingScope"]), (&json!("FORBIDDEN"), &json!("operator.admin")));
}

#[test]
fn t28_a_setup_code_lets_one_device_in_once() {
    let gateway = behind_a_proxy(json!({ "gateway": { "publicOrigin": "https://gw.example" } }));
    let mut operator = gateway.operator();
    let setup = operator.ok("device.pair.setupCode", json!({ "includeQr": false, "joinUrl": true }));
    assert_eq!((&setup["gatewayUrl"], &setup["access"]), (&json!("wss://gw.example"), &json!("full")));
    let link = setup["joinUrl"].as_str().expect("a link").strip_prefix("https://gw.example").expect("ours");
    let head = raw::request(gateway.addr(), "HEAD", link, &[], b"");
    assert_eq!(head.status, 405, "looking does not use it up");
    let fetched = gateway.get(link);
    assert_eq!((fetched.status, fetched.header("cache-control")), (200, Some("no-store")));
    let code = fetched.json();
    let again = gateway.get(link);
    assert_eq!((again.status, again.json()), (404, json!({ "error": "not_found" })));
    let shown = json!({ "bootstrapToken": code["bootstrapToken"] });
    let node = Device::node(6);
    let hello = node.connect(&mut remote(&gateway), &[], shown.clone()).expect("invited");
    let auth = &hello["auth"];
    assert_eq!((&auth["method"], &auth["role"]), (&json!("bootstrap-token"), &json!("node")));
    assert_eq!(auth["deviceTokens"][0]["role"], "operator");
    let error = node.connect(&mut remote(&gateway), &[], shown).expect_err("spent");
    assert_eq!(error["details"]["code"], "AUTH_BOOTSTRAP_TOKEN_INVALID");
    let operator = Device { client: ("openclaw-tui", "ui"), role: "operator", ..node };
    let token = json!({ "deviceToken": auth["deviceTokens"][0]["deviceToken"] });
    operator.connect(&mut remote(&gateway), &["operator.admin"], token).expect("handed over");
}

#[test]
fn t14_the_eleventh_guess_is_locked_out_whatever_is_added_to_it() {
    let gateway = behind_a_proxy(json!({}));
    let mut device = Device::new(7);
    device.client = ("cli", "cli");
    for n in 0..10 {
        let guess = json!({ "token": format!("guess{n}"), "deviceToken": "bogus" });
        let error = device.connect(&mut remote(&gateway), &[], guess).expect_err("wrong");
        assert_eq!(error["details"]["code"], "AUTH_TOKEN_MISMATCH", "guess {n}");
    }
    let error = device.connect(&mut remote(&gateway), &[], secret()).expect_err("locked out");
    assert_eq!(error["details"]["code"], "AUTH_RATE_LIMITED");
    assert!(error["retryAfterMs"].as_u64().is_some_and(|ms| ms > 290_000));
    let bearer = gateway::bearer();
    let headers = [("X-Forwarded-For", "10.9.8.7"), ("Authorization", bearer.as_str())];
    let http = raw::get(gateway.addr(), "/v1/models", &headers);
    assert!(http.status == 429 && http.header("retry-after").is_some());
    gateway.operator();
}

#[test]
fn t21_t23_a_trusted_proxy_vouches_for_users_and_their_claims_grant_nothing() {
    let gateway = Gateway::exactly(json!({ "gateway": {
        "mode": "local",
        "trustedProxies": ["127.0.0.1"],
        "http": { "endpoints": { "chatCompletions": { "enabled": true } } },
        "auth": {
            "mode": "trusted-proxy", "password": "a-password-of-some-length",
            "trustedProxy": { "userHeader": "X-User", "allowLoopback": true, "allowUsers": ["ada", "bob"] },
            "identityScopes": { "ada": ["operator.read"] },
        },
    } }))
    .start();
    let from = |headers: &[(&str, &str)]| {
        let headers = [&[("X-Forwarded-For", "10.9.8.7")], headers].concat();
        let mut ws = Ws::open_with(gateway.addr(), "/", &headers).expect("upgrade");
        let mut params = crate::support::ws::backend(&["operator.admin", "operator.read"]);
        params["auth"] = json!({});
        ws.try_hello(params)
            .map(|hello| hello["auth"]["scopes"].clone())
            .map_err(|e| e["details"]["authReason"].clone())
    };
    assert_eq!(from(&[("X-User", "ada")]), Ok(json!(["operator.read"])));
    assert_eq!(from(&[("X-User", "bob"), ("x-openclaw-scopes", "operator.admin")]), Ok(json!([])));
    assert_eq!(from(&[("X-User", "eve")]), Err(json!("trusted_proxy_user_not_allowed")));
    assert_eq!(from(&[("X-User", "ada"), ("X-User", "bob")]), Err(json!("trusted_proxy_user_ambiguous")));
    let models = |user: &str, more: &[(&str, &str)]| {
        let headers = [&[("X-Forwarded-For", "10.9.8.7"), ("X-User", user)], more].concat();
        raw::get(gateway.addr(), "/v1/models", &headers).status
    };
    assert_eq!(models("ada", &[]), 200);
    assert_eq!(models("ada", &[("x-openclaw-scopes", "operator.approvals")]), 403);
    assert_eq!(models("ada", &[("Origin", "https://evil.example")]), 403);
    assert_eq!(models("eve", &[]), 401);
}

#[test]
fn who_is_let_in_unasked_is_for_the_configuration_to_say() {
    let rules = json!({ "autoApproveLocal": false, "autoApproveCidrs": ["10.9.8.0/24"] });
    let gateway = behind_a_proxy(json!({ "gateway": { "nodes": { "pairing": rules } } }));
    let refused = Device::new(21).connect(&mut local(&gateway), &["operator.read"], secret()).expect_err("not unasked");
    assert_eq!(refused["details"]["code"], "PAIRING_REQUIRED");
    // From that network nodes are let in, and only nodes.
    Device::node(22).connect(&mut remote(&gateway), &[], secret()).expect("a node of a network that is trusted");
    let refused =
        Device::new(23).connect(&mut remote(&gateway), &["operator.read"], secret()).expect_err("an operator");
    assert_eq!(refused["details"]["code"], "PAIRING_REQUIRED");
    let elsewhere = [("X-Forwarded-For", "10.9.9.7")];
    let mut other = Ws::open_with(gateway.addr(), "/", &elsewhere).expect("upgrade");
    let refused = Device::node(24).connect(&mut other, &[], secret()).expect_err("another network");
    assert_eq!(refused["details"]["code"], "PAIRING_REQUIRED");
}

#[test]
fn a_client_that_does_not_say_who_it_is_has_the_time_that_is_set() {
    let started = |ms: &str| Gateway::with(json!({})).env("OPENCLAW_HANDSHAKE_TIMEOUT_MS", ms).start();
    let gateway = started("200");
    let mut silent = Ws::open(gateway.addr());
    silent.event("connect.challenge");
    let begun = std::time::Instant::now();
    silent.closed();
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "fifteen seconds are the usual time");
    let gateway = started("soon");
    gateway.says("OPENCLAW_HANDSHAKE_TIMEOUT_MS=\"soon\" is not used: 1 to 600000 milliseconds");
    gateway.operator().ok("health", json!({}));
}

#[test]
fn the_command_line_lists_approves_and_invites() {
    let gateway = behind_a_proxy(json!({ "gateway": { "publicOrigin": "https://gw.example" } }));
    let openclaw = |args: &[&str]| {
        let port = gateway.addr().port().to_string();
        let args = [args, &["--port", &port, "--json"]].concat();
        let ran = gateway::run(gateway.home(), &args, &[]);
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice::<Value>(&ran.stdout).expect("JSON")
    };
    let device = Device::new(8);
    pairing_details(device.connect(&mut remote(&gateway), &["operator.admin"], secret()));
    assert_eq!(openclaw(&["devices"])["pending"][0]["deviceId"], *device.id);
    assert_eq!(openclaw(&["devices", "approve"])["device"]["deviceId"], *device.id);
    device.connect(&mut remote(&gateway), &["operator.admin"], secret()).expect("approved");
    openclaw(&["devices", "rename", "--device", &device.id, "--name", "desk"]);
    openclaw(&["devices", "rotate", "--device", &device.id, "--role", "operator"]);
    assert_eq!(openclaw(&["devices", "list"])["paired"][0]["label"], "desk");
    assert_eq!(openclaw(&["devices", "clear", "--yes"])["removed"], json!([device.id]));
    assert_eq!(openclaw(&["qr", "--node-only"])["access"], "node");
    assert_eq!(openclaw(&["qr", "--limited"])["access"], "limited");
}

#[test]
fn a_connected_device_asks_for_more_and_is_given_it() {
    let gateway = behind_a_proxy(json!({}));
    let mut operator = gateway.operator();
    let device = Device::new(9);
    let details = pairing_details(device.connect(&mut remote(&gateway), &["operator.read"], secret()));
    operator.ok("device.pair.approve", json!({ "requestId": details["requestId"] }));
    let mut ws = remote(&gateway);
    device.connect(&mut ws, &["operator.read"], secret()).expect("approved");
    let asked = ws.ok("device.scopes.requestUpgrade", json!({ "scopes": ["operator.write"] }));
    let again = ws.ok("device.scopes.requestUpgrade", json!({ "scopes": ["operator.write"] }));
    assert_eq!(asked, again, "the same wish is the same request");
    let wait = ws.request("device.scopes.waitUpgrade", asked.clone());
    operator.event_where("device.pair.requested", |request| request["requestId"] == asked["requestId"]);
    operator.ok("device.pair.approve", json!({ "requestId": asked["requestId"] }));
    let granted = ws.response(&wait).expect("decided");
    assert_eq!((&granted["status"], &granted["requestId"]), (&json!("approved"), &asked["requestId"]));
    let token = json!({ "deviceToken": granted["deviceToken"] });
    let hello = device.connect(&mut remote(&gateway), &["operator.write"], token).expect("with the new token");
    assert_eq!(hello["auth"]["scopes"], json!(["operator.write"]));
    let asked = ws.ok("device.scopes.requestUpgrade", json!({ "scopes": ["operator.admin"] }));
    let wait = ws.request("device.scopes.waitUpgrade", asked.clone());
    operator.ok("device.pair.reject", json!({ "requestId": asked["requestId"] }));
    assert_eq!(ws.response(&wait).expect("decided")["status"], "rejected");
    assert_eq!(ws.ok("device.scopes.waitUpgrade", json!({ "requestId": "old" }))["status"], "expired");
    let error = operator.err("device.scopes.requestUpgrade", json!({ "scopes": ["operator.admin"] }));
    assert_eq!(error["message"], "device identity required");
}

#[test]
fn the_maker_of_an_invitation_hears_that_it_was_taken_up() {
    let gateway = behind_a_proxy(json!({ "gateway": { "publicOrigin": "https://gw.example" } }));
    let mut operator = gateway.operator();
    let setup = operator.ok("device.pair.setupCode", json!({ "bootstrapProfile": "node", "joinUrl": true }));
    let status = json!({ "setupId": setup["setupId"] });
    assert_eq!(operator.ok("device.pair.setupStatus", status.clone()), json!({}));
    let link = setup["joinUrl"].as_str().expect("a link").strip_prefix("https://gw.example").expect("ours");
    let code = gateway.get(link).json();
    let node = Device::node(10);
    node.connect(&mut remote(&gateway), &[], json!({ "bootstrapToken": code["bootstrapToken"] })).expect("invited");
    let told = operator.event("device.pair.setup.completed")["payload"].take();
    assert_eq!((&told["setupId"], &told["access"]), (&setup["setupId"], &json!("node")));
    assert_eq!(operator.ok("device.pair.setupStatus", status)["completion"]["deviceId"], *node.id);
}
