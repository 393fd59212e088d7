//! Source to compiled functions: the parser's tree is walked once, each function into a `Proto`.
//!
//! Registers are used as a stack: a function's locals in the order of their declaration, temporaries above them. An
//! expression that is not told where to go always goes to the lowest free register.
mod assign;
mod expr;
mod function;
mod jump;
mod logic;
mod stmt;

use std::rc::Rc;

use crate::code::verify::verify;
use crate::code::{Proto, chunk_id};
use crate::parse;
use crate::parse::ast::{Chunk, Function};
use function::{FunctionCode, Home};

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
pub fn compile(source: &[u8], chunk_name: &[u8]) -> Result<Rc<Proto>, SyntaxError> {
    compile_at(source, chunk_name, 1, isize::MAX)
}

/// As `compile`, with the first line numbered `first_line`; fails with "not enough memory" when the thread's allocated bytes exceed
/// `most`.
pub fn compile_at(source: &[u8], chunk_name: &[u8], first_line: u32, most: isize) -> Result<Rc<Proto>, SyntaxError> {
    let chunk = parse::parse(source, chunk_name, first_line, most)?;
    let Some(main) = chunk.functions.last() else {
        return Err(SyntaxError::at(chunk_name, first_line, b"empty chunk"));
    };
    let proto = compile_function(&chunk, main, chunk_name.into(), Box::default())?;
    debug_assert_eq!(verify(&proto), Ok(()));
    Ok(proto)
}

fn compile_function(
    chunk: &Chunk,
    function: &Function,
    source: Rc<[u8]>,
    captures: Box<[crate::code::Capture]>,
) -> Result<Rc<Proto>, SyntaxError> {
    let mut code = FunctionCode::new(chunk, function, Home { source, captures });
    code.function_body()?;
    code.finish().map(Rc::new)
}
