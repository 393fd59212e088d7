//! What is known of a server from earlier handshakes: `sslhandshake` gives it out, and takes it back to save work.
//!
//! A connection that resumes a session goes on with it: what the server hands out later (with TLS 1.3 it does so behind the
//! handshake, and each ticket serves once) is found under the same object.
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

#[derive(Default)]
pub(crate) struct Session(Mutex<Known>);

#[derive(Default)]
struct Known {
    group: Option<NamedGroup>,
    old: Option<Tls12ClientSessionValue>,
    tickets: VecDeque<Tls13ClientSessionValue>,
}

/// Tickets that are kept: servers send two at a time.
const TICKETS: usize = 4;

impl Session {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether a handshake could make use of it.
    pub fn is_resumable(&self) -> bool {
        let known = self.known();
        known.old.is_some() || !known.tickets.is_empty()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// (One object, one server: the name is not looked at.)
impl ClientSessionStore for Session {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.known().group = Some(group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.known().group
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.known().old = Some(value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.known().old.clone()
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.known().old = None;
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut known = self.known();
        if known.tickets.len() >= TICKETS {
            known.tickets.pop_front();
        }
        known.tickets.push_back(value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.known().tickets.pop_back()
    }
}
