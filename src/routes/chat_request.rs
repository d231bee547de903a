//! What `POST /v1/chat/completions` asks for, checked, as a run.

use super::asking::{self, Asked};
use super::url_inputs::{self, Inputs};
use super::{HttpError, Visit};
use crate::config::gateway::UrlInput;
use crate::hub::run::Input;
use crate::net::Exchange;
use crate::providers::{Message, Part, ToolCall};
use crate::rpc::run_limit;
use crate::wire::frame::cut;
use crate::wire::openai::*;
use crate::wire::scope::Scope;

/// Images of one message.
const IMAGES: usize = 8;
const BAD_IMAGE: &str = "Invalid image_url content in `messages`";

/// The request, and whether it ends with a chunk of usage.
pub fn read(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<(Asked, bool), HttpError> {
    let mut body = visit.lifted_body(exchange)?;
    let mut request: ChatRequest = asking::parse(&body.rest)?;
    request.restore(&mut body).map_err(asking::too_long)?;
    drop(body);
    let config = &visit.config;
    let model = request.model.clone().filter(|m| !m.trim().is_empty()).unwrap_or_else(|| "openclaw".into());
    if request.n.is_some_and(|n| n != 1) {
        return Err(HttpError::invalid("`n` must be 1: an agent gives one answer."));
    }
    let sampling = asking::sampling(&request)?;
    let agent_id = asking::agent(visit, exchange.header("x-openclaw-agent-id"), &model)?;
    let place = asking::place(visit, exchange, "openai", request.user.as_deref(), &agent_id)?;
    let model_override = asking::backend(visit, exchange, &agent_id)?;
    let tools = asking::tools(request.tools)?;
    let (client_tools, tool_choice, must) = asking::choice(request.tool_choice, tools)?;
    let rules = &config.gateway.http.endpoints.chat_completions.images;
    let mut get = |url: &str, rules: &UrlInput, limit| url_inputs::get(exchange, url, rules, limit);
    let mut images = Images { rules, inputs: Inputs::new(IMAGES as u32, &mut get) };
    let conversation = conversation(request.messages, &mut images)?;
    let said = split(conversation.messages)?;
    let mut history = said.before;
    if place.stable && said.tool_results.is_empty() {
        // The session remembers: only what it cannot know yet goes with the request.
        let known = history.iter().rposition(|m| matches!(m, Message::Assistant { .. })).map_or(0, |at| at + 1);
        history.drain(..known);
    }
    let include_usage = request.stream_options.and_then(|o| o.include_usage).unwrap_or(false);
    let asked = Asked {
        stream: request.stream.unwrap_or(false),
        input: Input {
            text: said.text.into(),
            parts: said.images,
            history,
            stateless: !place.stable || !said.tool_results.is_empty(),
            tool_results: said.tool_results,
            extra_system: conversation.system,
            model: model_override,
            thinking: sampling.thinking.clone(),
            sampling,
            client_tools,
            tool_choice,
            commands: false,
            admin: visit.allows(Scope::Admin),
            created_via: "http",
            channel: asking::channel(exchange)?,
            ..Input::default()
        },
        timeout: run_limit(config),
        model,
        agent_id,
        session_key: place.session_key,
        must,
    };
    Ok((asked, include_usage))
}

/// A conversation taken apart: what is said now, and what went before.
pub struct Said {
    pub before: Vec<Message>,
    pub text: String,
    pub images: Vec<Part>,
    pub tool_results: Vec<Message>,
}

/// The last user message is what is said now; results of tools at the end instead continue the turn before them.
fn split(mut before: Vec<Message>) -> Result<Said, HttpError> {
    let missing = || HttpError::invalid("Missing user message in `messages`.");
    let (mut text, mut images, mut tool_results) = (String::new(), Vec::new(), Vec::new());
    while matches!(before.last(), Some(Message::ToolResult { .. })) {
        tool_results.extend(before.pop());
    }
    tool_results.reverse();
    let at = before.iter().rposition(|m| matches!(m, Message::User(_))).ok_or_else(missing)?;
    if tool_results.is_empty() {
        // What follows the last user message (an assistant's beginning) stays where it was, before it.
        if let Message::User(parts) = before.remove(at) {
            (text, images) = apart(parts);
        }
        if text.trim().is_empty() && images.is_empty() {
            return Err(missing());
        }
    }
    Ok(Said { before, text, images, tool_results })
}

/// Text and images of one message.
pub fn apart(parts: Vec<Part>) -> (String, Vec<Part>) {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => texts.push(text.into_string()),
            image => images.push(image),
        }
    }
    let text = if texts.len() == 1 { texts.remove(0) } else { texts.join("\n") };
    (text, images)
}

struct Conversation {
    system: Option<String>,
    messages: Vec<Message>,
}

/// How images are taken in.
struct Images<'a> {
    rules: &'a UrlInput,
    inputs: Inputs<'a>,
}

fn conversation(list: Vec<RequestMessage>, images: &mut Images<'_>) -> Result<Conversation, HttpError> {
    let (mut system, mut messages) = (Vec::new(), Vec::new());
    let now = list.iter().rposition(|message| message.role == "user");
    for (at, message) in list.into_iter().enumerate() {
        match message.role.as_str() {
            "system" | "developer" => system.push(text_of(message.content)),
            "user" => messages.push(Message::User(parts(message.content, images, Some(at) == now)?)),
            "assistant" => {
                let tool_calls = message.tool_calls.unwrap_or_default();
                let tool_calls = tool_calls.into_iter().map(|call| ToolCall {
                    id: call.id.unwrap_or_default(),
                    name: call.function.name,
                    arguments: call.function.arguments,
                });
                messages.push(Message::Assistant { text: text_of(message.content), tool_calls: tool_calls.collect() });
            }
            "tool" | "function" => {
                let call_id = message.tool_call_id.or(message.name.clone()).unwrap_or_default();
                let name = message.name.unwrap_or_else(|| called(&messages, &call_id));
                let content = vec![Part::Text(text_of(message.content).into())];
                messages.push(Message::ToolResult { call_id, name, content, is_error: false });
            }
            other => {
                return Err(HttpError::invalid(format!("Invalid role `{}` in `messages`.", cut(other, 32))));
            }
        }
    }
    let system = system.join("\n\n");
    Ok(Conversation { system: (!system.trim().is_empty()).then_some(system), messages })
}

/// The tool that a result belongs to.
pub fn called(messages: &[Message], id: &str) -> String {
    let calls = messages.iter().rev().filter_map(|m| match m {
        Message::Assistant { tool_calls, .. } => Some(tool_calls),
        _ => None,
    });
    calls.flatten().find(|call| call.id == id).map_or_else(String::new, |call| call.name.clone())
}

fn text_of(content: Option<Content>) -> String {
    match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(list)) => {
            let texts = list.into_iter().filter_map(|part| part.text.or(part.refusal));
            texts.collect::<Vec<_>>().join("\n")
        }
    }
}

/// `now`: this is the message said now. Images of the others are not fetched a second time.
fn parts(content: Option<Content>, images: &mut Images<'_>, now: bool) -> Result<Vec<Part>, HttpError> {
    let list = match content {
        Some(Content::Parts(list)) => list,
        other => return Ok(vec![Part::Text(text_of(other).into())]),
    };
    if list.iter().filter(|part| part.kind == "image_url").count() > IMAGES {
        return Err(HttpError::invalid(format!("{BAD_IMAGE}.")));
    }
    list.into_iter()
        .map(|part| match part.kind.as_str() {
            "text" | "input_text" => Ok(Part::Text(part.text.unwrap_or_default().into())),
            "image_url" => {
                let url = part.image_url.map(ImageUrl::into_url).unwrap_or_default();
                match (url_inputs::is_url(&url), images.rules.allow_url == Some(true)) {
                    // In the words of the reference, which says no more here.
                    (true, false) => Err(HttpError::invalid(format!("{BAD_IMAGE}."))),
                    (true, true) if !now => Ok(Part::Text("(an image that was shown before)".into())),
                    _ => images.inputs.image(url, images.rules, BAD_IMAGE),
                }
            }
            other => {
                let kind = cut(other, 32);
                Err(HttpError::invalid(format!("Content of type `{kind}` in `messages` is not supported.")))
            }
        })
        .collect()
}
