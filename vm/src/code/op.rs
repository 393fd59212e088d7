//! The instruction set, declared once.
//!
//! Eight bytes an instruction, registers first. `R[x]` is a register of the running function, `K[x]` a constant, `U[x]` a
//! captured value, `top` the end of a list whose length is known only at run time. Jumps count from the next instruction.
//! A local that is captured *and* assigned after its declaration lives in a heap cell which its register holds; every other
//! captured local is copied into the closure. So there are no open upvalues.

/// In `nargs`, `nret` and `n`: as many as there are, up to (or setting) `top`.
pub const MULTI: u8 = 255;

/// Where a closure, when it is made, finds one of its captured values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// `R[n]` of the function that makes the closure: the value itself, or the cell that the register holds.
    Reg(u8),
    /// `U[n]` of the function that makes the closure, value or cell alike.
    Up(u8),
    /// The new closure itself: `local function f() ... f() ... end` with an `f` that is never assigned again.
    Itself,
}

macro_rules! ops {
    ($($name:ident { $($field:ident : $ty:ty),* } $writes:ident $effect:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Op { $(#[doc = concat!("`", $effect, "`")] $name { $($field: $ty),* },)* }

        /// (name, effect in register notation) of every instruction, in opcode order.
        pub const OPS: &[(&str, &str)] = &[$((stringify!($name), $effect),)*];

        impl Op {
            pub fn name(&self) -> &'static str {
                match self { $(Op::$name { .. } => stringify!($name),)* }
            }
            /// The one register that this instruction's plain effect writes, where there is just one.
            pub fn target(&self) -> Option<u8> {
                match *self { $(ops!(@pat $name $writes x) => ops!(@val $writes x),)* }
            }
        }
    };
    (@pat $name:ident a $x:ident) => { Op::$name { a: $x, .. } };
    (@pat $name:ident none $x:ident) => { Op::$name { .. } };
    (@val a $x:ident) => { Some($x) };
    (@val none $x:ident) => { None };
}

impl Op {
    /// The number of the function that this makes a closure of.
    pub fn makes(&self) -> Option<u16> {
        if let Op::Closure { p, .. } = *self { Some(p) } else { None }
    }
}

ops! {
    Move { a: u8, b: u8 } a "R[a] := R[b]";
    LoadK { a: u8, k: u32 } a "R[a] := K[k]";
    LoadNil { a: u8, n: u8 } none "R[a] .. R[a+n-1] := nil";
    LoadBool { a: u8, v: bool } a "R[a] := v";
    GetUp { a: u8, u: u8 } a "R[a] := U[u], captured by value";
    GetUpC { a: u8, u: u8 } a "R[a] := content of the cell U[u]";
    SetUpC { u: u8, a: u8 } none "content of the cell U[u] := R[a]";
    NewCell { a: u8 } none "R[a] := a new cell that holds R[a]";
    GetCell { a: u8, b: u8 } a "R[a] := content of the cell R[b]";
    SetCell { a: u8, b: u8 } none "content of the cell R[a] := R[b]";
    GetGlobal { a: u8, k: u16, ic: u16 } a "R[a] := env[K[k]]";
    SetGlobal { a: u8, k: u16, ic: u16 } none "env[K[k]] := R[a]";
    GetTab { a: u8, b: u8, c: u8 } a "R[a] := R[b][R[c]]";
    GetInt { a: u8, b: u8, n: u8 } a "R[a] := R[b][n], n an integer constant";
    GetField { a: u8, b: u8, k: u16, ic: u16 } a "R[a] := R[b][K[k]], K[k] a string";
    SetTab { a: u8, b: u8, c: u8 } none "R[a][R[b]] := R[c]";
    SetInt { a: u8, n: u8, b: u8 } none "R[a][n] := R[b], n an integer constant";
    SetField { a: u8, b: u8, k: u16, ic: u16 } none "R[a][K[k]] := R[b], K[k] a string";
    SelfField { a: u8, b: u8, k: u16, ic: u16 } a "R[a+1] := R[b]; R[a] := R[b][K[k]], K[k] a string";
    Add { a: u8, b: u8, c: u8 } a "R[a] := R[b] + R[c]";
    Sub { a: u8, b: u8, c: u8 } a "R[a] := R[b] - R[c]";
    Mul { a: u8, b: u8, c: u8 } a "R[a] := R[b] * R[c]";
    Div { a: u8, b: u8, c: u8 } a "R[a] := R[b] / R[c]";
    Mod { a: u8, b: u8, c: u8 } a "R[a] := R[b] % R[c]";
    Pow { a: u8, b: u8, c: u8 } a "R[a] := R[b] ^ R[c]";
    AddK { a: u8, b: u8, k: u16 } a "R[a] := R[b] + K[k], K[k] a number";
    SubK { a: u8, b: u8, k: u16 } a "R[a] := R[b] - K[k], K[k] a number";
    MulK { a: u8, b: u8, k: u16 } a "R[a] := R[b] * K[k], K[k] a number";
    DivK { a: u8, b: u8, k: u16 } a "R[a] := R[b] / K[k], K[k] a number";
    ModK { a: u8, b: u8, k: u16 } a "R[a] := R[b] % K[k], K[k] a number";
    Unm { a: u8, b: u8 } a "R[a] := -R[b]";
    Not { a: u8, b: u8 } a "R[a] := not R[b]";
    Len { a: u8, b: u8 } a "R[a] := #R[b]";
    Concat { a: u8, b: u8, n: u8 } a "R[a] := R[b] .. ... .. R[b+n-1]; the R[b..] are used up";
    Jmp { off: i32 } none "pc += off";
    Loop { off: i32 } none "pc += off, backwards: burns fuel";
    JmpIf { a: u8, off: i32 } none "if R[a] then pc += off";
    JmpIfNot { a: u8, off: i32 } none "if not R[a] then pc += off";
    JmpLt { a: u8, b: u8, off: i32 } none "if R[a] < R[b] then pc += off";
    JmpNLt { a: u8, b: u8, off: i32 } none "if not (R[a] < R[b]) then pc += off";
    JmpLe { a: u8, b: u8, off: i32 } none "if R[a] <= R[b] then pc += off";
    JmpNLe { a: u8, b: u8, off: i32 } none "if not (R[a] <= R[b]) then pc += off";
    JmpEq { a: u8, b: u8, off: i32 } none "if R[a] == R[b] then pc += off";
    JmpNe { a: u8, b: u8, off: i32 } none "if R[a] ~= R[b] then pc += off";
    JmpLtK { a: u8, k: u16, off: i32 } none "if R[a] < K[k] then pc += off, K[k] a number";
    JmpNLtK { a: u8, k: u16, off: i32 } none "if not (R[a] < K[k]) then pc += off, K[k] a number";
    JmpLeK { a: u8, k: u16, off: i32 } none "if R[a] <= K[k] then pc += off, K[k] a number";
    JmpNLeK { a: u8, k: u16, off: i32 } none "if not (R[a] <= K[k]) then pc += off, K[k] a number";
    JmpGtK { a: u8, k: u16, off: i32 } none "if R[a] > K[k] then pc += off, K[k] a number";
    JmpNGtK { a: u8, k: u16, off: i32 } none "if not (R[a] > K[k]) then pc += off, K[k] a number";
    JmpGeK { a: u8, k: u16, off: i32 } none "if R[a] >= K[k] then pc += off, K[k] a number";
    JmpNGeK { a: u8, k: u16, off: i32 } none "if not (R[a] >= K[k]) then pc += off, K[k] a number";
    JmpEqK { a: u8, k: u16, off: i32 } none "if R[a] == K[k] then pc += off, K[k] nil, boolean, number or string";
    JmpNeK { a: u8, k: u16, off: i32 } none "if R[a] ~= K[k] then pc += off, K[k] nil, boolean, number or string";
    ForPrep { a: u8, off: i32 } none "check R[a], R[a+1], R[a+2] are numbers (index, limit, step); pc += off if the loop runs no time, else R[a+3] := R[a]";
    ForLoop { a: u8, off: i32 } none "R[a] += R[a+2]; if it is within R[a+1] then { R[a+3] := R[a]; pc += off }; burns fuel";
    ForUp { a: u8, off: i32 } none "as ForLoop where R[a+2] is a positive constant";
    ForInPrep { a: u8, off: i32 } none "R[a+3] := a place for the iteration's own position; pc += off";
    ForInCall { a: u8, n: u8 } none "R[a+4] .. R[a+3+n] := R[a](R[a+1], R[a+2]); R[a+3] is the loop's own";
    ForInLoop { a: u8, off: i32 } none "if R[a+4] ~= nil then { R[a+2] := R[a+4]; pc += off }; burns fuel";
    Call { a: u8, nargs: u8, nret: u8 } none "R[a] .. R[a+nret-1] := R[a](R[a+1] .. R[a+nargs])";
    TailCall { a: u8, nargs: u8 } none "return R[a](R[a+1] .. R[a+nargs])";
    Return { a: u8, n: u8 } none "return R[a] .. R[a+n-1]";
    Return0 {} none "return";
    Return1 { a: u8 } none "return R[a]";
    Vararg { a: u8, n: u8 } none "R[a] .. R[a+n-1] := ...";
    Closure { a: u8, p: u16 } a "R[a] := a closure of P[p]; a Capture for each of its captures follows, and is passed over";
    Capture { cap: Cap, cell: bool } none "where a captured value is found, and whether it is a cell";
    NewTable { a: u8, narr: u16, nhash: u16 } a "R[a] := {}, with room";
    SetList { a: u8, n: u8, start: u32 } none "R[a][start+i] := R[a+1+i] for i in 0..n";
}
