//! Tokens to the syntax tree: a recursive-descent parser whose depth is counted.
//!
//! The order of tokens taken, and so the line and the token that an error message shows, follows LuaJIT's parser.
pub mod ast;
mod expr;
mod scope;
mod stmt;

use ast::{Chunk, Expr, ExprId, Function, FunctionId};
use scope::{Bindings, Scope};

use crate::compile::SyntaxError;
use crate::lex::names::Symbol;
use crate::lex::{Lexer, Token};

/// Nested expressions, blocks and functions of a chunk; LuaJIT's limit.
const MAX_DEPTH: usize = 200;

/// `most`: how far the thread's allocated bytes may rise meanwhile.
pub fn parse(source: &[u8], chunk_name: &[u8], first_line: u32, most: isize) -> Result<Chunk, SyntaxError> {
    let mut parser = Parser {
        lexer: Lexer::new(source, chunk_name, first_line),
        exprs: Vec::new(),
        functions: Vec::new(),
        scopes: vec![Scope::new(0, true)],
        bindings: Bindings::default(),
        depth: 0,
        entered: 0,
        most,
    };
    parser.lexer.advance()?;
    parser.open_block();
    let mut body = parser.block()?;
    if parser.lexer.token != Token::Eof {
        return Err(parser.expected(Token::Eof));
    }
    parser.close_block();
    parser.check_gotos()?;
    body.end_line = parser.lexer.last_line;
    let last_line = parser.lexer.line;
    parser.finish_function(0, body, last_line);
    Ok(Chunk { exprs: parser.exprs, functions: parser.functions, names: parser.lexer.names })
}

struct Parser<'s> {
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
}

impl Parser<'_> {
    fn scope(&mut self) -> &mut Scope {
        self.scopes.last_mut().expect("the main function's scope is there from start to end")
    }

    fn finish_function(&mut self, params: u8, body: ast::Block, last_line: u32) -> FunctionId {
        let scope = self.scopes.pop().unwrap_or_default();
        self.functions.push(Function {
            params,
            vararg: scope.vararg,
            vars: scope.vars,
            captures: scope.captures,
            labels: scope.aliases,
            body,
            line: scope.line,
            last_line,
        });
        FunctionId(self.functions.len() as u32 - 1)
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
