//! Whether the bytes that came back are all there will be: HTTP/1's framing of answers, as far as a test's client needs it.

/// What the answers so far amount to.
#[derive(PartialEq)]
pub enum Seen {
    /// One of them, or part of one, is still to come.
    Unfinished,
    /// The last one says that the connection ends, or ends with it.
    Closing,
    /// One for every request.
    All,
}

/// `requests`: the bytes that were sent, `answers`: those that came back.
pub fn seen(requests: &[u8], answers: &[u8]) -> Seen {
    let methods = methods(requests);
    let mut rest = answers;
    for method in &methods {
        loop {
            let Some(end) = find(rest, b"\r\n\r\n") else { return Seen::Unfinished };
            let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
            rest = &rest[end + 4..];
            let status = head.split(' ').nth(1).unwrap_or_default();
            if status == "100" {
                continue;
            }
            let closing = head.contains("\r\nconnection: close");
            let bodiless = *method == b"HEAD" || ["204", "304"].contains(&status);
            match length(&head, rest) {
                _ if bodiless => {}
                Some(length) if length <= rest.len() => rest = &rest[length..],
                _ => return Seen::Unfinished,
            }
            if closing {
                return Seen::Closing;
            }
            break;
        }
    }
    if methods.is_empty() { Seen::Unfinished } else { Seen::All }
}

/// The methods of the request lines among the bytes, in order.
fn methods(requests: &[u8]) -> Vec<&[u8]> {
    let lines = requests.split(|&byte| byte == b'\n');
    let lines = lines.filter(|line| find(line, b" HTTP/1.").is_some());
    lines.map(|line| line.split(|&byte| byte == b' ').next().unwrap_or_default()).collect()
}

/// How many of the bytes after the head are its body; None: not known, or not all there yet.
fn length(head: &str, rest: &[u8]) -> Option<usize> {
    if head.contains("\r\ntransfer-encoding: chunked") {
        let mut at = 0;
        loop {
            let line = find(&rest[at..], b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[at..at + line]).ok()?.trim(), 16).ok()?;
            at += line + 2;
            if size == 0 {
                // (trailers, or the empty line at once)
                let line = find(&rest[at..], b"\r\n")?;
                return if line == 0 { Some(at + 2) } else { Some(at + find(&rest[at..], b"\r\n\r\n")? + 4) };
            }
            at += size + 2;
            if at > rest.len() {
                return None;
            }
        }
    }
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
