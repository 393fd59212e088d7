//! The access phase: `allow` and `deny` by address, auth_basic, auth_request and access_by_lua*, under `satisfy`.

use std::net::IpAddr;

use ngx::log::Level;
use ngx::phase::Phase;
use ngx::request::{Finish, Request};
use ngx::worker::PhaseEnd;

use super::network::Network;
use super::{auth_basic, auth_request};
use crate::http::live::Live;
use crate::http::phases::{self, Next};

/// One line of `allow` or `deny`.
#[derive(Clone, Debug)]
pub struct Rule {
    pub who: Who,
    pub deny: bool,
}

#[derive(Clone, Debug)]
pub enum Who {
    All,
    Unix,
    Network(Network),
}

/// What one check says.
pub enum Verdict {
    /// It has no opinion.
    Silent,
    Allowed,
    /// 401 and 403 may be outvoted with `satisfy any`.
    Denied(u16),
    /// Whatever the others say.
    Other(Next),
}

enum Check {
    Address,
    Basic,
    Request,
    Lua,
}

/// `ngx.exit(ngx.DECLINED)`
const DECLINED: i32 = -5;

pub async fn run(live: &Live, request: &mut Request) -> Next {
    let settings = live.settings();
    let any = settings.satisfy_any == Some(true);
    let mut refused = 0;
    let order = match settings.access_by_lua_no_postpone {
        Some(true) => [Check::Lua, Check::Address, Check::Basic, Check::Request],
        _ => [Check::Address, Check::Basic, Check::Request, Check::Lua],
    };
    for check in order {
        let verdict = match check {
            Check::Address => address(live, request),
            Check::Basic => auth_basic::check(live, request).await,
            Check::Request => auth_request::check(live, request).await,
            Check::Lua => match &settings.lua_access {
                Some(code) => match live.lua(request, Phase::Access, code).await {
                    PhaseEnd::Finish(Finish::Exit(DECLINED)) => Verdict::Silent,
                    end => match phases::ended(live, request, Phase::Access, code, end).await {
                        Next::Go => Verdict::Allowed,
                        Next::Status(code @ (401 | 403)) => Verdict::Denied(code),
                        other => Verdict::Other(other),
                    },
                },
                None => Verdict::Silent,
            },
        };
        match verdict {
            Verdict::Silent => {}
            Verdict::Allowed if any => {
                // Somebody had asked for a password already.
                request.response.headers.remove(b"www-authenticate");
                return Next::Go;
            }
            Verdict::Allowed => {}
            Verdict::Denied(code) if any => refused = if refused == 401 { 401 } else { code },
            Verdict::Denied(code) => return Next::Status(code),
            Verdict::Other(next) => return next,
        }
    }
    if refused == 0 {
        return Next::Go;
    }
    if refused == 403 {
        live.say(request, Level::Error, "access forbidden by rule");
    }
    Next::Status(refused)
}

/// The first rule that fits decides; none: no opinion.
fn address(live: &Live, request: &Request) -> Verdict {
    let Some(rules) = &live.settings().access else { return Verdict::Silent };
    let address = peer(request);
    let fits = |rule: &&Rule| match &rule.who {
        Who::All => true,
        Who::Unix => request.connection.unix,
        Who::Network(network) => address.is_some_and(|address| network.contains(address)),
    };
    match rules.iter().find(fits) {
        None => Verdict::Silent,
        Some(rule) if !rule.deny => Verdict::Allowed,
        Some(_) => {
            if live.settings().satisfy_any != Some(true) {
                live.say(request, Level::Error, "access forbidden by rule");
            }
            Verdict::Denied(403)
        }
    }
}

/// The client's address; None: a unix socket.
pub fn peer(request: &Request) -> Option<IpAddr> {
    std::str::from_utf8(&request.connection.remote_addr).ok()?.parse().ok()
}
