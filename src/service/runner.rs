//! Runs a command of the host: the seam between the managers and the machine.

use std::time::Duration;

use super::ServiceError;
use crate::sys::Env;
use crate::sys::abort::Abort;
use crate::sys::child::{self, Spec};

/// What a command answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `None` when it was ended by a signal or by the time limit.
    pub code: Option<i32>,
    /// Both streams, in order; at most [`OUTPUT`] bytes.
    pub text: String,
}

impl Said {
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs one command to its end. Tests record the commands and play the answers.
pub trait Runner {
    fn run(&self, argv: &[&str]) -> Result<Said, ServiceError>;
}

/// This host.
pub struct Host {
    env: Env,
}

impl Host {
    /// Commands see this environment, without its secrets, and answer in English.
    pub fn new(env: &Env) -> Host {
        Host { env: env.with("LC_ALL", "C") }
    }
}

impl Runner for Host {
    fn run(&self, argv: &[&str]) -> Result<Said, ServiceError> {
        let spec = Spec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: None,
            base: self.env.clone(),
            extra: Vec::new(),
            time_limit: TIME,
            output_cap: OUTPUT,
        };
        let outcome = child::run(&spec, &Abort::new(), &mut |_| {})
            .map_err(|source| ServiceError::Start { line: line(argv), source })?;
        let code = outcome.exit_code.filter(|_| !outcome.timed_out);
        Ok(Said { code, text: outcome.output })
    }
}

/// Runs a command that must succeed.
pub fn must(run: &dyn Runner, argv: &[&str]) -> Result<String, ServiceError> {
    let said = run.run(argv)?;
    if said.ok() {
        return Ok(said.text);
    }
    Err(ServiceError::Command { line: line(argv), code: said.code, said: said.text })
}

/// The command as a person would type it.
pub fn line(argv: &[&str]) -> String {
    let quoted = |word: &&str| match word.contains([' ', '(', ')', '{', '"']) {
        true => format!("'{word}'"),
        false => (*word).to_owned(),
    };
    argv.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The units give a start 30 s and a stop 30 s, and the managers wait for them.
const TIME: Duration = Duration::from_secs(75);
/// Bytes; what the managers say about one service fits many times.
pub const OUTPUT: usize = 64 << 10;

#[cfg(test)]
pub mod recorded {
    //! A host that only writes down what it is asked.

    use std::cell::RefCell;

    use super::*;

    /// Answers commands by the first row whose words begin the line; everything else succeeds silently.
    #[derive(Default)]
    pub struct Recorder {
        answers: Vec<(&'static str, i32, &'static str)>,
        lines: RefCell<Vec<String>>,
    }

    impl Recorder {
        pub fn new(answers: &[(&'static str, i32, &'static str)]) -> Recorder {
            Recorder { answers: answers.to_vec(), lines: RefCell::default() }
        }

        /// The commands since the last look.
        pub fn lines(&self) -> Vec<String> {
            self.lines.take()
        }
    }

    impl Runner for Recorder {
        fn run(&self, argv: &[&str]) -> Result<Said, ServiceError> {
            let line = line(argv);
            let answer = self.answers.iter().find(|(words, ..)| line.starts_with(words));
            self.lines.borrow_mut().push(line.clone());
            let (code, text) = answer.map_or((0, ""), |(_, code, text)| (*code, *text));
            Ok(Said { code: Some(code), text: text.to_owned() })
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn this_host_answers_with_code_and_both_streams() {
        let host = Host::new(&Env::of_process());
        let said = host.run(&["/bin/sh", "-c", "echo out; echo err >&2; echo $LC_ALL; exit 3"]).unwrap();
        assert_eq!(said, Said { code: Some(3), text: "out\nerr\nC\n".to_owned() });
        let refused = must(&host, &["/bin/sh", "-c", "echo no; exit 1"]).unwrap_err();
        assert_eq!(refused.to_string(), "/bin/sh -c 'echo no; exit 1' failed (1): no");
        let missing = host.run(&["/no/such", "word"]).unwrap_err();
        assert_eq!(missing.to_string(), "run /no/such word");
    }
}
