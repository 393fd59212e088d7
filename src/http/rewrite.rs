//! Runs the rewrite module's instructions of one level.

use ngx::phase::Phase;
use ngx::request::Request;

use super::live::Live;
use super::phases::Next;
use super::uri;
use crate::conf::regex::{Captures, Regex};
use crate::conf::tree::{FileTest, Location, Op, RewriteEnd, Test};

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
                if let Some(kind) = live.http.vars.get(*slot as usize) {
                    // The configuration was checked: it can be assigned.
                    let _ = live.assign(request, kind, Some(text));
                }
            }
            Op::SetByLua { slot, code, args } => {
                let args: Vec<Vec<u8>> = args.iter().map(|value| live.eval(request, value)).collect();
                let result = live.set_by_lua(request, code, args).await;
                let Ok(value) = result else { return Next::Status(500) };
                if let Some(kind) = live.http.vars.get(*slot as usize) {
                    let _ = live.assign(request, kind, Some(value));
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
                let Some(captures) = rule.regex.captures(&request.uri) else { continue };
                keep_captures(live, request, &rule.regex, captures);
                let target = live.eval(request, &rule.to);
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
                if holds(live, request, test)
                    && let Some(inner) = level.ifs.get(*block)
                {
                    live.enter(request, inner.clone());
                    stack.push((inner, 0));
                }
            }
        }
    }
    if changed { Next::Find } else { Next::Go }
}

/// The captures of the last match serve `$1`, Lua's `ngx.var[1]` and named groups.
pub fn keep_captures(live: &Live, request: &mut Request, regex: &Regex, captures: Captures) {
    for (name, number) in &regex.names {
        let id = live.http.names.find(&name.to_ascii_lowercase().into_bytes());
        if let Some(kind) = id.and_then(|id| live.http.vars.get(id as usize)) {
            let _ = live.assign(request, kind, captures.get(*number).cloned().flatten());
        }
    }
    request.captures = captures.iter().skip(1).cloned().collect();
    *live.captures.borrow_mut() = captures;
}

fn redirect_target(request: &Request, mut target: Vec<u8>) -> Vec<u8> {
    if let Some(stripped) = target.strip_suffix(b"?") {
        return stripped.to_vec();
    }
    if let Some(args) = request.args.as_deref().filter(|args| !args.is_empty()) {
        target.push(if target.contains(&b'?') { b'&' } else { b'?' });
        target.extend_from_slice(args);
    }
    if target.starts_with(b"/") {
        let end = memchr::memchr(b'?', &target).unwrap_or(target.len());
        let mut escaped = uri::escape(&target[..end]);
        escaped.extend_from_slice(&target[end..]);
        return escaped;
    }
    target
}

fn holds(live: &Live, request: &mut Request, test: &Test) -> bool {
    match test {
        Test::True(value) => !matches!(live.eval(request, value).as_slice(), b"" | b"0"),
        Test::Equal { value, to, not } => (live.eval(request, value) == live.eval(request, to)) != *not,
        Test::Match { value, regex, not } => match regex.captures(&live.eval(request, value)) {
            Some(captures) => {
                keep_captures(live, request, regex, captures);
                !*not
            }
            None => *not,
        },
        Test::File { path, kind, not } => {
            let path = live.eval(request, path);
            let found = std::fs::metadata(super::files::path_of(&path)).ok();
            let is = found.is_some_and(|found| match kind {
                FileTest::File => found.is_file(),
                FileTest::Directory => found.is_dir(),
                FileTest::Exists => true,
                FileTest::Executable => {
                    found.is_file() && std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 != 0
                }
            });
            is != *not
        }
    }
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
