//! Whether a server's certificate is to be believed, and if not, why, in OpenSSL's numbers and words.
//!
//! As with OpenSSL the handshake completes first, which proves that the server has its certificate's key; then the chain is looked
//! at, so that a refusal can say what is wrong with it. The verdict is webpki's, but for two kinds of certificate that it does
//! not take and that private networks have: the server's certificate is itself in the file of trusted ones, or it is of
//! version 1 and issued directly by one of them. Both cases are decided here, by the same primitives.
use rustls::pki_types::{
    CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RawPublicKeyEntity, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::der::{Certificate, RevocationList, Signed};
use super::{names, provider};

/// The certificates of a file of trusted ones. Roots are trusted; the others only help to find a way to a root, as in OpenSSL.
pub(crate) struct Trust {
    /// Each with its certificate.
    anchors: Vec<TrustAnchor<'static>>,
    roots: Vec<CertificateDer<'static>>,
    /// Their own issuers, but nobody else's.
    alone: Vec<CertificateDer<'static>>,
    helpers: Vec<CertificateDer<'static>>,
}

/// A list of revoked certificates.
pub(super) struct Revoked {
    list: CertRevocationList<'static>,
    der: Vec<u8>,
}

/// Why a certificate is refused: OpenSSL's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub u16);

const NO_REVOCATION_LIST: Refused = Refused(3);
const NOT_YET_VALID: Refused = Refused(9);
const EXPIRED: Refused = Refused(10);
const LIST_EXPIRED: Refused = Refused(12);
const REVOKED: Refused = Refused(23);

impl Refused {
    /// X509_verify_cert_error_string(3).
    pub fn words(self) -> &'static str {
        match self.0 {
            2 => "unable to get issuer certificate",
            3 => "unable to get certificate CRL",
            7 => "certificate signature failure",
            8 => "CRL signature failure",
            9 => "certificate is not yet valid",
            10 => "certificate has expired",
            12 => "CRL has expired",
            18 => "self-signed certificate",
            19 => "self-signed certificate in certificate chain",
            20 => "unable to get local issuer certificate",
            21 => "unable to verify the first certificate",
            22 => "certificate chain too long",
            23 => "certificate revoked",
            25 => "path length constraint exceeded",
            26 => "unsuitable certificate purpose",
            34 => "unhandled critical extension",
            47 => "permitted subtree violation",
            68 => "CA signature digest algorithm too weak",
            79 => "invalid CA certificate",
            _ => "unspecified certificate verification error",
        }
    }
}

impl Trust {
    /// None: one of them is no certificate.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Option<Trust> {
        let mut trust = Trust { anchors: Vec::new(), roots: Vec::new(), alone: Vec::new(), helpers: Vec::new() };
        for certificate in certificates {
            let fields = Certificate::read(&certificate)?;
            if !fields.is_self_issued() {
                trust.helpers.push(certificate);
            } else if !fields.may_issue() {
                trust.alone.push(certificate);
            } else {
                trust.anchors.push(webpki::anchor_from_trusted_cert(&certificate).ok()?.to_owned());
                trust.roots.push(certificate);
            }
        }
        Some(trust)
    }
    fn all(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.roots.iter().chain(&self.alone).chain(&self.helpers)
    }
}

impl Revoked {
    pub fn new(der: &[u8]) -> Option<Revoked> {
        RevocationList::read(der)?;
        let list = webpki::OwnedCertRevocationList::from_der(der).ok()?;
        Some(Revoked { list: list.into(), der: der.to_vec() })
    }
}

/// What a server's chain is measured by.
pub(super) struct Rules<'a> {
    /// None: no file was named.
    pub trust: Option<&'a Trust>,
    pub revoked: &'a [Revoked],
    /// How many certificates may stand between the server's and a root.
    pub depth: usize,
}

impl Rules<'_> {
    /// `chain` as the server sent it, its own certificate first.
    pub fn check(&self, chain: &[CertificateDer<'_>]) -> Result<(), Refused> {
        let Some((first, rest)) = chain.split_first() else { return Err(Refused(1)) };
        let server = Certificate::read(first).ok_or(Refused(1))?;
        let now = UnixTime::now();
        let Some(trust) = self.trust else { return Err(self.diagnose(&server, rest, now, Refused(1))) };
        if server.is_self_issued() && trust.all().any(|known| known == first) {
            return self.check_link(&server, server.key, now);
        }
        if server.version_1 {
            let roots = trust.roots.iter().filter_map(|root| Certificate::read(root));
            let issuer =
                roots.into_iter().find(|root| root.subject == server.issuer && is_by(&server.signed, root.key));
            return match issuer {
                Some(root) => in_time(&root, now).and_then(|()| self.check_link(&server, root.key, now)),
                None => Err(self.diagnose(&server, rest, now, Refused(7))),
            };
        }
        self.check_chain(trust, first, rest, now).map_err(|error| self.diagnose(&server, rest, now, number(&error)))
    }

    fn check_chain(
        &self,
        trust: &Trust,
        first: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let server = EndEntityCert::try_from(first)?;
        let others: Vec<CertificateDer<'_>> = rest.iter().chain(&trust.helpers).cloned().collect();
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().map(|revoked| &revoked.list).collect();
        let fits = |path: &webpki::VerifiedPath<'_>| {
            if path.intermediate_certificates().count() > self.depth {
                return Err(Error::MaximumPathDepthExceeded);
            }
            // (webpki does not look at how long a root is good for; OpenSSL does)
            let root = trust.anchors.iter().position(|anchor| anchor == path.anchor());
            let root = root.and_then(|at| trust.roots.get(at)).and_then(|root| Certificate::read(root));
            match root.map_or(Ok(()), |root| in_time(&root, now)) {
                Ok(()) => Ok(()),
                Err(_) => Err(Error::CertExpired { time: now, not_after: now }),
            }
        };
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let (anchors, usage) = (&trust.anchors, KeyUsage::server_auth());
        server.verify_for_usage(algorithms(), anchors, &others, now, usage, revocation, Some(&fits)).map(drop)
    }

    /// A certificate whose issuer's key is known, and signed it.
    fn check_link(&self, certificate: &Certificate<'_>, issuer: &[u8], now: UnixTime) -> Result<(), Refused> {
        in_time(certificate, now)?;
        if self.revoked.is_empty() {
            return Ok(());
        }
        let mut seen = Err(NO_REVOCATION_LIST);
        for revoked in self.revoked {
            let Some(list) = RevocationList::read(&revoked.der).filter(|list| list.issuer == certificate.issuer) else {
                continue;
            };
            if !is_by(&list.signed, issuer) {
                seen = Err(Refused(8));
                continue;
            }
            let named = !matches!(revoked.list.find_serial(certificate.serial), Ok(None));
            let old = list.next_update.is_some_and(|end| end < seconds(now));
            // (where there is a root behind it, its list is looked at last, and is the same one)
            seen = match (named, old) {
                (true, old) if !old || certificate.is_self_issued() => return Err(REVOKED),
                (_, true) => Err(LIST_EXPIRED),
                (_, false) => Ok(()),
            };
        }
        seen
    }

    /// What OpenSSL says where no chain leads to a root; `otherwise`, if one does. With a file of trusted certificates nginx lets it look at everything and
    /// the last complaint is the one that counts; without one it stops at the first.
    fn diagnose(
        &self,
        server: &Certificate<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
        otherwise: Refused,
    ) -> Refused {
        let trusted: Vec<Certificate<'_>> =
            self.trust.iter().flat_map(|trust| trust.all()).filter_map(|known| Certificate::read(known)).collect();
        let sent: Vec<Certificate<'_>> = rest.iter().filter_map(|sent| Certificate::read(sent)).collect();
        let mut path = vec![server];
        let mut by_trusted = false;
        let complaint = loop {
            let last = path[path.len() - 1];
            if by_trusted && last.is_self_issued() {
                return otherwise;
            }
            if last.is_self_issued() {
                break Refused(if path.len() == 1 { 18 } else { 19 });
            }
            let is_next = |next: &&Certificate<'_>| {
                next.subject == last.issuer && !path.iter().any(|known| known.signed.message == next.signed.message)
            };
            let next = if path.len() > self.depth + 1 {
                None
            } else if let Some(next) = trusted.iter().find(is_next) {
                by_trusted = true;
                Some(next)
            } else {
                let next = sent.iter().find(is_next);
                by_trusted &= next.is_none();
                next
            };
            match next {
                Some(next) => path.push(next),
                None => break Refused(if by_trusted { 2 } else { 20 }),
            }
        };
        if self.trust.is_none() {
            return complaint;
        }
        let invalid = path.iter().filter_map(|certificate| in_time(certificate, now).err()).next();
        match complaint {
            _ if invalid.is_some() => invalid.unwrap_or(complaint),
            Refused(20) if path.len() == 1 => Refused(21),
            complaint => complaint,
        }
    }
}

/// Whether a chain's first certificate is for that host.
pub(super) fn is_for(chain: &[CertificateDer<'_>], host: &str) -> bool {
    let certificate = chain.first().and_then(|first| Certificate::read(first));
    certificate.is_some_and(|found| found.names().iter().any(|name| names::matches(name, host.as_bytes())))
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    provider().signature_verification_algorithms.all
}

/// Whether that key made the signature.
fn is_by(signed: &Signed<'_>, key: &[u8]) -> bool {
    let spki = SubjectPublicKeyInfoDer::from(key);
    let Ok(key) = RawPublicKeyEntity::try_from(&spki) else { return false };
    algorithms()
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
        .any(|algorithm| key.verify_signature(*algorithm, signed.message, signed.signature).is_ok())
}

fn in_time(certificate: &Certificate<'_>, now: UnixTime) -> Result<(), Refused> {
    match seconds(now) {
        now if now < certificate.not_before => Err(NOT_YET_VALID),
        now if now > certificate.not_after => Err(EXPIRED),
        _ => Ok(()),
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// OpenSSL's number for what webpki finds wrong.
fn number(error: &Error) -> Refused {
    match error {
        Error::UnknownRevocationStatus => NO_REVOCATION_LIST,
        Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => Refused(7),
        Error::InvalidCrlSignatureForPublicKey | Error::IssuerNotCrlSigner => Refused(8),
        Error::CertNotValidYet { .. } => NOT_YET_VALID,
        Error::CertExpired { .. } => EXPIRED,
        Error::CrlExpired { .. } => LIST_EXPIRED,
        Error::MaximumPathDepthExceeded => Refused(22),
        Error::CertRevoked => REVOKED,
        Error::PathLenConstraintViolated => Refused(25),
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Refused(26),
        Error::UnsupportedCriticalExtension => Refused(34),
        Error::NameConstraintViolation => Refused(47),
        Error::UnsupportedSignatureAlgorithmContext(_) | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            Refused(68)
        }
        Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => Refused(79),
        _ => Refused(1),
    }
}
