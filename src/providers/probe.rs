//! Does a provider answer, with each of its credentials? Asked for a few words, because a list of models says nothing
//! about a key's limits or an empty account.
//!
//! Deliberately goes around the retries and the rests of [`super::rotation`]: the question is how it is now.
//!
//! Invariants: all credentials together take at most the given time; nothing is asked twice; no error holds a key.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use super::registry::{Choice, Registry};
use super::{Message, Part, Provider, ProviderError, Sampling, Turn};
use crate::sys::abort::Abort;
use crate::sys::{clock, order};

/// Enough to see that words come; some endpoints refuse fewer.
const TOKENS: u32 = 16;
/// Asked side by side; further credentials are not asked.
const CREDENTIALS_MAX: usize = 16;
/// The caller of a provider, TLS included.
const STACK: usize = crate::sys::stack(256 << 10);

/// What came of one credential.
#[derive(Debug)]
pub struct Probed {
    /// The profile it is of; `None` for the provider's own key, or none.
    pub profile: Option<String>,
    /// Until the first words, in milliseconds.
    pub latency_ms: u64,
    pub outcome: Result<(), ProviderError>,
}

/// Asks `model` of `provider` with every credential, or with that of one profile; in the order of their use. Empty when
/// there is no such provider or profile.
pub fn all(registry: &Registry, provider: &str, profile: Option<&str>, model: &str, patience: Duration) -> Vec<Probed> {
    let mut choices = registry.choices(provider);
    choices.retain(|choice| profile.is_none() || choice.profile.as_deref() == profile);
    choices.truncate(CREDENTIALS_MAX);
    let abort = Abort::new();
    let (sender, answers) = bounded(choices.len());
    let mut rows: Vec<(usize, Probed)> = Vec::new();
    for (at, choice) in choices.iter().enumerate() {
        let (sender, abort, model, choice) = (sender.clone(), abort.clone(), model.to_owned(), choice.clone());
        let thread = std::thread::Builder::new().name(format!("probe {at}")).stack_size(STACK);
        let profile = choice.profile.clone();
        let started = thread.spawn(move || {
            // After the deadline nobody listens any more.
            let _ = sender.send((at, one(choice, &model, &abort)));
        });
        if let Err(error) = started {
            let outcome = Err(ProviderError::Connect { url: String::new(), cause: format!("no thread: {error}") });
            rows.push((at, Probed { profile, latency_ms: 0, outcome }));
        }
    }
    drop(sender);
    let end = Instant::now() + patience;
    while let Ok(row) = answers.recv_deadline(end) {
        rows.push(row);
    }
    abort.fire();
    let after_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    for (at, choice) in choices.into_iter().enumerate() {
        if !rows.iter().any(|row| row.0 == at) {
            let outcome = Err(ProviderError::Timeout { what: "probe", after_ms });
            rows.push((at, Probed { profile: choice.profile, latency_ms: after_ms, outcome }));
        }
    }
    order::by_key(&mut rows, |row| row.0);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn one(choice: Choice, model: &str, abort: &Abort) -> Probed {
    let began = Instant::now();
    let expired = choice.expires.is_some_and(|expires| expires <= clock::now_ms());
    let outcome = match choice.provider {
        Ok(_) if expired => Err(ProviderError::NoCredentials {
            provider: choice.profile.clone().unwrap_or_default(),
            hint: "it has expired: give the profile a new one".to_owned(),
        }),
        Ok(provider) => ask(&provider, model, abort),
        Err(error) => Err(error),
    };
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Probed { profile: choice.profile, latency_ms, outcome }
}

/// The first words are answer enough; the rest is not waited for.
fn ask(provider: &Arc<dyn Provider>, model: &str, abort: &Abort) -> Result<(), ProviderError> {
    let turn = Turn {
        model: model.to_owned(),
        messages: vec![Message::User(vec![Part::Text("Reply with OK.".into())])],
        sampling: Sampling { max_tokens: Some(TOKENS), ..Sampling::default() },
        session_key: "probe".to_owned(),
        ..Turn::default()
    };
    let mut heard = false;
    let answered = provider.chat(&turn, abort, &mut |_| {
        heard = true;
        ControlFlow::Break(())
    });
    if heard { Ok(()) } else { answered.map(drop) }
}

#[cfg(test)]
mod tests {
    use super::super::builtin::NoFacts;
    use super::super::error::FailureKind;
    use super::super::fake::{Act, Fake, LIMIT, events, json};
    use super::super::registry::Join;
    use super::super::settings::{Api, Profile};
    use super::*;
    use crate::sys::secret::Secret;

    fn registry(fake: &Fake, profiles: &[(&str, Option<u64>)]) -> Registry {
        let mut settings = fake.settings(Api::default());
        let profile = |(id, expires): &(&str, Option<u64>)| Profile {
            id: id.to_string(),
            credential: Secret::new(format!("sk-{id}")),
            expires: *expires,
        };
        settings.profiles = profiles.iter().map(profile).collect();
        Registry::build(vec![settings], Join::Known, &|_| None, Arc::new(NoFacts))
    }

    fn words() -> Vec<Act> {
        events(&[r#"{"choices":[{"delta":{"content":"OK"}}]}"#, "[DONE]"])
    }

    #[test]
    fn the_first_words_are_enough() {
        let fake = Fake::start(vec![words()]);
        let rows = all(&registry(&fake, &[]), "stub", None, "m", LIMIT);
        assert!(matches!(&rows[..], [Probed { profile: None, outcome: Ok(()), .. }]), "{rows:?}");
        let request = fake.requests.recv().expect("asked");
        assert!(request.contains("\"m\"") && request.contains("16"), "{request}");
        assert!(all(&registry(&fake, &[]), "nobody", None, "m", LIMIT).is_empty());
    }

    #[test]
    fn every_credential_is_asked_and_none_is_asked_again() {
        let refused = json("401 Unauthorized", r#"{"error":{"message":"wrong key"}}"#);
        let fake = Fake::start(vec![refused]);
        let rows = all(&registry(&fake, &[("a", None), ("old", Some(1))]), "stub", None, "m", LIMIT);
        let kinds: Vec<_> = rows.iter().map(|row| row.outcome.as_ref().map_err(ProviderError::kind)).collect();
        assert_eq!(kinds, [Err(FailureKind::Auth), Err(FailureKind::Auth)]);
        let names: Vec<_> = rows.iter().map(|row| row.profile.as_deref().expect("a profile")).collect();
        assert_eq!((names, fake.requests.len()), (vec!["a", "old"], 1), "an expired one is not sent");
        assert!(all(&registry(&fake, &[("a", None)]), "stub", Some("b"), "m", LIMIT).is_empty());
    }

    #[test]
    fn silence_ends_with_the_patience() {
        let fake = Fake::start(vec![vec![Act::Silence]]);
        let rows = all(&registry(&fake, &[]), "stub", None, "m", Duration::from_millis(50));
        assert_eq!(rows[0].outcome.as_ref().map_err(ProviderError::kind), Err(FailureKind::Timeout));
        fake.silences.recv().expect("reached");
        fake.silences.recv_timeout(LIMIT).expect("the call was given up");
    }
}
