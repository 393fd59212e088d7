//! TLS for cosockets: rustls with a crypto provider that needs no C.
//!
//! Everything that the configuration says is read and checked when the configuration is, and becomes a [`Client`], shared by all
//! locations that say the same. A handshake takes a copy of its rustls configuration (pointers, a few hundred bytes), which
//! differs from the others in the session that it resumes and the certificate that Lua wants to show.
//!
//! What must stay true: no file is touched by a handshake; a server's chain is judged (`verify`) before `sslhandshake` returns,
//! and after every handshake, resumed ones included; nothing here panics where the processor lacks what the provider needs.
mod client;
mod credentials;
mod der;
mod names;
mod session;
mod stream;
mod suites;
mod verify;
mod words;

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;

pub(crate) use client::Ask;
pub use client::{Client, KeyLines, PemFile, Protocols, Settings};
pub(crate) use credentials::{Chain, Key, key_pem_to_der};
pub(crate) use session::Session;
pub(crate) use stream::{Broken, Tls};
pub(crate) use verify::Trust;
pub(crate) use words::Fault;

fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(rustls_graviola::default_provider()));
    &PROVIDER
}

/// Whether the processor can do it. (The provider would panic at its first computation.)
fn is_supported() -> bool {
    graviola::util::is_cpu_supported()
}

/// What is said where it cannot.
pub(crate) const UNSUPPORTED: &str =
    "TLS is not available: it needs a processor with AES, PCLMULQDQ, BMI1, ADX and AVX2";
