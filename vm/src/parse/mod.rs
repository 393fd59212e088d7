//! Tokens to the syntax tree: a recursive-descent parser whose depth is counted.
//!
//! The order of tokens taken, and so the line and the token that an error message shows, follows LuaJIT's parser.
pub mod ast;
mod expr;
pub mod list;
mod pieces;
mod scope;
mod stmt;

use ast::{Chunk, Expr, ExprId, Function};
use pieces::Mode;
pub use pieces::{Pieces, Reader, in_pieces, survey};
use scope::{Bindings, Scope};

use crate::compile::SyntaxError;
use crate::lex::names::{Names, Symbol};
use crate::lex::{Lexer, Token};

/// Nested expressions, blocks and functions of a chunk; LuaJIT's limit.
const MAX_DEPTH: usize = 200;

/// What is to be parsed. `most`: how far the thread's allocated bytes may rise meanwhile.
#[derive(Clone, Copy)]
pub struct Input<'s> {
    pub source: &'s [u8],
    pub chunk_name: &'s [u8],
    pub first_line: u32,
    pub most: isize,
}

/// The whole tree.
pub fn parse(input: Input<'_>) -> Result<(Chunk, Names), SyntaxError> {
    let mut parser = Parser::new(input, Mode::Whole);
    parser.main_function()?;
    Ok((Chunk { exprs: parser.exprs, functions: parser.functions }, parser.lexer.names))
}

struct Parser<'s, 'p> {
    lexer: Lexer<'s>,
    exprs: Vec<Expr>,
    functions: Vec<Function>,
    /// The functions being parsed, innermost last; never empty until the end.
    scopes: Vec<Scope>,
    bindings: Bindings,
    depth: usize,
    /// How often `mind_memory` was called, and when it has to fail.
    entered: usize,
    most: isize,
    mode: Mode<'p>,
    /// What stands in for a function that is lent out.
    nobody: Box<Function>,
    /// How many variables have been declared, and jumps made, in the whole chunk.
    declared: u32,
    jumped: u32,
}

impl<'s, 'p> Parser<'s, 'p> {
    fn new(input: Input<'s>, mode: Mode<'p>) -> Parser<'s, 'p> {
        Parser {
            lexer: Lexer::new(input.source, input.chunk_name, input.first_line),
            exprs: Vec::new(),
            functions: Vec::new(),
            scopes: vec![Scope::new(0, true)],
            bindings: Bindings::default(),
            depth: 0,
            entered: 0,
            most: input.most,
            mode,
            nobody: Box::default(),
            declared: 0,
            jumped: 0,
        }
    }
}

impl Parser<'_, '_> {
    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("the main function's scope is there from start to end")
    }

    /// The whole source; its main function is the last one then.
    fn main_function(&mut self) -> Result<(), SyntaxError> {
        self.function_opens(0)?;
        self.lexer.advance()?;
        self.open_block();
        self.block()?;
        if self.lexer.token != Token::Eof {
            return Err(self.expected(Token::Eof));
        }
        self.close_block();
        self.check_gotos()?;
        self.function_closes(self.lexer.last_line, self.lexer.line)
    }

    fn add(&mut self, expr: Expr) -> ExprId {
        self.exprs.push(expr);
        ExprId(self.exprs.len() as u32 - 1)
    }

    fn token(&self) -> Token {
        self.lexer.token
    }

    fn advance(&mut self) -> Result<(), SyntaxError> {
        self.lexer.advance()
    }

    /// Takes `token` if it is next.
    fn accept(&mut self, token: Token) -> Result<bool, SyntaxError> {
        let there = self.token() == token;
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn expect(&mut self, token: Token) -> Result<(), SyntaxError> {
        if self.accept(token)? { Ok(()) } else { Err(self.expected(token)) }
    }

    /// Takes the token that closes what `opener` opened at `line`.
    fn expect_match(&mut self, token: Token, opener: Token, line: u32) -> Result<(), SyntaxError> {
        if self.accept(token)? {
            return Ok(());
        }
        if line == self.lexer.line {
            return Err(self.expected(token));
        }
        Err(self.error(&format!("'{}' expected (to close '{}' at line {line})", token.text(), opener.text())))
    }

    /// Takes a name. `goto` is none (5.2 compatibility).
    fn name(&mut self) -> Result<Symbol, SyntaxError> {
        let name = match self.token() {
            Token::Name(name) => name,
            _ => {
                return Err(self.error("'<name>' expected"));
            }
        };
        self.advance()?;
        Ok(name)
    }

    fn expected(&self, token: Token) -> SyntaxError {
        self.error(&format!("'{}' expected", token.text()))
    }

    /// An error at the current token.
    fn error(&self, message: &str) -> SyntaxError {
        self.lexer.error_near(self.token(), message)
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth >= MAX_DEPTH {
            return Err(self.lexer.error_at(self.lexer.line, b"chunk has too many syntax levels"));
        }
        self.mind_memory()
    }

    /// Called for every statement and every level.
    fn mind_memory(&mut self) -> Result<(), SyntaxError> {
        self.entered += 1;
        if self.entered.is_multiple_of(1024) && crate::heap::allocated() > self.most {
            return Err(SyntaxError::no_memory());
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}
