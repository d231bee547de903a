//! What OpenAI's clients do beyond one plain answer: tools of their own, the responses surface, embeddings.

use serde_json::{Value, json};

use crate::support::gateway::bearer;
use crate::support::raw::{self, Reply};
use crate::support::upstream::USAGE;
use crate::support::{Answer, Gateway, Upstream, golden};

const COMPLETIONS: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";

#[test]
fn a_tool_call_and_its_result_make_one_conversation() {
    let upstream = Upstream::script([weather(), Answer::say("It rains in Oslo.")]);
    let gateway = Gateway::on(&upstream);
    let mut body = chat("how is the weather?");
    body["tools"] = json!([tool("get_weather")]);
    let first = gateway.post(COMPLETIONS, &body).json();
    let message = &first["choices"][0]["message"];
    let id = message["tool_calls"][0]["id"].as_str().expect("an id");
    body["messages"]
        .as_array_mut()
        .expect("messages")
        .extend([message.clone(), json!({ "role": "tool", "tool_call_id": id, "content": "rain-4417" })]);
    let second = gateway.post(COMPLETIONS, &body).json();
    assert_eq!(second["choices"][0]["message"]["content"], "It rains in Oslo.", "{second:#}");
    assert_eq!(second["choices"][0]["finish_reason"], "stop");
    let messages = upstream.wait_asked(2)[1].body["messages"].clone();
    let [.., call, result] = messages.as_array().expect("messages").as_slice() else { panic!("{messages:#}") };
    golden::has(call, &json!({ "role": "assistant", "tool_calls": [{ "id": id }] }));
    golden::has(result, &json!({ "role": "tool", "tool_call_id": id, "content": "rain-4417" }));
}

#[test]
fn a_streamed_tool_call_is_whole_and_the_stream_says_why_it_ended() {
    let upstream = Upstream::script([weather()]);
    let gateway = Gateway::on(&upstream);
    let mut body = chat("how is the weather?");
    // The flat shape, as some clients write it.
    body["tools"] = json!([{ "type": "function", "name": "get_weather", "parameters": { "type": "object" } }]);
    body["stream"] = json!(true);
    let chunks = parsed(&gateway.post(COMPLETIONS, &body).sse());
    let call = chunks.iter().find_map(|c| c["choices"][0]["delta"]["tool_calls"].get(0)).expect("a call");
    golden::has(call, &json!({ "index": 0, "type": "function", "function": { "name": "get_weather" } }));
    assert_eq!(call["function"]["arguments"], r#"{"city":"Oslo"}"#);
    golden::has(chunks.last().expect("chunks"), &json!({ "choices": [{ "finish_reason": "tool_calls" }] }));
    let offered = upstream.asked()[0].body["tools"].to_string();
    assert!(offered.contains("get_weather") && offered.contains("session_status"), "{offered}");
}

#[test]
fn a_choice_of_tools_reaches_the_model() {
    let upstream = Upstream::script([weather(), weather(), Answer::say("no tool")]);
    let gateway = Gateway::on(&upstream);
    let ask = |choice: Value| {
        let mut body = chat("how is the weather?");
        body["tools"] = json!([tool("get_weather"), tool("get_news")]);
        body["tool_choice"] = choice;
        gateway.post(COMPLETIONS, &body)
    };
    assert_eq!(ask(json!("required")).status, 200);
    assert_eq!(ask(json!({ "type": "function", "function": { "name": "get_weather" } })).status, 200);
    assert_eq!(ask(json!("none")).status, 200);
    let asked = upstream.asked();
    let names = |at: usize| -> Vec<String> {
        let tools = asked[at].body["tools"].as_array().cloned().unwrap_or_default();
        tools.iter().filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(asked[0].body["tool_choice"], "required");
    assert_eq!(names(0), ["get_weather", "get_news"], "who demands a call demands one of its own tools");
    assert_eq!(asked[1].body["tool_choice"]["function"]["name"], "get_weather");
    assert_eq!(names(1), ["get_weather"]);
    assert!(!names(2).contains(&"get_weather".to_owned()) && names(2).contains(&"session_status".to_owned()));
}

#[test]
fn a_demanded_call_that_does_not_come_is_an_error() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let mut body = chat("hello");
    body["tools"] = json!([tool("get_weather")]);
    body["tool_choice"] = json!("required");
    let words = "tool_choice=required was not satisfied by the agent response";
    refused(&gateway.post(COMPLETIONS, &body), 502, "api_error", words);
    body["stream"] = json!(true);
    let events = gateway.post(COMPLETIONS, &body).sse();
    let chunks = parsed(&events);
    assert!(chunks.iter().all(|chunk| chunk["choices"][0]["delta"]["content"].is_null()), "prose is held: {chunks:?}");
    golden::has(chunks.last().expect("chunks"), &json!({ "error": { "message": words, "type": "api_error" } }));
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
}

#[test]
fn every_documented_field_is_checked_and_passed_on() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let with = |key: &str, value: Value| {
        let mut body = chat("hello");
        body[key] = value;
        gateway.post(COMPLETIONS, &body)
    };
    for (key, value, words) in [
        ("top_p", json!(1.5), "`top_p` must be between 0 and 1."),
        ("frequency_penalty", json!(3), "`frequency_penalty` must be between -2.0 and 2.0."),
        ("presence_penalty", json!(-3), "`presence_penalty` must be between -2.0 and 2.0."),
        ("seed", json!(1.5), "`seed` must be an integer."),
        ("stop", json!(["a", "b", "c", "d", "e"]), "Invalid stop: stop supports at most 4 sequences"),
        ("stop", json!([""]), "Invalid stop: stop entries must be non-empty strings"),
        ("stop", json!({}), "Invalid stop: stop must be a string or array of strings"),
        ("max_completion_tokens", json!(-1), "max_completion_tokens: Too small: expected number to be >0"),
        ("max_tokens", json!(1.5), "max_tokens: Invalid input: expected int, received number"),
        ("tools", json!([{ "type": "custom" }]), "Invalid tools/tool_choice: only function tools are supported"),
        (
            "tools",
            json!([{ "type": "function", "function": {} }]),
            "Invalid tools/tool_choice: tool.function.name is required",
        ),
        ("tool_choice", json!({ "type": "custom" }), "Invalid tools/tool_choice: tool_choice custom is not supported"),
        (
            "response_format",
            json!({ "type": "x" }),
            "Invalid response_format: response_format.type must be text, json_object, or json_schema",
        ),
    ] {
        refused(&with(key, value), 400, "invalid_request_error", words);
    }
    let mut body = chat("hello");
    for (key, value) in [
        ("temperature", json!(0.5)),
        ("top_p", json!(0.25)),
        ("frequency_penalty", json!(-1.0)),
        ("presence_penalty", json!(1.0)),
        ("seed", json!(7)),
        ("stop", json!(["END"])),
        ("max_completion_tokens", json!(99)),
        ("max_tokens", json!(5)),
        ("response_format", json!({ "type": "json_object" })),
    ] {
        body[key] = value;
    }
    assert_eq!(gateway.post(COMPLETIONS, &body).status, 200);
    golden::has(
        &upstream.asked()[0].body,
        &json!({
            "temperature": 0.5, "top_p": 0.25, "frequency_penalty": -1.0, "presence_penalty": 1.0, "seed": 7,
            "stop": ["END"], "max_tokens": 99, "response_format": { "type": "json_object" },
        }),
    );
}

#[test]
fn an_image_reaches_the_model() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let url = "data:image/png;base64,aGFsbG8=";
    let content = json!([{ "type": "text", "text": "look" }, { "type": "image_url", "image_url": { "url": url } }]);
    let body = json!({ "messages": [{ "role": "user", "content": content }] });
    assert_eq!(gateway.post(COMPLETIONS, &body).status, 200);
    assert!(upstream.asked()[0].body["messages"].to_string().contains(url));
    let nine: Vec<Value> = (0..9).map(|_| json!({ "type": "image_url", "image_url": { "url": url } })).collect();
    let reply = gateway.post(COMPLETIONS, &json!({ "messages": [{ "role": "user", "content": nine }] }));
    refused(&reply, 400, "invalid_request_error", "Invalid image_url content in `messages`.");
}

#[test]
fn a_large_picture_and_a_long_text_arrive_as_they_were_sent() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let url = format!("data:image/png;base64,{}", "QUJD".repeat(500_000));
    let text = "a line with \"quotes\", a \\ and ü\n".repeat(20_000);
    let content = json!([{ "type": "text", "text": text }, { "type": "image_url", "image_url": { "url": url } }]);
    let reply = gateway.post(COMPLETIONS, &json!({ "messages": [{ "role": "user", "content": content }] }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = upstream.asked();
    let content =
        asked[0].body["messages"].as_array().and_then(|list| list.last()).expect("a message")["content"].clone();
    assert!(content[0]["text"].as_str().is_some_and(|sent| sent.ends_with(&text)), "the text is another one");
    assert!(content[1]["image_url"]["url"] == json!(url), "the picture is another one");

    let input = json!([{ "role": "user", "content": [{ "type": "input_text", "text": text },
                                                     { "type": "input_image", "image_url": url }] }]);
    let reply = gateway.post("/v1/responses", &json!({ "input": input }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(upstream.asked()[1].body["messages"].to_string().contains(&url));

    let parameters = json!({ "type": "object", "description": "x".repeat(200_000) });
    let tool = json!({ "type": "function", "function": { "name": "a", "parameters": parameters } });
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let reply = gateway.post(COMPLETIONS, &json!({ "messages": messages, "tools": [tool] }));
    refused(&reply, 400, "invalid_request_error", "tools: a string of more than 64 KiB cannot stand here");
}

#[test]
fn a_response_comes_whole() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(RESPONSES, &json!({ "model": "openclaw", "input": "hi", "instructions": "brief-3310" }));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    golden::has(
        &body,
        &json!({
            "object": "response", "status": "completed", "model": "openclaw",
            "output": [{
                "type": "message", "role": "assistant", "phase": "final_answer", "status": "completed",
                "content": [{ "type": "output_text", "text": "Hello from upstream." }],
            }],
            "usage": {
                "input_tokens": USAGE.0, "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
                "output_tokens": USAGE.1, "output_tokens_details": { "reasoning_tokens": 0 },
                "total_tokens": USAGE.0 + USAGE.1,
            },
        }),
    );
    assert!(body["id"].as_str().is_some_and(|id| id.starts_with("resp_")));
    assert!(body["output"][0]["id"].as_str().is_some_and(|id| id.starts_with("msg_")));
    assert!(upstream.asked()[0].body["messages"].to_string().contains("brief-3310"));
}

#[test]
fn a_response_streams_the_events_clients_wait_for() {
    let upstream = Upstream::friendly();
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(RESPONSES, &json!({ "model": "openclaw", "input": "hi", "stream": true }));
    assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = parsed(&reply.sse());
    let mut kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (event, number) in events.iter().zip(0..) {
        assert_eq!(event["sequence_number"], number);
    }
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, "Hello from upstream.");
    let last = events.last().expect("events");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hello from upstream.");
    assert!(reply.text().contains("event: response.completed\ndata: "), "events have names");
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_response_goes_on_where_the_one_before_it_ended() {
    let upstream = Upstream::script([weather(), Answer::say("It rains."), Answer::say("fresh")]);
    let gateway = Gateway::on(&upstream);
    let tools = json!([{ "type": "function", "name": "get_weather", "parameters": { "type": "object" } }]);
    let ask = json!({ "model": "openclaw", "input": "what of swordfish-7?", "tools": tools });
    let first = gateway.post(RESPONSES, &ask).json();
    let call = &first["output"][0];
    golden::has(call, &json!({ "type": "function_call", "name": "get_weather", "status": "completed" }));
    let output = json!([{ "type": "function_call_output", "call_id": call["call_id"], "output": "rain-9921" }]);
    let ask = json!({ "model": "openclaw", "input": output, "previous_response_id": first["id"], "tools": tools });
    let second = gateway.post(RESPONSES, &ask).json();
    assert_eq!(second["output"][0]["content"][0]["text"], "It rains.", "{second:#}");
    let asked = upstream.wait_asked(2)[1].body["messages"].clone();
    let messages = asked.as_array().expect("messages");
    assert!(asked.to_string().contains("swordfish-7"), "{asked:#}");
    golden::has(
        &messages[messages.len() - 2],
        &json!({ "role": "assistant", "tool_calls": [{ "id": call["call_id"] }] }),
    );
    golden::has(messages.last().expect("messages"), &json!({ "role": "tool", "content": "rain-9921" }));
    let ask = json!({ "model": "openclaw", "input": "new", "previous_response_id": "resp_nope" });
    assert_eq!(gateway.post(RESPONSES, &ask).status, 200, "an unknown id begins anew");
    assert!(!upstream.wait_asked(3)[2].body["messages"].to_string().contains("swordfish-7"));
}

#[test]
fn a_failed_response_says_so_in_its_own_shape() {
    let upstream = Upstream::script([Answer::Refuse(400, "stub bad request")]);
    let gateway = Gateway::on(&upstream);
    let reply = gateway.post(RESPONSES, &json!({ "model": "openclaw", "input": "hi" }));
    assert_eq!(reply.status, 400);
    golden::has(&reply.json(), &json!({ "object": "response", "status": "failed", "output": [] }));
    assert_eq!(reply.json()["error"]["code"], "invalid_request_error");
    let reply = gateway.post(RESPONSES, &json!({ "model": "openclaw", "input": "hi", "stream": true }));
    assert_eq!(reply.status, 200);
    let events = parsed(&reply.sse());
    assert_eq!(events.last().expect("events")["type"], "response.failed");
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
}

#[test]
fn bad_responses_are_refused_in_the_documented_words() {
    let gateway = Gateway::start(json!({}));
    let refuse =
        |body: Value, words: &str| refused(&gateway.post(RESPONSES, &body), 400, "invalid_request_error", words);
    refuse(json!({ "model": "openclaw" }), "input: Invalid input");
    refuse(json!({ "model": "openclaw", "input": "" }), "Missing user message in `input`.");
    refuse(json!({ "model": "gpt-4", "input": "x" }), "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.");
    let disabled = json!({ "gateway": { "http": { "endpoints": { "responses": { "enabled": false } } } } });
    let gateway = Gateway::start(disabled);
    assert_eq!(gateway.post(RESPONSES, &json!({ "input": "x" })).status, 404);
    assert_eq!(gateway.get_with_token("/v1/models").status, 200, "chat still serves the models");
}

#[test]
fn embeddings_work_with_nothing_configured() {
    let gateway = Gateway::start(json!({}));
    let ask = json!({ "model": "openclaw", "input": ["restart the gateway", "tomatoes and sun"], "dimensions": 64 });
    let reply = gateway.post(EMBEDDINGS, &ask);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body = reply.json();
    golden::has(&body, &json!({ "object": "list", "model": "openclaw" }));
    golden::has(&body["data"][0], &json!({ "object": "embedding", "index": 0 }));
    let vectors: Vec<Vec<f64>> =
        (0..2).map(|at| serde_json::from_value(body["data"][at]["embedding"].clone()).expect("numbers")).collect();
    assert!(vectors.iter().all(|vector| vector.len() == 64));
    assert!((vectors[0].iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-3, "normalised");
    let again = gateway.post(EMBEDDINGS, &ask).json();
    golden::same(&again["data"], &body["data"]);
    let packed = json!({ "model": "openclaw", "input": "a", "dimensions": 8, "encoding_format": "base64" });
    let packed = gateway.post(EMBEDDINGS, &packed).json();
    assert_eq!(packed["data"][0]["embedding"].as_str().map(str::len), Some(44), "eight floats: {packed}");
    for (body, words) in [
        (json!({ "model": "openclaw" }), "`input` must be a string or an array of strings."),
        (json!({ "model": "openclaw", "input": [1, 2] }), "`input` must be a string or an array of strings."),
        (json!({ "input": "a" }), "Missing `model`."),
        (json!({ "model": "zzz", "input": "a" }), "Invalid `model`. Use `openclaw` or `openclaw/<agentId>`."),
        (
            json!({ "model": "openclaw", "input": "a", "dimensions": 0 }),
            "dimensions: Too small: expected number to be >0",
        ),
    ] {
        refused(&gateway.post(EMBEDDINGS, &body), 400, "invalid_request_error", words);
    }
}

#[test]
fn embeddings_come_from_the_configured_provider() {
    let upstream = Upstream::friendly();
    let search = json!({ "provider": "stub", "model": "stub-embedder", "outputDimensionality": 2 });
    let gateway = Gateway::start(upstream.config_and(json!({ "memory": { "search": search } })));
    let ask = |headers: &[(&str, &str)]| {
        let mut all = vec![("Authorization", bearer())];
        all.extend(headers.iter().map(|(name, value)| (*name, value.to_string())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        raw::post(gateway.addr(), EMBEDDINGS, &all, &json!({ "model": "openclaw", "input": ["four", "sixsix"] }))
    };
    let body = ask(&[]).json();
    golden::same(&body["data"][0]["embedding"], &json!([4.0, 0.0]));
    golden::same(&body["data"][1]["embedding"], &json!([6.0, 1.0]));
    golden::same(&body["usage"], &json!({ "prompt_tokens": USAGE.0, "total_tokens": USAGE.0 }));
    golden::has(&upstream.asked()[0].body, &json!({ "model": "stub-embedder", "dimensions": 2 }));
    assert_eq!(ask(&[("x-openclaw-model", "stub/another")]).status, 200);
    assert_eq!(upstream.asked()[1].body["model"], "another");
    let words = "This agent does not allow that embedding provider on `/v1/embeddings`.";
    refused(&ask(&[("x-openclaw-model", "builtin/hash")]), 400, "invalid_request_error", words);
}

#[test]
fn where_there_is_no_secret_a_caller_may_ask_for_less() {
    let gateway = Gateway::start(json!({ "gateway": { "auth": { "mode": "none" } } }));
    let ask = |headers: &[(&str, &str)]| raw::post(gateway.addr(), COMPLETIONS, headers, &chat("hello"));
    assert_eq!(ask(&[]).status, 200);
    assert_eq!(ask(&[("x-openclaw-scopes", "operator.write")]).status, 200);
    let reply = ask(&[("x-openclaw-scopes", "operator.read")]);
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["message"], "missing scope: operator.write");
    let reply = ask(&[("x-openclaw-scopes", "operator.write"), ("x-openclaw-model", "builtin/local")]);
    assert_eq!((reply.status, reply.json()["error"]["message"].as_str()), (403, Some("missing scope: operator.admin")));
}

fn weather() -> Answer {
    Answer::Call { name: "get_weather", arguments: json!({ "city": "Oslo" }) }
}

fn tool(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object", "properties": {} } } })
}

fn chat(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

/// Every event that is JSON.
fn parsed(events: &[String]) -> Vec<Value> {
    events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, kind: &str, message: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    golden::same(&reply.json(), &json!({ "error": { "message": message, "type": kind } }));
}
