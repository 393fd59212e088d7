//! Certificates and private keys from PEM and DER: what `ngx.ssl`'s parsers give out, and what a client shows to a server.
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};

use super::der::{self, Certificate, Reader};
use super::{is_supported, provider};

/// A certificate with what leads from it to a root, as far as it is known.
pub(crate) struct Chain(pub Vec<CertificateDer<'static>>);

pub(crate) struct Key {
    signing: Arc<dyn SigningKey>,
    /// What was made of it last, and for which chain: sessions can be resumed only by those who show the very same thing.
    shown: RefCell<Option<(Weak<Chain>, Arc<dyn ResolvesClientCert>)>>,
}

impl Chain {
    /// Err: the function of OpenSSL that fails.
    pub fn from_pem(text: &[u8]) -> Result<Chain, &'static str> {
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let failed = if chain.is_empty() { "PEM_read_bio_X509_AUX() failed" } else { "PEM_read_bio_X509() failed" };
            let certificate = certificate.map_err(|_| failed)?;
            Certificate::read(&certificate).ok_or(failed)?;
            chain.push(certificate);
        }
        if chain.is_empty() { Err("PEM_read_bio_X509_AUX() failed") } else { Ok(Chain(chain)) }
    }
    pub fn from_der(bytes: &[u8]) -> Result<Chain, &'static str> {
        let mut reader = Reader::new(bytes);
        let mut chain = Vec::new();
        while chain.is_empty() || !reader.is_empty() {
            let failed =
                if chain.is_empty() { "d2i_X509_bio() failed" } else { "d2i_X509_bio() failed in rest of chain" };
            let certificate = reader.take(der::SEQUENCE).ok_or(failed)?.whole;
            Certificate::read(certificate).ok_or(failed)?;
            chain.push(CertificateDer::from(certificate.to_vec()));
        }
        Ok(Chain(chain))
    }
    pub fn to_der(&self) -> Vec<u8> {
        self.0.iter().flat_map(|certificate| certificate.iter().copied()).collect()
    }
}

impl Key {
    pub fn from_pem(text: &[u8]) -> Result<Key, &'static str> {
        const FAILED: &str = "PEM_read_bio_PrivateKey() failed";
        Key::new(PrivateKeyDer::from_pem_slice(text).map_err(|_| FAILED)?).ok_or(FAILED)
    }
    pub fn from_der(bytes: &[u8]) -> Result<Key, &'static str> {
        const FAILED: &str = "d2i_PrivateKey_bio() failed";
        Key::new(PrivateKeyDer::try_from(bytes.to_vec()).map_err(|_| FAILED)?).ok_or(FAILED)
    }
    fn new(key: PrivateKeyDer<'static>) -> Option<Key> {
        if !is_supported() {
            return None;
        }
        let signing = provider().key_provider.load_private_key(key).ok()?;
        Some(Key { signing, shown: RefCell::new(None) })
    }
    /// Whether it is the key that a certificate names.
    pub fn fits(&self, chain: &Chain) -> bool {
        let named = chain.0.first().and_then(|first| Certificate::read(first));
        let own = self.signing.public_key();
        named.zip(own).is_some_and(|(named, own)| named.key == own.as_ref())
    }
    /// Both together, for a handshake.
    pub fn show(&self, chain: &Rc<Chain>) -> Arc<dyn ResolvesClientCert> {
        let mut shown = self.shown.borrow_mut();
        if let Some((of, made)) = &*shown
            && of.ptr_eq(&Rc::downgrade(chain))
        {
            return made.clone();
        }
        let made = self.resolver(chain);
        *shown = Some((Rc::downgrade(chain), made.clone()));
        made
    }
    pub fn resolver(&self, chain: &Chain) -> Arc<dyn ResolvesClientCert> {
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain.0.clone(), self.signing.clone())))
    }
}

/// i2d_PrivateKey(3): the form that belongs to the key's own kind, without the PKCS #8 around it where there is one.
pub(crate) fn key_pem_to_der(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    const FAILED: &str = "PEM_read_bio_PrivateKey() failed";
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| FAILED)?;
    match &key {
        PrivateKeyDer::Pkcs8(outer) => unwrapped(outer.secret_pkcs8_der()).ok_or(FAILED),
        key => Reader::new(key.secret_der()).take(der::SEQUENCE).map(|key| key.whole.to_vec()).ok_or(FAILED),
    }
}

fn unwrapped(outer: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Reader::new(outer).take(der::SEQUENCE)?.reader();
    fields.take(der::INTEGER)?;
    let mut algorithm = fields.take(der::SEQUENCE)?.reader();
    let inner = fields.take(der::OCTET_STRING)?.inside;
    match algorithm.take(der::OID)?.inside {
        der::RSA => Some(inner.to_vec()),
        der::ELLIPTIC => {
            // (there the curve stands outside; alone the key has to name it)
            let mut key = Reader::new(inner).take(der::SEQUENCE)?.reader();
            let head = [key.take(der::INTEGER)?.whole, key.take(der::OCTET_STRING)?.whole].concat();
            let curve = match key.maybe(der::CONTEXT_0) {
                Some(named) => named.whole.to_vec(),
                None => der::element(der::CONTEXT_0, algorithm.next()?.whole),
            };
            let rest = key.next().map_or(&b""[..], |public| public.whole);
            Some(der::element(der::SEQUENCE, &[&head, &curve, rest].concat()))
        }
        _ => Some(outer.to_vec()),
    }
}
