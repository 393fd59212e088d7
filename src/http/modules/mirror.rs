//! The mirror module: copies of a request, whose answers nobody looks at.

use ngx::request::{Exchange, Request, SubrequestOptions};

use crate::http::live::Live;
use crate::http::phases::{self, Next};

pub async fn run(live: &Live, request: &mut Request) -> Next {
    let Some(uris) = live.settings().mirror.as_ref().filter(|uris| !uris.is_empty()) else { return Next::Go };
    if request.is_subrequest {
        return Next::Go;
    }
    let Some(me) = live.me() else { return Next::Go };
    let with_body = live.settings().mirror_request_body.unwrap_or(true);
    if with_body && let Next::Status(code) = phases::read_body(live, request).await {
        return Next::Status(code);
    }
    for uri in uris.iter() {
        let mut options = SubrequestOptions::get(uri.clone());
        options.args = request.args.clone();
        options.always_forward_body = with_body;
        options.verbatim = true;
        // (nginx's shares them, whose changes could be told from the request's own by chance alone)
        options.copy_all_vars = true;
        let copy = me.clone().subrequest(request, options);
        tokio::task::spawn_local(async move {
            copy.await;
        });
    }
    Next::Go
}
