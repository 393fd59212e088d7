//! Names to variables, jumps to labels, while the parser walks the source.
//!
//! One `Scope` per function being parsed. Gotos wait in `pending` until their label turns up; leaving a block lowers what
//! they have in view to what was declared around the block.
use std::collections::HashMap;

use super::Parser;
use super::ast::{CapturedVar, Expr, ExprId, Function, LabelId, Source, Var, VarId};
use super::pieces::Mode;
use crate::compile::SyntaxError;
use crate::lex::names::Symbol;

/// The limits per function of OpenResty's LuaJIT.
const MAX_LOCALS: usize = 200;
const MAX_CAPTURES: usize = 120;

/// A function being parsed.
#[derive(Default)]
pub(super) struct Scope {
    // (boxed: it is lent out with every statement)
    pub function: Box<Function>,
    /// How many expressions and functions of the chunk are not of this function.
    pub outside: (usize, usize),
    pub vararg: bool,
    pub captures: Vec<CapturedVar>,
    /// The variables in view, innermost last; hidden loop variables have no name.
    active: Vec<Option<Symbol>>,
    /// The variable behind each capture.
    origins: Vec<Binding>,
    blocks: Vec<BlockScope>,
    /// The labels of the open blocks, and the same by name and block.
    labels: Vec<Symbol>,
    label_ids: HashMap<(Symbol, usize), LabelId, ahash::RandomState>,
    pending: Vec<Goto>,
    /// Which of `pending` wait for the name (`None`: a `break` outside of all loops), in order.
    waiting: HashMap<Option<Symbol>, Vec<u32>, ahash::RandomState>,
    /// The jumps to labels that were not known, each with its number among the chunk's, where they are surveyed.
    pub jumps: Vec<(LabelId, u32)>,
}

/// A variable in view: whose it is and which.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Binding {
    /// The function's place in `Parser::scopes`.
    function: usize,
    var: VarId,
    /// How many variables the chunk has before it.
    number: u32,
}

/// The variables in view of all functions being parsed, by name, innermost last.
#[derive(Default)]
pub(super) struct Bindings {
    by_symbol: Vec<Vec<Binding>>,
}

impl Bindings {
    fn push(&mut self, name: Symbol, binding: Binding) {
        if self.by_symbol.len() <= name.index() {
            self.by_symbol.resize_with(name.index() + 1, Vec::new);
        }
        self.by_symbol[name.index()].push(binding);
    }

    fn pop(&mut self, name: Symbol) {
        self.by_symbol[name.index()].pop();
    }

    fn innermost(&self, name: Symbol) -> Option<Binding> {
        self.by_symbol.get(name.index())?.last().copied()
    }
}

struct BlockScope {
    /// A loop with what it consists of.
    is_loop: bool,
    /// Where its `break`s go, if there are any.
    exit: Option<LabelId>,
    vars: usize,
    active: usize,
    labels: usize,
    pending: usize,
}

/// A jump whose label has not been seen, or several of one block with the same variables in view.
struct Goto {
    name: Option<Symbol>,
    id: LabelId,
    line: u32,
    /// Variables in view: few, see `MAX_LOCALS`.
    active: u8,
    resolved: bool,
}

// What a source can make most of.
const _: () = assert!(size_of::<Goto>() <= 16 && MAX_LOCALS <= u8::MAX as usize);

impl Scope {
    pub fn new(line: u32, vararg: bool) -> Scope {
        Scope { function: Box::new(Function { line, ..Function::default() }), vararg, ..Scope::default() }
    }

    pub fn new_label(&mut self) -> LabelId {
        let id = LabelId(self.function.labels.len() as u32);
        self.function.labels.push(id);
        id
    }

    /// The jumps to `name` made since the innermost block began, taken off the waiting list.
    fn take_waiting(&mut self, name: Option<Symbol>, first: usize) -> Vec<u32> {
        let Some(list) = self.waiting.get_mut(&name) else { return Vec::new() };
        let split = list.partition_point(|&goto| (goto as usize) < first);
        list.split_off(split)
    }
}

impl Parser<'_, '_> {
    /// Declares a variable that `activate` brings into view; `waiting` others are declared and not yet in view.
    pub(super) fn declare(&mut self, name: Symbol, waiting: usize) -> Result<VarId, SyntaxError> {
        if self.scope().active.len() + waiting >= MAX_LOCALS {
            return Err(self.too_many(MAX_LOCALS, "local variables"));
        }
        let number = self.declared;
        self.declared += 1;
        let cell = self.needs_cell(number);
        let name = self.lexer.names.variable(name);
        let vars = &mut self.scope().function.vars;
        vars.push(Var { name, number, captured: cell, assigned: cell });
        Ok(VarId(vars.len() as u32 - 1))
    }

    pub(super) fn activate(&mut self, name: Symbol, var: VarId) {
        let scope = self.scope();
        scope.active.push(Some(name));
        let number = scope.function.vars.get(var.0 as usize).map_or(0, |var| var.number);
        let function = self.scopes.len() - 1;
        self.bindings.push(name, Binding { function, var, number });
    }

    /// A loop's three control registers count as variables, without names.
    pub(super) fn activate_hidden(&mut self, count: usize) {
        let scope = self.scope();
        scope.active.extend(std::iter::repeat_n(None, count));
    }

    pub(super) fn too_many(&self, limit: usize, what: &str) -> SyntaxError {
        self.too_many_in(self.scopes.len() - 1, limit, what)
    }

    fn too_many_in(&self, function: usize, limit: usize, what: &str) -> SyntaxError {
        let function = match self.scopes[function].function.line {
            0 => "main function".to_string(),
            line => format!("function at line {line}"),
        };
        self.lexer.error_at(self.lexer.line, format!("{function} has more than {limit} {what}").as_bytes())
    }

    /// What `name` means here, as an expression.
    pub(super) fn resolve(&mut self, name: Symbol) -> Result<ExprId, SyntaxError> {
        let innermost = self.scopes.len() - 1;
        let Some(origin) = self.bindings.innermost(name) else { return Ok(self.add(Expr::Global(name))) };
        if origin.function == innermost {
            return Ok(self.add(Expr::Local(origin.var)));
        }
        // The functions between that do not have it yet, innermost first: that one is named if there is no room.
        let mut known = innermost;
        while known > origin.function && !self.scopes[known].origins.contains(&origin) {
            if self.scopes[known].captures.len() >= MAX_CAPTURES {
                return Err(self.too_many_in(known, MAX_CAPTURES, "upvalues"));
            }
            known -= 1;
        }
        let index_in = |scope: &Scope| scope.origins.iter().position(|o| *o == origin).unwrap_or_default() as u8;
        for function in known + 1..=innermost {
            let around = &mut self.scopes[function - 1];
            let (source, cell) = if function - 1 == origin.function {
                // (not there while a table's items are read: all is known then)
                if let Some(var) = around.function.vars.get_mut(origin.var.0 as usize) {
                    var.captured = true;
                }
                (Source::Local(origin.var), self.needs_cell(origin.number))
            } else {
                let index = index_in(around);
                (Source::Captured(index), around.captures[usize::from(index)].cell)
            };
            let scope = &mut self.scopes[function];
            scope.captures.push(CapturedVar { name: self.lexer.names.variable(name), source, cell });
            scope.origins.push(origin);
        }
        let index = index_in(&self.scopes[innermost]);
        Ok(self.add(Expr::Captured(index)))
    }

    /// Notes that the variable is assigned other than by its declaration.
    pub(super) fn mark_assigned(&mut self, variable: Source) {
        let innermost = self.scopes.len() - 1;
        let mut source = variable;
        for depth in (0..=innermost).rev() {
            match source {
                Source::Local(var) => {
                    if let Some(var) = self.scopes[depth].function.vars.get_mut(var.0 as usize) {
                        var.assigned = true;
                    }
                    return;
                }
                Source::Captured(index) => source = self.scopes[depth].captures[index as usize].source,
            }
        }
    }

    pub(super) fn open_block(&mut self) {
        self.open(false);
    }

    pub(super) fn open_loop(&mut self) {
        self.open(true);
    }

    fn open(&mut self, is_loop: bool) {
        let scope = self.scope();
        scope.blocks.push(BlockScope {
            is_loop,
            exit: None,
            vars: scope.function.vars.len(),
            active: scope.active.len(),
            labels: scope.labels.len(),
            pending: scope.pending.len(),
        });
    }

    pub(super) fn close_block(&mut self) {
        let Some(scope) = self.scopes.last_mut() else { return };
        let depth = scope.blocks.len();
        let Some(block) = scope.blocks.pop() else { return };
        for name in scope.active.drain(block.active..).flatten() {
            self.bindings.pop(name);
        }
        // What still waits for a label of this block jumps back to it.
        for name in scope.labels.split_off(block.labels) {
            let Some(label) = scope.label_ids.remove(&(name, depth)) else { continue };
            for goto in scope.take_waiting(Some(name), block.pending) {
                scope.pending[goto as usize].resolved = true;
                scope.function.labels[scope.pending[goto as usize].id.0 as usize] = label;
            }
        }
        while scope.pending.len() > block.pending && scope.pending.last().is_some_and(|goto| goto.resolved) {
            scope.pending.pop();
        }
        for goto in &mut scope.pending[block.pending..] {
            goto.active = goto.active.min(block.active as u8);
        }
        self.forget_variables(block.vars);
    }

    /// Leaves a loop's block. The result is where its `break`s go.
    pub(super) fn close_loop(&mut self) -> LabelId {
        let exit = self.scope().blocks.last().and_then(|block| block.exit);
        self.close_block();
        exit.unwrap_or_else(|| self.scope().new_label())
    }

    /// A jump to `name`, or a `break`. A label of the same block that is still to come is preferred to one around the
    /// block, so only a label of this very block is taken at once.
    /// Also given: whether the label is known to come before the jump.
    pub(super) fn jump_to(&mut self, name: Option<Symbol>) -> (LabelId, bool) {
        let line = self.lexer.last_line;
        if let Some(name) = name
            && let Some(label) = self.label_in_block(name)
        {
            return (label, true);
        }
        if name.is_none()
            && let Some(exit) = self.exit_of_loop()
        {
            return (exit, false);
        }
        let number = self.jumped;
        self.jumped += 1;
        let surveyed = matches!(self.mode, Mode::Survey(_));
        let scope = self.scope();
        let active = scope.active.len() as u8;
        let first = scope.blocks.last().map_or(0, |block| block.pending);
        let waiting = scope.waiting.entry(name).or_default();
        let latest = waiting.last().map(|at| *at as usize).filter(|at| *at >= first);
        let id = match latest.and_then(|at| scope.pending.get(at)).filter(|goto| goto.active == active) {
            Some(goto) => goto.id,
            None => {
                waiting.push(scope.pending.len() as u32);
                let id = scope.new_label();
                scope.pending.push(Goto { name, id, line, active, resolved: false });
                id
            }
        };
        if surveyed {
            scope.jumps.push((id, number));
        }
        (id, self.goes_back(number))
    }

    /// Where a `break` goes, if it is in a loop.
    fn exit_of_loop(&mut self) -> Option<LabelId> {
        let scope = self.scope();
        let at = scope.blocks.iter().rposition(|block| block.is_loop)?;
        if scope.blocks[at].exit.is_none() {
            scope.blocks[at].exit = Some(scope.new_label());
        }
        scope.blocks[at].exit
    }

    /// The label of that name in the innermost block.
    pub(super) fn label_in_block(&mut self, name: Symbol) -> Option<LabelId> {
        let scope = self.scope();
        scope.label_ids.get(&(name, scope.blocks.len())).copied()
    }

    pub(super) fn add_label(&mut self, name: Symbol) -> LabelId {
        let scope = self.scope();
        let id = scope.new_label();
        scope.labels.push(name);
        scope.label_ids.insert((name, scope.blocks.len()), id);
        id
    }

    /// Resolves the block's waiting gotos to a label just added. A label at the end of its block counts as outside the
    /// scope of the block's variables (`trailing`).
    pub(super) fn resolve_gotos(&mut self, name: Symbol, label: LabelId, trailing: bool) -> Result<(), SyntaxError> {
        let scope = self.scope();
        let Some(block) = scope.blocks.last() else { return Ok(()) };
        let in_view = if trailing { block.active } else { scope.active.len() };
        let first = block.pending;
        for index in scope.take_waiting(Some(name), first) {
            let goto = &mut scope.pending[index as usize];
            goto.resolved = true;
            if usize::from(goto.active) < in_view {
                let line = goto.line;
                let local = scope.active[usize::from(goto.active)];
                let mut message = b"<goto ".to_vec();
                message.extend_from_slice(self.lexer.names.text(name));
                message.extend_from_slice(b"> jumps into the scope of local '");
                if let Some(local) = local {
                    message.extend_from_slice(self.lexer.names.text(local));
                }
                message.push(b'\'');
                return Err(self.lexer.error_at(line, &message));
            }
            scope.function.labels[goto.id.0 as usize] = label;
        }
        Ok(())
    }

    /// At a function's end every goto must have found its label.
    pub(super) fn check_gotos(&mut self) -> Result<(), SyntaxError> {
        let Some(goto) = self.scope().pending.iter().find(|goto| !goto.resolved) else { return Ok(()) };
        let (name, line) = (goto.name, goto.line);
        let message = match name {
            None => b"no loop to break".to_vec(),
            Some(name) => [b"undefined label '", self.lexer.names.text(name), b"'"].concat(),
        };
        Err(self.lexer.error_at(line, &message))
    }
}
