//! The helper as a provider: streaming, tools, limits, abort, embeddings.

use super::super::fake::{chat, text, turn};
use super::super::{Sampling, ToolCall, ToolSpec};
use super::*;

fn provider() -> Builtin {
    Builtin::new(Arc::new(NoFacts))
}

fn exec() -> ToolSpec {
    let schema = r#"{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}"#;
    let parameters = serde_json::value::RawValue::from_string(schema.into()).expect("test JSON");
    ToolSpec { name: "exec".into(), description: String::new(), parameters }
}

#[test]
fn an_answer_streams_in_words_and_counts_its_tokens() {
    let (result, deltas) = chat(&provider(), &turn("hello"));
    assert!(deltas.len() > 10, "{deltas:?}");
    let whole = text(&deltas);
    let finish = result.expect("always answers");
    let (input, output) = (tokens("hello"), tokens(&whole));
    assert_eq!(finish.usage, Usage { input, output, total_tokens: input + output, ..Usage::default() });
    assert_eq!(text(&chat(&provider(), &turn("hello")).1), whole);
    assert_eq!(text(&chat(&provider(), &turn("[Sun 2026-11-22 14:00 UTC] hello")).1), whole);
}

#[test]
fn a_plain_request_calls_the_tool_and_then_reports() {
    let mut turn = Turn { tools: vec![exec()], ..turn("run: uname -a") };
    let (result, deltas) = chat(&provider(), &turn);
    let [Delta::ToolCall(call)] = &deltas[..] else { panic!("{deltas:?}") };
    assert_eq!((call.name.as_str(), call.arguments.as_str()), ("exec", r#"{"command":"uname -a"}"#));
    assert_eq!(result.map(|finish| finish.stop), Ok(StopReason::ToolUse));
    let call = call.clone();
    turn.messages.push(Message::Assistant { text: String::new(), tool_calls: vec![call.clone()] });
    let content = vec![Part::Text("Linux box".into())];
    turn.messages.push(Message::ToolResult { call_id: call.id, name: call.name, content, is_error: false });
    let (result, deltas) = chat(&provider(), &turn);
    assert!(text(&deltas).contains("`uname -a` finished") && text(&deltas).contains("Linux box"));
    assert_eq!(result.map(|finish| finish.stop), Ok(StopReason::Stop));
}

#[test]
fn tool_choice_is_obeyed() {
    let asking = |tool_choice, words: &str| Turn { tools: vec![exec()], tool_choice, ..turn(words) };
    let (_, deltas) = chat(&provider(), &asking(ToolChoice::None, "run: uname -a"));
    assert!(text(&deltas).contains("does not allow"));
    let (result, _) = chat(&provider(), &asking(ToolChoice::Required, "how are you?"));
    assert!(matches!(result, Err(ProviderError::Unsupported(_))));
    let (_, deltas) = chat(&provider(), &asking(ToolChoice::Required, "run: id"));
    assert!(matches!(&deltas[..], [Delta::ToolCall(ToolCall { .. })]));
    let (_, deltas) = chat(&provider(), &turn("run: id"));
    assert!(text(&deltas).contains("no tools are offered"));
}

#[test]
fn limits_of_the_caller_hold() {
    let sampling = Sampling { max_tokens: Some(5), ..Sampling::default() };
    let (result, deltas) = chat(&provider(), &Turn { sampling, ..turn("hello") });
    assert_eq!((result.map(|finish| finish.stop), text(&deltas).len()), (Ok(StopReason::Length), 20));
    let sampling = Sampling { stop: vec!["built".into()], ..Sampling::default() };
    let (result, deltas) = chat(&provider(), &Turn { sampling, ..turn("hello") });
    assert_eq!(result.map(|finish| finish.stop), Ok(StopReason::Stop));
    assert!(text(&deltas).ends_with("helper "), "{deltas:?}");
}

#[test]
fn an_abort_between_words_ends_the_answer() {
    let abort = Abort::new();
    let mut seen = 0;
    let result = provider().chat(&turn("hello"), &abort, &mut |_| {
        seen += 1;
        if seen == 3 {
            abort.fire();
        }
        ControlFlow::Continue(())
    });
    assert_eq!((result, seen), (Err(ProviderError::Aborted), 3));
}

#[test]
fn embeddings_have_the_asked_size() {
    let input = ["one".to_string(), "two words".to_string()];
    let embed = |dimensions| provider().embed(EMBED_MODEL, &input, dimensions, &Abort::new()).expect("always works");
    let usual = embed(None);
    assert_eq!((usual.vectors.len(), usual.vectors[0].len(), usual.usage.input), (2, DIMENSIONS, 4));
    assert_eq!(embed(Some(64)).vectors[1].len(), 64);
    assert_eq!(embed(Some(1 << 30)).vectors[0].len(), embed::DIMENSIONS_CAP);
}
