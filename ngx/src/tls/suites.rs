//! Cipher suites by OpenSSL's names, and the lists that `lua_ssl_ciphers` is written in (openssl-ciphers(1)).

use rustls::{CipherSuite, NamedGroup, SupportedCipherSuite};

/// One suite as OpenSSL knows it, in the order in which it prefers them.
pub(super) struct Suite {
    pub id: CipherSuite,
    name: &'static str,
    /// How keys are exchanged, servers proved, and data encrypted; of TLS 1.3: `any`.
    key_exchange: &'static str,
    proof: &'static str,
    encryption: &'static str,
    /// What else selects it in a list. Empty: a suite of TLS 1.3, which lists do not concern.
    words: &'static [&'static str],
}

const COMMON: [&str; 8] = ["ALL", "HIGH", "DEFAULT", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2"];

const fn modern(id: CipherSuite, name: &'static str, encryption: &'static str) -> Suite {
    Suite { id, name, key_exchange: "any", proof: "any", encryption, words: &[] }
}
const fn suite(
    id: CipherSuite,
    name: &'static str,
    proof: &'static str,
    encryption: &'static str,
    words: &'static [&'static str],
) -> Suite {
    Suite { id, name, key_exchange: "ECDH", proof, encryption, words }
}

const AES256: &[&str] = &["AES", "AESGCM", "AES256", "SHA384"];
const AES128: &[&str] = &["AES", "AESGCM", "AES128", "SHA256"];
const CHACHA: &[&str] = &["CHACHA20"];

pub(super) static SUITES: [Suite; 9] = [
    modern(CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", "AESGCM(256)"),
    modern(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256", "CHACHA20/POLY1305(256)"),
    modern(CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", "AESGCM(128)"),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDSA",
        "AESGCM(256)",
        AES256,
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        "RSA",
        "AESGCM(256)",
        AES256,
    ),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDSA",
        "CHACHA20/POLY1305(256)",
        CHACHA,
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        "RSA",
        "CHACHA20/POLY1305(256)",
        CHACHA,
    ),
    suite(
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDSA",
        "AESGCM(128)",
        AES128,
    ),
    suite(
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        "RSA",
        "AESGCM(128)",
        AES128,
    ),
];

impl Suite {
    pub fn is_modern(&self) -> bool {
        self.words.is_empty()
    }
    /// As OpenSSL describes it in the debug log.
    pub fn description(&self) -> String {
        let version = if self.is_modern() { "TLSv1.3" } else { "TLSv1.2" };
        let Suite { name, key_exchange, proof, encryption, .. } = self;
        format!("{name} {version} Kx={key_exchange} Au={proof} Enc={encryption} Mac=AEAD")
    }
    fn answers(&self, word: &str) -> bool {
        // (authentication by its short and its long name)
        word == self.name
            || word == self.proof
            || word.strip_prefix('a') == Some(self.proof)
            || self.words.contains(&word)
            || COMMON.contains(&word)
    }
}

pub(super) fn described(suite: SupportedCipherSuite) -> Option<&'static Suite> {
    SUITES.iter().find(|known| known.id == suite.suite())
}

/// What a list for TLS 1.2 selects, in its order: words joined by `+` all have to hold, `!` removes for good, `-` until it is
/// named again, a leading `+` moves to the end. Words that nothing here answers to select nothing, as in OpenSSL.
pub(super) fn select(list: &str) -> Vec<CipherSuite> {
    let mut chosen: Vec<&Suite> = Vec::new();
    let mut banned: Vec<&str> = Vec::new();
    for item in list.split([':', ',', ' ', ';']).filter(|item| !item.is_empty() && !item.starts_with('@')) {
        let (sign, words) = match item.strip_prefix(['!', '-', '+']) {
            Some(words) => (&item[..1], words),
            None => ("", item),
        };
        let meant = |suite: &Suite| !suite.is_modern() && words.split('+').all(|word| suite.answers(word));
        match sign {
            "" => {
                for suite in SUITES.iter().filter(|suite| meant(suite)) {
                    if !banned.contains(&suite.name) && !chosen.iter().any(|known| known.name == suite.name) {
                        chosen.push(suite);
                    }
                }
            }
            "+" => {
                let moved: Vec<&Suite> = chosen.iter().copied().filter(|suite| meant(suite)).collect();
                chosen.retain(|suite| !meant(suite));
                chosen.extend(moved);
            }
            _ => {
                chosen.retain(|suite| !meant(suite));
                if sign == "!" {
                    banned.extend(SUITES.iter().filter(|suite| meant(suite)).map(|suite| suite.name));
                }
            }
        }
    }
    chosen.iter().map(|suite| suite.id).collect()
}

/// A list for TLS 1.3: names alone. None: one of them is none.
pub(super) fn select_modern(list: &str) -> Option<Vec<CipherSuite>> {
    let find = |name: &str| SUITES.iter().find(|suite| suite.is_modern() && suite.name == name).map(|suite| suite.id);
    list.split(':').filter(|name| !name.is_empty()).map(find).collect()
}

/// The names of the suites that lists can select.
pub(super) fn names() -> String {
    let names: Vec<&str> = SUITES.iter().filter(|suite| !suite.is_modern()).map(|suite| suite.name).collect();
    names.join(":")
}

/// A list of key exchange groups. None: one of them is none that we have.
pub(super) fn groups(list: &str) -> Option<Vec<NamedGroup>> {
    let find = |name: &str| {
        Some(match name.to_ascii_lowercase().as_str() {
            "x25519" => NamedGroup::X25519,
            "p-256" | "prime256v1" | "secp256r1" => NamedGroup::secp256r1,
            "p-384" | "secp384r1" => NamedGroup::secp384r1,
            "x25519mlkem768" => NamedGroup::X25519MLKEM768,
            _ => return None,
        })
    };
    list.split(':').map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let short = |list: &str| {
            let chosen = select(list);
            let one = |id: &CipherSuite| SUITES.iter().position(|suite| suite.id == *id).unwrap_or(99).to_string();
            chosen.iter().map(one).collect::<String>()
        };
        let rows = [
            ("DEFAULT", "345678"),
            ("HIGH:!aNULL:!MD5", "345678"),
            ("ECDHE+AESGCM", "3478"),
            ("EECDH+ECDSA+AESGCM:EECDH+aRSA+AESGCM", "3748"),
            ("ECDHE-RSA-AES128-GCM-SHA256", "8"),
            ("ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA", "8"),
            ("ALL:!ECDSA", "468"),
            ("ALL:!ECDSA:ALL", "468"),
            ("ALL:-ECDSA:ALL", "468357"),
            ("ALL:+AES256", "567834"),
            ("ALL:!CHACHA20:@STRENGTH:@SECLEVEL=2", "3478"),
            ("CHACHA20,AES128", "5678"),
            ("NOPE", ""),
            ("AES128-SHA", ""),
            ("TLS_AES_128_GCM_SHA256", ""),
        ];
        for (list, expected) in rows {
            assert_eq!(short(list), expected, "{list}");
        }
        assert_eq!(select_modern("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384").map(|l| l.len()), Some(2));
        assert_eq!(select_modern("TLS_AES_128_GCM_SHA256:FOO"), None);
        assert_eq!(groups("X25519:P-256").map(|l| l.len()), Some(2));
        assert_eq!(groups("X25519:brainpoolP256r1"), None);
    }
}
