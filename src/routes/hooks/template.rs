//! `{{payload.field}}` and its kin: texts filled from a webhook's payload, headers and query.
//!
//! Pure, and no language: a place is looked up and written, nothing is evaluated. What is missing becomes nothing.

use serde_json::Value;

/// What templates may look at.
pub struct Scene<'a> {
    pub payload: &'a Value,
    /// By lower-case name.
    pub headers: &'a [(String, String)],
    /// Decoded pairs of the query.
    pub query: &'a [(String, String)],
    /// The path behind `hooks.path`.
    pub path: &'a str,
    /// ISO time.
    pub now: &'a str,
}

/// Whether a text looks anything up.
pub fn is_template(text: &str) -> bool {
    text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"))
}

/// Fills a text.
pub fn fill(template: &str, scene: &Scene<'_>) -> String {
    let (mut out, mut rest) = (String::with_capacity(template.len()), template);
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((place, after)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        out.push_str(&look_up(place.trim(), scene));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn look_up(place: &str, scene: &Scene<'_>) -> String {
    let named = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    match place {
        "path" => return scene.path.to_string(),
        "now" => return scene.now.to_string(),
        _ => {}
    }
    if let Some(name) = place.strip_prefix("headers.") {
        return named(scene.headers, &name.to_ascii_lowercase());
    }
    if let Some(name) = place.strip_prefix("query.") {
        return named(scene.query, name);
    }
    match reach(scene.payload, place.strip_prefix("payload.").unwrap_or(place)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Follows `a.b[0].c`.
fn reach<'a>(payload: &'a Value, place: &str) -> Option<&'a Value> {
    let mut at = payload;
    for step in place.split(['.', '[']).filter(|step| !step.is_empty()) {
        at = match step.strip_suffix(']') {
            Some(index) => at.as_array()?.get(index.trim().parse::<usize>().ok()?)?,
            None => at.as_object()?.get(step)?,
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_looked_up_and_what_is_missing_is_nothing() {
        let payload = serde_json::json!({
            "a": { "b": ["x", { "c": 7 }] }, "text": "t", "flag": true, "none": null, "deep": [[1, 2]],
        });
        let headers = [("x-event-type".to_string(), "push".to_string())];
        let query = [("kind".to_string(), "new".to_string())];
        let scene = Scene { payload: &payload, headers: &headers, query: &query, path: "git/hub", now: "NOW" };
        for (template, filled) in [
            ("plain", "plain"),
            ("{{a.b[0]}}-{{ payload.a.b[1].c }}", "x-7"),
            ("{{text}} {{flag}} {{none}}{{missing.deep[3]}}|", "t true |"),
            ("{{a.b[1]}} {{deep[0][1]}}", r#"{"c":7} 2"#),
            ("{{headers.X-Event-Type}}/{{query.kind}}/{{path}}/{{now}}", "push/new/git/hub/NOW"),
            ("{{text", "{{text"),
            ("{{text.x}}{{a[0]}}{{a.b[x]}}", ""),
            ("a {{ }} b", r#"a  b"#),
        ] {
            let filled = if template == "a {{ }} b" { format!("a {payload} b") } else { filled.to_string() };
            assert_eq!(fill(template, &scene), filled, "{template}");
        }
        assert!(is_template("x {{y}}") && !is_template("{{x") && !is_template("x}}"));
    }
}
