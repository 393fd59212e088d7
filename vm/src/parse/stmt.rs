//! Statements and blocks.
use super::ast::{Block, Expr, GenericFor, NumericFor, Operand, Stmt, Suffix};
use super::expr::Primary;
use super::{EachStatement, Parser};
use crate::compile::SyntaxError;
use crate::lex::Token;
use crate::lex::names::Symbol;

impl Parser<'_> {
    /// True where a block can only end.
    fn at_block_end(&self) -> bool {
        matches!(self.token(), Token::Else | Token::ElseIf | Token::End | Token::Until | Token::Eof)
    }

    /// Statements up to a token that ends a block; the caller opens and closes the scope.
    pub(super) fn block(&mut self) -> Result<Block, SyntaxError> {
        self.block_with(&mut |_, _| Ok(()))
    }
}

impl<'s> Parser<'s> {
    /// As `block`; after every statement `each` is shown those that are there.
    pub(super) fn block_with(&mut self, each: EachStatement<'_, 's>) -> Result<Block, SyntaxError> {
        self.enter()?;
        let mut stmts = Vec::new();
        while !self.at_block_end() {
            self.mind_memory()?;
            let last = self.token() == Token::Return;
            self.statement(&mut stmts)?;
            self.accept(Token::Semicolon)?;
            each(self, &mut stmts)?;
            if last {
                break;
            }
        }
        self.leave();
        Ok(Block { stmts: stmts.into(), end_line: self.lexer.last_line })
    }
}

impl Parser<'_> {
    fn scoped_block(&mut self) -> Result<Block, SyntaxError> {
        self.open_block();
        let block = self.block()?;
        self.close_block();
        Ok(block)
    }

    fn statement(&mut self, out: &mut Vec<Stmt>) -> Result<(), SyntaxError> {
        let line = self.lexer.line;
        let stmt = match self.token() {
            Token::If => self.if_statement(line)?,
            Token::While => self.while_loop(line)?,
            Token::Do => {
                self.advance()?;
                let body = self.scoped_block()?;
                self.expect_match(Token::End, Token::Do, line)?;
                Stmt::Do(body)
            }
            Token::For => self.for_loop(line)?,
            Token::Repeat => self.repeat_loop(line)?,
            Token::Function => self.function_statement(line)?,
            Token::Local => self.local_statement()?,
            Token::Return => self.return_statement()?,
            Token::Break => {
                self.advance()?;
                Stmt::Goto { label: self.jump_to(None), line: self.lexer.last_line }
            }
            Token::Semicolon => {
                self.advance()?;
                return Ok(());
            }
            Token::Label => return self.label(out),
            Token::Goto => {
                self.advance()?;
                let name = self.name()?;
                Stmt::Goto { label: self.jump_to(Some(name)), line: self.lexer.last_line }
            }
            _ => self.call_or_assignment()?,
        };
        out.push(stmt);
        Ok(())
    }

    fn call_or_assignment(&mut self) -> Result<Stmt, SyntaxError> {
        let (first, kind) = self.primary()?;
        if kind == Primary::Call {
            return Ok(Stmt::Call(first));
        }
        let mut targets = vec![first];
        let mut kind = kind;
        loop {
            if kind != Primary::Variable {
                return Err(self.error("syntax error"));
            }
            if !self.accept(Token::Comma)? {
                break;
            }
            let (target, next_kind) = self.primary()?;
            if self.depth + targets.len() >= super::MAX_DEPTH {
                return Err(self.too_many(super::MAX_DEPTH, "variable names"));
            }
            targets.push(target);
            kind = next_kind;
        }
        self.expect(Token::Assign)?;
        let values = self.expr_list()?;
        let line = self.lexer.last_line;
        for &target in &targets {
            if let Some(variable) = self.at(target).variable() {
                self.mark_assigned(variable);
            }
        }
        Ok(match (&targets[..], &values[..]) {
            (&[target], &[value]) => Stmt::Assign { target, value: value.expr, line },
            _ => Stmt::AssignMany { targets: targets.into(), values: values.into(), line },
        })
    }

    fn local_statement(&mut self) -> Result<Stmt, SyntaxError> {
        self.advance()?;
        if self.accept(Token::Function)? {
            let name = self.name()?;
            let var = self.declare(name, 0)?;
            self.activate(name, var);
            let function = self.function_body(false, self.lexer.line)?;
            return Ok(Stmt::LocalFunction { var, function, line: self.lexer.last_line });
        }
        let (mut names, mut vars) = (Vec::new(), Vec::new());
        loop {
            let name = self.name()?;
            names.push(name);
            vars.push(self.declare(name, vars.len())?);
            if !self.accept(Token::Comma)? {
                break;
            }
        }
        let values = if self.accept(Token::Assign)? { self.expr_list()? } else { Vec::new() };
        for (&name, &var) in names.iter().zip(&vars) {
            self.activate(name, var);
        }
        Ok(Stmt::Local { vars: vars.into(), values: values.into(), line: self.lexer.last_line })
    }

    /// `function a.b:c(...) ... end`
    fn function_statement(&mut self, line: u32) -> Result<Stmt, SyntaxError> {
        self.advance()?;
        let name = self.name()?;
        let variable = self.resolve(name)?;
        let base = self.add(variable);
        let mut suffixes = Vec::with_capacity(1);
        let mut is_method = false;
        while !is_method && matches!(self.token(), Token::Dot | Token::Colon) {
            is_method = self.token() == Token::Colon;
            let base_line = self.lexer.last_line;
            self.advance()?;
            suffixes.push(Suffix::Field { base_line, name: self.name()? });
        }
        let target = if suffixes.is_empty() {
            if let Some(variable) = self.at(base).variable() {
                self.mark_assigned(variable);
            }
            base
        } else {
            self.add(Expr::Suffixed { base, suffixes: suffixes.into() })
        };
        let function = self.function_body(is_method, line)?;
        Ok(Stmt::Function { target, function, function_line: self.lexer.last_line, line })
    }

    fn return_statement(&mut self) -> Result<Stmt, SyntaxError> {
        self.advance()?;
        let values =
            if self.at_block_end() || self.token() == Token::Semicolon { Vec::new() } else { self.expr_list()? };
        Ok(Stmt::Return { values: values.into(), line: self.lexer.last_line })
    }

    /// `::name::`, and the labels and semicolons that follow: with nothing else after them, the block's variables are
    /// out of scope for jumps to it.
    fn label(&mut self, out: &mut Vec<Stmt>) -> Result<(), SyntaxError> {
        let mut found = Vec::new();
        let depth = self.depth;
        loop {
            match self.token() {
                Token::Label => {
                    if !found.is_empty() {
                        self.enter()?;
                    }
                    self.advance()?;
                    let name = self.name()?;
                    if self.label_in_block(name).is_some() {
                        let message = [b"duplicate label '", self.lexer.names.text(name), b"'"].concat();
                        return Err(self.lexer.error_at(self.lexer.line, &message));
                    }
                    let id = self.add_label(name);
                    self.expect(Token::Label)?;
                    found.push((name, id));
                    out.push(Stmt::Label(id));
                }
                Token::Semicolon => self.advance()?,
                _ => break,
            }
        }
        self.depth = depth;
        let trailing = self.at_block_end() && self.token() != Token::Until;
        for &(name, id) in found.iter().rev() {
            self.resolve_gotos(name, id, trailing)?;
        }
        Ok(())
    }

    fn condition(&mut self) -> Result<Operand, SyntaxError> {
        self.operand()
    }

    fn while_loop(&mut self, line: u32) -> Result<Stmt, SyntaxError> {
        self.advance()?;
        let condition = self.condition()?;
        self.open_block();
        self.expect(Token::Do)?;
        let body = Box::new(self.scoped_block()?);
        self.expect_match(Token::End, Token::While, line)?;
        let exit = self.close_loop();
        Ok(Stmt::While { condition, body, exit })
    }

    fn repeat_loop(&mut self, line: u32) -> Result<Stmt, SyntaxError> {
        self.open_block();
        self.open_block();
        self.advance()?;
        let body = self.block()?;
        self.expect_match(Token::Until, Token::Repeat, line)?;
        let condition = self.condition()?;
        self.close_block();
        let exit = self.close_loop();
        Ok(Stmt::Repeat { body: Box::new((body, condition)), exit, line })
    }

    fn if_statement(&mut self, line: u32) -> Result<Stmt, SyntaxError> {
        let mut arms = vec![self.arm()?];
        while self.token() == Token::ElseIf {
            arms.push(self.arm()?);
        }
        let otherwise = if self.accept(Token::Else)? { Some(Box::new(self.scoped_block()?)) } else { None };
        self.expect_match(Token::End, Token::If, line)?;
        Ok(Stmt::If { arms: arms.into(), otherwise })
    }

    fn arm(&mut self) -> Result<(Operand, Block), SyntaxError> {
        self.advance()?;
        let condition = self.condition()?;
        self.expect(Token::Then)?;
        Ok((condition, self.scoped_block()?))
    }

    fn for_loop(&mut self, line: u32) -> Result<Stmt, SyntaxError> {
        self.open_block();
        self.advance()?;
        let name = self.name()?;
        match self.token() {
            Token::Assign => self.numeric_for(name, line),
            Token::Comma | Token::In => self.generic_for(name, line),
            _ => Err(self.error("'=' or 'in' expected")),
        }
    }

    fn numeric_for(&mut self, name: Symbol, for_line: u32) -> Result<Stmt, SyntaxError> {
        let var = self.declare(name, 3)?;
        self.advance()?;
        let start = self.operand()?;
        self.expect(Token::Comma)?;
        let limit = self.operand()?;
        let step = if self.accept(Token::Comma)? { Some(self.operand()?) } else { None };
        self.activate_hidden(3);
        self.expect(Token::Do)?;
        let check_line = self.lexer.last_line;
        self.open_block();
        self.activate(name, var);
        let body = self.scoped_block()?;
        self.close_block();
        self.expect_match(Token::End, Token::For, for_line)?;
        let exit = self.close_loop();
        Ok(Stmt::NumericFor(Box::new(NumericFor { var, start, limit, step, body, exit, check_line, line: for_line })))
    }

    fn generic_for(&mut self, name: Symbol, for_line: u32) -> Result<Stmt, SyntaxError> {
        let (mut names, mut vars) = (vec![name], vec![self.declare(name, 3)?]);
        while self.accept(Token::Comma)? {
            let name = self.name()?;
            names.push(name);
            vars.push(self.declare(name, 3 + vars.len())?);
        }
        self.expect(Token::In)?;
        let line = self.lexer.line;
        let values = self.expr_list()?;
        self.activate_hidden(3);
        self.expect(Token::Do)?;
        let check_line = self.lexer.last_line;
        self.open_block();
        for (&name, &var) in names.iter().zip(&vars) {
            self.activate(name, var);
        }
        let body = self.scoped_block()?;
        self.close_block();
        self.expect_match(Token::End, Token::For, for_line)?;
        let exit = self.close_loop();
        Ok(Stmt::GenericFor(Box::new(GenericFor {
            vars: vars.into(),
            values: values.into(),
            body,
            exit,
            check_line,
            line,
        })))
    }
}
