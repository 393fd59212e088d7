//! Statements and blocks.
use super::Parser;
use super::ast::{Expr, GenericFor, LabelId, NumericFor, Operand, Stmt, Suffix};
use super::expr::Primary;
use crate::compile::SyntaxError;
use crate::lex::Token;
use crate::lex::names::Symbol;

impl Parser<'_, '_> {
    /// True where a block can only end.
    fn at_block_end(&self) -> bool {
        matches!(self.token(), Token::Else | Token::ElseIf | Token::End | Token::Until | Token::Eof)
    }

    /// Statements up to a token that ends a block; the caller opens and closes the scope. The result is the line of the last token.
    pub(super) fn block(&mut self) -> Result<u32, SyntaxError> {
        self.enter()?;
        while !self.at_block_end() {
            self.mind_memory()?;
            let last = self.token() == Token::Return;
            self.statement()?;
            self.accept(Token::Semicolon)?;
            if last {
                break;
            }
        }
        self.leave();
        Ok(self.lexer.last_line)
    }

    fn scoped_block(&mut self) -> Result<u32, SyntaxError> {
        self.open_block();
        let end_line = self.block()?;
        self.close_block();
        Ok(end_line)
    }

    fn statement(&mut self) -> Result<(), SyntaxError> {
        let line = self.lexer.line;
        match self.token() {
            Token::If => self.if_statement(line),
            Token::While => self.while_loop(line),
            Token::Do => {
                self.advance()?;
                self.put(Stmt::Do)?;
                let end_line = self.scoped_block()?;
                self.expect_match(Token::End, Token::Do, line)?;
                self.put(Stmt::End { end_line })
            }
            Token::For => self.for_loop(line),
            Token::Repeat => self.repeat_loop(line),
            Token::Function => self.function_statement(line),
            Token::Local => self.local_statement(),
            Token::Return => self.return_statement(),
            Token::Break | Token::Goto => {
                let (label, line, back) = self.jump()?;
                self.put(Stmt::Goto { label, line, back })
            }
            Token::Semicolon => self.advance(),
            Token::Label => self.label(),
            _ => self.call_or_assignment(),
        }
    }

    /// `break`, `goto name`: where to, its line, and whether that is known to be back.
    fn jump(&mut self) -> Result<(LabelId, u32, bool), SyntaxError> {
        let named = self.token() == Token::Goto;
        self.advance()?;
        let name = if named { Some(self.name()?) } else { None };
        let (label, back) = self.jump_to(name);
        Ok((label, self.lexer.last_line, back))
    }

    fn call_or_assignment(&mut self) -> Result<(), SyntaxError> {
        let (first, kind) = self.primary()?;
        if kind == Primary::Call {
            return self.put(Stmt::Call(first));
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
        self.put(match (&targets[..], &values[..]) {
            (&[target], &[value]) => Stmt::Assign { target, value: value.expr, line },
            _ => Stmt::AssignMany { targets: targets.into(), values: values.into(), line },
        })
    }

    fn local_statement(&mut self) -> Result<(), SyntaxError> {
        self.advance()?;
        if self.accept(Token::Function)? {
            let name = self.name()?;
            let var = self.declare(name, 0)?;
            self.activate(name, var);
            let function = self.function_body(false, self.lexer.line)?;
            return self.put(Stmt::LocalFunction { var, function, line: self.lexer.last_line });
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
        let all = names.into_iter().zip(vars.clone());
        self.put(Stmt::Local { vars: vars.into(), values: values.into(), line: self.lexer.last_line })?;
        for (name, var) in all {
            self.activate(name, var);
        }
        Ok(())
    }

    /// `function a.b:c(...) ... end`
    fn function_statement(&mut self, line: u32) -> Result<(), SyntaxError> {
        self.advance()?;
        let name = self.name()?;
        let base = self.resolve(name)?;
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
        self.put(Stmt::Function { target, function, function_line: self.lexer.last_line, line })
    }

    fn return_statement(&mut self) -> Result<(), SyntaxError> {
        self.advance()?;
        let values =
            if self.at_block_end() || self.token() == Token::Semicolon { Vec::new() } else { self.expr_list()? };
        self.put(Stmt::Return { values: values.into(), line: self.lexer.last_line })
    }

    /// `::name::`, and the labels and semicolons that follow: with nothing else after them, the block's variables are
    /// out of scope for jumps to it.
    fn label(&mut self) -> Result<(), SyntaxError> {
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
                    self.put(Stmt::Label(id))?;
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

    fn while_loop(&mut self, line: u32) -> Result<(), SyntaxError> {
        self.advance()?;
        let condition = self.condition()?;
        self.put(Stmt::While(condition))?;
        self.open_loop();
        self.expect(Token::Do)?;
        let end_line = self.scoped_block()?;
        self.expect_match(Token::End, Token::While, line)?;
        self.put(Stmt::End { end_line })?;
        self.loop_ends()
    }

    fn repeat_loop(&mut self, line: u32) -> Result<(), SyntaxError> {
        self.open_loop();
        self.open_block();
        self.advance()?;
        self.put(Stmt::Repeat { line })?;
        self.block()?;
        self.expect_match(Token::Until, Token::Repeat, line)?;
        let condition = self.condition()?;
        self.put(Stmt::Until(condition))?;
        self.close_block();
        self.loop_ends()
    }

    /// The place that `break` goes to.
    fn loop_ends(&mut self) -> Result<(), SyntaxError> {
        let exit = self.close_loop();
        self.put(Stmt::Label(exit))
    }

    fn if_statement(&mut self, line: u32) -> Result<(), SyntaxError> {
        let mut end_line = self.arm(true)?;
        while self.token() == Token::ElseIf {
            self.put(Stmt::ArmEnd { end_line })?;
            end_line = self.arm(false)?;
        }
        if self.accept(Token::Else)? {
            self.put(Stmt::ArmEnd { end_line })?;
            self.put(Stmt::Else)?;
            end_line = self.scoped_block()?;
        }
        self.expect_match(Token::End, Token::If, line)?;
        self.put(Stmt::End { end_line })
    }

    /// A condition and its block. The result is the line of the last token.
    fn arm(&mut self, first: bool) -> Result<u32, SyntaxError> {
        self.advance()?;
        let condition = self.condition()?;
        self.expect(Token::Then)?;
        self.open_block();
        let mut jump = None;
        if matches!(self.token(), Token::Break | Token::Goto) {
            jump = Some(self.jump()?);
            self.accept(Token::Semicolon)?;
        }
        self.put(match jump {
            Some((label, line, back)) if self.at_block_end() => {
                jump = None;
                match first {
                    true => Stmt::IfGoto { condition, label, line, back },
                    false => Stmt::ElseIfGoto { condition, label, line, back },
                }
            }
            _ if first => Stmt::If(condition),
            _ => Stmt::ElseIf(condition),
        })?;
        if let Some((label, line, back)) = jump {
            self.put(Stmt::Goto { label, line, back })?;
        }
        let end_line = self.block()?;
        self.close_block();
        Ok(end_line)
    }

    fn for_loop(&mut self, line: u32) -> Result<(), SyntaxError> {
        self.open_loop();
        self.advance()?;
        let name = self.name()?;
        match self.token() {
            Token::Assign => self.numeric_for(name, line),
            Token::Comma | Token::In => self.generic_for(name, line),
            _ => Err(self.error("'=' or 'in' expected")),
        }
    }

    fn numeric_for(&mut self, name: Symbol, line: u32) -> Result<(), SyntaxError> {
        let var = self.declare(name, 3)?;
        self.advance()?;
        let start = self.operand()?;
        self.expect(Token::Comma)?;
        let limit = self.operand()?;
        let step = if self.accept(Token::Comma)? { Some(self.operand()?) } else { None };
        self.activate_hidden(3);
        self.expect(Token::Do)?;
        let check_line = self.lexer.last_line;
        self.put(Stmt::NumericFor(Box::new(NumericFor { var, start, limit, step, check_line, line })))?;
        self.open_block();
        self.activate(name, var);
        self.for_body(line)
    }

    fn generic_for(&mut self, name: Symbol, for_line: u32) -> Result<(), SyntaxError> {
        let (mut names, mut vars) = (vec![name], vec![self.declare(name, 3)?]);
        while self.accept(Token::Comma)? {
            let name = self.name()?;
            names.push(name);
            vars.push(self.declare(name, 3 + vars.len())?);
        }
        self.expect(Token::In)?;
        let line = self.lexer.line;
        let values = self.expr_list()?.into();
        self.activate_hidden(3);
        self.expect(Token::Do)?;
        let check_line = self.lexer.last_line;
        let all = names.into_iter().zip(vars.clone());
        let vars = vars.into();
        self.put(Stmt::GenericFor(Box::new(GenericFor { vars, values, check_line, line })))?;
        self.open_block();
        for (name, var) in all {
            self.activate(name, var);
        }
        self.for_body(for_line)
    }

    /// The loop's variables are in view.
    fn for_body(&mut self, for_line: u32) -> Result<(), SyntaxError> {
        let end_line = self.scoped_block()?;
        self.close_block();
        self.expect_match(Token::End, Token::For, for_line)?;
        self.put(Stmt::End { end_line })?;
        self.loop_ends()
    }
}
