//! Chat completions against fake upstreams: what we send, what we make of answers, good and bad.

use super::super::fake::{self, Act, Fake, chat, chunk, end, events, json, stream_head, turn};
use super::super::settings::Api;
use super::super::{Compat, Message, Part, Sampling, StopReason, ToolCall, ToolChoice, ToolSpec};
use super::*;
use crate::sys::secret::Secret;

fn against(scripts: Vec<Vec<Act>>) -> (Fake, OpenAi) {
    let fake = Fake::start(scripts);
    let provider = OpenAi::new(&fake.settings(Api::OpenAiCompletions)).expect("valid settings");
    (fake, provider)
}

fn raw(json: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(json.into()).expect("test JSON")
}

const HELLO: &[&str] = &[
    r#"{"id":"1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"Hel"},"finish_reason":null}],"usage":null}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"lo €🦀"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4}}}"#,
    "[DONE]",
];

#[test]
fn a_stream_becomes_deltas_usage_and_a_finish() {
    let (fake, provider) = against(vec![events(HELLO)]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!(deltas, [Delta::Text("Hel".into()), Delta::Text("lo €🦀".into())]);
    let finish = result.expect("a whole answer");
    assert_eq!((finish.stop, finish.response_model.as_deref()), (StopReason::Stop, Some("m-1")));
    let usage = Usage { input: 6, output: 3, cache_read: 4, cache_write: 0, total_tokens: 13 };
    assert_eq!(finish.usage, usage);
    let request = fake.request();
    assert!(request.starts_with("POST /chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
    assert!(request.ends_with(
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#
    ));
}

#[test]
fn an_answer_is_the_same_however_the_bytes_are_cut() {
    let body: String = HELLO.iter().map(|data| format!("data: {data}\r\n\r\n")).collect();
    let mut scripts = Vec::new();
    for size in [1, 2, 3, 7, 61] {
        let mut script = vec![stream_head()];
        script.extend(body.as_bytes().chunks(size).map(chunk));
        script.push(end());
        scripts.push(script);
    }
    let count = scripts.len();
    let (_fake, provider) = against(scripts);
    for _ in 0..count {
        let (result, deltas) = chat(&provider, &turn("hi"));
        assert_eq!((fake::text(&deltas).as_str(), result.map(|f| f.usage.total_tokens)), ("Hello €🦀", Ok(13)));
    }
}

#[test]
fn tool_calls_are_assembled_from_fragments() {
    let data = [
        r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"exec","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"command\":"}},{"index":1,"id":"b","function":{"name":"read","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"ls\"}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    ];
    let (_fake, provider) = against(vec![events(&data)]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    let call = |id: &str, name: &str, arguments: &str| {
        Delta::ToolCall(ToolCall { id: id.into(), name: name.into(), arguments: arguments.into() })
    };
    assert_eq!(deltas, [call("a", "exec", r#"{"command":"ls"}"#), call("b", "read", "{}")]);
    let finish = result.expect("finished without [DONE]");
    assert_eq!((finish.stop, finish.usage.total_tokens), (StopReason::ToolUse, 3));
}

#[test]
fn tool_calls_without_index_or_id_or_string_arguments_are_understood() {
    let data = [
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let (_fake, provider) = against(vec![events(&data)]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    let call = ToolCall { id: "call_0".into(), name: "f".into(), arguments: r#"{"x":1}"#.into() };
    assert_eq!((deltas, result.map(|finish| finish.stop)), (vec![Delta::ToolCall(call)], Ok(StopReason::ToolUse)));
}

#[test]
fn reasoning_comes_as_thinking_and_parts_as_text() {
    let data = [
        r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"delta":{"reasoning":"so","content":null}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"yes"},{"type":"thinking","thinking":[]}]},"finish_reason":"length"}]}"#,
    ];
    let (_fake, provider) = against(vec![events(&data)]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!(deltas, [Delta::Thinking("hm".into()), Delta::Thinking("so".into()), Delta::Text("yes".into())]);
    assert_eq!(result.map(|finish| finish.stop), Ok(StopReason::Length));
}

#[test]
fn a_server_that_ignores_stream_is_understood() {
    let body = r#"{"model":"m","choices":[{"message":{"role":"assistant","content":"whole","tool_calls":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    let (_fake, provider) = against(vec![json("200 OK", body), json("200 OK", "{}"), json("200 OK", "rubbish")]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!((deltas, result.map(|finish| finish.usage.total_tokens)), (vec![Delta::Text("whole".into())], Ok(2)));
    for _ in 0..2 {
        assert!(matches!(chat(&provider, &turn("hi")).0, Err(ProviderError::Garbled { .. })));
    }
}

#[test]
fn a_death_in_mid_stream_is_garbled_and_keeps_what_came() {
    let partial = chunk(format!("data: {}\n\n", HELLO[1]).as_bytes());
    let cut_off = vec![stream_head(), partial.clone(), Act::Close];
    // An orderly end of the body without a finish reason is just as incomplete.
    let silent_end = vec![stream_head(), partial, end()];
    let (_fake, provider) = against(vec![cut_off, silent_end]);
    for _ in 0..2 {
        let (result, deltas) = chat(&provider, &turn("hi"));
        assert_eq!(fake::text(&deltas), "Hel");
        assert!(matches!(result, Err(ProviderError::Garbled { .. })), "{result:?}");
    }
}

#[test]
fn rubbish_is_garbled_whatever_it_is() {
    let scripts: Vec<Vec<Act>> = vec![
        events(&["{not json"]),
        vec![stream_head(), Act::Send(b"zz\r\nnot a chunk\r\n".to_vec()), Act::Close],
        vec![Act::Send(b"\x16\x03\x01 this is not http\r\n\r\n".to_vec()), Act::Close],
        fake::answer("200 OK", "content-type: text/html\r\n", "<html>"),
        vec![stream_head(), chunk(&[b'x'; 3 << 10]), Act::Close],
    ];
    for script in scripts {
        let (_fake, provider) = against(vec![script]);
        let (result, deltas) = chat(&provider, &turn("hi"));
        assert!(matches!(result, Err(ProviderError::Garbled { .. })), "{result:?}");
        assert_eq!(deltas, []);
    }
}

#[test]
fn an_error_object_in_the_stream_has_its_status() {
    let data =
        [HELLO[1], r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#];
    let (_fake, provider) = against(vec![events(&data)]);
    let (result, deltas) = chat(&provider, &turn("hi"));
    assert_eq!(deltas.len(), 1);
    let Err(ProviderError::Upstream { status, message, .. }) = result else { panic!("{result:?}") };
    assert_eq!((status, message.as_str()), (429, "rate_limit_exceeded: Rate limit reached"));
}

#[test]
fn a_refusal_is_reported_with_status_message_and_retry_after() {
    let body = r#"{"error":{"message":"stub failure"}}"#;
    let limited = fake::answer("429 Too Many Requests", "retry-after: 2\r\n", body);
    let (_fake, provider) = against(vec![limited, json("500 Internal Server Error", body), json("404 Not Found", "")]);
    let refused = || match chat(&provider, &turn("hi")).0 {
        Err(ProviderError::Upstream { status, message, retry_after_ms }) => (status, message, retry_after_ms),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(), (429, "stub failure".into(), Some(2000)));
    assert_eq!(refused(), (500, "stub failure".into(), None));
    assert_eq!(refused(), (404, "Not Found".into(), None));
}

#[test]
fn the_key_is_sent_but_never_shown() {
    let fake = Fake::start(vec![json("401 Unauthorized", r#"{"error":{"message":"Incorrect key: sk-secret-1234"}}"#)]);
    let mut settings = fake.settings(Api::OpenAiCompletions);
    settings.api_key = Some(Secret::new("sk-secret-1234"));
    settings.headers = vec![("X-Org".into(), Secret::new("acme"))];
    let provider = OpenAi::new(&settings).expect("valid settings");
    let error = chat(&provider, &turn("hi")).0.expect_err("refused");
    assert_eq!(error.to_string(), "the provider answered 401: Incorrect key: [redacted]");
    let request = fake.request();
    assert!(request.contains("authorization: Bearer sk-secret-1234\r\n"), "{request}");
    assert!(request.contains("x-org: acme\r\n"), "{request}");
}

#[test]
fn a_break_from_the_receiver_is_an_abort() {
    let (_fake, provider) = against(vec![events(HELLO)]);
    let mut seen = 0;
    let result = provider.chat(&turn("hi"), &Abort::new(), &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((result, seen), (Err(ProviderError::Aborted), 1));
}

#[test]
fn the_whole_vocabulary_is_translated() {
    let call = ToolCall { id: "c1".into(), name: "exec".into(), arguments: r#"{"command":"ls"}"#.into() };
    let image = Part::Image { mime: "image/png".into(), data: "QUJD".into() };
    let turn = Turn {
        model: "gpt".into(),
        system: "be brief".into(),
        messages: vec![
            Message::User(vec![Part::Text("look".into()), image.clone()]),
            Message::Assistant { text: String::new(), tool_calls: vec![call] },
            Message::ToolResult {
                call_id: "c1".into(),
                name: "exec".into(),
                content: vec![Part::Text("a".into()), Part::Text("b".into()), image],
                is_error: false,
            },
            Message::Assistant { text: "done".into(), tool_calls: vec![] },
        ],
        tools: vec![ToolSpec {
            name: "exec".into(),
            description: "Runs.".into(),
            parameters: raw(r#"{"type":"object"}"#),
        }],
        tool_choice: ToolChoice::Named("exec".into()),
        sampling: Sampling {
            temperature: Some(0.5),
            max_tokens: Some(9),
            stop: vec!["END".into()],
            thinking: Some("low".into()),
            response_format: Some(raw(r#"{"type":"json_object"}"#)),
            ..Sampling::default()
        },
        session_key: "agent:main:main".into(),
        ..Turn::default()
    };
    let body = |dialect, known: Option<&ModelInfo>| request::body(&turn, dialect, known).text();
    let expected = concat!(
        r#"{"model":"gpt","messages":[{"role":"system","content":"be brief"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"exec","arguments":"{\"command\":\"ls\"}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"c1","content":"a\nb"},"#,
        r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},"#,
        r#"{"role":"assistant","content":"done"}],"stream":true,"stream_options":{"include_usage":true},"#,
        r#""tools":[{"type":"function","function":{"name":"exec","description":"Runs.","parameters":{"type":"object"}}}],"#,
        r#""tool_choice":{"type":"function","function":{"name":"exec"}},"max_tokens":9,"temperature":0.5,"stop":["END"],"#,
        r#""reasoning_effort":"low","response_format":{"type":"json_object"}}"#,
    );
    assert_eq!(body(request::Dialect::Compatible, None), expected);
    let openai = body(request::Dialect::of("api.openai.com"), Some(&ModelInfo::default()));
    assert!(openai.contains(r#""max_completion_tokens":9"#) && !openai.contains(r#""max_tokens""#), "{openai}");
    assert!(!openai.contains("reasoning_effort"), "{openai}");
    assert!(!openai.contains("agent:main"), "{openai}");
    let mistral = body(request::Dialect::of("api.mistral.ai"), None);
    assert!(mistral.contains(r#""max_tokens":9"#) && !mistral.contains("stream_options"), "{mistral}");
}

#[test]
fn an_endpoint_that_differs_is_sent_what_it_takes() {
    let image = Part::Image { mime: "image/png".into(), data: "QUJD".into() };
    let tool = ToolSpec { name: "exec".into(), description: String::new(), parameters: raw("{}") };
    let mut turn = Turn {
        model: "m".into(),
        system: "be brief".into(),
        messages: vec![Message::User(vec![Part::Text("look".into()), image])],
        tools: vec![tool],
        sampling: Sampling { temperature: Some(0.5), thinking: Some("ultra".into()), ..Sampling::default() },
        ..Turn::default()
    };
    let compat = Compat {
        tools: Some(false),
        developer_role: Some(true),
        usage_in_streaming: Some(false),
        reasoning_effort: Some(true),
        temperature: Some(false),
        string_content: true,
        max_completion_tokens: Some(true),
    };
    let known = ModelInfo { max_tokens: 7, compat, ..ModelInfo::default() };
    let body = |turn: &Turn, dialect| request::body(turn, dialect, Some(&known)).text();
    assert_eq!(
        body(&turn, request::Dialect::Compatible),
        concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"look"}],"#,
            r#""stream":true,"max_completion_tokens":7,"reasoning_effort":"high"}"#,
        )
    );
    assert!(body(&turn, request::Dialect::OpenAi).contains(r#"{"role":"developer","content":"be brief"}"#));
    turn.sampling.extra = serde_json::from_str(r#"{"top_k":5,"stream":false}"#).expect("an object");
    let sent: serde_json::Value = serde_json::from_str(&body(&turn, request::Dialect::Compatible)).expect("JSON");
    assert_eq!((&sent["top_k"], &sent["stream"], &sent["model"]), (&5.into(), &false.into(), &"m".into()));
}

#[test]
fn embeddings_come_back_in_the_order_of_the_inputs() {
    let body = r#"{"data":[{"index":1,"embedding":[0.5,1]},{"index":0,"embedding":[-1,0]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let (fake, provider) = against(vec![json("200 OK", body), json("200 OK", r#"{"data":[]}"#)]);
    let input = ["a".to_string(), "b".to_string()];
    let vectors = provider.embed("e", &input, Some(2), &Abort::new()).expect("two vectors");
    assert_eq!((vectors.vectors, vectors.usage.input), (vec![vec![-1.0, 0.0], vec![0.5, 1.0]], 4));
    assert!(fake.request().ends_with(r#"{"model":"e","input":["a","b"],"dimensions":2,"encoding_format":"float"}"#));
    assert!(provider.embed("e", &input, None, &Abort::new()).is_err());
}

#[test]
fn models_are_the_configured_ones_or_the_endpoints() {
    let body = r#"{"object":"list","data":[{"id":"a","context_length":8192},{"id":"b","max_model_len":4096},{"id":"c","meta":{"n_ctx_train":2048}}],"models":[{"name":"a","model":"a"}]}"#;
    let (fake, provider) = against(vec![json("200 OK", body)]);
    let models = provider.models().expect("a list");
    let rows: Vec<_> = models.iter().map(|model| (model.id.as_str(), model.context_window, model.local)).collect();
    assert_eq!(rows, [("a", 8192, true), ("b", 4096, true), ("c", 2048, true)]);
    let mut settings = fake.settings(Api::OpenAiCompletions);
    settings.models = vec![ModelInfo { id: "mine".into(), ..ModelInfo::default() }];
    let configured = OpenAi::new(&settings).expect("valid settings");
    assert_eq!(configured.models().map(|models| models.len()), Ok(1));
}
