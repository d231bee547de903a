//! The `auth` section: which credentials a model provider may be called with, and in what order.
//!
//! A profile says where its key or token is kept and never what it is. Using them, and resting one that was refused, is
//! the providers' business.

use serde::Deserialize;

use super::check::Problem;
use super::json5::Place;
use super::{Config, Unresolved};
use crate::sys::order;
use crate::sys::secret::Secret;
use crate::wire::object::objects;
use crate::wire::sorted::Sorted;

objects! { kept:
    /// `auth.*`.
    #[derive(Debug, Clone, Default)]
    pub struct ProfilesConfig {
        pub profiles: Sorted<String, AuthProfile>,
        /// Provider to profiles, first choice first.
        pub order: Sorted<String, Vec<String>>,
    }

    /// `auth.profiles.<id>.*`.
    #[derive(Debug, Clone, Default)]
    pub struct AuthProfile {
        pub provider: String,
        pub mode: ProfileMode,
        pub key_ref: Option<Secret>,
        pub token_ref: Option<Secret>,
        /// Milliseconds since 1970.
        pub expires: Option<u64>,
    }
}

/// `auth.profiles.<id>.mode`. The order is the order of preference when none is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum ProfileMode {
    #[serde(rename = "oauth")]
    Oauth,
    #[serde(rename = "token")]
    Token,
    #[default]
    #[serde(rename = "api_key")]
    ApiKey,
    #[serde(rename = "aws-sdk")]
    AwsSdk,
}

impl AuthProfile {
    /// What the profile is called with.
    pub fn credential(&self) -> Option<&Secret> {
        match self.mode {
            ProfileMode::ApiKey => self.key_ref.as_ref(),
            ProfileMode::Token => self.token_ref.as_ref(),
            ProfileMode::Oauth | ProfileMode::AwsSdk => None,
        }
    }
}

impl Config {
    /// The profiles of a provider, first choice first: as `auth.order` says, else tokens before keys, by name.
    pub fn auth_profiles(&self, provider: &str) -> Vec<(&str, &AuthProfile)> {
        let own = |id: &str| self.auth.profiles.get_key_value(id).filter(|(_, own)| own.provider == provider);
        if let Some(order) = self.auth.order.get(provider) {
            return order.iter().filter_map(|id| own(id)).map(|(id, profile)| (id.as_str(), profile)).collect();
        }
        let mut all: Vec<(&str, &AuthProfile)> =
            self.auth.profiles.keys().filter_map(|id| own(id)).map(|(id, profile)| (id.as_str(), profile)).collect();
        order::by_key(&mut all, |(_, profile)| profile.mode);
        all
    }
}

/// What cannot be meant: a reference in a mode that has none, an order that names nobody.
pub fn contradictions(config: &Config, unresolved: &[Unresolved], at: Place) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (id, profile) in &config.auth.profiles {
        let path = super::keys::join("auth.profiles", id);
        let has = |key: &str, value: &Option<Secret>| {
            let own = super::keys::join(&path, key);
            value.is_some() || unresolved.iter().any(|missing| missing.path == own)
        };
        let (key, token) = (has("keyRef", &profile.key_ref), has("tokenRef", &profile.token_ref));
        let message = match profile.mode {
            ProfileMode::ApiKey if token => "mode api_key takes keyRef, not tokenRef",
            ProfileMode::Token if key => "mode token takes tokenRef, not keyRef",
            ProfileMode::Oauth | ProfileMode::AwsSdk if key || token => "this mode takes neither keyRef nor tokenRef",
            _ => continue,
        };
        problems.push(Problem { at, path, message: message.to_owned() });
    }
    for (provider, order) in &config.auth.order {
        for id in order {
            let path = super::keys::join("auth.order", provider);
            let message = match config.auth.profiles.get(id) {
                None => format!("names {id:?}, which is not in auth.profiles"),
                Some(profile) if profile.provider != *provider => {
                    format!("names {id:?}, which is a profile of {:?}", profile.provider)
                }
                Some(_) => continue,
            };
            problems.push(Problem { at, path, message });
        }
    }
    problems
}
