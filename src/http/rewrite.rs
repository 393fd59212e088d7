//! Runs the rewrite module's instructions of one level.

use ngx::phase::Phase;
use ngx::request::Request;

use super::live::Live;
use super::phases::Next;
use crate::conf::regex::{Captures, Exceeded, Regex};
use crate::conf::tree::{FileTest, Location, Op, RewriteEnd, Test};
use crate::conf::value::{Piece, Value};

/// Runs a location's instructions; `Find` when the URI changed and the location must be looked up anew.
pub async fn run(live: &Live, request: &mut Request, location: &Location) -> Next {
    if location.rewrite.is_empty() {
        return Next::Go;
    }
    let mut changed = false;
    // (instructions, next one): an `if` whose condition holds goes on top.
    let mut stack = vec![(location, 0usize)];
    while let Some((level, at)) = stack.pop() {
        let Some(op) = level.rewrite.get(at) else { continue };
        stack.push((level, at + 1));
        match op {
            Op::Set { slot, value } => {
                let text = live.eval(request, value);
                if let Some(kind) = live.http().vars.get(*slot as usize) {
                    // The configuration was checked: it can be assigned.
                    let _ = live.assign(request, kind, Some(text));
                }
            }
            Op::SetByLua { slot, code, args } => {
                let args: Vec<Vec<u8>> = args.iter().map(|value| live.eval(request, value)).collect();
                let result = Box::pin(live.set_by_lua(request, code, args)).await;
                let Ok(value) = result else { return Next::Status(500) };
                if let Some(kind) = live.http().vars.get(*slot as usize) {
                    let _ = live.assign(request, kind, Some(value));
                }
            }
            Op::SetMisc { slot, function, place, args } => {
                let args: Vec<Vec<u8>> = args.iter().map(|value| live.eval(request, value)).collect();
                let text = match super::set_misc::run(live, request, function, place, &args) {
                    Ok(text) => text,
                    Err(status) => return Next::Status(status),
                };
                if let Some(kind) = live.http().vars.get(*slot as usize) {
                    let _ = live.assign(request, kind, Some(text));
                }
            }
            Op::Return(answer) => {
                let Some(text) = &answer.text else { return Next::Status(answer.status) };
                request.response.status = answer.status;
                let text = live.eval(request, text);
                return match answer.status {
                    // Redirects with a text take it as their target; a plain status with one is a body.
                    204 | 304 => Next::Text(answer.status, Vec::new()),
                    status => Next::Text(status, text),
                };
            }
            Op::Rewrite(rule) => {
                let captures = match rule.regex.captures(&request.uri) {
                    Ok(Some(captures)) => captures,
                    Ok(None) => continue,
                    Err(exceeded) => return live.exceeded(request, &exceeded),
                };
                keep_captures(live, request, &rule.regex, captures);
                let target = eval_rewrite(live, request, &rule.to, rule.redirect.is_some());
                if let Some(status) = rule.redirect {
                    return Next::Text(status, redirect_target(request, target));
                }
                let (path, args) = match memchr::memchr(b'?', &target) {
                    Some(at) => (&target[..at], Some(&target[at + 1..])),
                    None => (&target[..], None),
                };
                request.args = match (args, request.args.take()) {
                    // A trailing question mark drops the old arguments.
                    (Some(b""), _) => None,
                    (Some(new), Some(old)) if !old.is_empty() => Some([new, b"&", &old].concat()),
                    (Some(new), _) => Some(new.to_vec()),
                    (None, old) => old,
                };
                request.uri = path.to_vec();
                request.internal = true;
                match rule.end {
                    RewriteEnd::Next => changed = true,
                    RewriteEnd::Last => return Next::Find,
                    RewriteEnd::Break => return Next::Go,
                }
            }
            Op::Break => return if changed { Next::Find } else { Next::Go },
            Op::If { test, block } => {
                let holds = match holds(live, request, test) {
                    Ok(holds) => holds,
                    Err(exceeded) => return live.exceeded(request, &exceeded),
                };
                if holds && let Some(inner) = level.ifs.get(*block) {
                    live.enter(request, *inner);
                    stack.push((live.location(), 0));
                }
            }
        }
    }
    if changed { Next::Find } else { Next::Go }
}

/// The captures of the last match serve `$1`, Lua's `ngx.var[1]` and named groups.
pub fn keep_captures(live: &Live, request: &mut Request, regex: &Regex, captures: Captures) {
    for (name, number) in &regex.names {
        let id = live.http().names.find(&name.to_ascii_lowercase().into_bytes());
        if let Some(kind) = id.and_then(|id| live.http().vars.get(id as usize)) {
            let _ = live.assign(request, kind, captures.get(*number).cloned().flatten());
        }
    }
    request.captures = captures.iter().skip(1).cloned().collect();
    *live.seldom().captures.borrow_mut() = captures;
}

fn redirect_target(request: &Request, mut target: Vec<u8>) -> Vec<u8> {
    if let Some(stripped) = target.strip_suffix(b"?") {
        return stripped.to_vec();
    }
    if let Some(args) = request.args.as_deref().filter(|args| !args.is_empty()) {
        target.push(if target.contains(&b'?') { b'&' } else { b'?' });
        target.extend_from_slice(args);
    }
    target
}

/// The replacement. Captures of an escaped URI come decoded: in a redirect, and behind a question mark, they are escaped again.
fn eval_rewrite(live: &Live, request: &Request, value: &Value, redirect: bool) -> Vec<u8> {
    let quoted = request.target.iter().any(|b| matches!(b, b'%' | b'+'));
    let (mut out, mut args) = (Vec::new(), false);
    for piece in &value.pieces {
        let text = match piece {
            Piece::Text(text) => {
                args |= text.contains(&b'?');
                out.extend_from_slice(text);
                continue;
            }
            piece => live.piece(request, piece).unwrap_or_default(),
        };
        let capture = matches!(piece, Piece::Capture(_));
        if capture && quoted && (redirect || args) {
            out.extend_from_slice(&ngx::encoding::escape_uri(&text, ngx::encoding::Escape::Args));
        } else {
            out.extend_from_slice(&text);
        }
    }
    if redirect { unescape_redirect(&out) } else { out }
}

/// What needs no escaping in a Location is written plainly, up to the arguments.
fn unescape_redirect(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |n: usize| text.get(n).and_then(|b| char::from(*b).to_digit(16));
        let byte = match (text[at], hex(at + 1), hex(at + 2)) {
            (b'?', _, _) => break,
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or(b'%'),
            (plain, _, _) => {
                out.push(plain);
                at += 1;
                continue;
            }
        };
        if byte > b'%' && byte < 0x7f {
            out.push(byte);
        } else {
            out.extend_from_slice(&text[at..at + 3]);
        }
        at += 3;
        if byte == b'?' {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    out
}

fn holds(live: &Live, request: &mut Request, test: &Test) -> Result<bool, Exceeded> {
    Ok(match test {
        Test::True(value) => !matches!(live.eval(request, value).as_slice(), b"" | b"0"),
        Test::Equal { value, to, not } => (live.eval(request, value) == live.eval(request, to)) != *not,
        Test::Match { value, regex, not } => match regex.captures(&live.eval(request, value))? {
            Some(captures) => {
                keep_captures(live, request, regex, captures);
                !*not
            }
            None => *not,
        },
        Test::File { path, kind, not } => {
            let path = live.eval(request, path);
            let found = super::open_files::look(live, request, &super::files::path_of(&path));
            let is = found.is_some_and(|found| match kind {
                FileTest::File => found.is_file,
                FileTest::Directory => found.is_dir,
                FileTest::Exists => true,
                FileTest::Executable => found.is_executable,
            });
            is != *not
        }
    })
}

impl Live {
    async fn set_by_lua(
        &self,
        request: &mut Request,
        code: &ngx::code::Code,
        args: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, ngx::worker::PhaseEnd> {
        let dynamic = self.dynamic(request, code);
        let code = dynamic.as_deref().unwrap_or(code);
        let before = std::mem::replace(&mut request.phase, Phase::Set);
        let value = self.worker.lua.set(request, code, args).await;
        request.phase = before;
        value
    }
}
