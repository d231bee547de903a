//! The table is what it claims to be.

use super::Kind::*;
use super::*;

#[test]
fn rows_are_sorted_unique_and_documented() {
    assert!(KEYS.is_sorted_by(|a, b| a.path < b.path));
    for key in KEYS {
        assert!(key.doc.ends_with('.') && key.doc.len() > 8, "{}", key.path);
    }
}

#[test]
fn every_default_is_something_the_row_accepts() {
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let fits = match key.kind {
            Bool => matches!(key.default, "true" | "false"),
            Int(from, to) => key.default.parse().is_ok_and(|n: i64| (from..=to).contains(&n)),
            Number(from) => key.default.parse().is_ok_and(|n: f64| n >= from),
            Choice(words) => words.contains(&key.default),
            Secret | Reference | Any => false,
            Text | Texts | TextOrSection | TextOrFalse => true,
        };
        assert!(fits, "{} = {}", key.path, key.default);
    }
}

#[test]
fn a_leaf_has_nothing_below_it() {
    fn walk(node: &Names) {
        if let Some(key) = node.key {
            let below = node.children.keys().any(|name| *name != "[]");
            assert!(!below || key.kind == TextOrSection, "{}", key.path);
        }
        node.children.values().for_each(walk);
    }
    walk(ours());
}

/// Rows the reference does not have, each with its reason.
const OUR_OWN: &[&str] = &[
    // The reference has one token for all, and leaves addresses to a firewall.
    "gateway.allowCidrs",
    "gateway.auth.tokens[].allowCidrs",
    "gateway.auth.tokens[].expiresAt",
    "gateway.auth.tokens[].hash",
    "gateway.auth.tokens[].name",
    "gateway.auth.tokens[].scopes",
    // Taken out of the reference; still honoured here.
    "agents.defaults.heartbeat.ackMaxChars",
    "agents.entries.*.heartbeat.ackMaxChars",
    "agents.list[].heartbeat.ackMaxChars",
    "agents.entries.*.params",
    // The reference keeps these in a database of its own.
    "auth.profiles.*.expires",
    "auth.profiles.*.keyRef",
    "auth.profiles.*.tokenRef",
    // The reference has no cap of spending.
    "cron.maxTokensPerDay",
    "ui.assistant.avatar",
    "ui.assistant.name",
];

#[test]
fn every_row_is_a_key_of_the_reference_or_named_as_our_own() {
    for key in KEYS {
        let mut at = Some(reference());
        for segment in segments(key.path) {
            at = match at {
                Some(node) if node.open => Some(node),
                Some(node) => node.children.get(segment),
                None => None,
            };
        }
        assert!(at.is_some() || OUR_OWN.contains(&key.path), "{}", key.path);
    }
}

#[test]
fn written_paths_find_their_rows() {
    let table = [
        ("gateway.port", Some("gateway.port")),
        ("agents.list[3].model.primary", Some("agents.list[].model.primary")),
        ("agents.list[3].model", Some("agents.list[].model")),
        ("models.providers.x.headers.[\"X-A.b\"]", Some("models.providers.*.headers.*")),
        ("gateway.trustedProxies[0]", Some("gateway.trustedProxies")),
        ("channels.telegram.botToken", Some("channels")),
        ("gateway", None),
        ("nothing.like.it", None),
    ];
    for (path, row) in table {
        assert_eq!(find(path).map(|key| key.path), row, "{path}");
    }
}

#[test]
fn paths_survive_taking_apart_and_putting_together() {
    for names in [vec!["a", "b"], vec!["a.b", "c"], vec!["", "x"], vec!["a", "p/q", "r.s"]] {
        let path = names.iter().fold(String::new(), |path, name| join(&path, name));
        let back: Vec<_> = split(&path).into_iter().collect();
        assert_eq!(back, names.iter().map(|name| Segment::Name(name)).collect::<Vec<_>>(), "{path}");
    }
}

#[test]
fn the_reference_tree_knows_its_own_depths() {
    let root = reference();
    let of = |path: &str| path.split('.').try_fold(root, |at, name| at.children.get(name));
    assert!(of("gateway.auth.token").is_some_and(|node| node.secret));
    assert!(of("channels").is_some_and(|node| node.open));
    assert!(of("models.providers.*.models.[].cost.input").is_some());
    assert!(of("gateway.prot").is_none());
}
