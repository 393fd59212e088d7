//! ngx.run_worker_thread: a function of a module on a thread of its own, while this worker goes on.
use vm::value::table::TableRef;
use vm::{Call, Outcome, Reply, Row, Value, What};

use super::{row_in, worker};
use crate::log::Level;
use crate::phase::{ANY, Phase};
use crate::thread_pool::plain::{Copier, Stays};
use crate::thread_pool::{Job, Overflow};

const LEGAL: u32 = ANY & !(Phase::Init.bit() | Phase::ExitWorker.bit() | Phase::WorkerThread.bit());

pub static NATIVES: &[Row] = &[row_in(
    "run_worker_thread",
    run_worker_thread,
    LEGAL,
    "ngx.run_worker_thread(pool, module, function, ...) -> true and results, or false and a message",
)];

fn refuse<'gc>(call: &mut Call<'_, 'gc>, message: impl AsRef<[u8]>) -> Reply<'gc> {
    call.push(Value::FALSE);
    let message = call.cx.str(message.as_ref());
    call.ret(message)
}

fn run_worker_thread<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.len() < 3 {
        return refuse(call, "expecting at least 3 arguments");
    }
    let Ok(name) = call.bytes(0) else { return refuse(call, "threadpool should be a string") };
    let worker = worker(call)?;
    let found = worker.setup.pools.clone().and_then(|pools| Some((pools.find(name)?, pools)));
    let Some((pool, pools)) = found else {
        return refuse(call, [b"thread pool ", name, b" not found"].concat());
    };
    let Ok(module) = call.bytes(1) else { return refuse(call, "module name should be a string") };
    let Ok(function) = call.bytes(2) else { return refuse(call, "function name should be a string") };
    let Some(ticket) = pools.ticket() else { return refuse(call, "no available Lua vm") };
    let mut copier = Copier::new(call.cx);
    let mut args = Vec::with_capacity(call.len() - 3);
    for i in 3..call.len() {
        match copier.copy(call.arg(i)) {
            Ok(plain) => args.push(plain),
            Err(Stays::Words(words)) => return refuse(call, format!("{words} in the argument")),
            Err(Stays::Error(error)) => return Err(error),
        }
    }
    call.charge(copier.bytes / 32);
    let package = call.cx.globals().field(b"package");
    let path = |name: &[u8]| call.raw_field(package, name).as_str().map(|s| s.bytes().to_vec()).unwrap_or_default();
    let paths = [path(b"path"), path(b"cpath")];
    let job = Job { module: module.to_vec(), function: function.to_vec(), args, paths, ticket };
    let answer = match pools.post(pool, job) {
        Ok(answer) => answer,
        Err(Overflow { waiting }) => {
            let name = String::from_utf8_lossy(name);
            let words = format!("thread pool \"{name}\" queue overflow: {waiting} tasks waiting");
            let request = super::request(call)?;
            super::ngx_table::warn(request, Level::Error, words.as_bytes());
            return refuse(call, "ngx_thread_task_post failed");
        }
    };
    Outcome::park(What::Other, answer, |call, answer| match answer {
        Ok(Ok(results)) => {
            call.reserve(results.iter().map(crate::thread_pool::plain::Plain::weight).sum())?;
            call.push(Value::TRUE);
            for result in &results {
                let v = result.value(call.cx);
                call.push(v);
            }
            Ok(Outcome::Return)
        }
        Ok(Err(message)) => refuse(call, message),
        // The thread came to an end with the job.
        Err(_) => refuse(call, "the thread ended early"),
    })
}
