//! The `lua_ssl_*` directives of a location, and what is made of them.
//!
//! Errors are complete messages, in nginx's and OpenSSL's words where they have any: nginx finds them where levels are merged,
//! so no line number stands behind them.
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use rustls::client::{ClientConfig, ClientConnection, ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;

use super::load::PemFile;
use super::proof::{Keys, NOTHING};
use super::session::Session;
use super::stream::Tls;
use super::verify::{Refused, Revoked, Rules, Trust, is_for};
use super::{UNSUPPORTED, choice, is_supported, load};
use crate::cosocket::Outlet;

/// Versions of the protocol, as bits: those that `lua_ssl_protocols` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols(pub u8);

impl Protocols {
    /// The names and their bits; the first ones are too old for us.
    pub const NAMES: [(&str, u8); 6] =
        [("SSLv2", 1), ("SSLv3", 2), ("TLSv1", 4), ("TLSv1.1", 8), ("TLSv1.2", 16), ("TLSv1.3", 32)];
    pub(super) const OURS: u8 = 16 | 32;
}

/// Where `lua_ssl_key_log` writes to.
pub trait KeyLines: std::fmt::Debug + Send + Sync {
    fn write(&self, line: &[u8]);
}

/// What the directives say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub protocols: Option<Protocols>,
    pub ciphers: Option<String>,
    pub certificate: Option<PemFile>,
    pub certificate_key: Option<PemFile>,
    pub trusted: Option<PemFile>,
    pub revoked: Option<PemFile>,
    pub depth: Option<usize>,
    pub key_log: Option<Arc<dyn KeyLines>>,
    pub commands: Option<Arc<[(String, String)]>>,
}

/// (A key log is the same if it is the same object.)
impl PartialEq for Settings {
    fn eq(&self, other: &Settings) -> bool {
        let key_log = |s: &Settings| s.key_log.as_ref().map(|log| Arc::as_ptr(log).cast::<()>());
        self.protocols == other.protocols
            && self.ciphers == other.ciphers
            && self.certificate == other.certificate
            && self.certificate_key == other.certificate_key
            && self.trusted == other.trusted
            && self.revoked == other.revoked
            && self.depth == other.depth
            && self.commands == other.commands
            && key_log(self) == key_log(other)
    }
}

/// How cosockets of some locations do TLS.
pub struct Client {
    config: ClientConfig,
    trust: Option<Trust>,
    revoked: Vec<Revoked>,
    depth: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// What one handshake is to be like.
pub(crate) struct Ask {
    pub session: Arc<Session>,
    /// For SNI.
    pub name: Option<String>,
    /// What to show to the server if it asks; None: what the configuration says.
    pub credentials: Option<Arc<dyn ResolvesClientCert>>,
}

impl Client {
    /// What there is without any directive.
    pub fn standard() -> Arc<Client> {
        static STANDARD: LazyLock<Arc<Client>> =
            LazyLock::new(|| Arc::new(Client::new(&Settings::default()).expect("it names no file and no cipher")));
        STANDARD.clone()
    }

    pub fn new(settings: &Settings) -> Result<Client, String> {
        let Settings { protocols, ciphers, certificate, certificate_key, trusted, revoked, depth, key_log, commands } =
            settings;
        let mut choice = choice::Choice::new();
        if let Some(Protocols(bits)) = protocols {
            choice.protocols = *bits;
        }
        if let Some(list) = ciphers {
            let list =
                choice::select(list).map_err(|why| format!("SSL_CTX_set_cipher_list(\"{list}\") failed ({why})"))?;
            choice.old = list;
        }
        let credentials = match (certificate, certificate_key) {
            (Some(certificate), None) => {
                let path = &certificate.path;
                return Err(format!("no \"lua_ssl_certificate_key\" is defined for certificate \"{path}\""));
            }
            (Some(certificate), Some(key)) => Some(load::credentials(certificate, key)?),
            (None, _) => None,
        };
        let trust = trusted.as_ref().map(load::trust).transpose()?;
        let revoked = revoked.as_ref().map_or(Ok(Vec::new()), load::revoked)?;
        for (name, value) in commands.iter().flat_map(|commands| commands.iter()) {
            choice
                .command(name, value)
                .map_err(|why| format!("SSL_CONF_cmd(\"{name}\", \"{value}\") failed (SSL: {why})"))?;
        }
        let mut config = choice.config()?;
        config.client_auth_cert_resolver = credentials.unwrap_or_else(|| NOTHING.clone());
        if let Some(log) = key_log {
            config.key_log = Arc::new(Keys(log.clone()));
        }
        Ok(Client { config, trust, revoked, depth: depth.unwrap_or(1) })
    }

    /// Begins TLS over a stream. Err: what Lua is told, and what the log is.
    pub(crate) fn begin(&self, outlet: Rc<Outlet>, ask: Ask) -> Result<Tls, (&'static str, Option<&'static str>)> {
        if !is_supported() {
            return Err(("failed to create ssl connection", Some(UNSUPPORTED)));
        }
        let name = match ask.name {
            Some(name) => ServerName::try_from(name).map_err(|_| ("SSL_set_tlsext_host_name failed", None))?,
            // (an address is never sent)
            None => ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        let mut config = self.config.clone();
        config.resumption = Resumption::store(ask.session.clone());
        if let Some(credentials) = ask.credentials {
            config.client_auth_cert_resolver = credentials;
        }
        let connection = ClientConnection::new(Arc::new(config), name);
        let connection = connection.map_err(|_| ("failed to create ssl connection", None))?;
        Ok(Tls::new(outlet, connection, ask.session))
    }

    /// Whether what a server showed is to be believed; `trust` instead of the configuration's.
    pub(crate) fn verify(&self, tls: &Tls, trust: Option<&Trust>) -> Result<(), Refused> {
        let rules = Rules { trust: trust.or(self.trust.as_ref()), revoked: &self.revoked, depth: self.depth };
        rules.check(&tls.chain())
    }
    pub(crate) fn is_for(tls: &Tls, host: &str) -> bool {
        is_for(&tls.chain(), host)
    }
}
