//! The seam to live data: what the helper may know of the gateway it runs in.
//!
//! The composer implements [`Facts`]; this side only asks and words the answer.

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Overall state: well or not, uptime, connected clients, running turns, memory.
    Health,
    /// Recent sessions: key, model, last activity, tokens.
    Sessions,
    /// Messengers and their state.
    Channels,
    /// Models that can be used, the default first; providers that cannot, with the reason.
    Models,
    /// Where the configuration file is, and what is wrong with it.
    Config,
    /// The last warnings and errors of the log, and where the file is.
    Logs,
    /// Version, build, platform.
    Version,
    /// Bind address, port, URLs, how clients authenticate; never the token itself.
    Network,
    /// Whether a service is installed and by which manager.
    Service,
    /// Tools the agent has.
    Tools,
    /// Scheduled jobs.
    Jobs,
    /// Paired devices and nodes, and requests that wait for approval.
    Devices,
}

/// One labelled value, for example `Uptime: 3 h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub label: String,
    pub value: String,
}

/// What is known about a topic. Empty means that nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactSheet {
    pub facts: Vec<Fact>,
    /// Whole lines shown after the facts: list entries, problems, log lines.
    pub lines: Vec<String>,
}

/// Live data about the gateway. Called on a run's thread; may ask the state thread, must come back within a second.
///
/// Labels are free, except those that answers are built from: `Uptime` (Health), `File` (Config: path of the
/// configuration file), `URL` (Network: `http://host:port`) and `Auth` (Network: the mode). Values never hold secrets.
pub trait Facts: Send + Sync {
    fn gather(&self, topic: Topic) -> FactSheet;
}

/// Knows nothing: for tests, and for running the model outside a gateway.
pub struct NoFacts;

impl Facts for NoFacts {
    fn gather(&self, _topic: Topic) -> FactSheet {
        FactSheet::default()
    }
}

impl FactSheet {
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.lines.is_empty()
    }

    /// Adds a labelled value.
    pub fn fact(mut self, label: impl Into<String>, value: impl ToString) -> FactSheet {
        self.facts.push(Fact { label: label.into(), value: value.to_string() });
        self
    }

    /// Adds a line.
    pub fn line(mut self, line: impl Into<String>) -> FactSheet {
        self.lines.push(line.into());
        self
    }

    /// The value with this label.
    pub fn get(&self, label: &str) -> Option<&str> {
        self.facts.iter().find(|fact| fact.label.eq_ignore_ascii_case(label)).map(|fact| fact.value.as_str())
    }
}
