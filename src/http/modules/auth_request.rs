//! The auth_request module: a subrequest decides.

use ngx::log::Level;
use ngx::request::{Request, SubrequestOptions};

use super::access::Verdict;
use crate::http::live::Live;
use crate::http::phases::Next;
use crate::http::subrequest;

pub async fn check(live: &Live, request: &mut Request) -> Verdict {
    let settings = live.settings();
    let Some(uri) = settings.auth_request.clone().filter(|uri| !uri.is_empty()) else { return Verdict::Silent };
    let Some(me) = live.me() else { return Verdict::Other(Next::Status(500)) };
    let sets = settings.auth_request_set.clone().unwrap_or_default();
    let mut options = SubrequestOptions::get(uri);
    // The method is the request's own, its body stays where it is.
    options.head_only = true;
    // (as every subrequest of nginx's own modules)
    options.share_all_vars = true;
    let (result, values) =
        subrequest::evaluate(me, request, options, sets.iter().map(|(_, value)| value.clone()).collect()).await;
    for ((slot, _), value) in sets.iter().zip(values) {
        if let Some(kind) = live.http().vars.get(*slot as usize) {
            let _ = live.assign(request, kind, Some(value));
        }
    }
    match result.status {
        401 => {
            for value in result.headers.all(b"www-authenticate") {
                request.response.headers.add("WWW-Authenticate", value.clone());
            }
            Verdict::Denied(401)
        }
        403 => Verdict::Denied(403),
        200..=299 => Verdict::Allowed,
        status => {
            live.say(request, Level::Error, &format!("auth request unexpected status: {status}"));
            Verdict::Other(Next::Status(500))
        }
    }
}
