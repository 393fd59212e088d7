//! The few fields of certificates and revocation lists that OpenSSL's rules look at and the chain verifier does not show: names,
//! validity, and what version 1 certificates have (RFC 5280).
//!
//! Reading is bounds-checked and never copies; what is not well-formed is None.

/// A sequence of elements.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// One element: its tag, what is inside, and all of it.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub inside: &'a [u8],
    pub whole: &'a [u8],
}

pub(super) const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]` to `[3]`, with elements inside.
pub(super) const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
/// A GeneralName that is a dNSName.
const DNS_NAME: u8 = 0x82;

pub(super) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
pub(super) const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P_256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P_384: &[u8] = &[0x2b, 0x81, 4, 0, 34];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
/// The bit of keyUsage that lets a key sign certificates, counted from the first byte's highest.
const CERT_SIGN: u8 = 1 << 2;

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn next(&mut self) -> Option<Element<'a>> {
        let tag = *self.0.first()?;
        // (no tag of these structures takes more than a byte)
        if tag & 0x1f == 0x1f {
            return None;
        }
        let first = usize::from(*self.0.get(1)?);
        let (length, head) = if first < 0x80 {
            (first, 2)
        } else {
            let bytes = first & 0x7f;
            let length = self.0.get(2..2 + bytes).filter(|_| (1..=4).contains(&bytes))?;
            (length.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), 2 + bytes)
        };
        let end = head.checked_add(length)?;
        let whole = self.0.get(..end)?;
        self.0 = self.0.get(end..)?;
        Some(Element { tag, inside: whole.get(head..)?, whole })
    }
    /// The next element, which must be of that kind.
    pub fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }
    /// The next element if it is of that kind.
    pub fn maybe(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.0.first() == Some(&tag) { self.next() } else { None }
    }
}

impl<'a> Element<'a> {
    pub fn reader(&self) -> Reader<'a> {
        Reader(self.inside)
    }
}

/// Bytes with a signature: the frame of certificates and revocation lists.
pub(super) struct Signed<'a> {
    /// What is signed, as it stands.
    pub message: &'a [u8],
    /// The inside of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<(Signed<'a>, Reader<'a>)> {
        let mut outside = Reader(der);
        let mut frame = outside.take(SEQUENCE).filter(|_| outside.is_empty())?.reader();
        let message = frame.take(SEQUENCE)?;
        let algorithm = frame.take(SEQUENCE)?.inside;
        // (the first byte counts unused bits: none)
        let signature = frame.take(BIT_STRING)?.inside.strip_prefix(&[0])?;
        Some((Signed { message: message.whole, algorithm, signature }, message.reader()))
    }
}

pub(super) struct Certificate<'a> {
    pub signed: Signed<'a>,
    pub version_1: bool,
    pub serial: &'a [u8],
    /// Distinguished names, to be compared as they stand.
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    /// Seconds of Unix time.
    pub not_before: i64,
    pub not_after: i64,
    /// The SubjectPublicKeyInfo, whole.
    pub key: &'a [u8],
    extensions: Option<Reader<'a>>,
}

impl<'a> Certificate<'a> {
    pub fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let (signed, mut fields) = Signed::read(der)?;
        let version = fields.maybe(CONTEXT_0);
        let serial = fields.take(INTEGER)?.inside;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?.whole;
        let mut validity = fields.take(SEQUENCE)?.reader();
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let subject = fields.take(SEQUENCE)?.whole;
        let key = fields.take(SEQUENCE)?.whole;
        let mut extensions = None;
        while let Some(field) = fields.next() {
            if field.tag == CONTEXT_3 {
                extensions = Some(field.reader().take(SEQUENCE)?.reader());
            }
        }
        let version_1 = version.is_none();
        Some(Certificate { signed, version_1, serial, issuer, subject, not_before, not_after, key, extensions })
    }

    /// Its own issuer, as a root is.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The host names that it is for: those of the subjectAltName, or without any there, the subject's common names.
    pub fn names(&self) -> Vec<&'a [u8]> {
        let listed = self.alt_names().unwrap_or_default();
        if listed.is_empty() { self.common_names() } else { listed }
    }
    fn alt_names(&self) -> Option<Vec<&'a [u8]>> {
        let mut names = Reader(self.extension(SUBJECT_ALT_NAME)?).take(SEQUENCE)?.reader();
        let names = std::iter::from_fn(|| names.next()).filter(|name| name.tag == DNS_NAME);
        Some(names.map(|name| name.inside).collect())
    }
    /// Whether its key may sign other certificates, as X509_check_ca(3) has it: version 1 cannot say.
    pub fn may_issue(&self) -> bool {
        let usage = self.extension(KEY_USAGE).map(|value| {
            let bits = Reader(value).take(BIT_STRING).map_or(&b""[..], |bits| bits.inside);
            bits.get(1).is_some_and(|bits| bits & CERT_SIGN != 0)
        });
        let constraints = self.extension(BASIC_CONSTRAINTS).map(|value| {
            let inside = Reader(value).take(SEQUENCE).and_then(|list| list.reader().maybe(BOOLEAN));
            inside.is_some_and(|ca| ca.inside != [0])
        });
        match (constraints, usage) {
            (_, Some(false)) => false,
            (Some(ca), _) => ca,
            (None, usage) => self.version_1 || usage.is_some(),
        }
    }
    /// The inside of an extension's value.
    fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        let mut extensions = self.extensions?;
        while let Some(extension) = extensions.take(SEQUENCE) {
            let mut parts = extension.reader();
            if parts.take(OID)?.inside == oid {
                return std::iter::from_fn(|| parts.next())
                    .find(|part| part.tag == OCTET_STRING)
                    .map(|part| part.inside);
            }
        }
        None
    }
    fn common_names(&self) -> Vec<&'a [u8]> {
        let mut found = Vec::new();
        let mut sets = Reader(self.subject).take(SEQUENCE).map_or(Reader(b""), |name| name.reader());
        while let Some(set) = sets.take(SET) {
            let mut pairs = set.reader();
            while let Some(pair) = pairs.take(SEQUENCE) {
                let mut pair = pair.reader();
                if let (Some(key), Some(value)) = (pair.take(OID), pair.next())
                    && key.inside == COMMON_NAME
                {
                    found.push(value.inside);
                }
            }
        }
        found
    }
}

/// What kind of key it is that a SubjectPublicKeyInfo has, if it is one that we can do nothing with.
pub(super) fn unusable(key: &[u8]) -> Option<String> {
    let mut fields = Reader(key).take(SEQUENCE)?.reader();
    let mut algorithm = fields.take(SEQUENCE)?.reader();
    let key = fields.take(BIT_STRING)?.inside.strip_prefix(&[0])?;
    match algorithm.take(OID)?.inside {
        RSA => {
            let modulus = Reader(key).take(SEQUENCE)?.reader().take(INTEGER)?.inside;
            let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
            let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
            (!(2048..=8192).contains(&bits)).then(|| format!("an RSA key of {bits} bits"))
        }
        ELLIPTIC => match algorithm.take(OID)?.inside {
            P_256 | P_384 => None,
            _ => Some("one for a curve other than P-256 and P-384".into()),
        },
        ED25519 => None,
        _ => Some("none of RSA, ECDSA and Ed25519".into()),
    }
}

/// A revocation list's frame: who signed it, and until when it holds.
pub(super) struct RevocationList<'a> {
    pub signed: Signed<'a>,
    pub issuer: &'a [u8],
    pub next_update: Option<i64>,
}

impl<'a> RevocationList<'a> {
    pub fn read(der: &'a [u8]) -> Option<RevocationList<'a>> {
        let (signed, mut fields) = Signed::read(der)?;
        fields.maybe(INTEGER);
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?.whole;
        fields.next()?;
        let next = fields.maybe(UTC_TIME).or_else(|| fields.maybe(GENERALIZED_TIME));
        Some(RevocationList { signed, issuer, next_update: next.and_then(time) })
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, in seconds of Unix time.
fn time(element: Element<'_>) -> Option<i64> {
    let text = element.inside.strip_suffix(b"Z")?;
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.iter().try_fold(0, |n: i64, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (year, rest) = match element.tag {
        UTC_TIME => (number(0, 2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        GENERALIZED_TIME => (number(0, 4)?, 4),
        _ => return None,
    };
    let part = |at: usize| number(rest + at, rest + at + 2);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if text.len() != rest + 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970-01-01, counting years from March on.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// One element with that inside.
pub(super) fn element(tag: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match inside.len() {
        short @ 0..0x80 => out.push(short as u8),
        length => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(&bytes);
        }
    }
    out.extend_from_slice(inside);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |tag, text: &str| time(Element { tag, inside: text.as_bytes(), whole: b"" });
        assert_eq!(at(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(at(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(at(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(at(GENERALIZED_TIME, "20000229120000Z"), Some(951_825_600));
        assert_eq!(at(GENERALIZED_TIME, "21510613032347Z"), Some(5_725_913_027));
        for bad in ["", "Z", "7001010000Z", "701301000000Z", "700100000000Z", "70010100000xZ", "700101000000"] {
            assert_eq!(at(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn elements() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let der = element(OCTET_STRING, &vec![7; length]);
            let mut reader = Reader(&der);
            assert_eq!(reader.take(OCTET_STRING).map(|e| e.inside.len()), Some(length));
            assert!(reader.is_empty());
        }
        for bad in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x02\x00", b"\x30\x85\0\0\0\0\x01\0", b"\x1f\x01\x00"] {
            assert!(Reader(bad).next().is_none(), "{bad:?}");
        }
    }
}
