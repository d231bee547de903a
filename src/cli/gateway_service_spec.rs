//! From flags, configuration and environment to the service they mean.
//!
//! Reads the account file and looks for service files; changes nothing.

use std::path::PathBuf;

use super::failure::{Failure, Kind};
use super::output::Shell;
use super::settings::Settings;
use crate::service::{self, Facts, Manager, Scope, ServiceSpec};
use crate::sys::paths::Paths;
use crate::sys::{Env, accounts};

/// A service and the manager it belongs to.
pub struct Desk {
    pub spec: ServiceSpec,
    pub manager: Box<dyn Manager>,
}

impl Desk {
    /// The service of this instance in `scope`.
    pub fn of(settings: &Settings, env: &Env, port: Option<u16>, scope: Scope) -> Result<Desk, Failure> {
        let paths = settings.config.paths.as_deref();
        let paths = paths.ok_or_else(|| Failure::new(Kind::Internal, "this instance has no place on the disk"))?;
        let spec = spec(paths, env, port.unwrap_or(settings.port), scope)?;
        let facts = Facts::of(&spec, env);
        Ok(Desk { manager: service::manager(facts, scope), spec })
    }

    /// The service that is installed: the user's own, or else the host's; the user's when there is none.
    pub fn installed(settings: &Settings, env: &Env) -> Result<Desk, Failure> {
        let user = Desk::of(settings, env, None, Scope::User)?;
        if user.file().is_some() {
            return Ok(user);
        }
        let system = Desk::of(settings, env, None, Scope::System)?;
        Ok(if system.file().is_some() { system } else { user })
    }

    /// The file that defines the service, if it is there.
    pub fn file(&self) -> Option<PathBuf> {
        service::installed(&*self.manager, &self.spec)
    }

    pub fn unit(&self) -> String {
        self.manager.unit(&self.spec)
    }
}

/// With `sudo`, the account that called it: the host's service still belongs to a person.
pub fn of_caller(shell: &Shell) -> Env {
    let env = &shell.env;
    match caller(env) {
        Some(account) if env.get("OPENCLAW_HOME").is_none() => env.with("HOME", &account.home.display().to_string()),
        _ => env.clone(),
    }
}

fn caller(env: &Env) -> Option<accounts::Account> {
    let name = env.get("SUDO_USER").filter(|name| *name != "root" && accounts::own_uid() == 0)?;
    accounts::named(&accounts::passwd(), name)
}

fn spec(paths: &Paths, env: &Env, port: u16, scope: Scope) -> Result<ServiceSpec, Failure> {
    let program = std::env::current_exe()
        .map_err(|failed| Failure::new(Kind::Internal, format!("find the program's own file: {failed}")))?;
    let own = accounts::own_uid();
    let account = match scope {
        Scope::System => caller(env),
        Scope::User => None,
    };
    let account = account.or_else(|| accounts::numbered(&accounts::passwd(), own));
    let (user, uid) = match (account, env.get("USERNAME"), env.get("USER")) {
        (Some(account), ..) => (account.name, account.uid),
        (None, Some(name), _) if cfg!(windows) => {
            let domain = env.get("USERDOMAIN").map(|domain| format!("{domain}\\")).unwrap_or_default();
            (format!("{domain}{name}"), 0)
        }
        (None, _, Some(name)) => (name.to_owned(), own),
        (None, _, None) => (own.to_string(), own),
    };
    Ok(ServiceSpec {
        profile: paths.profile.clone(),
        scope,
        program,
        port,
        config: paths.config.clone(),
        state_dir: paths.state_dir.clone(),
        workspace: paths.workspace.clone(),
        home: paths.home.clone(),
        user,
        uid,
        config_home: env.get("XDG_CONFIG_HOME").map_or_else(|| paths.home.join(".config"), PathBuf::from),
        app_data: env.get("APPDATA").map(PathBuf::from).unwrap_or_default(),
        root: env.get(ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from),
    })
}

/// Where the host's own directories begin, for images that are built and for tests.
pub const ROOT: &str = "OPENCLAW_SERVICE_ROOT";
