//! What `POST /v1/responses` asks for, checked, as a run.

use super::asking::{self, Asked, Place};
use super::chat_request::{apart, called};
use super::url_inputs::{self, Inputs};
use super::{HttpError, Visit, documents};
use crate::config::gateway::{ResponsesConfig, UrlInput};
use crate::hub::run::Input;
use crate::net::Exchange;
use crate::providers::{Message, Part, Sampling, ToolCall};
use crate::rpc::run_limit;
use crate::store::runs;
use crate::wire::frame::cut;
use crate::wire::responses::{self as wire, Item, ItemContent, ItemPart, ResponsesRequest, Source};
use crate::wire::scope::Scope;
use crate::wire::session;

/// Sessions of this endpoint are called so.
const FAMILY: &str = "openresponses";
const BAD_IMAGE: &str = "Invalid input_image content in `input`";
const BAD_FILE: &str = "Invalid input_file content in `input`";
/// Said for a message that brought files and no word.
const FILES_ONLY: &str = "(files without a word)";

pub fn read(visit: &Visit<'_>, exchange: &mut Exchange<'_>) -> Result<Asked, HttpError> {
    let mut body = visit.lifted_body(exchange)?;
    let mut request: ResponsesRequest = asking::parse(&body.rest)?;
    request.restore(&mut body).map_err(asking::too_long)?;
    drop(body);
    let config = &visit.config;
    let model = request.model.clone().filter(|m| !m.trim().is_empty()).unwrap_or_else(|| "openclaw".into());
    let sampling = Sampling {
        temperature: asking::within("temperature", request.temperature, 0.0, 2.0)?,
        top_p: asking::within("top_p", request.top_p, 0.0, 1.0)?,
        max_tokens: asking::positive("max_output_tokens", request.max_output_tokens)?,
        ..Sampling::default()
    };
    let agent_id = asking::agent(visit, exchange.header("x-openclaw-agent-id"), &model)?;
    let place = place(visit, exchange, &request, &agent_id)?;
    let model_override = asking::backend(visit, exchange, &agent_id)?;
    let tools = asking::tools(request.tools)?;
    let (client_tools, tool_choice, must) = asking::choice(request.tool_choice, tools)?;
    let rules = &config.gateway.http.endpoints.responses;
    let mut get = |url: &str, rules: &UrlInput, limit| url_inputs::get(exchange, url, rules, limit);
    let mut told = Told::of(request.input, rules, &mut Inputs::new(rules.max_url_parts, &mut get))?;
    if let Some(instructions) = request.instructions.filter(|text| !text.trim().is_empty()) {
        told.system.insert(0, instructions);
    }
    let said = told.split(place.stable)?;
    let system = said.system.join("\n\n");
    Ok(Asked {
        stream: request.stream.unwrap_or(false),
        input: Input {
            text: said.text.into(),
            parts: said.images,
            history: said.before,
            tool_results: said.tool_results,
            stateless: said.stateless,
            extra_system: (!system.is_empty()).then_some(system),
            model: model_override,
            thinking: None,
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
    })
}

/// The session: the header's, that of the response this one continues, the user's, or a new one.
///
/// Which session answered is known from the run's own record, so that a conversation goes on after a restart. An id
/// nobody knows, or one of another agent, begins anew, as the reference does.
fn place(
    visit: &Visit<'_>,
    exchange: &Exchange<'_>,
    request: &ResponsesRequest,
    agent_id: &str,
) -> Result<Place, HttpError> {
    if let Some(session_key) = asking::chosen_session(visit, exchange, agent_id)? {
        return Ok(Place { session_key, stable: true });
    }
    if let Some(id) = request.previous_response_id.clone().filter(|id| id.starts_with("resp_") && id.len() < 64) {
        let found = visit.site.engine.store.read("find a response", move |conn| runs::get(conn, &id));
        let found = found.map_err(|error| HttpError::unavailable(error.to_string()))?;
        let own = |key: &str| {
            session::agent_of(key).is_some_and(|(agent, rest)| agent == agent_id && rest.starts_with(FAMILY))
        };
        if let Some(run) = found.filter(|run| own(&run.session_key)) {
            return Ok(Place { session_key: run.session_key, stable: true });
        }
    }
    asking::place(visit, exchange, FAMILY, request.user.as_deref(), agent_id)
}

/// The input as messages.
#[derive(Default)]
struct Told {
    system: Vec<String>,
    messages: Vec<Message>,
}

/// The same taken apart.
struct Said {
    system: Vec<String>,
    before: Vec<Message>,
    text: String,
    images: Vec<Part>,
    tool_results: Vec<Message>,
    stateless: bool,
}

impl Told {
    fn of(input: Option<wire::Input>, rules: &ResponsesConfig, inputs: &mut Inputs<'_>) -> Result<Told, HttpError> {
        let mut told = Told::default();
        match input {
            Some(wire::Input::Text(text)) => told.messages.push(Message::User(vec![Part::Text(text.into())])),
            Some(wire::Input::Items(items)) => {
                for item in items {
                    told.take(item, rules, inputs)?;
                }
            }
            Some(wire::Input::Other(_)) | None => return Err(HttpError::invalid("input: Invalid input")),
        }
        Ok(told)
    }

    fn take(&mut self, item: Item, rules: &ResponsesConfig, inputs: &mut Inputs<'_>) -> Result<(), HttpError> {
        let kind = item.kind.as_deref().unwrap_or(if item.role.is_some() { "message" } else { "" });
        match kind {
            "message" => self.message(item.role.as_deref().unwrap_or_default(), item.content, rules, inputs),
            "function_call" => {
                let call = ToolCall {
                    id: item.call_id.or(item.id).unwrap_or_default(),
                    name: item.name.ok_or_else(|| HttpError::invalid("input: a function_call has no name"))?,
                    arguments: item.arguments.unwrap_or_default(),
                };
                match self.messages.last_mut() {
                    Some(Message::Assistant { tool_calls, .. }) => tool_calls.push(call),
                    _ => self.messages.push(Message::Assistant { text: String::new(), tool_calls: vec![call] }),
                }
                Ok(())
            }
            "function_call_output" => {
                let call_id =
                    item.call_id.ok_or_else(|| HttpError::invalid("input: a function_call_output has no call_id"))?;
                let name = called(&self.messages, &call_id);
                let content = vec![Part::Text(text_of(item.output)?.into())];
                self.messages.push(Message::ToolResult { call_id, name, content, is_error: false });
                Ok(())
            }
            // Accepted for the shape's sake.
            "reasoning" | "item_reference" => Ok(()),
            other => Err(HttpError::invalid(format!("input: items of type `{}` are not supported", cut(other, 32)))),
        }
    }

    fn message(
        &mut self,
        role: &str,
        content: Option<ItemContent>,
        rules: &ResponsesConfig,
        inputs: &mut Inputs<'_>,
    ) -> Result<(), HttpError> {
        match role {
            "system" | "developer" => {
                let text = text_of(content)?;
                if !text.trim().is_empty() {
                    self.system.push(text);
                }
            }
            "user" => {
                let parts = match content {
                    Some(ItemContent::Parts(parts)) => parts,
                    other => {
                        self.messages.push(Message::User(vec![Part::Text(text_of(other)?.into())]));
                        return Ok(());
                    }
                };
                let mut read = Vec::new();
                for part in parts {
                    match part.kind.as_str() {
                        "input_text" | "output_text" | "text" => {
                            read.push(Part::Text(part.text.unwrap_or_default().into()))
                        }
                        "input_image" => read.push(image(part, rules, inputs)?),
                        "input_file" => self.system.push(file(&part, rules, inputs)?),
                        other => {
                            let kind = cut(other, 32);
                            return Err(HttpError::invalid(format!(
                                "input: content of type `{kind}` is not supported"
                            )));
                        }
                    }
                }
                if read.is_empty() {
                    read.push(Part::Text(FILES_ONLY.into()));
                }
                self.messages.push(Message::User(read));
            }
            "assistant" => {
                self.messages.push(Message::Assistant { text: text_of(content)?, tool_calls: Vec::new() });
            }
            other => return Err(HttpError::invalid(format!("input: role `{}` is not supported", cut(other, 32)))),
        }
        Ok(())
    }

    /// The latest user message, or the latest results of tools, is what is said now. `stable`: the session remembers.
    fn split(self, stable: bool) -> Result<Said, HttpError> {
        let missing = || HttpError::invalid("Missing user message in `input`.");
        let (system, mut before) = (self.system, self.messages);
        let mut tool_results = Vec::new();
        while matches!(before.last(), Some(Message::ToolResult { .. })) {
            tool_results.extend(before.pop());
        }
        tool_results.reverse();
        if !tool_results.is_empty() {
            let made = |result: &Message| {
                match result {
                Message::ToolResult { call_id, .. } => before.iter().any(|message| {
                    matches!(message, Message::Assistant { tool_calls, .. } if tool_calls.iter().any(|c| c.id == *call_id))
                }),
                _ => false,
            }
            };
            // A client that brings the calls along keeps its own history; else the session must know them.
            let own_history = tool_results.iter().all(made);
            if !own_history && !stable {
                let text = "No tool call found for a function_call_output in `input`; send the function_call, too, or \
                            `previous_response_id`.";
                return Err(HttpError::invalid(text));
            }
            if !own_history {
                before.clear();
            }
            let (text, images) = (String::new(), Vec::new());
            return Ok(Said { system, before, text, images, tool_results, stateless: own_history });
        }
        let at = before.iter().rposition(|m| matches!(m, Message::User(_))).ok_or_else(missing)?;
        let Message::User(parts) = before.remove(at) else { return Err(missing()) };
        let (text, images) = apart(parts);
        if text.trim().is_empty() && images.is_empty() {
            return Err(missing());
        }
        if stable {
            let known = before.iter().rposition(|m| matches!(m, Message::Assistant { .. })).map_or(0, |at| at + 1);
            before.drain(..known);
        }
        Ok(Said { system, before, text, images, tool_results, stateless: !stable })
    }
}

fn text_of(content: Option<ItemContent>) -> Result<String, HttpError> {
    match content {
        None => Ok(String::new()),
        Some(ItemContent::Text(text)) => Ok(text),
        Some(ItemContent::Parts(parts)) => {
            let texts = parts.into_iter().filter_map(|part| part.text.or(part.refusal));
            Ok(texts.collect::<Vec<_>>().join("\n"))
        }
        Some(ItemContent::Other(_)) => Err(HttpError::invalid("input: Invalid input")),
    }
}

fn image(part: ItemPart, rules: &ResponsesConfig, inputs: &mut Inputs<'_>) -> Result<Part, HttpError> {
    match (part.source, part.image_url) {
        (Some(Source { kind, data: Some(data), media_type, .. }), _) if kind == "base64" => {
            inputs.image_data(media_type.as_deref().unwrap_or_default(), data, &rules.images, BAD_IMAGE)
        }
        (Some(Source { kind, url: Some(url), .. }), _) if kind == "url" => inputs.image(url, &rules.images, BAD_IMAGE),
        (None, Some(url)) => inputs.image(url, &rules.images, BAD_IMAGE),
        _ => Err(HttpError::invalid(format!("{BAD_IMAGE}."))),
    }
}

fn file(part: &ItemPart, rules: &ResponsesConfig, inputs: &mut Inputs<'_>) -> Result<String, HttpError> {
    let name = part.filename.as_deref();
    if let Some(source) = &part.source {
        let name = source.filename.as_deref().or(name);
        let mime = source.media_type.as_deref().unwrap_or_default();
        return match (source.kind.as_str(), &source.data, &source.url) {
            ("base64", Some(data), _) => inputs
                .file_data(name.unwrap_or("file"), mime, data, &rules.files)
                .map_err(|error| error.about(BAD_FILE)),
            ("url", _, Some(url)) => inputs.file(name, url, &rules.files, BAD_FILE),
            _ => Err(HttpError::invalid(format!("{BAD_FILE}."))),
        };
    }
    match (&part.file_data, &part.file_url) {
        (Some(data), _) => {
            let (mime, data) = match data.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
                Some((mime, data)) => (mime, data),
                // Bare base64 says nothing of its type; the name may.
                None => (documents::mime_by_name(name.unwrap_or_default()), data.as_str()),
            };
            inputs.file_data(name.unwrap_or("file"), mime, data, &rules.files).map_err(|error| error.about(BAD_FILE))
        }
        (None, Some(url)) => inputs.file(name, url, &rules.files, BAD_FILE),
        (None, None) => Err(HttpError::invalid(format!("{BAD_FILE}."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(input: &str, stable: bool) -> Result<Said, String> {
        let request: ResponsesRequest = asking::parse(format!(r#"{{"input":{input}}}"#).as_bytes()).expect("decodes");
        let rules = ResponsesConfig::default();
        let mut never = |_: &str, _: &UrlInput, _: u64| -> Result<_, HttpError> { panic!("nothing is fetched here") };
        let told = Told::of(request.input, &rules, &mut Inputs::new(8, &mut never)).and_then(|told| told.split(stable));
        told.map_err(|error| error.parts().1.to_string())
    }

    #[test]
    fn a_string_is_what_the_user_says() {
        let told = said(r#""hello""#, false).expect("fits");
        assert_eq!((told.text.as_str(), told.stateless, told.before.len()), ("hello", true, 0));
        assert_eq!(said(r#""""#, false).err().as_deref(), Some("Missing user message in `input`."));
        assert_eq!(said("7", false).err().as_deref(), Some("input: Invalid input"));
    }

    #[test]
    fn items_become_messages_and_the_last_user_speaks_now() {
        let items = r#"[{"role":"developer","content":"be brief"},
            {"type":"message","role":"user","content":[{"type":"input_text","text":"one"}]},
            {"type":"reasoning","summary":[]},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"two","annotations":[]}]},
            {"role":"user","content":"three"}]"#;
        let told = said(items, false).expect("fits");
        assert_eq!((told.text.as_str(), told.system.as_slice()), ("three", ["be brief".to_string()].as_slice()));
        assert_eq!(told.before.len(), 2);
        assert!(said(items, true).expect("fits").before.is_empty(), "the session knows the rest");
    }

    #[test]
    fn results_of_tools_go_with_their_calls_or_with_the_session() {
        let output = r#"{"type":"function_call_output","call_id":"c1","output":""}"#;
        let call = r#"{"type":"function_call","call_id":"c1","name":"weather","arguments":"{}"}"#;
        let whole = said(&format!(r#"[{{"role":"user","content":"hi"}},{call},{output}]"#), false).expect("fits");
        assert!(whole.stateless && whole.before.len() == 2);
        assert!(matches!(&whole.tool_results[..], [Message::ToolResult { name, .. }] if name == "weather"));
        let alone = format!("[{output}]");
        assert!(said(&alone, false).is_err_and(|words| words.starts_with("No tool call found")));
        assert!(!said(&alone, true).expect("the session knows the call").stateless);
    }

    #[test]
    fn files_go_into_the_prompt_and_addresses_are_refused() {
        let with = |part: &str| said(&format!(r#"[{{"role":"user","content":[{part}]}}]"#), false);
        let source = r#"{"type":"input_file","source":{"type":"base64","media_type":"text/plain","data":"aGFsbG8=",
            "filename":"a.txt"}}"#;
        let told = with(source).expect("fits");
        assert!(told.system[0].contains("hallo") && told.system[0].contains("a.txt"), "{:?}", told.system);
        assert_eq!(told.text, FILES_ONLY);
        let data = r#"{"type":"input_file","filename":"b.csv","file_data":"data:text/csv;base64,YSxi"}"#;
        assert!(with(data).expect("fits").system[0].contains("a,b"));
        for url in [
            r#"{"type":"input_file","file_url":"http://x/y"}"#,
            r#"{"type":"input_image","image_url":"http://x/y.png"}"#,
            r#"{"type":"input_image","source":{"type":"url","url":"http://x/y.png"}}"#,
        ] {
            assert!(with(url).is_err_and(|words| words.contains("URLs are not fetched")), "{url}");
        }
        let image = r#"{"type":"input_image","image_url":"data:image/png;base64,aGFsbG8="}"#;
        assert_eq!(with(image).expect("fits").images.len(), 1);
    }
}
