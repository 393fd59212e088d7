//! The module ngx.semaphore: light threads of one worker wait for each other, first come, first served.
//!
//! A post hands its resources to those who wait, at once; one that was handed over and not taken (its thread was killed, its
//! request ended) is posted again.
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value, What};

use super::row_in;
use crate::phase::{ANY, WAITING};

static NATIVES: &[Row] = &[
    row_in("new", new, ANY, "semaphore.new([n]) -> a semaphore with n resources"),
    row_in("wait", wait, WAITING, "sema:wait(seconds) -> true, or nil and a message"),
    row_in("post", post, ANY, "sema:post([n]) -> true"),
    row_in("count", count, ANY, "sema:count() -> resources, negative: how many wait"),
];

/// Makes the module; it is its semaphores' `__index`.
pub fn module<'gc>(cx: Cx<'gc>) -> Value<'gc> {
    let module = super::ngx_table::meta(cx, NATIVES);
    let meta = cx.table(0, 1);
    cx.set_field(meta, "__index", Value::table(module));
    cx.set_field(cx.registry(), "semaphore", Value::table(meta));
    Value::table(module)
}

#[derive(Default)]
struct Semaphore {
    count: Cell<usize>,
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    granted: Cell<bool>,
    told: Notify,
}

impl Semaphore {
    fn post(&self, n: usize) {
        let mut waiters = self.waiters.borrow_mut();
        let served = n.min(waiters.len());
        for waiter in waiters.drain(..served) {
            waiter.granted.set(true);
            waiter.told.notify_one();
        }
        self.count.set(self.count.get().saturating_add(n - served));
    }
}

/// A place in the queue. Dropped early, it is left, and what was granted to it goes on.
struct Place {
    semaphore: Rc<Semaphore>,
    waiter: Rc<Waiter>,
}

impl Place {
    fn take(&self) -> bool {
        self.waiter.granted.replace(false)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.semaphore.waiters.borrow_mut().retain(|w| !Rc::ptr_eq(w, &self.waiter));
        if self.take() {
            self.semaphore.post(1);
        }
    }
}

fn semaphore<'gc>(call: &Call<'_, 'gc>) -> Result<Rc<Semaphore>, Value<'gc>> {
    let object = call.arg(0).as_table().and_then(|t| t.field(b"sem").as_userdata());
    object.and_then(|u| u.downcast::<Semaphore>()).ok_or_else(|| call.error("not a semaphore instance"))
}

fn new<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let n = vm::native::to_number(call.arg(0)).unwrap_or(0.0);
    if n < 0.0 {
        return Err(call.error("no negative number"));
    }
    let cx = call.cx;
    let semaphore = Rc::new(Semaphore { count: Cell::new(n as usize), ..Semaphore::default() });
    let object = cx.table(0, 1);
    cx.set_field(object, "sem", Value::userdata(cx.userdata(semaphore, None)));
    object.set_metatable(cx.mc, cx.registry().field(b"semaphore").as_table());
    call.ret(Value::table(object))
}

fn wait<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let semaphore = semaphore(call)?;
    let seconds = call.number(1)?;
    let Some(limit) = super::time::seconds(seconds) else { return Err(call.error("no negative number")) };
    if semaphore.waiters.borrow().is_empty() && semaphore.count.get() > 0 {
        semaphore.count.set(semaphore.count.get() - 1);
        return call.ret(Value::TRUE);
    }
    if limit.is_zero() {
        return call.ret_nil_err("timeout");
    }
    let waiter = Rc::new(Waiter::default());
    semaphore.waiters.borrow_mut().push_back(waiter.clone());
    let place = Place { semaphore, waiter };
    let job = async move {
        let _ = crate::alarm::within(limit, place.waiter.told.notified()).await;
        // (a post that came with the time-out counts)
        place.take()
    };
    Outcome::park(What::Semaphore, job, |call, granted| match granted {
        true => call.ret(Value::TRUE),
        false => {
            // (false here and nil above: OpenResty's two ways)
            call.push(Value::FALSE);
            let words = call.cx.key("timeout");
            call.ret(words)
        }
    })
}

fn post<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let semaphore = semaphore(call)?;
    let n = if call.arg(1).truthy() { vm::native::to_number(call.arg(1)).unwrap_or(1.0) } else { 1.0 };
    if n < 1.0 {
        return Err(call.error("positive number required"));
    }
    semaphore.post(n as usize);
    call.ret(Value::TRUE)
}

fn count<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let semaphore = semaphore(call)?;
    let n = semaphore.count.get() as f64 - semaphore.waiters.borrow().len() as f64;
    call.ret(Value::num(n))
}
