//! Tokens to the syntax tree: a recursive-descent parser whose depth is counted.
//!
//! The order of tokens taken, and so the line and the token that an error message shows, follows LuaJIT's parser.
pub mod ast;
mod expr;
pub mod list;
mod scope;
mod stmt;

use ast::{Chunk, Expr, ExprId, Function, FunctionId};
use scope::{Bindings, Scope};

use crate::compile::SyntaxError;
use crate::lex::names::Symbol;
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
pub fn parse(input: Input<'_>) -> Result<Chunk, SyntaxError> {
    let mut parser = Parser::new(input, Box::default());
    let body = parser.main_block(&mut |_, _| Ok(()))?;
    let last_line = parser.lexer.line;
    parser.finish_function(0, body, last_line);
    Ok(Chunk { exprs: parser.exprs, functions: parser.functions, names: parser.lexer.names })
}

/// For each variable of the main function whether it needs a cell. Nothing of the tree is kept.
pub fn cells(input: Input<'_>) -> Result<Box<[bool]>, SyntaxError> {
    let mut parser = Parser::new(input, Box::default());
    parser.main_block(&mut |parser, stmts| {
        stmts.clear();
        parser.exprs.clear();
        parser.functions.clear();
        Ok(())
    })?;
    Ok(parser.scope().vars.iter().map(ast::Var::in_cell).collect())
}

/// Gives the main function's statements one by one, each with what it consists of, then once more without any; `cells` says what
/// is not known of its variables yet. The result is the function, and an otherwise empty chunk.
pub fn in_pieces(
    input: Input<'_>,
    cells: Box<[bool]>,
    with: &mut dyn FnMut(&Chunk, &Function, bool) -> Result<(), SyntaxError>,
) -> Result<(Chunk, Function), SyntaxError> {
    let mut parser = Parser::new(input, cells);
    let body = parser.main_block(&mut |parser, stmts| {
        let body = ast::Block { stmts: std::mem::take(stmts).into(), end_line: 0 };
        let (mut chunk, main) = parser.piece(body);
        let result = with(&chunk, &main, false);
        chunk.exprs.clear();
        chunk.functions.clear();
        (parser.exprs, parser.functions, parser.lexer.names) = (chunk.exprs, chunk.functions, chunk.names);
        let scope = parser.scope();
        (scope.vars, scope.aliases) = (main.vars, main.labels);
        result
    })?;
    let (chunk, main) = parser.piece(body);
    with(&chunk, &main, true)?;
    Ok((chunk, main))
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
    /// Which of the main function's variables are known to need a cell.
    cells: Box<[bool]>,
}

type EachStatement<'f, 's> = &'f mut dyn FnMut(&mut Parser<'s>, &mut Vec<ast::Stmt>) -> Result<(), SyntaxError>;

impl<'s> Parser<'s> {
    fn new(input: Input<'s>, cells: Box<[bool]>) -> Parser<'s> {
        Parser {
            lexer: Lexer::new(input.source, input.chunk_name, input.first_line),
            exprs: Vec::new(),
            functions: Vec::new(),
            scopes: vec![Scope::new(0, true)],
            bindings: Bindings::default(),
            depth: 0,
            entered: 0,
            most: input.most,
            cells,
        }
    }

    /// The main function's statements, up to the end of the source; `each` is called after every one.
    fn main_block(&mut self, each: EachStatement<'_, 's>) -> Result<ast::Block, SyntaxError> {
        self.lexer.advance()?;
        self.open_block();
        let mut body = self.block_with(each)?;
        if self.lexer.token != Token::Eof {
            return Err(self.expected(Token::Eof));
        }
        self.close_block();
        self.check_gotos()?;
        body.end_line = self.lexer.last_line;
        Ok(body)
    }

    /// What has been parsed of the main function since the last time, taken out.
    fn piece(&mut self, body: ast::Block) -> (Chunk, Function) {
        use std::mem::take;
        let chunk = Chunk {
            exprs: take(&mut self.exprs),
            functions: take(&mut self.functions),
            names: take(&mut self.lexer.names),
        };
        let last_line = self.lexer.line;
        let scope = self.scope();
        let main = Function {
            params: 0,
            vararg: scope.vararg,
            vars: take(&mut scope.vars),
            captures: Vec::new(),
            labels: take(&mut scope.aliases),
            body,
            line: scope.line,
            last_line,
        };
        (chunk, main)
    }
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
