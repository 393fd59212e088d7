//! The `lua_ssl_*` directives of a location, and what is made of them.
//!
//! Errors are complete messages, in nginx's and OpenSSL's words where they have any: nginx finds them where levels are merged,
//! so no line number stands behind them.
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, DigitallySignedStruct, Error, KeyLog, NamedGroup, PeerMisbehaved, SignatureScheme, version};
use webpki::RawPublicKeyEntity;

use super::der::Certificate;
use super::session::Session;
use super::stream::Tls;
use super::verify::{Refused, Revoked, Rules, Trust, is_for};
use super::{Chain, Key, UNSUPPORTED, is_supported, provider, suites};
use crate::stream::Stream;

/// Versions of the protocol, as bits: those that `lua_ssl_protocols` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols(pub u8);

impl Protocols {
    /// The names and their bits; the first ones are too old for us.
    pub const NAMES: [(&str, u8); 6] =
        [("SSLv2", 1), ("SSLv3", 2), ("TLSv1", 4), ("TLSv1.1", 8), ("TLSv1.2", 16), ("TLSv1.3", 32)];
    const OURS: u8 = 16 | 32;
}

/// A file as it was read, or why it could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    pub path: String,
    /// Err: the system's number and words for it.
    pub bytes: Result<Arc<[u8]>, (i32, String)>,
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
        let mut choice = Choice::new();
        if let Some(Protocols(bits)) = protocols {
            choice.protocols = *bits;
        }
        if let Some(list) = ciphers {
            let list = select(list).map_err(|why| format!("SSL_CTX_set_cipher_list(\"{list}\") failed ({why})"))?;
            choice.old = list;
        }
        let credentials = match (certificate, certificate_key) {
            (Some(certificate), None) => {
                let path = &certificate.path;
                return Err(format!("no \"lua_ssl_certificate_key\" is defined for certificate \"{path}\""));
            }
            (Some(certificate), Some(key)) => Some(load_credentials(certificate, key)?),
            (None, _) => None,
        };
        let trust = trusted.as_ref().map(load_trust).transpose()?;
        let revoked = revoked.as_ref().map_or(Ok(Vec::new()), load_revoked)?;
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
    pub(crate) fn begin(&self, stream: Stream, ask: Ask) -> Result<Tls, (&'static str, Option<&'static str>)> {
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
        Ok(Tls::new(stream, connection, ask.session))
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

fn select(list: &str) -> Result<Vec<CipherSuite>, String> {
    match suites::select(list) {
        none if none.is_empty() => {
            let names = suites::names();
            Err(format!("SSL: error:0A0000B9:SSL routines::no cipher match; there are {names}"))
        }
        some => Ok(some),
    }
}

/// What is enabled.
struct Choice {
    protocols: u8,
    old: Vec<CipherSuite>,
    modern: Vec<CipherSuite>,
    groups: Option<Vec<NamedGroup>>,
}

impl Choice {
    fn new() -> Choice {
        let ids = |modern: bool| suites::SUITES.iter().filter(move |s| s.is_modern() == modern).map(|s| s.id).collect();
        Choice { protocols: Protocols::OURS, old: ids(false), modern: ids(true), groups: None }
    }

    /// One of SSL_CONF_cmd(3)'s commands. Err: OpenSSL's words.
    fn command(&mut self, name: &str, value: &str) -> Result<(), String> {
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

    fn config(self) -> Result<ClientConfig, String> {
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

fn load_credentials(certificate: &PemFile, key: &PemFile) -> Result<Arc<dyn ResolvesClientCert>, String> {
    let chain = {
        let path = &certificate.path;
        let failed = |why: &str| format!("cannot load certificate \"{path}\": {why}");
        let text = certificate
            .bytes
            .as_ref()
            .map_err(|e| failed(&format!("BIO_new_file() failed (SSL: {})", open(path, e))))?;
        Chain::from_pem(text).map_err(|call| {
            let none = !text.windows(5).any(|five| five == b"-----");
            failed(&format!("{call} (SSL: {})", if none { NO_START } else { NOT_WELL_FORMED }))
        })?
    };
    let path = &key.path;
    let failed = |why: &str| format!("cannot load certificate key \"{path}\": {why}");
    let text = key.bytes.as_ref().map_err(|e| failed(&format!("BIO_new_file() failed (SSL: {})", open(path, e))))?;
    if !is_supported() {
        return Err(failed(UNSUPPORTED));
    }
    let key = Key::from_pem(text).map_err(|call| {
        let why = "error:1E08010C:DECODER routines::unsupported:No supported data to decode. Input type: PEM";
        failed(&format!("{call} (SSL: {why})"))
    })?;
    if !key.fits(&chain) {
        let why = "error:05800074:x509 certificate routines::key values mismatch";
        return Err(format!("SSL_CTX_use_PrivateKey(\"{path}\") failed (SSL: {why})"));
    }
    Ok(key.resolver(&chain))
}

const NO_START: &str = "error:0480006C:PEM routines::no start line:Expecting: TRUSTED CERTIFICATE";
const NOT_WELL_FORMED: &str =
    "error:0688010A:asn1 encoding routines::nested asn1 error:Type=X509 error:0488000D:PEM routines::ASN1 lib";

fn load_trust(file: &PemFile) -> Result<Trust, String> {
    let failed = |why: &str| format!("SSL_CTX_load_verify_locations(\"{}\") failed (SSL: {why})", file.path);
    let text = file.bytes.as_ref().map_err(|e| failed(&lookup(&file.path, e)))?;
    let broken = || failed(&format!("{NOT_WELL_FORMED} error:05880009:x509 certificate routines::PEM lib"));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|_| broken())?;
    if found.is_empty() {
        return Err(failed("error:05800088:x509 certificate routines::no certificate or crl found"));
    }
    Trust::new(found).ok_or_else(broken)
}

fn load_revoked(file: &PemFile) -> Result<Vec<Revoked>, String> {
    let failed = |why: &str| format!("X509_LOOKUP_load_file(\"{}\") failed (SSL: {why})", file.path);
    let text = file.bytes.as_ref().map_err(|e| failed(&lookup(&file.path, e)))?;
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(text) {
        let list = list.ok().and_then(|list| Revoked::new(&list));
        lists.push(list.ok_or_else(|| failed("error:0488000D:PEM routines::ASN1 lib:Type=X509_CRL"))?);
    }
    if lists.is_empty() {
        return Err(failed("error:05800088:x509 certificate routines::no certificate or crl found"));
    }
    Ok(lists)
}

/// OpenSSL's words for a file that cannot be opened.
fn open(path: &str, (number, words): &(i32, String)) -> String {
    let first = format!("error:8{number:07X}:system library::{words}:calling fopen({path}, r)");
    let second = if *number == 2 {
        "error:10000080:BIO routines::no such file"
    } else {
        "error:10080002:BIO routines::system lib"
    };
    format!("{first} {second}")
}
fn lookup(path: &str, error: &(i32, String)) -> String {
    format!("{} error:05880002:x509 certificate routines::system lib", open(path, error))
}

/// What proves during the handshake that a server has its certificate's key. Whether the certificate is worth anything is asked
/// afterwards, if Lua wants to know. One object for all: a session is resumed only with the one it began with.
#[derive(Debug)]
struct Proof;

static PROOF: LazyLock<Arc<dyn ServerCertVerifier>> = LazyLock::new(|| Arc::new(Proof));

impl ServerCertVerifier for Proof {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let key = RawPublicKeyEntity::try_from(&key).map_err(|_| bad())?;
        let schemes = provider().signature_verification_algorithms.mapping;
        let algorithms = schemes.iter().find(|(scheme, _)| *scheme == signed.scheme).map(|(_, algorithms)| *algorithms);
        let algorithms = algorithms.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let signature = signed.signature();
        match algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, message, signature).is_ok()) {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(bad()),
        }
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn key_of<'a>(certificate: &'a CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'a>, Error> {
    let certificate = Certificate::read(certificate);
    let key = certificate.ok_or(Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?.key;
    Ok(SubjectPublicKeyInfoDer::from(key))
}

fn bad() -> Error {
    Error::InvalidCertificate(rustls::CertificateError::BadSignature)
}

/// Shows nothing to servers that ask. One object for all, for the same reason.
#[derive(Debug)]
struct Nothing;

static NOTHING: LazyLock<Arc<dyn ResolvesClientCert>> = LazyLock::new(|| Arc::new(Nothing));

impl ResolvesClientCert for Nothing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}

/// Writes secrets where `lua_ssl_key_log` says, a line each (NSS key log format).
#[derive(Debug)]
struct Keys(Arc<dyn KeyLines>);

impl KeyLog for Keys {
    fn log(&self, label: &str, random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        for byte in random {
            let _ = write!(line, "{byte:02x}");
        }
        line.push(' ');
        for byte in secret {
            let _ = write!(line, "{byte:02x}");
        }
        line.push('\n');
        self.0.write(line.as_bytes());
    }
}
