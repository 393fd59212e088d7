//! The syntax tree, with names already resolved to locals, captured values or globals.
//!
//! Expressions live in one vector per chunk and refer to each other by number, so that nothing here is dropped or walked
//! recursively along a chain that the source can make arbitrarily long: chains of binary operators, of suffixes and of
//! `and`/`or` are flat lists. What still nests is bounded by the parser's depth limit.
//!
//! A `line` beside an operand is where the operand's last instruction belongs: LuaJIT emits it when the *next* token has
//! been taken, and its error messages show that line.
use std::cell::Cell;

use super::list::List;
use crate::code::{Proto, VarName};
use crate::lex::names::Symbol;

/// An expression, by its place in `Chunk::exprs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExprId(pub u32);

/// A function of the chunk, by its place in `Chunk::functions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionId(pub u32);

/// A local variable, by its place in its function's `vars`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VarId(pub u32);

/// A jump target of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelId(pub u32);

/// An operand and the line of its last instruction.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    pub expr: ExprId,
    pub line: u32,
}

#[derive(Debug)]
pub enum Expr {
    Nil,
    True,
    False,
    Number(f64),
    Int64 {
        bits: u64,
        unsigned: bool,
    },
    String(Symbol),
    Vararg,
    Local(VarId),
    /// A captured variable, by its place in the function's `captures`.
    Captured(u8),
    Global(Symbol),
    Function(FunctionId),
    /// The items, and the line of the token before the brace.
    Table(List<Item>, u32),
    /// A long one, by its number, whose items are read when they are compiled; and that line.
    LongTable(u32, u32),
    /// `base.a[b](c):d(e)`
    Suffixed {
        base: ExprId,
        suffixes: List<Suffix>,
    },
    /// `first op a op b ...`, evaluated from left to right.
    Chain(Box<Chain>),
    /// `a .. b .. c`, the last operand first.
    Concat {
        reversed: List<Operand>,
        line: u32,
    },
    Unary {
        op: UnaryOp,
        operand: ExprId,
        line: u32,
    },
    And(List<Operand>),
    Or(List<Operand>),
    /// Cuts a call or `...` to one value; anything else is fetched by the line of the closing parenthesis.
    Paren(Operand),
}

impl Expr {
    /// The local or captured variable that this is.
    pub fn variable(&self) -> Option<Source> {
        match *self {
            Expr::Local(var) => Some(Source::Local(var)),
            Expr::Captured(index) => Some(Source::Captured(index)),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub enum Suffix {
    Field { base_line: u32, name: Symbol },
    Index { base_line: u32, key: Operand },
    Call { base_line: u32, args: List<Operand>, line: u32 },
    Method { base_line: u32, name: Symbol, args: List<Operand>, line: u32 },
}

impl Suffix {
    pub fn is_call(&self) -> bool {
        matches!(self, Suffix::Call { .. } | Suffix::Method { .. })
    }

    /// The line of the instruction that produces the value this suffix applies to.
    pub fn base_line(&self) -> u32 {
        match *self {
            Suffix::Field { base_line, .. }
            | Suffix::Index { base_line, .. }
            | Suffix::Call { base_line, .. }
            | Suffix::Method { base_line, .. } => base_line,
        }
    }
}

#[derive(Debug)]
pub struct Chain {
    pub first: Operand,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub op: BinaryOp,
    pub right: ExprId,
    pub line: u32,
}

/// Every binary operator but `..`, `and` and `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl BinaryOp {
    pub fn is_comparison(self) -> bool {
        self as u8 >= BinaryOp::Eq as u8
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Minus,
    Not,
    Length,
}

/// One entry of a table constructor.
#[derive(Debug)]
pub enum Item {
    Positional(Operand),
    Named { name: Symbol, value: Operand },
    Keyed { key: Operand, value: Operand },
}

#[derive(Debug)]
pub enum Stmt {
    /// A call whose results are dropped; the expression is `Suffixed` and ends in a call.
    Call(ExprId),
    Local {
        vars: List<VarId>,
        values: List<Operand>,
        line: u32,
    },
    LocalFunction {
        var: VarId,
        function: FunctionId,
        line: u32,
    },
    /// `function a.b.c() end`
    Function {
        target: ExprId,
        function: FunctionId,
        function_line: u32,
        line: u32,
    },
    /// One target, one value: nearly every assignment.
    Assign {
        target: ExprId,
        value: ExprId,
        line: u32,
    },
    AssignMany {
        targets: List<ExprId>,
        values: List<Operand>,
        line: u32,
    },
    /// A block begins; so does one with each statement down to `GenericFor`. The statements inside follow, then `End` or `Until`.
    Do,
    While(Operand),
    Repeat {
        line: u32,
    },
    If(Operand),
    /// `if condition then goto label end`, or with `break`, and nothing else. `back`: the label is known to come before.
    IfGoto {
        condition: Operand,
        label: LabelId,
        line: u32,
        back: bool,
    },
    NumericFor(Box<NumericFor>),
    GenericFor(Box<GenericFor>),
    /// Before `elseif` or `else`: the line of the block's last token.
    ArmEnd {
        end_line: u32,
    },
    ElseIf(Operand),
    ElseIfGoto {
        condition: Operand,
        label: LabelId,
        line: u32,
        back: bool,
    },
    Else,
    End {
        end_line: u32,
    },
    Until(Operand),
    Return {
        values: List<Operand>,
        line: u32,
    },
    Goto {
        label: LabelId,
        line: u32,
        /// The label is known to come before.
        back: bool,
    },
    Label(LabelId),
}

// What a source can make most of.
const _: () = assert!(size_of::<Expr>() == 16 && size_of::<Stmt>() <= 24 && size_of::<Suffix>() <= 24);

#[derive(Debug)]
pub struct NumericFor {
    pub var: VarId,
    pub start: Operand,
    pub limit: Operand,
    pub step: Option<Operand>,
    /// Lines of the check before the loop, and of the control instruction.
    pub check_line: u32,
    pub line: u32,
}

#[derive(Debug)]
pub struct GenericFor {
    pub vars: List<VarId>,
    pub values: List<Operand>,
    pub check_line: u32,
    pub line: u32,
}

#[derive(Debug)]
pub struct Var {
    pub name: VarName,
    /// How many variables the chunk has before it.
    pub number: u32,
    /// An inner function uses it.
    pub captured: bool,
    /// It is assigned somewhere besides its declaration.
    pub assigned: bool,
}

impl Var {
    /// Whether it must live in a heap cell: a copy would go stale.
    pub fn in_cell(&self) -> bool {
        self.captured && self.assigned
    }
}

/// Where a function finds a captured variable: in the function around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Local(VarId),
    Captured(u8),
}

#[derive(Debug)]
pub struct CapturedVar {
    pub name: VarName,
    pub source: Source,
    /// As far as is known: it lives in a cell.
    pub cell: bool,
}

/// A function's code, until it is taken.
#[derive(Default)]
pub struct Compiled(pub Cell<Option<Box<Proto>>>);

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compiled")
    }
}

#[derive(Debug, Default)]
pub struct Function {
    pub params: u8,
    pub vararg: bool,
    /// Parameters first.
    pub vars: Vec<Var>,
    pub captures: Vec<CapturedVar>,
    /// For each label number the label that it stands for: a jump forward gets its own number before its label's is known.
    pub labels: Vec<LabelId>,
    /// One after the other, whatever is in which block: so a part of them can be compiled without the rest.
    pub body: Vec<Stmt>,
    /// The line of the body's last token.
    pub end_line: u32,
    /// Lines of `function` and of `end`.
    pub line: u32,
    pub last_line: u32,
    /// What became of it, where the tree is not kept.
    pub compiled: Compiled,
}

#[derive(Default)]
pub struct Chunk {
    pub exprs: Vec<Expr>,
    /// The whole chunk's main function is the last one.
    pub functions: Vec<Function>,
}

impl Chunk {
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    pub fn function(&self, id: FunctionId) -> &Function {
        &self.functions[id.0 as usize]
    }
}
