//! Anthropic Messages against fake upstreams.

use std::sync::atomic::Ordering;

use super::super::fake::{self, Act, Fake, chat, chunk, end, json, stream_head, turn};
use super::super::settings::Api;
use super::super::{Message, Part, Sampling, StopReason, ToolCall, ToolChoice, ToolSpec, Usage};
use super::*;
use crate::sys::secret::Secret;

const RECORDING: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm €"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\nevent: ping\n",
    r#"data: {"type":"ping"}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I look 🦀"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":1}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"exec","input":{}}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"comm"}}"#,
    "\n\nevent: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"and\":\"ls\"}"}}"#,
    "\n\nevent: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":2}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":89}}"#,
    "\n\nevent: message_stop\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n",
);

fn against(scripts: Vec<Vec<Act>>) -> (Fake, Anthropic) {
    let fake = Fake::start(scripts);
    let mut settings = fake.settings(Api::AnthropicMessages);
    settings.api_key = Some(Secret::new("sk-ant-1"));
    let provider = Anthropic::new(&settings).expect("valid settings");
    (fake, provider)
}

fn expected() -> Vec<Delta> {
    let arguments = r#"{"command":"ls"}"#.to_string();
    vec![
        Delta::Thinking("hm €".into()),
        Delta::Text("I look 🦀".into()),
        Delta::ToolCall(ToolCall { id: "toolu_1".into(), name: "exec".into(), arguments }),
    ]
}

#[test]
fn a_recording_becomes_deltas_usage_and_a_finish() {
    let (fake, provider) = against(vec![vec![stream_head(), chunk(RECORDING.as_bytes()), end()]]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!(deltas, expected());
    let finish = result.expect("a whole answer");
    assert_eq!((finish.stop, finish.response_model.as_deref()), (StopReason::ToolUse, Some("claude-x")));
    let usage = Usage { input: 25, output: 89, cache_read: 7, cache_write: 5, total_tokens: 126 };
    assert_eq!(finish.usage, usage);
    let request = fake.request();
    assert!(request.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("anthropic-version: 2023-06-01\r\nx-api-key: sk-ant-1\r\n"), "{request}");
}

#[test]
fn the_recording_may_be_cut_anywhere() {
    let pieces = [1, 5, 97];
    let script = |size: usize| {
        let chunks = RECORDING.as_bytes().chunks(size).map(chunk);
        [stream_head()].into_iter().chain(chunks).chain([end()]).collect()
    };
    let (fake, provider) = against(pieces.map(script).to_vec());
    for size in pieces {
        let (result, deltas) = chat(&provider, &turn("hi"));
        assert_eq!((deltas, result.map(|finish| finish.usage.output)), (expected(), Ok(89)), "pieces of {size}");
    }
    assert_eq!(fake.accepted.load(Ordering::SeqCst), 1);
}

#[test]
fn a_recording_that_stops_early_is_garbled_and_no_half_call_comes_out() {
    let end_of_life = RECORDING.find("and\\\":").expect("it is in there");
    let (_fake, provider) = against(vec![vec![stream_head(), chunk(&RECORDING.as_bytes()[..end_of_life]), Act::Close]]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!(deltas, expected()[..2]);
    assert!(matches!(result, Err(ProviderError::Garbled { .. })), "{result:?}");
}

#[test]
fn overload_is_recognised_as_status_and_as_event() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let event = format!("event: error\ndata: {body}\n\n");
    let (_fake, provider) = against(vec![json("529 ", body), vec![stream_head(), chunk(event.as_bytes()), end()]]);
    for _ in 0..2 {
        let error = chat(&provider, &turn("hi")).0.expect_err("overloaded");
        assert_eq!((error.kind().as_str(), error.is_retryable()), ("overloaded", true), "{error:?}");
        assert_eq!(error.detail(), "529 Overloaded");
    }
}

#[test]
fn the_whole_vocabulary_is_translated() {
    let call = |arguments: &str| ToolCall { id: "t1".into(), name: "exec".into(), arguments: arguments.into() };
    let result = |text: &str, is_error| Message::ToolResult {
        call_id: "t1".into(),
        name: "exec".into(),
        content: vec![Part::Text(text.into())],
        is_error,
    };
    let parameters = serde_json::value::RawValue::from_string(r#"{"type":"object"}"#.into()).expect("test JSON");
    let mut turn = Turn {
        model: "claude".into(),
        system: "be brief".into(),
        messages: vec![
            Message::User(vec![Part::Text("".into()), Part::Image { mime: "image/png".into(), data: "QUJD".into() }]),
            Message::Assistant { text: "ok ".into(), tool_calls: vec![call(r#"{"a":1}"#), call("broken")] },
            result("out", false),
            result("bad", true),
            Message::User(vec![Part::Text("and now?".into())]),
        ],
        tools: vec![ToolSpec { name: "exec".into(), description: "Runs.".into(), parameters }],
        tool_choice: ToolChoice::Auto,
        sampling: Sampling {
            temperature: Some(0.5),
            max_tokens: Some(100),
            stop: vec!["END".into()],
            thinking: Some("low".into()),
            ..Sampling::default()
        },
        session_key: "agent:main:main".into(),
        ..Turn::default()
    };
    let body = |turn: &Turn| request::body(turn, None).text();
    let expected = concat!(
        r#"{"model":"claude","max_tokens":8192,"system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}}],"#,
        r#""messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]},"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"ok"},{"type":"tool_use","id":"t1","name":"exec","input":{"a":1}},"#,
        r#"{"type":"tool_use","id":"t1","name":"exec","input":{}}]},"#,
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"out"}]},"#,
        r#"{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"bad"}],"is_error":true},"#,
        r#"{"type":"text","text":"and now?","cache_control":{"type":"ephemeral"}}]}],"#,
        r#""tools":[{"name":"exec","description":"Runs.","input_schema":{"type":"object"}}],"stream":true,"#,
        r#""stop_sequences":["END"],"thinking":{"type":"enabled","budget_tokens":4096}}"#,
    );
    assert_eq!(body(&turn), expected);
    turn.tool_choice = ToolChoice::Required;
    let forced = body(&turn);
    for part in [r#""tool_choice":{"type":"any"}"#, r#""temperature":0.5"#, r#""max_tokens":100"#] {
        assert!(forced.contains(part), "{part} in {forced}");
    }
    assert!(!forced.contains("thinking"), "a forced tool excludes thinking: {forced}");
    turn.tool_choice = ToolChoice::Auto;
    turn.messages.truncate(3);
    assert!(!body(&turn).contains("\"thinking\""), "thinking is off while tool results are answered");
}

#[test]
fn something_that_is_no_stream_is_garbled() {
    let (_fake, provider) = against(vec![json("200 OK", "{}"), fake::events(&["{}"])]);
    for _ in 0..2 {
        let (result, _) = chat(&provider, &turn("hi"));
        assert!(matches!(result, Err(ProviderError::Garbled { .. })), "{result:?}");
    }
}

#[test]
fn models_come_from_the_endpoint_when_none_are_configured() {
    let body = r#"{"data":[{"type":"model","id":"claude-x","display_name":"Claude X"}],"has_more":false}"#;
    let (fake, provider) = against(vec![json("200 OK", body)]);
    let models = provider.models().expect("a list");
    assert_eq!((models[0].id.as_str(), models[0].name.as_str()), ("claude-x", "Claude X"));
    assert!(fake.request().starts_with("GET /v1/models?limit=1000 "));
}
