//! TLS for cosockets: rustls with a crypto provider that needs no C.
//!
//! Everything that the configuration says is read and checked when the configuration is, and becomes a [`Client`], shared by all
//! locations that say the same. A handshake takes a copy of its rustls configuration (pointers, a few hundred bytes), which
//! differs from the others in the session that it resumes and the certificate that Lua wants to show.
//!
//! What must stay true: no file is touched by a handshake; a server's chain is judged (`verify`) before `sslhandshake` returns,
//! and after every handshake, resumed ones included; nothing here panics where the processor lacks what the provider needs.
mod choice;
mod client;
mod credentials;
mod der;
mod load;
mod names;
mod proof;
mod session;
mod stream;
mod suites;
mod verify;
mod words;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub(crate) use client::Ask;
pub use client::{Client, KeyLines, Protocols, Settings};
pub(crate) use credentials::{Chain, Key, key_pem_to_der};
pub use load::PemFile;
pub(crate) use session::Session;
pub(crate) use stream::{Broken, Tls};
pub(crate) use verify::Trust;
pub(crate) use words::Fault;

fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls_graviola::default_provider()));
    &PROVIDER
}

/// Whether the processor can do it. (The provider would panic at its first computation.)
pub fn is_supported() -> bool {
    graviola::util::is_cpu_supported()
}

/// What is said where it cannot.
#[cfg(target_arch = "x86_64")]
pub(crate) const UNSUPPORTED: &str =
    "TLS is not available: it needs a processor with AES, PCLMULQDQ, BMI1, ADX and AVX2";
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const UNSUPPORTED: &str = "TLS is not available: it needs a processor with NEON, AES, PMULL and SHA2";

#[cfg(test)]
mod tests {
    use super::credentials::key_pem_to_der;
    use super::der::{Certificate, RevocationList};
    use super::verify::{Revoked, Rules, Trust};
    use super::{Chain, Key};
    use crate::dice::Dice;

    const FILES: [&str; 8] =
        ["good.crt", "chain.crt", "version1.crt", "self.crt", "rsa.crt", "ca.crl", "good.key", "rsa.key"];

    /// Some bytes of it are others, or missing, or double.
    fn spoil(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len().max(1));
            match (bytes.get(at).copied(), dice.roll(8)) {
                (None, _) => bytes.push(48),
                (Some(byte), 0..3) => bytes[at] = byte ^ 1 << dice.roll(8),
                (Some(_), 3..6) => bytes[at] = dice.roll(256) as u8,
                (Some(byte), 6) => bytes.insert(at, byte),
                (Some(_), _) => bytes.truncate(at),
            }
        }
        bytes
    }

    /// What is no certificate any more, or another one than it was, is refused or judged; it never panics.
    #[test]
    fn spoiled_files() {
        if !super::is_supported() {
            return eprintln!("SKIPPED: this processor is none that TLS can be had with");
        }
        let mut dice = Dice(0);
        let read = |name: &str| std::fs::read(format!("{}/../tests/tls/{name}", env!("CARGO_MANIFEST_DIR")));
        let good = Chain::from_pem(&read("chain.crt").unwrap_or_default()).unwrap_or(Chain(Vec::new()));
        assert_eq!(good.0.len(), 2);
        let mut judged = 0;
        for name in FILES {
            let text = read(name).unwrap_or_default();
            assert!(!text.is_empty(), "{name}");
            let sections =
                rustls::pki_types::pem::SliceIter::<(rustls::pki_types::pem::SectionKind, Vec<u8>)>::new(&text);
            let der: Vec<u8> = sections.filter_map(Result::ok).flat_map(|(_, der)| der).collect();
            for _ in 0..1500 {
                let text = spoil(&text, &mut dice);
                let _ = (Chain::from_pem(&text), Key::from_pem(&text), key_pem_to_der(&text));
                let der = spoil(&der, &mut dice);
                let _ = (Key::from_der(&der), RevocationList::read(&der).is_some());
                if let Some(certificate) = Certificate::read(&der) {
                    let _ = (certificate.names(), certificate.may_issue());
                }
                let revoked: Vec<Revoked> = Revoked::new(&der).into_iter().collect();
                let Ok(chain) = Chain::from_der(&der) else { continue };
                judged += 1;
                let sent: Vec<_> = chain.0.iter().chain(&good.0).cloned().collect();
                let trust = Trust::new(sent.clone());
                let rules = Rules { trust: trust.as_ref(), revoked: &revoked, depth: 2 };
                let _ = (rules.check(&sent), rules.check(&good.0), rules.check(&chain.0[..1]));
            }
        }
        assert!(judged > 1000, "{judged}");
    }
}
