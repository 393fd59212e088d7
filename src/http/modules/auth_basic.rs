//! The auth_basic module: names and passwords against a file as htpasswd writes it.

use std::time::Duration;

use ngx::encoding::decode_base64;
use ngx::log::Level;
use ngx::request::Request;

use super::access::Verdict;
use super::crypt;
use crate::conf::os_error;
use crate::http::live::Live;
use crate::http::phases::Next;

pub async fn check(live: &Live, request: &mut Request) -> Verdict {
    let verdict = judge(live, request).await;
    // With auth_delay a wrong password costs time; a missing one does not.
    if matches!(verdict, Verdict::Denied(401))
        && request.headers.contains(b"authorization")
        && let Some(ms) = live.settings().auth_delay.filter(|ms| *ms > 0)
    {
        ngx::alarm::sleep(Duration::from_millis(ms)).await;
    }
    verdict
}

async fn judge(live: &Live, request: &mut Request) -> Verdict {
    let settings = live.settings();
    let (Some(realm), Some(file)) = (&settings.auth_basic, &settings.auth_basic_user_file) else {
        return Verdict::Silent;
    };
    let realm = live.eval(request, realm);
    if realm == b"off" {
        return Verdict::Silent;
    }
    let Some((user, password)) = credentials(request) else {
        live.say(request, Level::Info, "no user/password was provided for basic authentication");
        return refuse(request, &realm);
    };
    let name = live.eval(request, file);
    let path = live.worker.main.conf_prefix.join(crate::http::files::path_of(&name));
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            let (level, status) = match error.kind() {
                std::io::ErrorKind::NotFound => (Level::Error, 403),
                _ => (Level::Crit, 500),
            };
            live.say(request, level, &format!("open() \"{}\" failed {}", path.display(), os_error(&error)));
            return if status == 403 { Verdict::Denied(403) } else { Verdict::Other(Next::Status(500)) };
        }
    };
    let shown = String::from_utf8_lossy(&user).into_owned();
    match stored(&text, &user) {
        None => live.say(request, Level::Error, &format!("user \"{shown}\" was not found in \"{}\"", path.display())),
        Some(hash) if is_right(password, hash).await => return Verdict::Allowed,
        Some(_) => live.say(request, Level::Error, &format!("user \"{shown}\": password mismatch")),
    }
    refuse(request, &realm)
}

/// Passwords that take long to check do not hold up the worker.
async fn is_right(password: Vec<u8>, hash: &[u8]) -> bool {
    if !crypt::is_slow(hash) {
        return crypt::matches(&password, hash);
    }
    let hash = hash.to_vec();
    tokio::task::spawn_blocking(move || crypt::matches(&password, &hash)).await.unwrap_or(false)
}

fn refuse(request: &mut Request, realm: &[u8]) -> Verdict {
    request.response.headers.set("WWW-Authenticate", [b"Basic realm=\"", realm, b"\""].concat());
    Verdict::Denied(401)
}

/// The name and the password of an Authorization header.
pub fn credentials(request: &Request) -> Option<(Vec<u8>, Vec<u8>)> {
    let header = request.headers.first(b"authorization")?;
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = decode_base64(encoded.trim_ascii())?;
    let colon = decoded.iter().position(|&b| b == b':').filter(|at| *at > 0)?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

/// `NAME:HASH[:...]` of that name.
fn stored<'a>(text: &'a [u8], user: &[u8]) -> Option<&'a [u8]> {
    text.split(|&b| b == b'\n').filter(|line| !line.starts_with(b"#")).find_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rest = line.strip_prefix(user)?.strip_prefix(b":")?;
        rest.split(|&b| b == b':').next()
    })
}
