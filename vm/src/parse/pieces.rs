//! A long source is read twice. The first reading keeps no tree: it surveys what a statement cannot know of what comes later. In the
//! second each statement, with what it consists of, is compiled and forgotten before the next one is read, in blocks and inner
//! functions, too; so a source is never in memory as a tree but for one simple statement a function.
use super::ast::{Chunk, Function, LabelId, Stmt, Var};
use super::scope::Scope;
use super::{Input, Parser};
use crate::code::Proto;
use crate::compile::SyntaxError;
use crate::lex::names::Names;

/// What takes the pieces: one function inside the other, innermost last.
pub trait Pieces {
    /// A function begins, parameters are known.
    fn open(&mut self, function: &Function) -> Result<(), SyntaxError>;
    /// More statements of the innermost function: its `body`, of whose expressions `chunk` consists.
    fn piece(&mut self, chunk: &Chunk, function: &Function) -> Result<(), SyntaxError>;
    /// The innermost function is complete; `piece` has had all of it.
    fn close(&mut self, function: &Function) -> Result<Proto, SyntaxError>;
}

/// What the first reading finds out.
#[derive(Default)]
pub struct Survey {
    /// Which variables need a cell, in the order of their declarations.
    cells: Bits,
    /// Which jumps go back, in the order of the jumps.
    backs: Bits,
}

#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, at: u32) {
        let word = at as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (at % 64);
    }

    fn has(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

/// What becomes of a statement once it is read.
#[derive(Default)]
pub(super) enum Mode<'p> {
    /// It is kept, and its function's others with it.
    #[default]
    Whole,
    Survey(Survey),
    Pieces(Survey, &'p mut dyn Pieces),
}

/// The first reading.
pub fn survey(input: Input<'_>) -> Result<Survey, SyntaxError> {
    let mut parser = Parser::new(input, Mode::Survey(Survey::default()));
    parser.main_function()?;
    match parser.mode {
        Mode::Survey(survey) => Ok(survey),
        _ => Ok(Survey::default()),
    }
}

/// The second reading: `pieces` is given the source's functions.
pub fn in_pieces(input: Input<'_>, survey: Survey, pieces: &mut dyn Pieces) -> Result<(Proto, Names), SyntaxError> {
    let mut parser = Parser::new(input, Mode::Pieces(survey, pieces));
    parser.main_function()?;
    let main = parser.functions.pop().and_then(|main| main.compiled.0.take());
    let Some(main) = main else { return Err(SyntaxError::no_memory()) };
    Ok((*main, parser.lexer.names))
}

impl Parser<'_, '_> {
    /// A statement, or a part of one, has been read.
    pub(super) fn put(&mut self, stmt: Stmt) -> Result<(), SyntaxError> {
        self.scope().function.body.push(stmt);
        match &mut self.mode {
            Mode::Whole => return Ok(()),
            Mode::Survey(_) => {}
            Mode::Pieces(..) => self.with_piece(|pieces, chunk, function| pieces.piece(chunk, function))?,
        }
        // (an expression of the function around this one may be half read)
        let scope = self.scope();
        scope.function.body.clear();
        let (exprs, functions) = scope.outside;
        self.exprs.truncate(exprs);
        self.functions.truncate(functions);
        Ok(())
    }

    /// The innermost function begins, its parameters are declared.
    pub(super) fn function_opens(&mut self, params: u8) -> Result<(), SyntaxError> {
        let outside = (self.exprs.len(), self.functions.len());
        let scope = self.scope();
        scope.outside = outside;
        scope.function.params = params;
        if let Mode::Pieces(..) = self.mode {
            self.with_piece(|pieces, _, function| pieces.open(function))?;
        }
        Ok(())
    }

    /// The innermost function is complete.
    pub(super) fn function_closes(&mut self, end_line: u32, last_line: u32) -> Result<(), SyntaxError> {
        let scope = self.scope();
        (scope.function.end_line, scope.function.last_line) = (end_line, last_line);
        let mut compiled = None;
        if let Mode::Pieces(..) = self.mode {
            self.with_piece(|pieces, _, function| {
                compiled = Some(Box::new(pieces.close(function)?));
                Ok(())
            })?;
        }
        let scope = self.scopes.pop().unwrap_or_default();
        if let Mode::Survey(survey) = &mut self.mode {
            survey.note_variables(&scope.function.vars);
            survey.note_jumps(&scope);
        }
        scope.function.compiled.0.set(compiled);
        self.functions.push(scope.function);
        Ok(())
    }

    /// Lends out what has been read of the innermost function.
    fn with_piece(
        &mut self,
        with: impl FnOnce(&mut dyn Pieces, &Chunk, &Function) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        use std::mem::take;
        let chunk = Chunk {
            exprs: take(&mut self.exprs),
            functions: take(&mut self.functions),
            names: take(&mut self.lexer.names),
        };
        let function = take(&mut self.scope().function);
        let result = match &mut self.mode {
            Mode::Pieces(_, pieces) => with(*pieces, &chunk, &function),
            _ => Ok(()),
        };
        self.scope().function = function;
        (self.exprs, self.functions, self.lexer.names) = (chunk.exprs, chunk.functions, chunk.names);
        result
    }

    /// The variables from `first` on go out of view for good: where no tree is kept, their numbers are given to others.
    pub(super) fn forget_variables(&mut self, first: usize) {
        let Some(scope) = self.scopes.last_mut() else { return };
        match &mut self.mode {
            Mode::Whole => return,
            Mode::Survey(survey) => survey.note_variables(scope.function.vars.get(first..).unwrap_or(&[])),
            Mode::Pieces(..) => {}
        }
        scope.function.vars.truncate(first);
    }

    /// Whether the variable of that number is known to need a cell.
    pub(super) fn needs_cell(&self, number: u32) -> bool {
        matches!(&self.mode, Mode::Pieces(survey, _) if survey.cells.has(number))
    }

    /// Whether the jump of that number is known to go back.
    pub(super) fn goes_back(&self, number: u32) -> bool {
        matches!(&self.mode, Mode::Pieces(survey, _) if survey.backs.has(number))
    }
}

impl Survey {
    fn note_variables(&mut self, vars: &[Var]) {
        for var in vars.iter().filter(|var| var.in_cell()) {
            self.cells.set(var.number);
        }
    }

    fn note_jumps(&mut self, scope: &Scope) {
        for &(id, number) in &scope.jumps {
            let LabelId(target) = scope.function.labels[id.0 as usize];
            if target < id.0 {
                self.backs.set(number);
            }
        }
    }
}
