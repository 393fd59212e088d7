//! ngx.location.capture and capture_multi: subrequests. What they are asked is gathered here; the server runs them.
//!
//! All subrequests of one call run at the same time, and the call is over when all are.
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use crate::bytes::Bytes;
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Table, ThreadId, Value, What};

use super::encoding::encode_table;
use super::header::add_value;
use super::ngx_table::warn;
use super::req::method_name;
use super::{request, row_in};
use crate::encoding;
use crate::log::Level;
use crate::phase::Phase;
use crate::request::{Local, NoVariable, SubrequestOptions, SubrequestResult};

const LEGAL: u32 = Phase::Rewrite.bit() | Phase::Access.bit() | Phase::Precontent.bit() | Phase::Content.bit();

static NATIVES: &[Row] = &[
    row_in("capture", capture, LEGAL, "ngx.location.capture(uri [, options]) -> response"),
    row_in("capture_multi", capture_multi, LEGAL, "ngx.location.capture_multi({{uri, options}, ...}) -> responses"),
];

pub fn open(cx: Cx<'_>) {
    cx.library("ngx.location", NATIVES);
}

fn capture<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if !matches!(call.len(), 1 | 2) {
        return Err(call.error("expecting one or two arguments"));
    }
    let options = gather(call, 0, call.arg(0), call.arg(1))?;
    run(call, vec![options])
}

fn capture_multi<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() != 1 {
        return Err(call.error(format!("only one argument is expected, but got {}", call.len())));
    }
    let list = call.table(0)?;
    let count = list.length();
    if count == 0 {
        return Err(call.error("at least one subrequest should be specified"));
    }
    call.charge(count * 20);
    let mut all = Vec::with_capacity(count.min(64));
    for index in 0..count {
        let item = list.get_int(index + 1);
        let query = match item.kind() {
            Kind::Table(query) => query,
            Kind::Nil => return Err(call.error("only array-like tables are allowed")),
            _ => {
                let got = item.type_name();
                return Err(call.error(format!("the query argument {index} is not a table, but a {got}")));
            }
        };
        if !matches!(query.length(), 1 | 2) {
            return Err(call.error(format!("query argument {index} expecting one or two arguments")));
        }
        all.push(gather(call, index, query.get_int(1), query.get_int(2))?);
    }
    run(call, all)
}

/// One subrequest's URI and table of options.
fn gather<'gc>(
    call: &mut Call<'_, 'gc>,
    index: usize,
    uri: Value<'gc>,
    options: Value<'gc>,
) -> Result<SubrequestOptions, Value<'gc>> {
    let mut asked = SubrequestOptions::get(Vec::new());
    match options.kind() {
        Kind::Nil => {}
        Kind::Table(options) => gather_options(call, options, &mut asked)?,
        _ => {
            let got = options.type_name();
            return Err(
                call.error(format!("expecting table as the 2nd argument for subrequest {index}, but got {got}"))
            );
        }
    }
    let Some(text) = call.cx.to_str(uri) else { return Err(call.type_error(2, "string")) };
    let text = Call::as_bytes(text);
    let Some((path, own)) = parse_uri(text) else {
        let shown = String::from_utf8_lossy(text).into_owned();
        return Err(call.error(format!("unsafe uri in argument #1: {shown}")));
    };
    asked.uri = path;
    asked.args = match (own.filter(|a| !a.is_empty()), asked.args.take().filter(|a| !a.is_empty())) {
        (Some(own), Some(more)) => Some([own, b"&", &more].concat()),
        (Some(own), None) => Some(own.to_vec()),
        (None, more) => more,
    };
    Ok(asked)
}

fn gather_options<'gc>(
    call: &mut Call<'_, 'gc>,
    options: Table<'gc>,
    asked: &mut SubrequestOptions,
) -> Result<(), Value<'gc>> {
    let args = options.field(b"args");
    asked.args = match args.kind() {
        Kind::Nil => None,
        Kind::Table(t) => Some(encode_table(call, t)?),
        Kind::Str(_) | Kind::Num(_) => Some(call.cx.raw_tostring(args)),
        _ => return Err(call.error("Bad args option value")),
    };
    match options.field(b"vars").kind() {
        Kind::Nil => {}
        Kind::Table(t) => asked.variables = variables(call, t)?,
        _ => return Err(call.error("Bad vars option value")),
    }
    let flag = |call: &Call<'_, 'gc>, name: &str| match options.field(name.as_bytes()).kind() {
        Kind::Nil => Ok(false),
        Kind::Bool(b) => Ok(b),
        _ => Err(call.error(format!("Bad {name} option value"))),
    };
    asked.share_all_vars = flag(call, "share_all_vars")?;
    asked.copy_all_vars = flag(call, "copy_all_vars")?;
    asked.always_forward_body = options.field(b"always_forward_body").truthy();
    match options.field(b"method").kind() {
        Kind::Nil => {}
        Kind::Num(n) => match method_name(n) {
            Some(name) => asked.method = name,
            None => {
                let words = format!("unsupported HTTP method: {n}");
                warn(request(call)?, Level::Error, words.as_bytes());
                return Err(call.error("failed to adjust the subrequest: -1"));
            }
        },
        _ => return Err(call.error("Bad http request method")),
    }
    let ctx = options.field(b"ctx");
    match ctx.kind() {
        Kind::Nil => {}
        Kind::Table(_) => asked.ctx = Some(call.cx.stash(ctx)),
        _ => {
            let got = ctx.type_name();
            return Err(call.error(format!("Bad ctx option value type {got}, expected a Lua table")));
        }
    }
    let body = options.field(b"body");
    asked.body = match body.kind() {
        Kind::Nil => None,
        Kind::Str(_) | Kind::Num(_) => {
            let bytes = call.cx.raw_tostring(body);
            call.charge(bytes.len() / 32);
            Some(Bytes::from(bytes))
        }
        _ => return Err(call.error("Bad http request body")),
    };
    Ok(())
}

fn variables<'gc>(call: &mut Call<'_, 'gc>, t: Table<'gc>) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Value<'gc>> {
    let mut list = Vec::new();
    let mut key = Value::NIL;
    while let Ok(Some((k, v))) = t.next(key) {
        key = k;
        call.charge(2);
        let Some(name) = k.as_str() else {
            return Err(call.error("attempt to use a non-string key in the \"vars\" option table"));
        };
        let mut text = Vec::new();
        if !vm::native::write_text(v, &mut text) {
            return Err(call.error(format!("attempt to use bad variable value type {}", v.type_name())));
        }
        list.push((name.bytes().to_ascii_lowercase(), text));
    }
    Ok(list)
}

/// Splits path and arguments and decodes the path. None: it is empty, climbs up, or holds a zero byte.
pub(crate) fn parse_uri(text: &[u8]) -> Option<(Vec<u8>, Option<&[u8]>)> {
    let (path, args) = match memchr::memchr(b'?', text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let safe = |path: &[u8]| !path.contains(&0) && path.split(|c| *c == b'/').all(|part| part != b"..");
    if path.is_empty() || !safe(path) {
        return None;
    }
    if !path.contains(&b'%') {
        return Some((path.to_vec(), args));
    }
    // (a `+` is no space in a path)
    let parts: Vec<_> = path.split(|c| *c == b'+').map(|part| encoding::unescape_uri(part).into_owned()).collect();
    let decoded = parts.join(&b'+');
    safe(&decoded).then_some((decoded, args))
}

/// While it lives its light thread can neither be killed nor the request be ended.
struct Pending {
    list: Rc<RefCell<Vec<ThreadId>>>,
    id: ThreadId,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut list = self.list.borrow_mut();
        if let Some(at) = list.iter().position(|id| *id == self.id) {
            list.swap_remove(at);
        }
    }
}

/// Subrequests nest no deeper than this (NGX_HTTP_MAX_SUBREQUESTS).
const MAX_DEPTH: usize = 50;

fn run<'gc>(call: &mut Call<'_, 'gc>, asked: Vec<SubrequestOptions>) -> Reply<'gc> {
    for options in &asked {
        let uri = String::from_utf8_lossy(&options.uri).into_owned();
        let args = String::from_utf8_lossy(options.args.as_deref().unwrap_or_default()).into_owned();
        super::log::debug(call, |_| format!("lua http subrequest \"{uri}?{args}\""));
    }
    let request = request(call)?;
    if request.lua.depth >= MAX_DEPTH {
        let uri = asked.first().map_or(&b""[..], |options| &options.uri);
        let words = format!("lua subrequests cycle while processing \"{}\"", String::from_utf8_lossy(uri));
        warn(request, Level::Error, words.as_bytes());
        return Err(call.error("failed to issue subrequest: -1"));
    }
    for (name, _) in asked.iter().flat_map(|options| &options.variables) {
        let Err(bad) = request.exchange.may_set_variable(name) else { continue };
        let shown = String::from_utf8_lossy(name);
        let words = match bad {
            NoVariable::NotFound => {
                format!("variable \"{shown}\" cannot be assigned a value (maybe you forgot to define it first?) ")
            }
            NoVariable::NotChangeable => format!("variable \"{shown}\" not changeable"),
        };
        warn(request, Level::Error, words.as_bytes());
        return Err(call.error("failed to adjust the subrequest: 500"));
    }
    let heads: Vec<bool> = asked.iter().map(|options| options.method == "HEAD").collect();
    let pending = request.lua.threads.current.map(|id| {
        let list = request.lua.subrequests().clone();
        list.borrow_mut().push(id);
        Pending { list, id }
    });
    let jobs: Vec<_> = asked.into_iter().map(|options| request.exchange.clone().subrequest(request, options)).collect();
    let job = async move {
        let done = all(jobs).await;
        drop(pending);
        done
    };
    Outcome::park(What::Subrequest, job, move |call, responses| {
        for (mut response, head) in responses.into_iter().zip(heads) {
            if head {
                response.body.clear();
            }
            let t = response_table(call, response)?;
            call.push(Value::table(t));
        }
        Ok(Outcome::Return)
    })
}

/// Polls them together until all are over.
async fn all(mut jobs: Vec<Local<'static, SubrequestResult>>) -> Vec<SubrequestResult> {
    let mut done: Vec<Option<SubrequestResult>> = jobs.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (job, slot) in jobs.iter_mut().zip(&mut done).filter(|(_, slot)| slot.is_none()) {
            if let Poll::Ready(result) = job.as_mut().poll(cx) {
                *slot = Some(result);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

fn response_table<'gc>(call: &mut Call<'_, 'gc>, response: SubrequestResult) -> Result<Table<'gc>, Value<'gc>> {
    call.reserve(response.body.len())?;
    let cx = call.cx;
    let header = cx.table(0, response.headers.len());
    for (name, value) in response.headers.iter() {
        if value.is_empty() && name.eq_ignore_ascii_case(b"content-type") {
            continue;
        }
        add_value(cx, header, Value::str(cx.intern(name)), cx.str(value));
    }
    let t = cx.table(0, 4);
    cx.set_field(t, "status", Value::num(f64::from(response.status)));
    cx.set_field(t, "truncated", Value::bool(response.truncated));
    cx.set_field(t, "body", cx.str_vec(response.body));
    cx.set_field(t, "header", Value::table(header));
    Ok(t)
}
