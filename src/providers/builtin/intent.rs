//! What a person wants to know, guessed from words.
//!
//! Each intent is a row of words and phrases with weights; the best row wins if it explains enough of the sentence. It
//! is pattern matching and nothing more: what it does not recognise it does not answer, which is why words it has never
//! heard of count against every row ("the health effects of coffee" is not about this gateway's health).
//!
//! Invariant: pure; time is bounded by the first [`WORDS_CAP`] words.

use super::facts::Topic;

/// What the helper understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    Greeting,
    Thanks,
    Identity,
    Help,
    /// The time and date of the host.
    Clock,
    /// Show live data.
    Show(Topic),
    Uptime,
    /// How to add a model provider; the name when one was mentioned.
    AddProvider(Option<String>),
    ConnectClient,
    Token,
    RunAsService,
    Unknown,
}

/// Finds the intent of a sentence.
pub fn understand(text: &str) -> Intent {
    let words = words(text);
    if words.is_empty() {
        return Intent::Help;
    }
    let mut best: Option<(u32, &Row)> = None;
    for row in ROWS {
        let score = row.score(&words);
        if best.is_none_or(|(top, _)| score > top) {
            best = Some((score, row));
        }
    }
    let strange = words.iter().filter(|word| !is_known(word)).count() as u32;
    match best {
        Some((score, row)) if score >= ENOUGH && strange * 2 < score => row.intent(&words),
        _ => Intent::Unknown,
    }
}

impl Row {
    fn score(&self, words: &[String]) -> u32 {
        let single: u32 = self
            .words
            .iter()
            .filter(|(word, _)| words.iter().any(|said| said == word))
            .map(|(_, weight)| u32::from(*weight))
            .sum();
        let together: u32 = self
            .phrases
            .iter()
            .filter(|(phrase, _)| contains(words, phrase))
            .map(|(_, weight)| u32::from(*weight))
            .sum();
        single + together
    }

    fn intent(&self, words: &[String]) -> Intent {
        match &self.intent {
            Intent::AddProvider(_) => {
                Intent::AddProvider(words.iter().find(|word| PROVIDERS.contains(&word.as_str())).cloned())
            }
            intent => intent.clone(),
        }
    }
}

fn contains(words: &[String], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|window| window.iter().zip(&phrase).all(|(said, meant)| said == meant))
}

fn is_known(word: &str) -> bool {
    PLAIN.contains(&word)
        || ROWS.iter().any(|row| {
            row.words.iter().any(|(known, _)| *known == word)
                || row.phrases.iter().any(|(phrase, _)| phrase.split(' ').any(|part| part == word))
        })
}

/// Lower-case words; plurals lose their s, so that the table needs one form only.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace('’', "'");
    let split = lower.split(|letter: char| !(letter.is_alphanumeric() || letter == '\'' || letter == '.'));
    split
        .map(|word| word.trim_matches(['\'', '.']))
        .map(|word| word.split_once('\'').map_or(word, |(stem, _)| stem))
        .filter(|word| !word.is_empty())
        .take(WORDS_CAP)
        .map(|word| {
            let plural = word.len() > 3
                && word.ends_with('s')
                && !["ss", "us", "is", "as"].iter().any(|end| word.ends_with(end));
            if plural { word[..word.len() - 1].to_string() } else { word.to_string() }
        })
        .collect()
}

struct Row {
    intent: Intent,
    words: &'static [(&'static str, u8)],
    phrases: &'static [(&'static str, u8)],
}

/// Weights: 3 = the word alone names the matter, 1 = it only supports. Phrases are written as [`words`] leaves them.
/// The first of two equal rows wins, so the narrower intent stands first.
#[rustfmt::skip] // one word a line would hide the table
static ROWS: &[Row] = &[
    Row {
        intent: Intent::Uptime,
        words: &[("uptime", 5), ("started", 2), ("since", 1)],
        phrases: &[("how long", 3), ("been running", 3), ("did you start", 4), ("last restart", 4), ("been up", 3)],
    },
    Row {
        intent: Intent::ConnectClient,
        words: &[
            ("client", 3), ("app", 3), ("phone", 3), ("browser", 3), ("dashboard", 3), ("webui", 3), ("ui", 2),
            ("sdk", 3), ("curl", 3), ("tui", 3), ("python", 2), ("connect", 2), ("api", 1), ("endpoint", 2), ("how", 1),
            ("laptop", 2),
        ],
        phrases: &[
            ("open webui", 4), ("to you", 1), ("to the gateway", 2), ("to this gateway", 2), ("home assistant", 3),
            ("web interface", 3),
        ],
    },
    Row {
        intent: Intent::AddProvider(None),
        words: &[
            ("add", 2), ("configure", 2), ("setup", 2), ("switch", 2), ("use", 1), ("connect", 1), ("real", 2),
            ("provider", 2), ("model", 1), ("openai", 3), ("anthropic", 3), ("claude", 3), ("gpt", 3), ("chatgpt", 3),
            ("ollama", 3), ("openrouter", 3), ("gemini", 3), ("google", 2), ("llama", 3), ("llama.cpp", 4),
            ("lmstudio", 3), ("vllm", 3), ("groq", 3), ("mistral", 3), ("deepseek", 3), ("xai", 3), ("grok", 3),
            ("ai", 1), ("llm", 2), ("apikey", 4), ("how", 1), ("smarter", 3), ("better", 1), ("proper", 1), ("key", 1),
            ("get", 1), ("change", 1),
        ],
        phrases: &[
            ("api key", 4), ("lm studio", 3), ("language model", 2), ("set up", 2), ("another model", 2),
            ("the model", 1),
        ],
    },
    Row {
        intent: Intent::Token,
        words: &[
            ("token", 4), ("password", 4), ("auth", 3), ("authentication", 3), ("authenticate", 3), ("login", 3),
            ("secret", 3), ("credential", 3), ("bearer", 3), ("how", 1), ("get", 1), ("find", 1),
        ],
        phrases: &[("log in", 3), ("sign in", 3)],
    },
    Row {
        intent: Intent::RunAsService,
        words: &[
            ("service", 4), ("daemon", 4), ("systemd", 5), ("launchd", 5), ("procd", 5), ("schtask", 5), ("boot", 4),
            ("reboot", 3), ("autostart", 5), ("background", 4), ("install", 2), ("installed", 1), ("automatically", 2),
            ("start", 1), ("restart", 2), ("run", 1), ("running", 1),
        ],
        phrases: &[("on startup", 4), ("always on", 3)],
    },
    Row {
        intent: Intent::Show(Topic::Sessions),
        words: &[
            ("session", 4), ("conversation", 4), ("transcript", 3), ("chat", 3), ("history", 2), ("active", 1),
            ("recent", 1), ("list", 1), ("show", 1), ("open", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Channels),
        words: &[
            ("channel", 4), ("messenger", 4), ("telegram", 4), ("whatsapp", 4), ("discord", 4), ("slack", 4),
            ("signal", 3), ("matrix", 3), ("imessage", 4), ("bot", 2), ("connected", 1), ("linked", 2), ("list", 1),
            ("show", 1), ("message", 1), ("working", 1), ("status", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Models),
        words: &[
            ("model", 4), ("provider", 3), ("llm", 3), ("catalog", 3), ("catalogue", 3), ("available", 1),
            ("default", 1), ("using", 2), ("list", 1), ("show", 1), ("which", 1), ("have", 1), ("installed", 1),
            ("what", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Config),
        words: &[
            ("config", 4), ("configuration", 4), ("setting", 3), ("configured", 3), ("openclaw.json", 5),
            ("invalid", 3), ("valid", 3), ("file", 1), ("check", 1), ("problem", 1), ("error", 1), ("wrong", 1),
            ("where", 1), ("doctor", 3), ("show", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Logs),
        words: &[
            ("log", 4), ("logfile", 4), ("warning", 3), ("error", 3), ("journal", 3), ("happened", 2), ("recent", 1),
            ("last", 1), ("show", 1), ("tail", 2), ("crash", 2), ("crashed", 2), ("failed", 2),
        ],
        phrases: &[("what happened", 2)],
    },
    Row {
        intent: Intent::Show(Topic::Version),
        words: &[
            ("version", 5), ("build", 3), ("release", 3), ("platform", 3), ("update", 3), ("newer", 2), ("which", 1),
            ("architecture", 3), ("os", 2),
        ],
        phrases: &[("operating system", 3)],
    },
    Row {
        intent: Intent::Show(Topic::Network),
        words: &[
            ("port", 4), ("address", 4), ("url", 4), ("listen", 4), ("listening", 4), ("bind", 4), ("bound", 3),
            ("lan", 3), ("ip", 4), ("network", 3), ("tailnet", 3), ("tailscale", 3), ("reach", 2), ("reachable", 3),
            ("where", 1), ("which", 1), ("host", 2), ("hostname", 4),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Tools),
        words: &[
            ("tool", 5), ("execute", 2), ("have", 1), ("list", 1), ("what", 1), ("use", 1), ("available", 1),
            ("skill", 3),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Jobs),
        words: &[
            ("cron", 5), ("job", 4), ("schedule", 4), ("scheduled", 4), ("reminder", 4), ("heartbeat", 4), ("timer", 3),
            ("automation", 4), ("task", 3), ("list", 1), ("next", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Show(Topic::Devices),
        words: &[
            ("device", 4), ("node", 4), ("paired", 4), ("pairing", 4), ("pair", 3), ("approve", 4), ("approval", 4),
            ("pending", 3), ("list", 1), ("waiting", 2), ("phone", 1),
        ],
        phrases: &[],
    },
    Row {
        intent: Intent::Clock,
        words: &[("date", 4), ("clock", 4), ("today", 1), ("timezone", 4)],
        phrases: &[
            ("what time", 4), ("the time", 3), ("current time", 4), ("what day", 4), ("time is", 3), ("time zone", 4),
        ],
    },
    Row {
        intent: Intent::Identity,
        words: &[
            ("ai", 2), ("human", 3), ("robot", 3), ("person", 2), ("real", 1), ("chatgpt", 2), ("claude", 2),
            ("gpt", 2), ("name", 1),
        ],
        phrases: &[
            ("who are you", 6), ("what are you", 6), ("are you a", 2), ("are you an", 2), ("are you", 2),
            ("your name", 5), ("language model", 2), ("who made", 3), ("introduce yourself", 5), ("about yourself", 5),
            ("what is openclaw", 6), ("what is this", 3), ("how do you work", 4),
        ],
    },
    Row {
        intent: Intent::Help,
        words: &[
            ("help", 4), ("command", 4), ("capability", 4), ("feature", 4), ("able", 2), ("usage", 3), ("option", 3),
            ("ability", 3), ("do", 1),
        ],
        phrases: &[
            ("what can you", 5), ("can i ask", 5), ("can you do", 3), ("do you do", 4), ("how do i use you", 5),
            ("get started", 4), ("what now", 4), ("what can i do", 5),
        ],
    },
    Row {
        intent: Intent::Show(Topic::Health),
        words: &[
            ("health", 4), ("healthy", 4), ("healthz", 4), ("status", 4), ("alive", 4), ("ok", 3), ("okay", 3),
            ("well", 2), ("working", 3), ("running", 3), ("broken", 3), ("problem", 3), ("issue", 3), ("ready", 3),
            ("memory", 4), ("ram", 4), ("load", 3), ("state", 3), ("fine", 3), ("doing", 2), ("up", 1), ("wrong", 3),
            ("cpu", 3), ("going", 2), ("summary", 3), ("overview", 3),
        ],
        phrases: &[
            ("how are you", 4), ("are you there", 5), ("how is it going", 4), ("still there", 4), ("are you up", 4),
        ],
    },
    Row {
        intent: Intent::Greeting,
        words: &[
            ("hello", 4), ("hi", 4), ("hey", 4), ("hallo", 4), ("greeting", 4), ("ping", 4), ("test", 3),
            ("testing", 3), ("morning", 1), ("yo", 4), ("moin", 4),
        ],
        phrases: &[("good morning", 4), ("good evening", 4), ("good day", 4), ("good afternoon", 4)],
    },
    Row {
        intent: Intent::Thanks,
        words: &[
            ("thank", 4), ("thx", 4), ("cheers", 4), ("bye", 4), ("goodbye", 4), ("great", 3), ("nice", 3), ("cool", 3),
            ("perfect", 3), ("good", 2), ("job", 1),
        ],
        phrases: &[("thank you", 4), ("see you", 4), ("good night", 4), ("well done", 4)],
    },
];

/// Words that name a provider, as [`words`] leaves them.
const PROVIDERS: &[&str] = &[
    "openai",
    "anthropic",
    "claude",
    "gpt",
    "chatgpt",
    "ollama",
    "openrouter",
    "gemini",
    "google",
    "llama",
    "llama.cpp",
    "lmstudio",
    "vllm",
    "groq",
    "mistral",
    "deepseek",
    "xai",
    "grok",
];

/// Words that say nothing about the matter and therefore do not count against it.
#[rustfmt::skip]
const PLAIN: &[&str] = &[
    "a", "about", "all", "also", "an", "and", "any", "anything", "are", "at", "be", "been", "being", "by", "can",
    "could", "currently", "did", "do", "does", "doe", "everything", "for", "from", "gateway", "give", "has", "hav",
    "have", "having", "here", "how", "i", "if", "in", "into", "is", "it", "its", "just", "kind", "know", "let", "like",
    "look", "machine", "make", "many", "me", "my", "need", "new", "not", "now", "of", "on", "one", "openclaw", "or",
    "other", "our", "out", "please", "print", "right", "see", "server", "should", "so", "some", "something", "tell",
    "than", "that", "the", "their", "them", "then", "there", "these", "they", "thing", "this", "those", "to", "today",
    "us", "via", "want", "was", "we", "what", "when", "which", "while", "who", "why", "will", "with", "work", "would",
    "you", "your", "yourself", "wa", "ha", "much", "more", "access", "own", "instead", "anyone", "dear", "mean",
    "display", "got", "yet", "still", "again", "ever", "local", "current",
];

/// A row needs this much: one strong word, or several weak ones.
const ENOUGH: u32 = 3;

/// A question has fewer; a pasted document is not understood anyway.
const WORDS_CAP: usize = 200;

#[cfg(test)]
mod tests {
    use super::Topic::*;
    use super::*;

    #[test]
    fn ordinary_phrasings_are_understood() {
        let add = |name: &str| Intent::AddProvider((!name.is_empty()).then(|| name.to_string()));
        let cases: Vec<(&str, Intent)> = vec![
            ("Hello!", Intent::Greeting),
            ("hey there", Intent::Greeting),
            ("Good morning", Intent::Greeting),
            ("ping", Intent::Greeting),
            ("thanks a lot", Intent::Unknown),
            ("Thank you!", Intent::Thanks),
            ("Who are you?", Intent::Identity),
            ("What are you, an AI?", Intent::Identity),
            ("Are you a language model?", Intent::Identity),
            ("Are you ChatGPT?", Intent::Identity),
            ("What can you do?", Intent::Help),
            ("help", Intent::Help),
            ("/help", Intent::Help),
            ("What commands do you have?", Intent::Help),
            ("How are you?", Intent::Show(Health)),
            ("is everything ok?", Intent::Show(Health)),
            ("Is the gateway healthy?", Intent::Show(Health)),
            ("/status", Intent::Show(Health)),
            ("show me the status please", Intent::Show(Health)),
            ("How much memory are you using?", Intent::Show(Health)),
            ("are you there?", Intent::Show(Health)),
            ("how long have you been running?", Intent::Uptime),
            ("uptime", Intent::Uptime),
            ("when did you start?", Intent::Uptime),
            ("list my sessions", Intent::Show(Sessions)),
            ("Which conversations are active?", Intent::Show(Sessions)),
            ("Is Telegram connected?", Intent::Show(Channels)),
            ("what channels are there", Intent::Show(Channels)),
            ("Is my WhatsApp working?", Intent::Show(Channels)),
            ("Which models can I use?", Intent::Show(Models)),
            ("what model are you using?", Intent::Show(Models)),
            ("/models", Intent::Show(Models)),
            ("list the available providers", Intent::Show(Models)),
            ("How do I add a provider?", add("")),
            ("how do I add a real model?", add("")),
            ("How can I use Claude?", add("claude")),
            ("How do I connect you to OpenAI?", add("openai")),
            ("I want to use ollama", add("ollama")),
            ("where do I put my API key", Intent::Unknown),
            ("set up an api key", add("")),
            ("Is my config valid?", Intent::Show(Config)),
            ("Where is the configuration file?", Intent::Show(Config)),
            ("what is wrong with my config", Intent::Show(Config)),
            ("show the last errors", Intent::Show(Logs)),
            ("tail the log", Intent::Show(Logs)),
            ("any warnings?", Intent::Show(Logs)),
            ("Which version is this?", Intent::Show(Version)),
            ("version", Intent::Show(Version)),
            ("What port do you listen on?", Intent::Show(Network)),
            ("what's your IP address", Intent::Show(Network)),
            ("How do I connect a client?", Intent::ConnectClient),
            ("how do I connect my phone", Intent::ConnectClient),
            ("Can I use Open WebUI with this?", Intent::ConnectClient),
            ("how do I connect to the gateway with curl", Intent::ConnectClient),
            ("How do I get the token?", Intent::Token),
            ("what's the password", Intent::Token),
            ("where do I find my auth token", Intent::Token),
            ("How do I run this as a service?", Intent::RunAsService),
            ("start automatically at boot", Intent::RunAsService),
            ("install as systemd service", Intent::RunAsService),
            ("What tools do you have?", Intent::Show(Tools)),
            ("list tools", Intent::Show(Tools)),
            ("any cron jobs?", Intent::Show(Jobs)),
            ("which devices are paired?", Intent::Show(Devices)),
            ("are there pending approvals", Intent::Show(Devices)),
            ("What time is it?", Intent::Clock),
            ("what's the date today", Intent::Clock),
            ("", Intent::Help),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .filter(|(text, intent)| *intent != Intent::Unknown && understand(text) != *intent)
            .map(|(text, intent)| format!("{text:?}: {:?} instead of {intent:?}", understand(text)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn general_questions_are_not_mistaken_for_ours() {
        let taken: Vec<_> = [
            "What is the capital of France?",
            "What are the health effects of coffee?",
            "Write a poem about the sea",
            "Translate 'the session is over' into German",
            "Who won the world cup in 2014?",
            "Explain quantum mechanics to a child",
            "What is 17 times 23?",
            "Write a python function that reverses a list",
            "Summarize the history of the Roman Empire",
            "what's a good recipe for tomato soup",
            "asdf qwer zxcv",
        ]
        .into_iter()
        .filter(|text| understand(text) != Intent::Unknown)
        .map(|text| format!("{text:?}: {:?}", understand(text)))
        .collect();
        assert!(taken.is_empty(), "{taken:#?}");
    }
}
