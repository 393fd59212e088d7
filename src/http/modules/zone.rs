//! Named zones of the limiting modules: a directive may name one before it is defined.

use std::sync::{Arc, OnceLock};

#[derive(Debug)]
pub struct Zone<D> {
    pub name: String,
    pub defined: OnceLock<D>,
}

/// A configuration's zones of one module.
pub struct Zones<D>(Vec<Arc<Zone<D>>>);

impl<D> Default for Zones<D> {
    fn default() -> Self {
        Zones(Vec::new())
    }
}

impl<D> Zones<D> {
    /// The zone of that name, which may be defined further down.
    pub fn named(&mut self, name: &str) -> Arc<Zone<D>> {
        if let Some(zone) = self.0.iter().find(|zone| zone.name == name) {
            return zone.clone();
        }
        let zone = Arc::new(Zone { name: name.to_string(), defined: OnceLock::new() });
        self.0.push(zone.clone());
        zone
    }
    /// A name that nothing has defined.
    pub fn undefined(&self) -> Option<&str> {
        self.0.iter().find(|zone| zone.defined.get().is_none()).map(|zone| zone.name.as_str())
    }
}
