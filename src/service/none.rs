//! A host without a service manager we know: says what to do instead.

use std::path::{Path, PathBuf};

use super::drift::Recorded;
use super::{Manager, Runner, ServiceError, ServiceSpec, ServiceStatus, Stop};

/// `0` is what to do instead.
pub struct None(pub &'static str);

impl None {
    fn refuse<T>(&self) -> Result<T, ServiceError> {
        Err(ServiceError::Unsupported(format!("no service manager found on this host. {}", self.0)))
    }
}

impl Manager for None {
    fn name(&self) -> &'static str {
        "none"
    }

    fn unit(&self, spec: &ServiceSpec) -> String {
        spec.named("openclaw-gateway")
    }

    fn files(&self, _: &ServiceSpec) -> Vec<(PathBuf, String)> {
        Vec::new()
    }

    fn install(&self, _: &ServiceSpec, _: &dyn Runner) -> Result<(), ServiceError> {
        self.refuse()
    }

    fn start(&self, _: &ServiceSpec, _: &dyn Runner) -> Result<(), ServiceError> {
        self.refuse()
    }

    fn stop(&self, _: &ServiceSpec, _: Stop, _: &dyn Runner) -> Result<(), ServiceError> {
        self.refuse()
    }

    fn restart(&self, _: &ServiceSpec, _: &dyn Runner) -> Result<(), ServiceError> {
        self.refuse()
    }

    fn remove(&self, _: &ServiceSpec, _: &dyn Runner) -> Result<(), ServiceError> {
        self.refuse()
    }

    fn status(&self, _: &ServiceSpec, _: &dyn Runner) -> Result<ServiceStatus, ServiceError> {
        Ok(ServiceStatus::default())
    }

    fn recorded(&self, _: &str) -> Recorded {
        Recorded::default()
    }

    fn clean_up(&self, _: &Path) -> Option<String> {
        Option::None
    }
}
