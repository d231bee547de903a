//! The table of sessions: rows, lists, searches, resets.

use std::time::{Duration, Instant};

use super::super::testing::{entry, memory};
use super::*;

fn keys(rows: &[SessionRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.as_str()).collect()
}

fn made(conn: &Connection, key: &str, now_ms: i64) -> SessionRow {
    ensure(conn, key, "main", now_ms, Some("operator")).expect("makes").0
}

#[test]
fn a_session_is_made_once() {
    let conn = memory();
    let (row, created) = ensure(&conn, "agent:main:main", "main", 5, Some("operator")).expect("makes");
    assert!(created);
    assert_eq!((row.created_at_ms, row.kind.as_str(), row.extra.as_str()), (5, "direct", "{}"));
    assert_eq!(ensure(&conn, "agent:main:main", "main", 9, None).expect("finds"), (row, false));
}

#[test]
fn session_ids_are_random_uuids() {
    let id = fresh_session_id();
    let groups: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12]);
    assert_eq!(&id[14..15], "4");
    assert!("89ab".contains(&id[19..20]), "{id}");
    assert_ne!(id, fresh_session_id());
}

#[test]
fn every_column_comes_back_as_it_went() {
    let conn = memory();
    let made = made(&conn, "k", 1);
    let text = |name: &str| Some(name.to_string());
    let full = SessionRow {
        key: "k".into(),
        session_id: "s".into(),
        agent_id: "other".into(),
        created_at_ms: 2,
        updated_at_ms: 3,
        started_at_ms: 4,
        last_interaction_at_ms: Some(5),
        label: text("label"),
        display_name: text("display"),
        kind: "group".into(),
        channel: text("channel"),
        chat_type: text("chat"),
        created_via: text("via"),
        model_provider: text("provider"),
        model: text("model"),
        model_override: text("override"),
        thinking_level: text("thinking"),
        verbose_level: text("verbose"),
        last_run_id: text("run"),
        last_status: text("done"),
        last_run_started_ms: Some(6),
        last_run_ended_ms: Some(7),
        input_tokens: 8,
        output_tokens: 9,
        total_tokens: 10,
        context_tokens: 11,
        cache_read_tokens: 12,
        cache_write_tokens: 13,
        cost_usd: 0.25,
        message_count: 14,
        compaction_count: 15,
        last_message_preview: text("preview"),
        archived_at_ms: Some(16),
        pinned_at_ms: Some(17),
        last_read_at_ms: Some(18),
        extra: "{\"a\":1}".into(),
    };
    assert!(update(&conn, &full).expect("writes"));
    assert_eq!(get(&conn, "k").expect("reads"), Some(full));
    assert!(!update(&conn, &SessionRow { key: "gone".into(), ..made }).expect("finds nothing"));
}

#[test]
fn a_patch_changes_what_it_names_and_never_the_key() {
    let conn = memory();
    made(&conn, "k", 1);
    let long = "é".repeat(PREVIEW_MAX_BYTES);
    let patched = patch(&conn, "k", |row| {
        row.key = "other".into();
        row.label = Some("new".into());
        row.last_message_preview = Some(long);
        row.cost_usd = f64::INFINITY;
    });
    assert_eq!(patched.expect("writes").expect("known").key, "k");
    let row = get(&conn, "k").expect("reads").expect("there");
    assert_eq!((row.label.as_deref(), row.cost_usd), (Some("new"), 0.0));
    assert_eq!(row.last_message_preview.map(|text| text.len()), Some(PREVIEW_MAX_BYTES));
    assert_eq!(patch(&conn, "nobody", |_| ()).expect("reads"), None);
    let refused = patch(&conn, "k", |row| row.extra = "x".repeat(EXTRA_MAX_BYTES + 1));
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

#[test]
fn a_list_is_filtered_sorted_and_paged() {
    let conn = memory();
    for (n, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        made(&conn, key, n as i64);
    }
    ensure(&conn, "e", "other", 9, None).expect("makes");
    patch(&conn, "a", |row| row.archived_at_ms = Some(1)).expect("writes");
    patch(&conn, "b", |row| (row.pinned_at_ms, row.kind) = (Some(1), "group".into())).expect("writes");
    let shown = |filter: ListFilter| {
        let (rows, total) = list(&conn, &filter).expect("lists");
        (keys(&rows).concat(), total)
    };
    let any = ListFilter::default;
    assert_eq!(shown(any()), ("edcb".into(), 4));
    assert_eq!(shown(ListFilter { limit: 2, offset: 1, ..any() }), ("dc".into(), 4));
    assert_eq!(shown(ListFilter { agent_id: Some("main".into()), ..any() }), ("dcb".into(), 3));
    assert_eq!(shown(ListFilter { archived: Archived::Only, ..any() }), ("a".into(), 1));
    assert_eq!(shown(ListFilter { archived: Archived::Shown, sort: Sort::Key, ..any() }), ("abcde".into(), 5));
    assert_eq!(shown(ListFilter { sort: Sort::Pinned, ..any() }), ("bedc".into(), 4));
    assert_eq!(shown(ListFilter { sort: Sort::Created, ..any() }), ("edcb".into(), 4));
    assert_eq!(shown(ListFilter { updated_after_ms: Some(3), ..any() }), ("ed".into(), 2));
    assert_eq!(shown(ListFilter { kinds: vec!["group".into(), "global".into()], ..any() }), ("b".into(), 1));
}

#[test]
fn a_search_ignores_case_in_every_script_and_takes_no_pattern() {
    let conn = memory();
    for key in ["a", "b", "c"] {
        made(&conn, key, 1);
    }
    patch(&conn, "a", |row| row.label = Some("Straße ÄRGER 100%".into())).expect("writes");
    patch(&conn, "b", |row| row.last_message_preview = Some("nothing but ärger".into())).expect("writes");
    let found = |text: &str, limit: usize| {
        let (rows, total) =
            list(&conn, &ListFilter { search: Some(text.into()), limit, sort: Sort::Key, ..ListFilter::default() })
                .expect("lists");
        (keys(&rows).concat(), total)
    };
    assert_eq!(found("Ärger", 10), ("ab".into(), 2));
    assert_eq!(found("ärger", 1), ("a".into(), 2));
    assert_eq!(found("0%", 10), ("a".into(), 1));
    assert_eq!(found("%", 10).1, 1);
    assert_eq!(found("", 10).1, 3);
    assert_eq!(found("zzz", 10), (String::new(), 0));
}

#[test]
fn a_reset_keeps_the_choices_and_the_last_transcripts() {
    let conn = memory();
    let mut row = made(&conn, "k", 1);
    row.label = Some("mine".into());
    row.message_count = 7;
    row.last_status = Some("done".into());
    update(&conn, &row).expect("writes");
    let mut ids = vec![row.session_id];
    for n in 0..PAST_MAX + 2 {
        let id = format!("new {n}");
        transcript::append(&conn, ids.last().expect("one"), &entry("user", "{}")).expect("appends");
        let new = reset(&conn, "k", &id, 10 + n as i64).expect("resets").expect("known");
        assert_eq!((new.session_id.as_str(), new.started_at_ms), (id.as_str(), 10 + n as i64));
        assert_eq!((new.label.as_deref(), new.message_count, new.last_status), (Some("mine"), 0, None));
        ids.push(id);
    }
    ids.pop();
    let kept: Vec<bool> = ids.iter().map(|id| transcript::count(&conn, id).expect("counts") == 1).collect();
    assert_eq!(kept, [vec![false; 2], vec![true; PAST_MAX]].concat());
    assert_eq!(past(&conn, "k").expect("reads").len(), PAST_MAX);
    assert_eq!(reset(&conn, "nobody", "x", 1).expect("reads"), None);
}

#[test]
fn a_deleted_session_leaves_nothing() {
    let conn = memory();
    let first = made(&conn, "k", 1).session_id;
    transcript::append(&conn, &first, &entry("user", "{}")).expect("appends");
    reset(&conn, "k", "second", 2).expect("resets");
    transcript::append(&conn, "second", &entry("user", "{}")).expect("appends");
    assert_eq!(delete(&conn, "k").expect("deletes").expect("was there").session_id, "second");
    assert_eq!(delete(&conn, "k").expect("gone"), None);
    for table in ["sessions", "past_sessions", "transcripts", "entries"] {
        let left: i64 = conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counts");
        assert_eq!(left, 0, "{table}");
    }
}

#[test]
fn the_default_list_out_of_two_thousand_sessions_takes_less_than_50_ms() {
    let conn = memory();
    conn.execute_batch("BEGIN").expect("begins");
    for n in 0..2_000 {
        let mut row = made(&conn, &format!("agent:main:dashboard:{n}"), n);
        row.label = Some(format!("Session number {n}"));
        row.last_message_preview = Some("x".repeat(200));
        update(&conn, &row).expect("writes");
    }
    conn.execute_batch("COMMIT").expect("commits");
    let everything = ListFilter { limit: LIST_MAX, ..ListFilter::default() };
    assert_eq!(list(&conn, &everything).expect("lists").0.len(), 2_000);
    let search = ListFilter { search: Some("NUMBER 19".into()), ..ListFilter::default() };
    let found = list(&conn, &search).expect("lists");
    assert_eq!((found.0.len(), found.1), (100, 111));
    // The best of three: other tests run beside this one.
    let best = (0..3).map(|_| {
        let begun = Instant::now();
        let found = list(&conn, &ListFilter::default()).expect("lists");
        assert_eq!((found.0.len(), found.1), (100, 2_000));
        begun.elapsed()
    });
    let best = best.min().expect("three");
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[test]
fn the_default_list_walks_an_index() {
    let conn = memory();
    let (wanted, _) = condition(&ListFilter::default());
    let plan = |sql: &str| -> String {
        conn.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3)).expect("a plan")
    };
    let rows = plan(&format!("{} WHERE {wanted} ORDER BY updated_at_ms DESC, id DESC LIMIT 100", SQL.select));
    assert!(rows.contains("USING INDEX sessions_recent"), "{rows}");
    let total = plan(&format!("SELECT count(*) FROM sessions WHERE {wanted}"));
    assert!(total.contains("USING COVERING INDEX sessions_recent"), "{total}");
}
