//! Source to compiled functions: the parser's tree is walked once, each function into a `Proto`.
//!
//! Registers are used as a stack: a function's locals in the order of their declaration, temporaries above them. An
//! expression that is not told where to go always goes to the lowest free register.
mod assign;
mod block;
mod expr;
mod function;
mod jump;
mod logic;
mod stmt;
mod table;

use std::cell::RefCell;
use std::rc::Rc;

use crate::code::verify::verify;
use crate::code::{self, DebugInfo, Proto, chunk_id};
use crate::lex::names::Names;
use crate::parse;
use crate::parse::ast::{Chunk, Function};
use function::{FunctionCode, Home, Parts, Sheet};

/// A source that does not compile, in LuaJIT's words: `CHUNK:LINE: what is wrong near 'token'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub message: Vec<u8>,
}

impl SyntaxError {
    pub(crate) fn at(chunk_name: &[u8], line: u32, text: &[u8]) -> SyntaxError {
        let mut message = chunk_id(chunk_name);
        message.extend_from_slice(format!(":{line}: ").as_bytes());
        message.extend_from_slice(text);
        SyntaxError { message }
    }
    pub(crate) fn no_memory() -> SyntaxError {
        SyntaxError { message: b"not enough memory".to_vec() }
    }
    /// The tree would have taken more memory than there is.
    pub(crate) fn is_no_memory(&self) -> bool {
        self.message == b"not enough memory"
    }
}

/// Compiles a chunk; the result is its main function, which takes `...`.
pub fn compile(source: &[u8], chunk_name: &[u8]) -> Result<code::Chunk, SyntaxError> {
    compile_at(source, chunk_name, 1, isize::MAX)
}

/// As `compile` does it with long sources; what comes out is the same.
pub fn compile_in_pieces(source: &[u8], chunk_name: &[u8]) -> Result<code::Chunk, SyntaxError> {
    in_pieces(parse::Input { source, chunk_name, first_line: 1, most: isize::MAX })
}

/// Sources longer than this are read twice, so that they are never in memory as trees but for one statement of the main function.
const LONG: usize = 512 << 10;

/// As `compile`, with the first line numbered `first_line`; fails with "not enough memory" when the thread's allocated bytes exceed
/// `most`.
pub fn compile_at(source: &[u8], chunk_name: &[u8], first_line: u32, most: isize) -> Result<code::Chunk, SyntaxError> {
    if source.len() > Names::MOST {
        return Err(SyntaxError::no_memory());
    }
    let input = parse::Input { source, chunk_name, first_line, most };
    let chunk = if source.len() > LONG { in_pieces(input)? } else { whole(input)? };
    debug_assert_eq!(verify(&chunk), Ok(()));
    Ok(chunk)
}

fn whole(input: parse::Input<'_>) -> Result<code::Chunk, SyntaxError> {
    let (chunk, names) = parse::parse(input)?;
    let Some(main) = chunk.functions.last() else {
        return Err(SyntaxError::at(input.chunk_name, input.first_line, b"empty chunk"));
    };
    let sheet = Sheet::new(input.chunk_name);
    let main = compile_function(&chunk, main, Home { sheet: sheet.clone(), ..Home::default() })?;
    Ok(finish(main, names, &sheet))
}

/// The code of each statement is made, and its tree forgotten, before the next one is read.
fn in_pieces(input: parse::Input<'_>) -> Result<code::Chunk, SyntaxError> {
    let (survey, names) = parse::survey(input)?;
    let functions = Functions { sheet: Sheet::new(input.chunk_name), open: RefCell::default() };
    let (main, names) = parse::in_pieces(input, &survey, names, &functions)?;
    Ok(finish(main, names, &functions.sheet))
}

/// The functions whose code is being made, innermost last; but one that is being worked on is not in the list.
struct Functions {
    sheet: Rc<Sheet>,
    // (boxed: they come out and go back for every statement)
    #[allow(clippy::vec_box)]
    open: RefCell<Vec<Box<Parts>>>,
}

impl Functions {
    fn innermost(&self) -> Result<Box<Parts>, SyntaxError> {
        self.open.borrow_mut().pop().ok_or_else(SyntaxError::no_memory)
    }
}

impl parse::Pieces for Functions {
    fn open(&self, function: &Function) -> Result<(), SyntaxError> {
        let parts = Parts::new(Home { sheet: self.sheet.clone(), ..Home::default() }, function.line);
        let none = Chunk::default();
        let mut code = FunctionCode::new(&none, function, parts);
        code.parameters()?;
        self.open.borrow_mut().push(code.into_parts());
        Ok(())
    }

    fn piece(&self, chunk: &Chunk, function: &Function, reader: &mut dyn parse::Reader) -> Result<(), SyntaxError> {
        let mut code = FunctionCode::new(chunk, function, self.innermost()?).with_reader(reader);
        code.statements(&function.body)?;
        self.open.borrow_mut().push(code.into_parts());
        Ok(())
    }

    fn close(&self, function: &Function) -> Result<Proto, SyntaxError> {
        let none = Chunk::default();
        let mut code = FunctionCode::new(&none, function, self.innermost()?);
        code.end();
        code.finish()
    }
}

fn finish(main: Proto, mut names: Names, sheet: &Sheet) -> code::Chunk {
    let debug = DebugInfo { source: sheet.source.clone(), names: names.finish(), records: sheet.records.take().into() };
    code::Chunk { main, names, debug }
}

fn compile_function(chunk: &Chunk, function: &Function, home: Home) -> Result<Proto, SyntaxError> {
    let parts = Parts::new(home, function.line);
    let mut code = FunctionCode::new(chunk, function, parts);
    code.parameters()?;
    code.statements(&function.body)?;
    code.end();
    code.finish()
}
