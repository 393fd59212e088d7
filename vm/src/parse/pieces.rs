//! A long source is read twice. The first reading keeps no tree: it surveys what a statement cannot know of what comes later. In the
//! second each statement, with what it consists of, is compiled and forgotten before the next one is read, in blocks and inner
//! functions, too. A long table's items are read later still, one by one, when the code before them has been made. So a source is never
//! in memory as a tree but for one simple statement a function, or one item a table.
use std::mem::{replace, take};

use super::ast::{CapturedVar, Chunk, Function, Item, LabelId, Stmt, Var};
use super::scope::Scope;
use super::{Input, Parser};
use crate::code::Proto;
use crate::compile::SyntaxError;
use crate::lex::names::Names;
use crate::lex::{Place, Token};

/// What takes the pieces: one function inside the other, innermost last. (A piece may be in work while others come: those of functions
/// in its tables.)
pub trait Pieces {
    /// A function begins, parameters are known.
    fn open(&self, function: &Function) -> Result<(), SyntaxError>;
    /// More statements of the innermost function: its `body`, of whose expressions `chunk` consists.
    fn piece(&self, chunk: &Chunk, function: &Function, reader: &mut dyn Reader) -> Result<(), SyntaxError>;
    /// The innermost function is complete; `piece` has had all of it.
    fn close(&self, function: &Function) -> Result<Proto, SyntaxError>;
}

/// What a piece can ask for.
pub trait Reader {
    /// The innermost function's captured variables so far.
    fn captures(&self) -> &[CapturedVar];
    /// How many items of the long table are positional, and how many are not.
    fn sizes(&self, table: u32) -> (usize, usize);
    /// The table's items, one after the other, each with what it consists of, and whether it is the last one.
    fn items(&mut self, table: u32, each: EachItem<'_>) -> Result<(), SyntaxError>;
}

pub type EachItem<'f> = &'f mut dyn FnMut(&Chunk, &Item, bool, &mut dyn Reader) -> Result<(), SyntaxError>;

/// Tables of so many bytes are long. (A fuzzer's sources are short.)
const LONG_TABLE: u32 = if cfg!(fuzzing) { 8 } else { 4096 };

/// What the first reading finds out.
#[derive(Default)]
pub struct Survey {
    /// Which variables need a cell, in the order of their declarations.
    cells: Bits,
    /// Which jumps go back, in the order of the jumps.
    backs: Bits,
    /// In the order of their beginnings, in the end.
    tables: Vec<LongTable>,
}

struct LongTable {
    /// At its first and its last brace.
    open: Place,
    close: Place,
    positional: u32,
    others: u32,
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
    Pieces(&'p Survey, &'p dyn Pieces),
}

/// The first reading. It knows all names.
pub fn survey(input: Input<'_>) -> Result<(Survey, Names), SyntaxError> {
    let mut parser = Parser::new(input, Mode::Survey(Survey::default()));
    parser.main_function()?;
    let Mode::Survey(mut survey) = parser.mode else { return Err(SyntaxError::no_memory()) };
    survey.tables.sort_unstable_by_key(|table| table.open.at);
    Ok((survey, parser.lexer.names))
}

/// The second reading: `pieces` is given the source's functions.
pub fn in_pieces(
    input: Input<'_>,
    survey: &Survey,
    names: Names,
    pieces: &dyn Pieces,
) -> Result<(Proto, Names), SyntaxError> {
    let mut parser = Parser::new(input, Mode::Pieces(survey, pieces));
    parser.lexer.names = names;
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
            Mode::Pieces(..) => {
                self.with_piece(|pieces, chunk, function, reader| pieces.piece(chunk, function, reader))?;
            }
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
        (scope.function.params, scope.function.vararg) = (params, scope.vararg);
        if let Mode::Pieces(..) = self.mode {
            self.with_piece(|pieces, _, function, _| pieces.open(function))?;
        }
        Ok(())
    }

    /// The innermost function is complete.
    pub(super) fn function_closes(&mut self, end_line: u32, last_line: u32) -> Result<(), SyntaxError> {
        let scope = self.scope();
        (scope.function.end_line, scope.function.last_line) = (end_line, last_line);
        let mut compiled = None;
        if let Mode::Pieces(..) = self.mode {
            self.with_piece(|pieces, _, function, _| {
                compiled = Some(Box::new(pieces.close(function)?));
                Ok(())
            })?;
        }
        let scope = self.scopes.pop().unwrap_or_default();
        if let Mode::Survey(survey) = &mut self.mode {
            survey.note_variables(&scope.function.vars);
            survey.note_jumps(&scope);
        }
        let Scope { function, captures, .. } = scope;
        function.compiled.0.set(compiled);
        self.functions.push(Function { captures, ..*function });
        Ok(())
    }

    /// Lends out what has been read of the innermost function.
    fn with_piece(
        &mut self,
        with: impl FnOnce(&dyn Pieces, &Chunk, &Function, &mut dyn Reader) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        let Mode::Pieces(_, pieces) = self.mode else { return Ok(()) };
        let nobody = take(&mut self.nobody);
        let function = replace(&mut self.scope().function, nobody);
        let result = self.with_tree(|chunk, reader| with(pieces, chunk, &function, reader));
        self.nobody = replace(&mut self.scope().function, function);
        result
    }

    /// Lends out the tree that there is. (More of one may be read meanwhile.)
    fn with_tree<T>(&mut self, with: impl FnOnce(&Chunk, &mut Self) -> T) -> T {
        let chunk = Chunk { exprs: take(&mut self.exprs), functions: take(&mut self.functions) };
        let result = with(&chunk, self);
        (self.exprs, self.functions) = (chunk.exprs, chunk.functions);
        result
    }

    /// The items up to the closing brace, which is next then.
    pub(super) fn table_items(&mut self) -> Result<Vec<Item>, SyntaxError> {
        let (mut items, mut counts) = (Vec::new(), (0, 0));
        let open = self.lexer.place();
        self.expect(Token::LeftBrace)?;
        while self.token() != Token::RightBrace {
            let tree = (self.exprs.len(), self.functions.len());
            let item = self.item()?;
            match item {
                Item::Positional(_) => counts.0 += 1,
                _ => counts.1 += 1,
            }
            match self.mode {
                Mode::Survey(_) => {
                    self.exprs.truncate(tree.0);
                    self.functions.truncate(tree.1);
                }
                _ => items.push(item),
            }
            if !self.separator()? {
                break;
            }
        }
        let close = self.lexer.place();
        if let Mode::Survey(survey) = &mut self.mode
            && close.at - open.at >= LONG_TABLE
        {
            survey.tables.push(LongTable { open, close, positional: counts.0, others: counts.1 });
        }
        Ok(items)
    }

    /// If a long table begins here, goes to its end. The result is its number.
    pub(super) fn skip_long_table(&mut self) -> Option<u32> {
        let Mode::Pieces(survey, _) = self.mode else { return None };
        let at = self.lexer.place().at;
        let number = survey.tables.binary_search_by_key(&at, |table| table.open.at).ok()?;
        self.lexer.go(survey.tables[number].close, Token::RightBrace);
        Some(number as u32)
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

impl Reader for Parser<'_, '_> {
    fn captures(&self) -> &[CapturedVar] {
        self.scopes.last().map_or(&[], |scope| &scope.captures)
    }

    fn sizes(&self, table: u32) -> (usize, usize) {
        let Mode::Pieces(survey, _) = self.mode else { return (0, 0) };
        let Some(table) = survey.tables.get(table as usize) else { return (0, 0) };
        (table.positional as usize, table.others as usize)
    }

    fn items(&mut self, table: u32, each: EachItem<'_>) -> Result<(), SyntaxError> {
        let Mode::Pieces(survey, _) = self.mode else { return Ok(()) };
        let Some(table) = survey.tables.get(table as usize) else { return Ok(()) };
        let (token, back) = (self.token(), self.lexer.place());
        self.lexer.go(table.open, Token::LeftBrace);
        self.advance()?;
        while self.token() != Token::RightBrace {
            self.mind_memory()?;
            let item = self.item()?;
            let last = !self.separator()? || self.token() == Token::RightBrace;
            self.with_tree(|chunk, reader| each(chunk, &item, last, reader))?;
            self.exprs.clear();
            self.functions.clear();
        }
        self.lexer.go(back, token);
        Ok(())
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
