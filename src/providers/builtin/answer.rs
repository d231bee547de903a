//! The words of the helper: one answer for each intent, with live data where there is any.
//!
//! Says only what is true of this program or what [`Facts`] report. Never shows a credential.

use super::facts::{FactSheet, Facts, Topic};
use super::intent::Intent;
use crate::providers::known::Known;

/// The answer to an intent.
pub fn text(intent: &Intent, facts: &dyn Facts) -> String {
    match intent {
        Intent::Greeting => format!("Hello. {IDENTITY}\n\n{}", abilities()),
        Intent::Thanks => "You are welcome.".into(),
        Intent::Identity => format!("{IDENTITY}\n\n{REAL_MODEL}"),
        Intent::Help => format!("{IDENTITY}\n\n{}", abilities()),
        Intent::Clock => clock(),
        Intent::Show(topic) => show(*topic, facts),
        Intent::Uptime => uptime(facts),
        Intent::AddProvider(name) => add_provider(name.as_deref(), facts),
        Intent::ConnectClient => connect_client(facts),
        Intent::Token => token(facts),
        Intent::RunAsService => service(facts),
        Intent::Unknown => format!("{UNKNOWN}\n\n{}\n\n{REAL_MODEL}", abilities()),
    }
}

fn abilities() -> String {
    let mut text = String::from("You can ask me about:\n");
    for (what, example) in ABILITIES {
        text.push_str(&format!("- {what}: \"{example}\"\n"));
    }
    text.trim_end().to_string()
}

fn show(topic: Topic, facts: &dyn Facts) -> String {
    let sheet = facts.gather(topic);
    let (title, nothing) = titles(topic);
    if sheet.is_empty() {
        return nothing.to_string();
    }
    let hint = match topic {
        Topic::Models => "\n\nAsk \"how do I add a provider\" for the exact lines.",
        Topic::Tools => "\n\nSay for example `run: uname -a` or `read README.md` and I call the tool.",
        _ => "",
    };
    format!("{title}\n{}{hint}", written(&sheet))
}

fn titles(topic: Topic) -> (&'static str, &'static str) {
    match topic {
        Topic::Health => {
            ("The gateway's state:", "I answer, so the gateway runs; I have no more data about its state.")
        }
        Topic::Sessions => ("Sessions:", "There are no sessions yet."),
        Topic::Channels => ("Channels:", "No channel is configured."),
        Topic::Models => ("Models:", "Only this built-in helper is available; no model provider is configured."),
        Topic::Config => ("Configuration:", "I have no data about the configuration."),
        Topic::Logs => ("Last entries of the log:", "The log has no warnings or errors that I know of."),
        Topic::Version => ("Version:", concat!("This is openclaw ", env!("CARGO_PKG_VERSION"), ".")),
        Topic::Network => ("Network:", "I have no data about the gateway's addresses."),
        Topic::Service => ("Service:", "I have no data about a service."),
        Topic::Tools => ("Tools:", "No tools are enabled."),
        Topic::Jobs => ("Scheduled jobs:", "No jobs are scheduled."),
        Topic::Devices => ("Devices:", "No devices are paired and no request waits for approval."),
    }
}

fn written(sheet: &FactSheet) -> String {
    let facts = sheet.facts.iter().map(|fact| format!("- {}: {}", fact.label, fact.value));
    let lines = sheet.lines.iter().map(|line| format!("- {line}"));
    facts.chain(lines).collect::<Vec<_>>().join("\n")
}

fn uptime(facts: &dyn Facts) -> String {
    match facts.gather(Topic::Health).get("Uptime") {
        Some(uptime) => format!("The gateway has been running for {uptime}."),
        None => "The gateway runs; I do not know since when.".into(),
    }
}

fn clock() -> String {
    format!("The host's clock says {}.", jiff::Zoned::now().strftime("%A, %Y-%m-%d %H:%M:%S %Z"))
}

fn config_file(facts: &dyn Facts) -> String {
    facts.gather(Topic::Config).get("File").map_or_else(|| "~/.openclaw/openclaw.json".to_string(), str::to_string)
}

fn add_provider(name: Option<&str>, facts: &dyn Facts) -> String {
    let file = config_file(facts);
    let id = match name {
        Some("claude") => "anthropic",
        Some("gpt" | "chatgpt") => "openai",
        Some("gemini") => "google",
        Some("grok") => "xai",
        Some(other) => other,
        None => "openai",
    };
    if let Some(local) = local_server(id) {
        return local_provider(local, &file);
    }
    let Some(known) = Known::find(id) else {
        return add_provider(None, facts);
    };
    let mut text = format!(
        "To use {id}, the short way is its key in the environment of the gateway:\n\n```\nexport {env}=your-key\nopenclaw gateway\n```\n\n\
         The lasting way is the configuration file {file}:\n\n```json5\n{{\n  models: {{ providers: {{ {id}: {{\n    \
         baseUrl: \"{url}\",\n    apiKey: \"your-key\",\n    api: \"{api}\",\n    \
         models: [{{ id: \"{model}\", name: \"{model}\" }}],\n  }} }} }},\n  \
         agents: {{ defaults: {{ model: {{ primary: \"{id}/{model}\" }} }} }},\n}}\n```\n\n\
         Merge these lines with what the file has, then restart the gateway.",
        env = known.env[0],
        url = known.base_url,
        api = known.api.as_str(),
        model = known.default_model,
    );
    if name.is_none() {
        text.push_str(
            "\n\nThe same works for every OpenAI-compatible server with its own baseUrl. A server on this machine \
             (llama.cpp on port 8080, Ollama on 11434, LM Studio on 1234) is found at start without any configuration.",
        );
    }
    text
}

struct LocalServer {
    id: &'static str,
    name: &'static str,
    port: u16,
    start: &'static str,
}

fn local_server(id: &str) -> Option<LocalServer> {
    match id {
        "ollama" => Some(LocalServer { id: "ollama", name: "Ollama", port: 11434, start: "ollama pull llama3.2" }),
        "llama" | "llama.cpp" => Some(LocalServer {
            id: "llamacpp",
            name: "llama.cpp",
            port: 8080,
            start: "llama-server -m model.gguf --jinja --port 8080",
        }),
        "lmstudio" => Some(LocalServer { id: "lmstudio", name: "LM Studio", port: 1234, start: "lms server start" }),
        "vllm" => Some(LocalServer { id: "vllm", name: "vLLM", port: 8000, start: "vllm serve MODEL --port 8000" }),
        _ => None,
    }
}

fn local_provider(server: LocalServer, file: &str) -> String {
    let LocalServer { id, name, port, start } = server;
    let found = if id == "vllm" {
        "The gateway does not look for it by itself."
    } else {
        "Without any configured provider and key, the gateway finds it at its next start by itself."
    };
    format!(
        "{name} needs no key. Start it on this machine:\n\n```\n{start}\n```\n\n{found} To name it, add to {file}:\n\n\
         ```json5\n{{\n  models: {{ providers: {{ {id}: {{\n    baseUrl: \"http://127.0.0.1:{port}/v1\",\n    \
         api: \"openai-completions\",\n    models: [{{ id: \"MODEL\", name: \"MODEL\" }}],\n  }} }} }},\n  \
         agents: {{ defaults: {{ model: {{ primary: \"{id}/MODEL\" }} }} }},\n}}\n```\n\n\
         MODEL is a name from `curl http://127.0.0.1:{port}/v1/models`. Then restart the gateway."
    )
}

fn connect_client(facts: &dyn Facts) -> String {
    let network = facts.gather(Topic::Network);
    let url = network.get("URL").unwrap_or("http://127.0.0.1:18789").trim_end_matches('/').to_string();
    let socket = url.replacen("http", "ws", 1);
    let mut text = format!(
        "Every client needs the gateway's address and its token.\n\
         - OpenAI-compatible clients (Open WebUI, SDKs): base URL {url}/v1, API key = the token.\n\
         - OpenClaw apps and the CLI: {socket} with the token.\n\n\
         Try it:\n\n```\ncurl {url}/v1/models -H \"Authorization: Bearer $TOKEN\"\n\
         openclaw agent --message \"hello\"\n```\n\n\
         From other machines the gateway is reachable only when gateway.bind is not \"loopback\" (for example \"lan\")."
    );
    if !network.is_empty() {
        text.push_str(&format!("\n\nAs it runs now:\n{}", written(&network)));
    }
    text
}

fn token(facts: &dyn Facts) -> String {
    let file = config_file(facts);
    let mut text = format!(
        "I do not show credentials in a conversation. The gateway takes its token from --token, from \
         OPENCLAW_GATEWAY_TOKEN, or from gateway.auth.token in {file}; look there on the host. To set one:\n\n\
         ```json5\n{{ gateway: {{ auth: {{ mode: \"token\", token: \"a-long-random-text\" }} }} }}\n```"
    );
    if let Some(auth) = facts.gather(Topic::Network).get("Auth") {
        text.push_str(&format!("\n\nAuthentication as it runs now: {auth}."));
    }
    text
}

fn service(facts: &dyn Facts) -> String {
    let sheet = facts.gather(Topic::Service);
    let state = if sheet.is_empty() { String::new() } else { format!("As it is now:\n{}\n\n", written(&sheet)) };
    format!(
        "{state}On Linux with systemd, write ~/.config/systemd/user/openclaw-gateway.service:\n\n\
         ```ini\n[Unit]\nDescription=OpenClaw gateway\nAfter=network-online.target\n\n[Service]\n\
         ExecStart=/usr/local/bin/openclaw gateway\nRestart=always\n\n[Install]\nWantedBy=default.target\n```\n\n\
         with the path of your binary, then:\n\n```\nsystemctl --user daemon-reload\n\
         systemctl --user enable --now openclaw-gateway\nloginctl enable-linger \"$USER\"\n```\n\n\
         `openclaw gateway status` shows whether it runs."
    )
}

const IDENTITY: &str = "I am the helper built into this OpenClaw gateway: a small set of rules, not a language model. \
    I know this gateway's state and how to set it up; I cannot answer general questions.";

const UNKNOWN: &str = "I cannot answer that. I am the helper built into this gateway, a small set of rules and not a \
    language model, and I did not recognise a question about the gateway.";

const REAL_MODEL: &str = "For a real assistant, connect a language model: ask \"how do I add a provider\".";

const ABILITIES: &[(&str, &str)] = &[
    ("the gateway's state", "status"),
    ("sessions, channels, devices, jobs", "which channels are connected?"),
    ("models and providers", "which models are there?"),
    ("connecting a real model", "how do I add a provider?"),
    ("configuration and its problems", "is my config valid?"),
    ("the log", "show the last errors"),
    ("clients and the token", "how do I connect a client?"),
    ("running at boot", "how do I run this as a service?"),
    ("tools, when they are offered", "run: uname -a"),
];

#[cfg(test)]
mod tests {
    use super::super::facts::NoFacts;
    use super::super::intent::understand;
    use super::*;

    struct Live;

    impl Facts for Live {
        fn gather(&self, topic: Topic) -> FactSheet {
            match topic {
                Topic::Health => FactSheet::default().fact("State", "ok").fact("Uptime", "3 h 2 min"),
                Topic::Config => {
                    FactSheet::default().fact("File", "/etc/oc.json").line("line 3: unknown key \"gatway\"")
                }
                Topic::Network => FactSheet::default().fact("URL", "http://10.0.0.2:18789").fact("Auth", "token"),
                _ => FactSheet::default(),
            }
        }
    }

    fn answer(question: &str) -> String {
        text(&understand(question), &Live)
    }

    #[test]
    fn answers_carry_live_data() {
        assert_eq!(answer("status"), "The gateway's state:\n- State: ok\n- Uptime: 3 h 2 min");
        assert!(answer("uptime").contains("3 h 2 min"));
        assert!(answer("is my config valid?").contains("gatway"));
        assert!(answer("list my sessions").contains("no sessions"));
        assert!(answer("how do I connect a client?").contains("http://10.0.0.2:18789/v1"));
        assert!(answer("how do I connect a client?").contains("ws://10.0.0.2:18789"));
    }

    #[test]
    fn provider_help_has_the_exact_lines() {
        let openai = answer("how do I add a provider?");
        for line in ["OPENAI_API_KEY", "/etc/oc.json", "https://api.openai.com/v1", "primary: \"openai/"] {
            assert!(openai.contains(line), "{line} in {openai}");
        }
        assert!(answer("how can I use Claude?").contains("ANTHROPIC_API_KEY"));
        assert!(answer("I want to use ollama").contains("http://127.0.0.1:11434/v1"));
        assert!(answer("how do I use Gemini?").contains("GEMINI_API_KEY"));
    }

    #[test]
    fn a_general_question_is_refused_honestly_and_not_echoed() {
        let said = answer("What is the capital of France?");
        assert!(said.contains("cannot answer") && said.contains("not a language model") && !said.contains("France"));
    }

    #[test]
    fn every_topic_has_words_without_data() {
        for topic in [
            Topic::Health,
            Topic::Sessions,
            Topic::Channels,
            Topic::Models,
            Topic::Config,
            Topic::Logs,
            Topic::Version,
            Topic::Network,
            Topic::Service,
            Topic::Tools,
            Topic::Jobs,
            Topic::Devices,
        ] {
            assert!(!text(&Intent::Show(topic), &NoFacts).is_empty());
        }
    }
}
