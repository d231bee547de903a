//! Every spelling JSON5 allows, every mistake with its place, and hostile files.

use serde_json::json;

use super::*;

fn value(text: &str) -> Value {
    parse(text, 0).unwrap_or_else(|error| panic!("{text}: {error}")).root.to_value()
}

fn fault(text: &str) -> (u32, u32, String) {
    let error = parse(text, 0).expect_err(text);
    (error.at.line, error.at.column, error.message)
}

#[test]
fn everything_json5_adds_to_json_is_read() {
    let table = [
        ("// a\n{/* b */ a: 1, 'b': 2, \"c\": 3,}", json!({"a": 1, "b": 2, "c": 3})),
        ("[+1, -2, .5, 5., 0x1F, -0xf, 1e3, 2E-1, +.5e1]", json!([1, -2, 0.5, 5, 31, -15, 1000, 0.2, 5])),
        ("{$a_1: null, ключ: true, \\u0061b: false}", json!({"$a_1": null, "ключ": true, "ab": false})),
        ("'it\\'s \\\n on'", json!("it's  on")),
        ("\"a\\\r\nb\"", json!("ab")),
        (r#""\x41\u00e9\ud83d\ude00\0\v\q\/""#, json!("Aé😀\0\u{b}q/")),
        ("\u{feff}\u{a0}[1,]", json!([1])),
        ("[18446744073709551615, -9223372036854775808]", json!([u64::MAX, i64::MIN])),
        ("{}", json!({})),
        ("'\u{2028}'", json!("\u{2028}")),
    ];
    for (text, expected) in table {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn infinity_is_read_and_called_by_its_name() {
    for (text, name) in
        [("Infinity", "Infinity"), ("+Infinity", "Infinity"), ("-Infinity", "-Infinity"), ("NaN", "NaN")]
    {
        assert_eq!(parse(text, 0).unwrap().root.kind, Kind::NotFinite(name));
    }
}

#[test]
fn mistakes_are_reported_where_they_are() {
    let table = [
        ("", 1, 1, "expected a value, found the end of the file"),
        ("{\n  a: ]\n}", 2, 6, "expected a value, found ']'"),
        ("{a 1}", 1, 4, "expected ':' after the key \"a\", found '1'"),
        ("{a: 1 b: 2}", 1, 7, "expected ',' or '}', found 'b'"),
        ("{a: hello}", 1, 5, "expected a value, found \"hello\" (text needs quotes)"),
        ("{\r\n\r\n  a: 'x\r\n}", 3, 6, "text is never closed on its line"),
        ("[1, 2", 1, 6, "unexpected end of the file; the '[' of line 1:1 is never closed"),
        ("{a: 1} x", 1, 8, "expected the end of the file, found 'x'"),
        ("/* x", 1, 1, "comment is never closed"),
        ("[01]", 1, 2, "\"01\" is not a number"),
        ("[1.2.3]", 1, 2, "\"1.2.3\" is not a number"),
        ("[0x]", 1, 2, "\"0x\" is not a number"),
        ("'\\u12g4'", 1, 6, "expected 4 hexadecimal digits"),
        ("{,}", 1, 2, "expected a key or '}', found ','"),
        ("[,]", 1, 2, "expected a value, found ','"),
        ("é é", 1, 1, "expected a value, found \"é\" (text needs quotes)"),
    ];
    for (text, line, column, message) in table {
        assert_eq!(fault(text), (line, column, message.to_owned()), "{text}");
    }
}

#[test]
fn places_count_characters_and_treat_cr_lf_as_one_line() {
    let root = parse("{\r\n  'é': 'x', b: [\r1]\n}", 0).unwrap().root;
    let Kind::Object(entries) = root.kind else { panic!("not an object") };
    assert_eq!((entries[0].at.line, entries[0].at.column), (2, 3));
    assert_eq!((entries[1].at.line, entries[1].at.column), (2, 13));
    let Kind::Array(items) = &entries[1].value.kind else { panic!("not a list") };
    assert_eq!((items[0].at.line, items[0].at.column), (3, 1));
}

#[test]
fn of_two_equal_keys_the_later_counts_and_the_earlier_is_reported() {
    let parsed = parse("{a: 1,\n b: 2,\n 'a': 3}", 0).unwrap();
    assert_eq!(parsed.root.to_value(), json!({"a": 3, "b": 2}));
    assert_eq!(parsed.duplicates, [("a".to_owned(), Place { file: 0, line: 1, column: 2 })]);
}

#[test]
fn a_depth_bomb_is_refused_before_the_stack_is_used_up() {
    let bomb = "[".repeat(1_000_000);
    assert_eq!(fault(&bomb).2, "nested more than 64 levels deep");
    let bomb = "{a:".repeat(1_000_000);
    assert_eq!(fault(&bomb).2, "nested more than 64 levels deep");
    let fine = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    assert!(parse(&fine, 0).is_ok());
}

#[test]
fn a_file_over_the_size_cap_is_refused() {
    let big = " ".repeat(MAX_BYTES + 1);
    assert_eq!(fault(&big).2, "file is larger than 4 MiB");
}

#[test]
fn random_mutations_of_a_file_never_panic() {
    let base = "{a: [1, .5e3, 0x1f, 'x\\u00e9\\\n'], // c\n \"b\": {c: -Infinity, d: null,},}\r\n/* e */";
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000 {
        let mut bytes = base.as_bytes().to_vec();
        for _ in 0..1 + round % 4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bytes.len();
            bytes[at] = b"{}[]:,'\"\\/*+-.0xeu\n\r ae\xc3"[seed as usize % 24];
        }
        // Whatever it is, it must answer.
        let _ = parse(&String::from_utf8_lossy(&bytes), 0);
    }
}
