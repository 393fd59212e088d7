//! ngx.var: nginx's variables.
use vm::value::Kind;
use vm::value::table::TableRef;
use vm::{Call, Cx, Outcome, Reply, Row, Value};

use super::ngx_table::meta;
use super::{CORE, request, row_in};
use crate::phase::WITH_REQUEST;
use crate::request::NoVariable;

static META: &[Row] = &[
    row_in("__index", index, WITH_REQUEST | CORE, "ngx.var.NAME -> its value or nil"),
    row_in("__newindex", newindex, WITH_REQUEST | CORE, "ngx.var.NAME = value"),
];

pub fn open(cx: Cx<'_>) {
    let ngx = cx.library("ngx", &[]);
    let var = cx.table(0, 0);
    var.set_metatable(cx.mc, Some(meta(cx, META)));
    cx.set_field(ngx, "var", Value::table(var));
}

fn index<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    let cx = call.cx;
    if let Kind::Num(n) = call.arg(1).kind() {
        let request = request(call)?;
        // $0 is not to be had; $1 is the first capture.
        let v = usize::try_from(n as i64 - 1).ok().and_then(|i| request.captures.get(i)).and_then(|c| c.as_deref());
        let v = v.map_or(Value::NIL, |bytes| cx.str(bytes));
        return call.ret(v);
    }
    if call.arg(1).as_str().is_none() {
        return Err(call.error("bad variable name"));
    }
    let name = call.bytes(1)?;
    let request = request(call)?;
    let lower;
    let name = if name.iter().any(u8::is_ascii_uppercase) {
        lower = name.to_ascii_lowercase();
        &lower
    } else {
        name
    };
    let exchange = request.exchange.clone();
    let v = match exchange.variable(request, name) {
        Ok(Some(bytes)) => cx.str_vec(bytes),
        Ok(None) | Err(_) => Value::NIL,
    };
    call.ret(v)
}

fn newindex<'gc>(call: &mut Call<'_, 'gc>) -> Reply<'gc> {
    if call.arg(1).as_str().is_none() {
        return Err(call.error("bad variable name"));
    }
    let name = call.bytes(1)?.to_ascii_lowercase();
    let v = call.arg(2);
    let value = match v.kind() {
        Kind::Nil => None,
        _ => Some(call.cx.raw_tostring(v)),
    };
    let request = request(call)?;
    let exchange = request.exchange.clone();
    let shown = String::from_utf8_lossy(&name).into_owned();
    match exchange.set_variable(request, &name, value) {
        Ok(()) => Ok(Outcome::Return),
        Err(NoVariable::NotFound) => Err(call.error(format!(
            "variable \"{shown}\" not found for writing; maybe it is a built-in variable that is not changeable or you \
             forgot to use \"set ${shown} '';\" in the config file to define it first"
        ))),
        Err(NoVariable::NotChangeable) => Err(call.error(format!("variable \"{shown}\" not changeable"))),
    }
}
