//! The parts of rustls' configuration that are code: who checks a server's proof, who shows a certificate, where secrets are logged.
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, Error, KeyLog, PeerMisbehaved, SignatureScheme};
use webpki::RawPublicKeyEntity;

use super::client::KeyLines;
use super::der::{self, Certificate};
use super::provider;

/// What proves during the handshake that a server has its certificate's key. Whether the certificate is worth anything is asked
/// afterwards, if Lua wants to know. One object for all: a session is resumed only with the one it began with.
#[derive(Debug)]
struct Proof;

pub(super) static PROOF: LazyLock<Arc<dyn ServerCertVerifier>> = LazyLock::new(|| Arc::new(Proof));

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
            false => Err(why_not(certificate, bad())),
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
            .map_err(|error| why_not(certificate, error))
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

/// A key that cannot be used at all is what is wrong with its signature.
fn why_not(certificate: &CertificateDer<'_>, error: Error) -> Error {
    match Certificate::read(certificate).and_then(|certificate| der::unusable(certificate.key)) {
        Some(kind) => Error::General(format!("the server's key is {kind}, which is not supported")),
        None => error,
    }
}

/// Shows nothing to servers that ask. One object for all, for the same reason.
#[derive(Debug)]
struct Nothing;

pub(super) static NOTHING: LazyLock<Arc<dyn ResolvesClientCert>> = LazyLock::new(|| Arc::new(Nothing));

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
pub(super) struct Keys(pub Arc<dyn KeyLines>);

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
