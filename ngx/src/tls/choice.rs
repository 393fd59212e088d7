//! Which protocols, ciphers and groups are enabled: `lua_ssl_protocols`, `lua_ssl_ciphers` and `lua_ssl_conf_command` together.
use std::sync::Arc;

use rustls::client::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, version};

use super::client::Protocols;
use super::proof::PROOF;
use super::{provider, suites};

/// What a list of ciphers selects. Err: why that is nothing.
pub(super) fn select(list: &str) -> Result<Vec<CipherSuite>, String> {
    match suites::select(list) {
        none if none.is_empty() => {
            let names = suites::names();
            Err(format!("SSL: error:0A0000B9:SSL routines::no cipher match; there are {names}"))
        }
        some => Ok(some),
    }
}

/// What is enabled.
pub(super) struct Choice {
    pub protocols: u8,
    pub old: Vec<CipherSuite>,
    modern: Vec<CipherSuite>,
    groups: Option<Vec<NamedGroup>>,
}

impl Choice {
    pub fn new() -> Choice {
        let ids = |modern: bool| suites::SUITES.iter().filter(move |s| s.is_modern() == modern).map(|s| s.id).collect();
        Choice { protocols: Protocols::OURS, old: ids(false), modern: ids(true), groups: None }
    }

    /// One of SSL_CONF_cmd(3)'s commands. Err: OpenSSL's words.
    pub fn command(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = || format!("error:0A000180:SSL routines::bad value:cmd={name}, value={value}");
        let versions = || Protocols::NAMES.iter().position(|(known, _)| known.eq_ignore_ascii_case(value));
        match name.to_ascii_lowercase().as_str() {
            "cipherstring" => {
                let chosen = suites::select(value);
                if chosen.is_empty() {
                    return Err(format!("error:0A0000B9:SSL routines::no cipher match {}", bad()));
                }
                self.old = chosen;
            }
            "ciphersuites" => {
                let chosen = suites::select_modern(value);
                let none = || format!("error:0A0000B9:SSL routines::no cipher match {}", bad());
                self.modern = chosen.ok_or_else(none)?;
            }
            "minprotocol" => {
                let at = versions().ok_or_else(bad)?;
                self.protocols &= !((1 << at) - 1);
            }
            "maxprotocol" => {
                let at = versions().ok_or_else(bad)?;
                self.protocols &= (2 << at) - 1;
            }
            "protocol" => {
                for item in value.split(',') {
                    let (off, item) = match item.strip_prefix('-') {
                        Some(item) => (true, item),
                        None => (false, item.strip_prefix('+').unwrap_or(item)),
                    };
                    let known = Protocols::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(item));
                    let bits = match known {
                        Some((_, bit)) => *bit,
                        None if item.eq_ignore_ascii_case("ALL") => 63,
                        None => return Err(bad()),
                    };
                    if off { self.protocols &= !bits } else { self.protocols |= bits }
                }
            }
            "groups" | "curves" => self.groups = Some(suites::groups(value).ok_or_else(bad)?),
            // Those that only a server looks at, or that rustls could not do otherwise.
            "options" => {
                const HARMLESS: [&str; 6] = [
                    "PrioritizeChaCha",
                    "ServerPreference",
                    "NoRenegotiation",
                    "EncryptThenMac",
                    "ExtendedMasterSecret",
                    "Bugs",
                ];
                if !value.split(',').all(|item| HARMLESS.iter().any(|known| known.eq_ignore_ascii_case(item))) {
                    return Err(bad());
                }
            }
            _ => return Err(format!("error:0A000182:SSL routines::unknown cmd name:cmd={name}")),
        }
        Ok(())
    }

    pub fn config(self) -> Result<ClientConfig, String> {
        let whole = provider();
        let wanted = |id: &CipherSuite| whole.cipher_suites.iter().find(|suite| suite.suite() == *id).copied();
        let on = |bit: u8, list: &[CipherSuite]| self.protocols & bit != 0 && !list.is_empty();
        let (old, modern) = (on(16, &self.old), on(32, &self.modern));
        if !old && !modern {
            return Err("no SSL protocol is enabled that is available: there are TLSv1.2 and TLSv1.3".into());
        }
        let mut versions = Vec::new();
        let mut ids = Vec::new();
        if modern {
            versions.push(&version::TLS13);
            ids.extend_from_slice(&self.modern);
        }
        if old {
            versions.push(&version::TLS12);
            ids.extend_from_slice(&self.old);
        }
        let cipher_suites = ids.iter().filter_map(wanted).collect();
        let kx_groups = match &self.groups {
            None => whole.kx_groups.clone(),
            Some(groups) => {
                let find = |name: &NamedGroup| whole.kx_groups.iter().find(|group| group.name() == *name).copied();
                groups.iter().filter_map(find).collect()
            }
        };
        let provider = Arc::new(CryptoProvider { cipher_suites, kx_groups, ..CryptoProvider::clone(whole) });
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions);
        let builder = builder.map_err(|e| format!("the SSL protocols cannot be enabled: {e}"))?;
        Ok(builder.dangerous().with_custom_certificate_verifier(PROOF.clone()).with_no_client_auth())
    }
}
