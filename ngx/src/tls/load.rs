//! The files that `lua_ssl_*` directives name: what is in them, or OpenSSL's complaint about it.
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::verify::{Revoked, Trust};
use super::{Chain, Key, UNSUPPORTED, is_supported};

/// A file as it was read, or why it could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    pub path: String,
    /// Err: the system's number and words for it.
    pub bytes: Result<Arc<[u8]>, (i32, String)>,
}

pub(super) fn credentials(certificate: &PemFile, key: &PemFile) -> Result<Arc<dyn ResolvesClientCert>, String> {
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
        let begins = |text: &[u8]| text.windows(11).any(|part| part == b"PRIVATE KEY");
        let kinds = "; keys are RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519, and not encrypted";
        failed(&format!("{call} (SSL: {why}{})", if begins(text) { kinds } else { "" }))
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

pub(super) fn trust(file: &PemFile) -> Result<Trust, String> {
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

pub(super) fn revoked(file: &PemFile) -> Result<Vec<Revoked>, String> {
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
