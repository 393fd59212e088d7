//! The ngx API: one file a family, one table of natives a file.
//!
//! Natives reach their request through `request(call)`; rows say in which phases they are legal, and the machine refuses the
//! others in OpenResty's words.
pub(crate) mod body;
pub(crate) mod control;
pub(crate) mod encoding;
pub(crate) mod header;
pub(crate) mod location;
pub(crate) mod log;
pub(crate) mod lualib;
pub(crate) mod modules;
pub(crate) mod ngx_table;
pub(crate) mod output;
pub(crate) mod patterns;
pub(crate) mod pipe;
pub(crate) mod re;
pub(crate) mod req;
pub(crate) mod semaphore;
pub(crate) mod shdict;
pub(crate) mod socket;
pub(crate) mod ssl;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod udp;
pub(crate) mod var;
pub(crate) mod worker_thread;

use std::rc::Rc;

use vm::native::Native;
use vm::{Call, Cx, Row, Value};

use crate::phase::{ALL, ANY, Phase, Phases, WITH_REQUEST};
use crate::request::Request;
use crate::worker::Worker;

/// A row that is legal in some phases.
pub(crate) const fn row_in(name: &'static str, native: Native, phases: Phases, doc: &'static str) -> Row {
    Row { name, native, phases, doc }
}

/// In a row's phases: OpenResty has this function in lua-resty-core, whose refusals read differently.
pub(crate) const CORE: Phases = 1 << 31;
/// In a row's phases: where there is no client's request (timers, init_worker), the refusal reads like those.
pub(crate) const CLIENT: Phases = 1 << 30;

/// `ngx.null`.
pub const NULL: u32 = 0;

/// The request at hand.
#[inline]
pub(crate) fn request<'c, 'gc>(call: &'c mut Call<'_, 'gc>) -> Result<&'c mut Request, Value<'gc>> {
    call.host_or("no request found")
}

/// The worker whose Lua runs.
pub(crate) fn worker<'gc>(call: &mut Call<'_, 'gc>) -> Result<Rc<Worker>, Value<'gc>> {
    match request(call)?.lua.worker.clone() {
        Some(worker) => Ok(worker),
        None => Err(call.error("no worker found")),
    }
}

/// Registers everything under `ngx`, and the modules.
pub(crate) fn open(cx: Cx<'_>, worker: &Rc<Worker>) {
    cx.word_refusals(|allowed, bits| {
        let no_client = bits & WITH_REQUEST == 0;
        if allowed & CORE != 0 || no_client && allowed & CLIENT != 0 {
            return "API disabled in the current context".into();
        }
        let phase = ALL.iter().find(|p| p.bit() == bits);
        format!("API disabled in the context of {}", phase.map_or("this phase", |p| p.context()))
    });
    // (there coroutines are plain Lua's in OpenResty)
    cx.wrap_plainly(ANY & !(Phase::Init.bit() | Phase::HeaderFilter.bit() | Phase::BodyFilter.bit()));
    ngx_table::open(cx, worker);
    cx.library("ngx", output::NATIVES);
    cx.library("ngx", control::NATIVES);
    cx.library("ngx", time::NATIVES);
    cx.library("ngx", worker_thread::NATIVES);
    log::open(cx);
    header::open(cx);
    var::open(cx);
    thread::open(cx);
    timer::open(cx);
    socket::open(cx);
    req::open(cx);
    body::open(cx);
    encoding::open(cx);
    re::open(cx);
    udp::open(cx);
    modules::open(cx);
    lualib::open(cx);
    location::open(cx);
    shdict::open(cx, worker);
}
