//! DNS messages (RFC 1035): the question as it is sent, and what an answer says.

/// Record types that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A = 1,
    Aaaa = 28,
}

const CNAME: u16 = 5;
const INTERNET: u16 = 1;

/// What an answer says.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// Addresses, and for how many seconds they hold.
    Addresses(Vec<std::net::IpAddr>, u32),
    /// The server's error code: 3 where there is no such name, or no address.
    Refused(u16),
    /// It did not fit: ask again over TCP.
    Truncated,
    /// No answer to this question.
    Unrelated,
}

/// A question; None: no such name can exist.
pub fn question(id: u16, name: &[u8], kind: Kind) -> Option<Vec<u8>> {
    // (one question, recursion desired)
    let mut out = vec![(id >> 8) as u8, id as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    for label in name.split(|b| *b == b'.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.extend_from_slice(&[0, 0, kind as u8, 0, INTERNET as u8]);
    Some(out)
}

/// Reads an answer to `question`.
pub fn answer(bytes: &[u8], question: &[u8], kind: Kind) -> Answer {
    read(bytes, question, kind).unwrap_or(Answer::Unrelated)
}

fn read(bytes: &[u8], question: &[u8], kind: Kind) -> Option<Answer> {
    let same_id = bytes.get(..2)? == question.get(..2)?;
    let flags = word(bytes, 2)?;
    if !same_id || flags & 0x8000 == 0 {
        return None;
    }
    let asked = question.get(12..)?;
    match flags & 15 {
        // (a server that understood nothing need not repeat the question)
        1 => return Some(Answer::Refused(1)),
        0 | 3 if !bytes.get(12..12 + asked.len())?.eq_ignore_ascii_case(asked) => return None,
        0 => {}
        code => return Some(Answer::Refused(code)),
    }
    if flags & 0x200 != 0 {
        return Some(Answer::Truncated);
    }
    let mut found = Vec::new();
    let mut seconds = u32::MAX;
    let mut at = 12 + asked.len();
    for _ in 0..word(bytes, 6)? {
        at = skip_name(bytes, at)?;
        let (record, ttl, length) = (word(bytes, at)?, long(bytes, at + 4)?, word(bytes, at + 8)? as usize);
        let data = bytes.get(at + 10..at + 10 + length)?;
        at += 10 + length;
        if record == kind as u16 {
            found.push(match kind {
                Kind::A => <[u8; 4]>::try_from(data).ok()?.into(),
                Kind::Aaaa => <[u8; 16]>::try_from(data).ok()?.into(),
            });
        }
        if record == kind as u16 || record == CNAME {
            seconds = seconds.min(ttl);
        }
    }
    Some(if found.is_empty() { Answer::Refused(3) } else { Answer::Addresses(found, seconds) })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Where a record's name ends: a pointer ends it, too, and is not followed.
fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers() {
        let asked = question(0x1234, b"a.bc", Kind::A).unwrap_or_default();
        assert_eq!(asked, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01");
        for none in [&b""[..], b".", b"a..b", &[b'x'; 64], &[b'x'; 300]] {
            assert_eq!(question(1, none, Kind::A), None, "{none:?}");
        }
        let reply = |flags: &[u8; 2], count: u8, records: &[u8]| {
            [&b"\x12\x34"[..], flags, b"\0\x01\0", &[count], b"\0\0\0\0", &asked[12..], records].concat()
        };
        let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01";
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x05\0\x02\xc0\x0c";
        let both = [&alias[..], address].concat();
        let rows: &[(Vec<u8>, Answer)] = &[
            (reply(b"\x81\x80", 1, address), Answer::Addresses(vec![[127, 0, 0, 1].into()], 60)),
            (reply(b"\x81\x80", 2, &both), Answer::Addresses(vec![[127, 0, 0, 1].into()], 5)),
            (reply(b"\x81\x80", 0, b""), Answer::Refused(3)),
            (reply(b"\x81\x83", 0, b""), Answer::Refused(3)),
            (reply(b"\x81\x82", 0, b""), Answer::Refused(2)),
            (reply(b"\x83\x80", 0, b""), Answer::Truncated),
            (reply(b"\x01\0", 1, address), Answer::Unrelated),
            (reply(b"\x81\x80", 2, address), Answer::Unrelated),
            (b"\x12\x34\x81".to_vec(), Answer::Unrelated),
        ];
        for (bytes, expected) in rows {
            assert_eq!(&answer(bytes, &asked, Kind::A), expected, "{bytes:?}");
            // However it is cut, it does no harm.
            for end in 0..bytes.len() {
                answer(&bytes[..end], &asked, Kind::A);
            }
        }
    }
}
