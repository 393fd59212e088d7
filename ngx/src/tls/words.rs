//! What the log says of a failed handshake: OpenSSL's lines for what rustls reports.
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

use crate::log::Level;

/// A failure of the protocol, as nginx logs it: `SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is in the brackets.
    reason: String,
    pub level: Level,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}
impl std::error::Error for Fault {}

impl Fault {
    /// The log's line for a call.
    pub fn line(&self, call: &str) -> String {
        format!("{call}() failed (SSL: {})", self.reason)
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Fault {
        if let Error::AlertReceived(alert) = error {
            return of_alert(*alert);
        }
        let (code, words, level) = match error {
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                (0x10b, "wrong version number", Level::Error)
            }
            Error::InvalidMessage(InvalidMessage::MessageTooLarge) | Error::PeerSentOversizedRecord => {
                (0xc6, "packet length too long", Level::Crit)
            }
            Error::InvalidMessage(_) => (0x9f, "length mismatch", Level::Error),
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                (0xf4, "unexpected message", Level::Error)
            }
            Error::DecryptError => (0x119, "decryption failed or bad record mac", Level::Error),
            Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => (0x102, "unsupported protocol", Level::Error),
            Error::PeerMisbehaved(
                PeerMisbehaved::SelectedUnofferedCipherSuite | PeerMisbehaved::SelectedUnusableCipherSuiteForVersion,
            ) => (0x105, "wrong cipher returned", Level::Crit),
            Error::InvalidCertificate(CertificateError::BadSignature) => (0x7b, "bad signature", Level::Crit),
            Error::General(words) => return Fault { reason: words.clone(), level: Level::Crit },
            other => return Fault { reason: other.to_string(), level: Level::Crit },
        };
        Fault { reason: format!("error:0A{code:06X}:SSL routines::{words}"), level }
    }
}

fn of_alert(alert: AlertDescription) -> Fault {
    let number = u8::from(alert);
    let words = match number {
        10 => "sslv3 alert unexpected message",
        20 => "sslv3 alert bad record mac",
        21 => "tlsv1 alert decryption failed",
        22 => "tlsv1 alert record overflow",
        30 => "sslv3 alert decompression failure",
        40 => "sslv3 alert handshake failure",
        41 => "sslv3 alert no certificate",
        42 => "sslv3 alert bad certificate",
        43 => "sslv3 alert unsupported certificate",
        44 => "sslv3 alert certificate revoked",
        45 => "sslv3 alert certificate expired",
        46 => "sslv3 alert certificate unknown",
        47 => "sslv3 alert illegal parameter",
        48 => "tlsv1 alert unknown ca",
        49 => "tlsv1 alert access denied",
        50 => "tlsv1 alert decode error",
        51 => "tlsv1 alert decrypt error",
        60 => "tlsv1 alert export restriction",
        70 => "tlsv1 alert protocol version",
        71 => "tlsv1 alert insufficient security",
        80 => "tlsv1 alert internal error",
        86 => "tlsv1 alert inappropriate fallback",
        90 => "tlsv1 alert user cancelled",
        100 => "tlsv1 alert no renegotiation",
        109 => "tlsv13 alert missing extension",
        110 => "tlsv1 unsupported extension",
        112 => "tlsv1 unrecognized name",
        113 => "tlsv1 bad certificate status response",
        116 => "tlsv13 alert certificate required",
        120 => "tlsv1 alert no application protocol",
        _ => "unknown alert type",
    };
    // (the ones that nginx takes for the peer's affair)
    let level = if matches!(number, 0..=71 | 80 | 90 | 100) { Level::Error } else { Level::Crit };
    let code = 1000 + u32::from(number);
    Fault { reason: format!("error:0A{code:06X}:SSL routines::{words}:SSL alert number {number}"), level }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let rows = [
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "[error] error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40",
            ),
            (
                Error::AlertReceived(AlertDescription::ProtocolVersion),
                "[error] error:0A00042E:SSL routines::tlsv1 alert protocol version:SSL alert number 70",
            ),
            (
                Error::AlertReceived(AlertDescription::UnrecognisedName),
                "[crit] error:0A000458:SSL routines::tlsv1 unrecognized name:SSL alert number 112",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "[error] error:0A00010B:SSL routines::wrong version number",
            ),
            (
                Error::InvalidMessage(InvalidMessage::MissingData("x")),
                "[error] error:0A00009F:SSL routines::length mismatch",
            ),
        ];
        for (error, expected) in rows {
            let fault = Fault::from(&error);
            assert_eq!(format!("[{}] {fault}", fault.level.name()), expected);
        }
    }
}
