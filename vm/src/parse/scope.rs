//! Names to variables, jumps to labels, while the parser walks the source.
//!
//! One `Scope` per function being parsed. Gotos wait in `pending` until their label turns up; leaving a block lowers what
//! they have in view to what was declared around the block.
use std::collections::HashMap;

use super::Parser;
use super::ast::{CapturedVar, Expr, LabelId, Source, Var, VarId};
use crate::compile::SyntaxError;
use crate::lex::names::Symbol;

/// LuaJIT's limits per function.
const MAX_LOCALS: usize = 200;
const MAX_CAPTURES: usize = 60;

/// A function being parsed.
#[derive(Default)]
pub(super) struct Scope {
    pub vars: Vec<Var>,
    /// The variables in view, innermost last; hidden loop variables have no name.
    active: Vec<(Option<Symbol>, VarId)>,
    pub captures: Vec<CapturedVar>,
    pub vararg: bool,
    pub line: u32,
    blocks: Vec<BlockScope>,
    /// The labels in view, and the same by name.
    labels: Vec<Symbol>,
    label_ids: HashMap<Symbol, LabelId, ahash::RandomState>,
    pending: Vec<Goto>,
    /// Which of `pending` wait for the name (`None`: `break`), in order.
    waiting: HashMap<Option<Symbol>, Vec<usize>, ahash::RandomState>,
    /// For each label number the label that it turned out to be.
    pub aliases: Vec<LabelId>,
}

struct BlockScope {
    active: usize,
    labels: usize,
    pending: usize,
}

/// A jump whose label has not been seen; `break` has no name.
struct Goto {
    name: Option<Symbol>,
    id: LabelId,
    line: u32,
    active: usize,
    resolved: bool,
}

impl Scope {
    pub fn new(line: u32, vararg: bool) -> Scope {
        Scope { line, vararg, ..Scope::default() }
    }

    pub fn new_label(&mut self) -> LabelId {
        let id = LabelId(self.aliases.len() as u32);
        self.aliases.push(id);
        id
    }

    /// The jumps to `name` made since the innermost block began, taken off the waiting list.
    fn take_waiting(&mut self, name: Option<Symbol>, first: usize) -> Vec<usize> {
        let Some(list) = self.waiting.get_mut(&name) else { return Vec::new() };
        let split = list.partition_point(|&goto| goto < first);
        list.split_off(split)
    }

    fn lookup(&self, name: Symbol) -> Option<VarId> {
        self.active.iter().rev().find(|(n, _)| *n == Some(name)).map(|&(_, var)| var)
    }
}

impl Parser<'_> {
    /// Declares a variable that `activate` brings into view; `waiting` others are declared and not yet in view.
    pub(super) fn declare(&mut self, name: Symbol, waiting: usize) -> Result<VarId, SyntaxError> {
        if self.scope().active.len() + waiting >= MAX_LOCALS {
            return Err(self.too_many(MAX_LOCALS, "local variables"));
        }
        let scope = self.scope();
        scope.vars.push(Var { name, captured: false, assigned: false });
        Ok(VarId(scope.vars.len() as u32 - 1))
    }

    pub(super) fn activate(&mut self, var: VarId) {
        let scope = self.scope();
        let name = scope.vars[var.0 as usize].name;
        scope.active.push((Some(name), var));
    }

    /// A loop's three control registers count as variables, without names.
    pub(super) fn activate_hidden(&mut self, count: usize) {
        let scope = self.scope();
        scope.active.extend(std::iter::repeat_n((None, VarId(u32::MAX)), count));
    }

    pub(super) fn too_many(&mut self, limit: usize, what: &str) -> SyntaxError {
        let function = match self.scope().line {
            0 => "main function".to_string(),
            line => format!("function at line {line}"),
        };
        self.lexer.error_at(self.lexer.line, format!("{function} has more than {limit} {what}").as_bytes())
    }

    /// What `name` means here.
    pub(super) fn resolve(&mut self, name: Symbol) -> Result<Expr, SyntaxError> {
        let innermost = self.scopes.len() - 1;
        if let Some(var) = self.scopes[innermost].lookup(name) {
            return Ok(Expr::Local(var));
        }
        let Some(home) = (0..innermost).rev().find(|&depth| self.scopes[depth].lookup(name).is_some()) else {
            return Ok(Expr::Global(name));
        };
        let Some(var) = self.scopes[home].lookup(name) else { return Ok(Expr::Global(name)) };
        self.scopes[home].vars[var.0 as usize].captured = true;
        // Hand it inwards, one function at a time. The innermost runs out of room first, as the others have fewer.
        let mut source = Source::Local(var);
        for depth in home + 1..=innermost {
            let captures = &mut self.scopes[depth].captures;
            let index = captures.iter().position(|c| c.source == source).unwrap_or(captures.len());
            if index == captures.len() {
                if index >= MAX_CAPTURES {
                    return Err(self.too_many(MAX_CAPTURES, "upvalues"));
                }
                captures.push(CapturedVar { name, source });
            }
            source = Source::Captured(index as u8);
        }
        match source {
            Source::Captured(index) => Ok(Expr::Captured(index)),
            Source::Local(var) => Ok(Expr::Local(var)),
        }
    }

    /// Notes that the variable is assigned other than by its declaration.
    pub(super) fn mark_assigned(&mut self, variable: Source) {
        let innermost = self.scopes.len() - 1;
        let mut source = variable;
        for depth in (0..=innermost).rev() {
            match source {
                Source::Local(var) => {
                    self.scopes[depth].vars[var.0 as usize].assigned = true;
                    return;
                }
                Source::Captured(index) => source = self.scopes[depth].captures[index as usize].source,
            }
        }
    }

    pub(super) fn open_block(&mut self) {
        let scope = self.scope();
        scope.blocks.push(BlockScope {
            active: scope.active.len(),
            labels: scope.labels.len(),
            pending: scope.pending.len(),
        });
    }

    pub(super) fn close_block(&mut self) {
        let scope = self.scope();
        let Some(block) = scope.blocks.pop() else { return };
        scope.active.truncate(block.active);
        for name in scope.labels.drain(block.labels..) {
            scope.label_ids.remove(&name);
        }
        while scope.pending.len() > block.pending && scope.pending.last().is_some_and(|goto| goto.resolved) {
            scope.pending.pop();
        }
        for goto in &mut scope.pending[block.pending..] {
            goto.active = goto.active.min(block.active);
        }
    }

    /// Leaves a loop's block. The result is where its `break`s go.
    pub(super) fn close_loop(&mut self) -> LabelId {
        let scope = self.scope();
        let exit = scope.new_label();
        let first = scope.blocks.last().map_or(0, |block| block.pending);
        for goto in scope.take_waiting(None, first) {
            scope.pending[goto].resolved = true;
            scope.aliases[scope.pending[goto].id.0 as usize] = exit;
        }
        self.close_block();
        exit
    }

    /// A jump to `name`, or a `break`: backwards to a label in view, or onwards to one that is still to come.
    pub(super) fn jump_to(&mut self, name: Option<Symbol>) -> LabelId {
        let line = self.lexer.last_line;
        let scope = self.scope();
        if let Some(name) = name
            && let Some(&label) = scope.label_ids.get(&name)
        {
            return label;
        }
        let id = scope.new_label();
        let active = scope.active.len();
        scope.waiting.entry(name).or_default().push(scope.pending.len());
        scope.pending.push(Goto { name, id, line, active, resolved: false });
        id
    }

    /// True if a label of that name is in view already.
    pub(super) fn label_in_view(&mut self, name: Symbol) -> bool {
        self.scope().label_ids.contains_key(&name)
    }

    pub(super) fn add_label(&mut self, name: Symbol) -> LabelId {
        let scope = self.scope();
        let id = scope.new_label();
        scope.labels.push(name);
        scope.label_ids.insert(name, id);
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
            let goto = &mut scope.pending[index];
            goto.resolved = true;
            if goto.active < in_view {
                let line = goto.line;
                let local = scope.active[goto.active].0;
                let mut message = b"<goto ".to_vec();
                message.extend_from_slice(self.lexer.names.text(name));
                message.extend_from_slice(b"> jumps into the scope of local '");
                if let Some(local) = local {
                    message.extend_from_slice(self.lexer.names.text(local));
                }
                message.push(b'\'');
                return Err(self.lexer.error_at(line, &message));
            }
            scope.aliases[goto.id.0 as usize] = label;
        }
        Ok(())
    }

    /// At a function's end every goto must have found its label.
    pub(super) fn check_gotos(&mut self) -> Result<(), SyntaxError> {
        let Some(goto) = self.scope().pending.iter().find(|goto| !goto.resolved) else { return Ok(()) };
        let (name, line) = (goto.name, goto.line);
        let message = match name {
            None => b"no loop to break".to_vec(),
            Some(name) => [b"undefined label '", &**self.lexer.names.text(name), b"'"].concat(),
        };
        Err(self.lexer.error_at(line, &message))
    }
}
