//! What a register holds, in the words of error messages: found by looking back through the code.
//!
//! The search is LuaJIT's: the last instruction before `pc` that writes the register decides, whatever jumps are between,
//! so that messages name a variable exactly when LuaJIT's do.
use super::{Info, MULTI, Op};
use crate::value::function::ProtoObj;

/// The word before the name: `local 'x'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    Local,
    Upvalue,
    Global,
    Field,
    Method,
    Metamethod,
}

impl NameKind {
    pub fn word(self) -> &'static str {
        match self {
            NameKind::Local => "local",
            NameKind::Upvalue => "upvalue",
            NameKind::Global => "global",
            NameKind::Field => "field",
            NameKind::Method => "method",
            NameKind::Metamethod => "metamethod",
        }
    }
}

/// What register `reg` holds when the instruction at `pc` executes.
pub fn name_of(proto: &ProtoObj<'_>, pc: usize, reg: u8) -> Option<(NameKind, Vec<u8>)> {
    let (mut at, mut reg) = (pc, reg);
    if let Some(name) = local_name(&proto.info(), at, reg) {
        return Some((NameKind::Local, name));
    }
    while at > 0 {
        at -= 1;
        let op = proto.code.get(at)?.get();
        if op.target() != Some(reg) {
            if clobbers(&op, reg) {
                return None;
            }
            continue;
        }
        match op {
            Op::Move { b, .. } | Op::GetCell { b, .. } => {
                reg = b;
                if let Some(name) = local_name(&proto.info(), at, reg) {
                    return Some((NameKind::Local, name));
                }
            }
            Op::GetUp { u, .. } | Op::GetUpC { u, .. } => {
                return Some((NameKind::Upvalue, proto.info().capture_name(u as usize)?.to_vec()));
            }
            Op::GetGlobal { k, .. } => return Some((NameKind::Global, string(proto, k)?)),
            Op::GetField { k, .. } => return Some((NameKind::Field, string(proto, k)?)),
            Op::SelfField { k, .. } => return Some((NameKind::Method, string(proto, k)?)),
            _ => return None,
        }
    }
    None
}

/// How the function is named that the instruction at `pc` is calling.
pub fn function_name(proto: &ProtoObj<'_>, pc: usize) -> Option<(NameKind, Vec<u8>)> {
    let metamethod = match proto.code.get(pc)?.get() {
        Op::Call { a, .. } | Op::TailCall { a, .. } | Op::ForInCall { a, .. } => return name_of(proto, pc, a),
        Op::GetGlobal { .. } | Op::GetTab { .. } | Op::GetInt { .. } | Op::GetField { .. } | Op::SelfField { .. } => {
            "__index"
        }
        Op::SetGlobal { .. } | Op::SetTab { .. } | Op::SetInt { .. } | Op::SetField { .. } => "__newindex",
        Op::Add { .. } | Op::AddK { .. } => "__add",
        Op::Sub { .. } | Op::SubK { .. } => "__sub",
        Op::Mul { .. } | Op::MulK { .. } => "__mul",
        Op::Div { .. } | Op::DivK { .. } => "__div",
        Op::Mod { .. } | Op::ModK { .. } => "__mod",
        Op::Pow { .. } => "__pow",
        Op::Unm { .. } => "__unm",
        Op::Len { .. } => "__len",
        Op::Concat { .. } => "__concat",
        Op::JmpEq { .. } | Op::JmpNe { .. } | Op::JmpEqK { .. } | Op::JmpNeK { .. } => "__eq",
        Op::JmpLt { .. }
        | Op::JmpNLt { .. }
        | Op::JmpLtK { .. }
        | Op::JmpNLtK { .. }
        | Op::JmpGtK { .. }
        | Op::JmpNGtK { .. } => "__lt",
        Op::JmpLe { .. }
        | Op::JmpNLe { .. }
        | Op::JmpLeK { .. }
        | Op::JmpNLeK { .. }
        | Op::JmpGeK { .. }
        | Op::JmpNGeK { .. } => "__le",
        _ => return None,
    };
    Some((NameKind::Metamethod, metamethod.as_bytes().to_vec()))
}

fn local_name(info: &Info<'_>, pc: usize, reg: u8) -> Option<Vec<u8>> {
    info.locals().filter(|local| local.reg == reg && local.is_alive(pc)).last().map(|local| local.name.to_vec())
}

fn string(proto: &ProtoObj<'_>, k: u16) -> Option<Vec<u8>> {
    Some(proto.consts.get(k as usize)?.as_str()?.bytes().to_vec())
}

/// Whether the instruction writes `reg` besides its one plain target.
fn clobbers(op: &Op, reg: u8) -> bool {
    let range = |first: u8, n: u8| reg >= first && (n == MULTI || u32::from(reg) < u32::from(first) + u32::from(n));
    match *op {
        Op::LoadNil { a, n } | Op::Vararg { a, n } => range(a, n),
        Op::SelfField { a, .. } => reg == a.wrapping_add(1),
        Op::Concat { b, n, .. } => range(b, n),
        Op::Call { a, .. } | Op::TailCall { a, .. } => reg >= a,
        Op::ForPrep { a, .. }
        | Op::ForLoop { a, .. }
        | Op::ForUp { a, .. }
        | Op::ForInPrep { a, .. }
        | Op::ForInLoop { a, .. } => reg >= a,
        Op::ForInCall { a, .. } => u32::from(reg) >= u32::from(a) + 3,
        _ => false,
    }
}
