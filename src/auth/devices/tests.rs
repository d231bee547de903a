//! The register of devices, with invented moments.

use super::*;
use crate::auth::{Client, Refusal};
use crate::sys::secret::Secret;
use crate::wire::connect::{ClientId, ClientMode};
use crate::wire::error::Code;

const NOW: u64 = 1_795_338_299_000;
const OWNER: Actor = Actor { scopes: Scopes::ALL, device_id: None };

struct Door {
    devices: Devices,
    now: u64,
}

impl Door {
    fn new() -> Door {
        Door { devices: Devices::default(), now: NOW }
    }

    fn arrive(&mut self, arrival: &Arrival) -> (Result<Admission, Refusal>, Effects) {
        self.now += 1000;
        self.devices.arrive(arrival, self.now)
    }

    fn enter(&mut self, arrival: &Arrival) -> Admission {
        self.arrive(arrival).0.expect("admitted")
    }

    /// Turned away: the reason and the request's id.
    fn turned_away(&mut self, arrival: &Arrival) -> (String, String) {
        let error = self.arrive(arrival).0.expect_err("must not come in").error.expect("answered");
        let details: serde_json::Value =
            serde_json::from_str(error.details.expect("details").get()).expect("details are JSON");
        let text = |name: &str| details[name].as_str().unwrap_or("").to_string();
        (if text("reason").is_empty() { text("code") } else { text("reason") }, text("requestId"))
    }

    /// As after a restart: records only.
    fn restarted(&self) -> Door {
        let records = self.devices.all.keys().map(|id| (id.clone(), self.devices.record(id).expect("a record")));
        let (devices, unreadable) = Devices::load(records);
        assert!(unreadable.is_empty());
        Door { devices, now: self.now }
    }
}

fn scopes(names: &str) -> Scopes {
    Scopes::parse(names.split(' ').map(|name| match name {
        "" => "",
        "read" => "operator.read",
        "write" => "operator.write",
        "admin" => "operator.admin",
        "pairing" => "operator.pairing",
        "approvals" => "operator.approvals",
        other => panic!("{other}"),
    }))
}

fn device(id: &str, ask: &str) -> Arrival {
    Arrival {
        client: Client {
            id: ClientId::Tui,
            mode: ClientMode::Ui,
            version: "1".into(),
            platform: "linux".into(),
            device_family: Some("Linux".into()),
            display_name: None,
            instance_id: None,
            device_id: Some(id.into()),
        },
        public_key: "key".into(),
        role: Role::Operator,
        scopes: scopes(ask),
        remote_ip: None,
        proof: Proof::Shared("token"),
        unasked: Some(Unasked::Silent),
        offer: None,
    }
}

fn remote(id: &str, ask: &str) -> Arrival {
    Arrival { unasked: None, remote_ip: Some("10.9.8.7".into()), ..device(id, ask) }
}

fn with_token(arrival: Arrival, token: &Secret) -> Arrival {
    let otherwise = Box::new(crate::auth::connect::device_token_mismatch());
    Arrival { proof: Proof::Token { offered: vec![token.clone()], otherwise }, ..arrival }
}

fn token_of(admission: &Admission) -> Secret {
    admission.token.clone().expect("a token")
}

#[test]
fn a_new_device_of_this_host_is_let_in_and_its_token_is_good_afterwards() {
    let mut door = Door::new();
    let (admission, effects) = door.arrive(&device("d1", "read write"));
    let admission = admission.expect("admitted");
    assert_eq!(admission.method, "token");
    assert_eq!(effects.save, ["d1"]);
    assert!(matches!(&effects.news[..], [News::Resolved { decision: "approved", .. }]));
    let token = token_of(&admission);
    assert_eq!(token.expose().len(), 43);
    let again = door.enter(&with_token(remote("d1", "read"), &token));
    assert_eq!((again.method, again.issued_at_ms), ("device-token", admission.issued_at_ms));
    assert_eq!(token_of(&door.enter(&device("d1", "read"))).expose(), token.expose(), "the same one each time");
}

#[test]
fn t13_tokens_are_kept_as_hashes_only() {
    let mut door = Door::new();
    let token = token_of(&door.enter(&device("d1", "read")));
    let record = door.devices.record("d1").expect("a record");
    assert!(!record.contains(token.expose()));
    assert!(!format!("{:?}", door.devices).contains(token.expose()));
    let mut later = door.restarted();
    assert_eq!(later.enter(&with_token(remote("d1", "read"), &token)).method, "device-token");
    let second = token_of(&later.enter(&device("d1", "read")));
    assert_ne!(second.expose(), token.expose(), "the first is known by its hash only");
    for good in [&token, &second] {
        later.enter(&with_token(remote("d1", "read"), good));
    }
    for _ in 0..HASHES {
        later = later.restarted();
        later.enter(&device("d1", "read"));
    }
    assert_eq!(later.turned_away(&with_token(remote("d1", "read"), &token)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
}

#[test]
fn a_remote_device_waits_and_comes_in_when_it_was_approved() {
    let mut door = Door::new();
    let (reason, request) = door.turned_away(&remote("d1", "write"));
    assert_eq!(reason, "not-paired");
    assert_eq!(door.turned_away(&remote("d1", "write")).1, request, "the same request");
    assert_eq!(door.devices.requests(door.now).len(), 1);
    let (result, effects) = door.devices.approve(OWNER, &request, door.now).expect("approved");
    assert_eq!((result.device.approved_via.as_str(), effects.save.len()), ("owner", 1));
    let spelled: Vec<_> = result.device.tokens[0].scopes.names().collect();
    assert_eq!(spelled, ["operator.read", "operator.write"]);
    let admission = door.enter(&remote("d1", "read"));
    assert_eq!(admission.issued_at_ms, Some(result.device.created_at_ms));
    assert!(door.devices.requests(door.now).is_empty());
}

#[test]
fn more_than_was_approved_is_a_new_question() {
    let mut door = Door::new();
    door.enter(&device("d1", "write"));
    let table: &[(&str, Arrival)] = &[
        ("scope-upgrade", remote("d1", "pairing")),
        ("role-upgrade", Arrival { role: Role::Node, scopes: Scopes::NONE, ..remote("d1", "") }),
        ("metadata-upgrade", {
            let mut mac = device("d1", "read");
            mac.client.platform = "darwin".into();
            mac
        }),
        ("metadata-upgrade", {
            let mut mac = device("d1", "read");
            mac.client.device_family = None;
            mac
        }),
    ];
    for (expected, arrival) in table {
        assert_eq!(door.turned_away(arrival).0, *expected);
    }
    door.enter(&remote("d1", "read"));
    let mut newer = remote("d1", "read");
    newer.client.platform = "Linux 6.1".into();
    door.enter(&newer);
    door.enter(&device("d1", "pairing"));
    door.enter(&Arrival { role: Role::Node, scopes: Scopes::NONE, ..device("d1", "") });
}

#[test]
fn a_request_that_grew_cannot_be_approved_by_its_old_name() {
    let mut door = Door::new();
    let (_, first) = door.turned_away(&remote("d1", "read"));
    let (_, second) = door.turned_away(&remote("d1", "admin"));
    assert_ne!(first, second);
    let error = door.devices.approve(OWNER, &first, door.now).expect_err("gone");
    assert_eq!(error.message, "unknown requestId");
    assert_eq!(door.turned_away(&remote("d1", "read")).1, second, "asking for less changes nothing");
}

#[test]
fn a_device_token_approves_nothing_more() {
    let mut door = Door::new();
    let token = token_of(&door.enter(&device("d1", "read")));
    let greedy = Arrival { unasked: None, ..with_token(device("d1", "admin"), &token) };
    assert_eq!(door.turned_away(&greedy).0, "scope-upgrade");
    assert_eq!(door.turned_away(&with_token(remote("d2", "read"), &token)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
    let node = Arrival { role: Role::Node, ..with_token(remote("d1", ""), &token) };
    assert_eq!(door.turned_away(&node).0, "AUTH_DEVICE_TOKEN_MISMATCH");
}

#[test]
fn t27_nobody_grants_more_than_they_hold() {
    let held = ["", "pairing", "pairing read", "pairing write", "admin"];
    let asked = ["", "read", "write", "approvals", "admin"];
    for own in held {
        for ask in asked {
            let mut door = Door::new();
            let (_, request) = door.turned_away(&remote("d1", ask));
            let actor = Actor { scopes: scopes(own), device_id: None };
            let allowed = scopes(own).lacks(scopes(ask)).is_none();
            let approved = door.devices.approve(actor, &request, door.now);
            assert_eq!(approved.is_ok(), allowed, "{own:?} approves {ask:?}");
            if let Err(error) = approved {
                assert_eq!(error.code, Code::Forbidden);
                door.devices.approve(OWNER, &request, door.now).expect("still waits");
            }
            let rotated = door.devices.rotate(actor, "d1", "operator", None, door.now);
            assert_eq!(rotated.is_ok(), scopes(own).lacks(scopes(ask).spelled_out()).is_none(), "{own} rotates {ask}");
            let wider = door.devices.rotate(OWNER, "d1", "operator", Some(scopes("admin")), door.now);
            assert_eq!(wider.is_ok(), ask == "admin", "a token never stands for more than its device");
            let other_role = door.devices.rotate(OWNER, "d1", "node", None, door.now);
            assert!(other_role.is_err(), "rotating changes no role");
        }
    }
}

#[test]
fn t27_a_paired_device_decides_about_itself_only() {
    let mut door = Door::new();
    door.enter(&device("d1", "pairing read"));
    door.enter(&device("d2", "read"));
    let (_, request) = door.turned_away(&remote("d3", "read"));
    let (own, now) = (Actor { scopes: scopes("pairing read"), device_id: Some("d1") }, door.now);
    let devices = &mut door.devices;
    assert!(devices.approve(own, &request, now).is_err());
    assert!(devices.remove(own, "d2").is_err());
    assert!(devices.rename(own, "d2", "x").is_err());
    assert!(devices.rotate(own, "d2", "operator", None, now).is_err());
    assert!(devices.revoke(own, "d2", "operator", now).is_err());
    let (rotated, _) = devices.rotate(own, "d1", "operator", None, now).expect("its own");
    assert!(rotated.token.is_some(), "it is given its own token");
    let (theirs, _) = devices.rotate(OWNER, "d2", "operator", None, now).expect("the owner may");
    assert_eq!((theirs.token, theirs.token_delivery), (None, Some("withheld-cross-device")));
}

#[test]
fn a_rotated_or_revoked_token_is_dead_and_its_sockets_close() {
    let mut door = Door::new();
    let token = token_of(&door.enter(&device("d1", "read")));
    let issued = door.enter(&device("d1", "read")).issued_at_ms;
    assert!(door.devices.still("d1", Role::Operator, issued));
    let (_, effects) = door.devices.rotate(OWNER, "d1", "operator", None, door.now + 1).expect("rotated");
    assert_eq!(effects.close, Some(("d1".into(), Some(Role::Operator))));
    assert!(!door.devices.still("d1", Role::Operator, issued), "a connection on its way is overtaken");
    assert_eq!(door.turned_away(&with_token(remote("d1", "read"), &token)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
    let second = token_of(&door.enter(&device("d1", "read")));
    door.devices.revoke(OWNER, "d1", "operator", door.now).expect("revoked");
    assert_eq!(door.turned_away(&with_token(remote("d1", "read"), &second)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
}

#[test]
fn t29_what_was_revoked_stays_so_until_the_owner_says_otherwise() {
    let mut door = Door::new();
    door.enter(&device("d1", "read"));
    door.devices.revoke(OWNER, "d1", "operator", door.now).expect("revoked");
    let mut door = door.restarted();
    assert!(door.enter(&device("d1", "read")).token.is_none(), "the shared secret brings no token back");
    let pairing = Actor { scopes: scopes("pairing read"), device_id: None };
    assert!(door.devices.rotate(pairing, "d1", "operator", None, door.now).is_err());
    door.devices.rotate(OWNER, "d1", "operator", None, door.now).expect("the owner may");
    assert!(door.enter(&device("d1", "read")).token.is_some());
}

#[test]
fn a_removed_device_is_a_stranger() {
    let mut door = Door::new();
    let token = token_of(&door.enter(&device("d1", "read")));
    let effects = door.devices.remove(OWNER, "d1").expect("removed");
    assert_eq!((effects.save, effects.close), (vec!["d1".into()], Some(("d1".into(), None))));
    assert!(door.devices.record("d1").is_none());
    assert_eq!(door.turned_away(&with_token(remote("d1", "read"), &token)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
    assert_eq!(door.turned_away(&remote("d1", "read")).0, "not-paired");
    assert_eq!(door.devices.remove(OWNER, "d1").expect_err("gone").message, "unknown deviceId");
}

#[test]
fn requests_expire_and_have_a_cap() {
    let mut door = Door::new();
    let (_, request) = door.turned_away(&remote("d1", "read"));
    let later = door.now + REQUEST_TTL;
    assert!(door.devices.approve(OWNER, &request, later).is_err());
    for n in 0..REQUESTS + 5 {
        door.turned_away(&remote(&format!("n{n}"), "read"));
    }
    let waiting = door.devices.requests(door.now);
    assert_eq!((waiting.len(), waiting[0].device_id.as_str()), (REQUESTS, format!("n{}", REQUESTS + 4).as_str()));
}

#[test]
fn a_full_register_forgets_the_silent_device_longest_not_seen() {
    let mut door = Door::new();
    let (_, request) = door.turned_away(&remote("by-hand", "read"));
    door.devices.approve(OWNER, &request, door.now).expect("approved");
    for n in 1..DEVICES {
        door.enter(&device(&format!("s{n}"), "read"));
    }
    let (admitted, effects) = door.arrive(&device("one-more", "read"));
    admitted.expect("there is room");
    assert_eq!(effects.save, ["one-more", "s1"]);
    assert_eq!(door.devices.len(), DEVICES);
    assert!(door.devices.get("by-hand").is_some() && door.devices.get("s1").is_none());
}

#[test]
fn being_seen_is_written_down_once_an_hour() {
    let mut door = Door::new();
    door.enter(&device("d1", "read"));
    assert!(door.arrive(&device("d1", "read")).1.save.is_empty());
    door.now += 60 * 60 * 1000;
    assert_eq!(door.arrive(&device("d1", "read")).1.save, ["d1"]);
}

#[test]
fn nodes_of_a_listed_network_need_no_approval_but_nothing_more_comes_along() {
    let mut door = Door::new();
    let node = |unasked| Arrival { role: Role::Node, unasked, ..remote("n1", "") };
    assert_eq!(door.turned_away(&node(None)).0, "not-paired");
    assert_eq!(door.enter(&node(Some(Unasked::Cidr))).scopes, Scopes::NONE);
    let operator = Arrival { unasked: Some(Unasked::Cidr), ..remote("n1", "read") };
    assert_eq!(door.turned_away(&operator).0, "role-upgrade");
}

fn invited(arrival: Arrival, code: &SetupCode) -> Arrival {
    let otherwise = Box::new(crate::auth::connect::device_token_mismatch());
    Arrival { proof: Proof::Bootstrap { token: code.token.clone(), otherwise }, unasked: None, ..arrival }
}

#[test]
fn t28_a_setup_code_is_good_once_and_for_ten_minutes() {
    let mut door = Door::new();
    let node = |id: &str| Arrival { role: Role::Node, ..remote(id, "") };
    let code = door.devices.invite("ws://gw:1".into(), Profile::Full, door.now);
    let admission = door.enter(&invited(node("n1"), &code));
    assert_eq!((admission.method, admission.others.len()), ("bootstrap-token", 1));
    assert_eq!(admission.others[0].scopes.lacks(scopes("admin approvals")), None);
    assert!(!admission.others[0].scopes.holds(crate::wire::scope::Scope::Pairing));
    for again in ["n1", "n2"] {
        assert_eq!(door.turned_away(&invited(node(again), &code)).0, "AUTH_DEVICE_TOKEN_MISMATCH", "{again}");
    }
    let old = door.devices.invite("ws://gw:1".into(), Profile::Full, door.now - CODE_TTL);
    assert_eq!(door.turned_away(&invited(node("n3"), &old)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
    let mut operator = remote("n1", "admin");
    operator.unasked = None;
    assert_eq!(door.enter(&with_token(operator, &admission.others[0].token)).method, "device-token");
}

#[test]
fn t28_a_setup_code_for_a_node_makes_no_operator() {
    let mut door = Door::new();
    let code = door.devices.invite("ws://gw:1".into(), Profile::Node, door.now);
    assert_eq!(door.turned_away(&invited(remote("d1", "read"), &code)).0, "AUTH_DEVICE_TOKEN_MISMATCH");
    let node = door.enter(&invited(Arrival { role: Role::Node, ..remote("d1", "") }, &code));
    assert!(node.others.is_empty() && node.token.is_some());
}

#[test]
fn the_link_of_a_setup_code_answers_once() {
    let mut door = Door::new();
    let code = door.devices.invite("ws://gw:1".into(), Profile::Node, door.now);
    assert!(door.devices.fetch("", door.now).is_none());
    let fetched = door.devices.fetch(code.link.expose(), door.now).expect("the first time");
    assert_eq!(fetched.token.expose(), code.token.expose());
    assert!(door.devices.fetch(code.link.expose(), door.now).is_none());
}

fn node(id: &str, commands: &[&str]) -> Arrival {
    let commands = commands.iter().map(|name| name.to_string()).collect();
    let offer = Offer::new(vec!["system".into()], commands, [], None, None).expect("not too much");
    Arrival { role: Role::Node, offer: Some(std::sync::Arc::new(offer)), ..device(id, "") }
}

fn request_of(door: &Door, id: &str) -> String {
    door.devices.node_waits(id).expect("a request waits").to_string()
}

#[test]
fn t29_what_a_node_offers_is_usable_only_when_an_operator_said_so() {
    let mut door = Door::new();
    let (_, effects) = door.arrive(&node("n1", &["system.run"]));
    assert!(effects.news.contains(&News::NodeRequested("n1".into())) && effects.save == ["n1"]);
    assert!(door.devices.approved_surface("n1").is_none());
    let request = request_of(&door, "n1");
    let pairing = Actor { scopes: scopes("pairing write"), device_id: None };
    let error = door.devices.approve_node(pairing, &request, NOW).expect_err("running programs is for the owner");
    assert_eq!(error.message, "missing scope: operator.admin");
    let (approved, effects) = door.devices.approve_node(OWNER, &request, NOW).expect("the owner may");
    assert_eq!(
        (approved.node.surface.commands, effects.save),
        (vec!["system.run".to_string()], vec!["n1".to_string()])
    );
    assert!(door.devices.approve_node(OWNER, &request, NOW).is_err(), "once");
}

#[test]
fn t26_what_a_node_offers_later_waits_again_and_the_rest_goes_on() {
    let mut door = Door::new();
    door.enter(&node("n1", &["system.notify"]));
    let first = request_of(&door, "n1");
    door.devices.approve_node(OWNER, &first, NOW).expect("approved");
    assert!(door.arrive(&node("n1", &["system.notify"])).1.news.is_empty(), "nothing new");
    let (_, effects) = door.arrive(&node("n1", &["system.notify", "system.run"]));
    assert_eq!(effects.news, [News::NodeRequested("n1".into())]);
    assert!(door.arrive(&node("n1", &["system.notify", "system.run"])).1.news.is_empty(), "the same request");
    assert_eq!(door.devices.approved_surface("n1").expect("kept").commands, ["system.notify"]);
    let mut door = door.restarted();
    let second = request_of(&door, "n1");
    assert_eq!(door.devices.node_row("n1").expect("a row").approval_state, "pending-reapproval");
    door.devices.reject_node(&second).expect("rejected");
    assert_eq!(door.devices.node_row("n1").expect("a row").approval_state, "approved");
    door.enter(&node("n1", &["system.run"]));
    door.enter(&node("n1", &["system.notify"]));
    assert!(door.devices.node_waits("n1").is_none(), "it does not ask any more");
}

#[test]
fn a_setup_code_approves_what_its_node_offers_first() {
    let mut door = Door::new();
    let code = door.devices.invite("ws://gw:1".into(), Profile::Node, door.now);
    door.enter(&invited(node("n1", &["system.run"]), &code));
    assert_eq!(door.devices.approved_surface("n1").expect("approved").commands, ["system.run"]);
    let code = door.devices.invite("ws://gw:1".into(), Profile::Node, door.now);
    door.enter(&invited(node("n1", &["system.run", "system.notify"]), &code));
    assert!(door.devices.node_waits("n1").is_some(), "later ones are asked about");
}

#[test]
fn removing_a_node_leaves_what_else_its_device_is() {
    let mut door = Door::new();
    door.enter(&node("n1", &[]));
    door.enter(&node("n2", &[]));
    door.enter(&device("n2", "read"));
    let pairing = Actor { scopes: scopes("pairing"), device_id: None };
    let effects = door.devices.remove_node(pairing, "n1").expect("a node and nothing else");
    assert_eq!(effects.close, Some(("n1".into(), Some(Role::Node))));
    assert!(door.devices.get("n1").is_none());
    assert!(door.devices.remove_node(pairing, "n2").is_err(), "an operator's device is the owner's");
    door.devices.remove_node(OWNER, "n2").expect("the owner may");
    assert_eq!(door.devices.get("n2").expect("still a device").role_names(), ["operator"]);
    assert!(door.devices.node_row("n2").is_none() && door.devices.remove_node(OWNER, "n2").is_err());
}

#[test]
fn work_for_a_node_is_kept_once_taken_once_and_survives() {
    use crate::wire::node::{WorkKind, WorkPriority};
    let mut door = Door::new();
    door.enter(&node("n1", &[]));
    let mut leave = |kind, priority| {
        let (left, effects) = door.devices.leave_work("n1", kind, priority, 60_000, NOW).expect("left");
        assert_eq!(effects.save, ["n1"]);
        (left.revision, left.queued.id)
    };
    let first = leave(WorkKind::Status, WorkPriority::Normal);
    assert_eq!(leave(WorkKind::Status, WorkPriority::Normal), first);
    assert_eq!(leave(WorkKind::Location, WorkPriority::High).0, 2);
    let mut door = door.restarted();
    let (taken, _) = door.devices.take_work("n1", 1, NOW).expect("taken");
    assert_eq!((taken.items[0].kind, taken.has_more, taken.revision), (WorkKind::Location, true, 3));
    let (late, _) = door.devices.take_work("n1", 4, NOW + 60_000).expect("taken");
    assert!(late.items.is_empty() && !late.has_more);
    assert!(door.devices.leave_work("n2", WorkKind::Status, WorkPriority::Normal, 1, NOW).is_err());
}

#[test]
fn a_node_that_offers_without_end_is_not_remembered() {
    let many: Vec<String> = (0..2000).map(|n| format!("command.{n}")).collect();
    assert!(Offer::new(vec![], many, [], None, None).is_none());
    let twice = Offer::new(vec!["a".into(), "a".into(), " ".into()], vec![], [], None, None).expect("fits");
    assert_eq!(twice.surface.caps, ["a"]);
}
