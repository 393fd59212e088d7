//! Expressions: precedence climbing, suffix chains, constructors, function bodies.
use super::Parser;
use super::ast::{BinaryOp, Chain, Expr, ExprId, FunctionId, Item, Operand, Step, Suffix, UnaryOp};
use super::pieces::Mode;
use super::scope::Scope;
use crate::compile::SyntaxError;
use crate::lex::Token;

#[derive(Clone, Copy, PartialEq)]
enum Infix {
    Binary(BinaryOp),
    Concat,
    And,
    Or,
}

/// (operator, how strongly it binds to the left, to the right).
fn infix(token: Token) -> Option<(Infix, u8, u8)> {
    use BinaryOp::*;
    Some(match token {
        Token::Or => (Infix::Or, 1, 1),
        Token::And => (Infix::And, 2, 2),
        Token::Equal => (Infix::Binary(Eq), 3, 3),
        Token::NotEqual => (Infix::Binary(Ne), 3, 3),
        Token::Less => (Infix::Binary(Lt), 3, 3),
        Token::LessEqual => (Infix::Binary(Le), 3, 3),
        Token::Greater => (Infix::Binary(Gt), 3, 3),
        Token::GreaterEqual => (Infix::Binary(Ge), 3, 3),
        Token::Concat => (Infix::Concat, 5, 4),
        Token::Plus => (Infix::Binary(Add), 6, 6),
        Token::Minus => (Infix::Binary(Sub), 6, 6),
        Token::Star => (Infix::Binary(Mul), 7, 7),
        Token::Slash => (Infix::Binary(Div), 7, 7),
        Token::Percent => (Infix::Binary(Mod), 7, 7),
        Token::Caret => (Infix::Binary(Pow), 10, 9),
        _ => return None,
    })
}

const UNARY_PRIORITY: u8 = 8;

/// What a primary expression may be used for in a statement.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Primary {
    Variable,
    Call,
    Other,
}

/// A list's values lie in registers side by side: one of more has none of them left.
const MAX_LIST: usize = 255;
/// The operators of one level of an expression, and what can be appended to one value: LuaJIT has no limit, but a tree that is to be
/// small has one.
const MAX_CHAIN: usize = 1 << 17;
/// The operands of one `and` or `or`. LuaJIT's jumps reach past half as many at most.
const MAX_LOGIC: usize = 1 << 15;

impl Parser<'_, '_> {
    pub(super) fn expr(&mut self) -> Result<ExprId, SyntaxError> {
        self.binary(0)
    }

    /// An expression whose last instruction belongs to the line of its own last token.
    pub(super) fn operand(&mut self) -> Result<Operand, SyntaxError> {
        let expr = self.expr()?;
        Ok(Operand { expr, line: self.lexer.last_line })
    }

    /// `a, b, c`; each but the last ends with the comma taken.
    pub(super) fn expr_list(&mut self) -> Result<Vec<Operand>, SyntaxError> {
        // (most lists have one element, and a chunk may have millions of lists)
        let mut list = Vec::with_capacity(1);
        loop {
            let expr = self.expr()?;
            let more = self.accept(Token::Comma)?;
            list.push(Operand { expr, line: self.lexer.last_line });
            if list.len() > MAX_LIST {
                return Err(self.too_complex());
            }
            if !more {
                return Ok(list);
            }
        }
    }

    fn binary(&mut self, limit: u8) -> Result<ExprId, SyntaxError> {
        self.enter()?;
        let mut left = self.unary()?;
        while let Some((op, left_priority, right_priority)) = infix(self.token())
            && left_priority > limit
        {
            self.advance()?;
            let left_line = self.lexer.last_line;
            let right = self.binary(right_priority)?;
            let left_operand = Operand { expr: left, line: left_line };
            let right_operand = Operand { expr: right, line: self.lexer.last_line };
            left = match op {
                Infix::Binary(op) => self.step(left_operand, op, right_operand)?,
                Infix::Concat => self.concat(left_operand, right_operand),
                Infix::And => self.logic(left_operand, right_operand, true)?,
                Infix::Or => self.logic(left_operand, right_operand, false)?,
            };
        }
        self.leave();
        Ok(left)
    }

    fn step(&mut self, left: Operand, op: BinaryOp, right: Operand) -> Result<ExprId, SyntaxError> {
        if let (Expr::Number(a), Expr::Number(b)) = (self.at(left.expr), self.at(right.expr))
            && let Some(n) = fold(op, *a, *b)
        {
            // (a chain of numbers takes the place of one)
            if right.expr.0 as usize + 1 == self.exprs.len() {
                self.exprs.pop();
            }
            *self.at_mut(left.expr) = Expr::Number(n);
            return Ok(left.expr);
        }
        let step = Step { op, right: right.expr, line: right.line };
        if let Expr::Chain(chain) = self.at_mut(left.expr) {
            if chain.steps.len() >= MAX_CHAIN {
                return Err(self.too_complex());
            }
            chain.steps.push(step);
            return Ok(left.expr);
        }
        Ok(self.add(Expr::Chain(Box::new(Chain { first: left, steps: vec![step] }))))
    }

    fn concat(&mut self, left: Operand, right: Operand) -> ExprId {
        if let Expr::Concat { reversed, .. } = self.at_mut(right.expr) {
            reversed.push(left);
            return right.expr;
        }
        self.add(Expr::Concat { reversed: vec![right, left].into(), line: right.line })
    }

    fn logic(&mut self, left: Operand, right: Operand, and: bool) -> Result<ExprId, SyntaxError> {
        let operands = match self.at_mut(left.expr) {
            Expr::And(operands) if and => operands,
            Expr::Or(operands) if !and => operands,
            _ if and => return Ok(self.add(Expr::And(vec![left, right].into()))),
            _ => return Ok(self.add(Expr::Or(vec![left, right].into()))),
        };
        if operands.len() >= MAX_LOGIC {
            return Err(self.error("control structure too long"));
        }
        operands.push(right);
        Ok(left.expr)
    }

    fn too_complex(&self) -> SyntaxError {
        self.lexer.error_at(self.lexer.line, b"function or expression too complex")
    }

    fn unary(&mut self) -> Result<ExprId, SyntaxError> {
        let op = match self.token() {
            Token::Not => UnaryOp::Not,
            Token::Minus => UnaryOp::Minus,
            Token::Hash => UnaryOp::Length,
            _ => return self.simple(),
        };
        self.advance()?;
        let operand = self.binary(UNARY_PRIORITY)?;
        let folded = match (op, self.at(operand)) {
            (UnaryOp::Minus, Expr::Number(n)) if *n != 0.0 => Some(Expr::Number(-n)),
            (UnaryOp::Minus, &Expr::Int64 { bits, unsigned }) => {
                Some(Expr::Int64 { bits: bits.wrapping_neg(), unsigned })
            }
            (UnaryOp::Not, Expr::Nil | Expr::False) => Some(Expr::True),
            (UnaryOp::Not, Expr::True | Expr::Number(_) | Expr::String(_) | Expr::Int64 { .. }) => Some(Expr::False),
            _ => None,
        };
        Ok(match folded {
            Some(expr) => self.add(expr),
            None => self.add(Expr::Unary { op, operand, line: self.lexer.last_line }),
        })
    }

    fn simple(&mut self) -> Result<ExprId, SyntaxError> {
        let expr = match self.token() {
            Token::Number(n) => Expr::Number(n),
            Token::Int64 { bits, unsigned } => Expr::Int64 { bits, unsigned },
            Token::String(symbol) => Expr::String(symbol),
            Token::Nil => Expr::Nil,
            Token::True => Expr::True,
            Token::False => Expr::False,
            Token::Dots => {
                if !self.scope().vararg {
                    return Err(self.error("cannot use '...' outside a vararg function"));
                }
                Expr::Vararg
            }
            Token::LeftBrace => return self.table(),
            Token::Function => {
                self.advance()?;
                let function = self.function_body(false, self.lexer.line)?;
                return Ok(self.add(Expr::Function(function)));
            }
            _ => return Ok(self.primary()?.0),
        };
        let id = self.add(expr);
        self.advance()?;
        Ok(id)
    }

    /// A name or parenthesis and what is appended to it.
    pub(super) fn primary(&mut self) -> Result<(ExprId, Primary), SyntaxError> {
        let (mut base, mut kind) = match self.token() {
            Token::LeftParen => {
                let line = self.lexer.line;
                self.advance()?;
                let inner = self.expr()?;
                self.expect_match(Token::RightParen, Token::LeftParen, line)?;
                let operand = Operand { expr: inner, line: self.lexer.last_line };
                let wrapped = match self.at(inner) {
                    Expr::Vararg | Expr::Global(_) | Expr::Captured(_) => true,
                    Expr::Suffixed { suffixes, .. } => {
                        let is_call = suffixes.last().is_some_and(Suffix::is_call);
                        // `(a.b).c` is one chain.
                        is_call || !self.at_suffix()
                    }
                    _ => false,
                };
                (if wrapped { self.add(Expr::Paren(operand)) } else { inner }, Primary::Other)
            }
            Token::Name(_) => {
                let name = self.name()?;
                (self.resolve(name)?, Primary::Variable)
            }
            _ => return Err(self.error("unexpected symbol")),
        };
        // (the survey asks only whether something is appended)
        let surveyed = matches!(self.mode, Mode::Survey(_));
        let nothing = if surveyed { self.add(Expr::Vararg) } else { base };
        let (mut suffixes, mut count) = (Vec::new(), 0);
        loop {
            let base_line = self.lexer.last_line;
            let suffix = match self.token() {
                Token::Dot => {
                    self.advance()?;
                    Suffix::Field { base_line, name: self.name()? }
                }
                Token::LeftBracket => {
                    let key = self.bracketed()?;
                    Suffix::Index { base_line, key }
                }
                Token::Colon => {
                    self.advance()?;
                    let name = self.name()?;
                    let base_line = self.lexer.last_line;
                    let line = self.lexer.line;
                    Suffix::Method { base_line, name, args: self.call_args()?.into(), line }
                }
                Token::LeftParen | Token::String(_) | Token::LeftBrace => {
                    let line = self.lexer.line;
                    Suffix::Call { base_line, args: self.call_args()?.into(), line }
                }
                _ => break,
            };
            kind = if suffix.is_call() { Primary::Call } else { Primary::Variable };
            count += 1;
            if count > MAX_CHAIN {
                return Err(self.too_complex());
            }
            if surveyed {
                base = nothing;
            } else {
                suffixes.push(suffix);
            }
        }
        if suffixes.is_empty() {
            return Ok((base, kind));
        }
        if let Expr::Suffixed { suffixes: inner, .. } = self.at_mut(base) {
            inner.append(&mut suffixes);
            return Ok((base, kind));
        }
        Ok((self.add(Expr::Suffixed { base, suffixes: suffixes.into() }), kind))
    }

    fn at_suffix(&self) -> bool {
        use Token::*;
        matches!(self.token(), Dot | LeftBracket | Colon | LeftParen | String(_) | LeftBrace)
    }

    /// `[key]`
    fn bracketed(&mut self) -> Result<Operand, SyntaxError> {
        self.advance()?;
        let key = self.operand()?;
        self.expect(Token::RightBracket)?;
        Ok(key)
    }

    fn call_args(&mut self) -> Result<Vec<Operand>, SyntaxError> {
        let line = self.lexer.line;
        let expr = match self.token() {
            Token::LeftParen => {
                self.advance()?;
                let mut args = if self.token() == Token::RightParen { Vec::new() } else { self.expr_list()? };
                self.expect_match(Token::RightParen, Token::LeftParen, line)?;
                if let Some(last) = args.last_mut() {
                    last.line = self.lexer.last_line;
                }
                return Ok(args);
            }
            Token::LeftBrace => self.table()?,
            Token::String(symbol) => {
                let id = self.add(Expr::String(symbol));
                self.advance()?;
                id
            }
            _ => return Err(self.error("function arguments expected")),
        };
        Ok(vec![Operand { expr, line: self.lexer.last_line }])
    }

    fn table(&mut self) -> Result<ExprId, SyntaxError> {
        let (line, before) = (self.lexer.line, self.lexer.last_line);
        let table = match self.skip_long_table() {
            Some(number) => Expr::LongTable(number, before),
            None => Expr::Table(self.table_items()?.into(), before),
        };
        self.expect_match(Token::RightBrace, Token::LeftBrace, line)?;
        Ok(self.add(table))
    }

    /// One item of a table.
    pub(super) fn item(&mut self) -> Result<Item, SyntaxError> {
        let named = matches!(self.token(), Token::Name(_));
        if self.token() == Token::LeftBracket {
            let key = self.bracketed()?;
            self.expect(Token::Assign)?;
            Ok(Item::Keyed { key, value: self.operand()? })
        } else if named && self.lexer.look_ahead()? == Token::Assign {
            let name = self.name()?;
            self.expect(Token::Assign)?;
            Ok(Item::Named { name, value: self.operand()? })
        } else {
            Ok(Item::Positional(self.operand()?))
        }
    }

    /// Whether another item may follow.
    pub(super) fn separator(&mut self) -> Result<bool, SyntaxError> {
        Ok(self.accept(Token::Comma)? || self.accept(Token::Semicolon)?)
    }

    /// Parameters, body and `end`; `line` is that of the word `function`.
    pub(super) fn function_body(&mut self, is_method: bool, line: u32) -> Result<FunctionId, SyntaxError> {
        self.scopes.push(Scope::new(line, false));
        self.open_block();
        self.expect(Token::LeftParen)?;
        let mut params = Vec::new();
        if is_method {
            let name = self.lexer.names.intern(b"self");
            params.push((name, self.declare(name, 0)?));
        }
        if self.token() != Token::RightParen {
            loop {
                match self.token() {
                    Token::Name(_) => {
                        let name = self.name()?;
                        params.push((name, self.declare(name, params.len())?));
                    }
                    Token::Dots => {
                        self.advance()?;
                        self.scope().vararg = true;
                        break;
                    }
                    _ => return Err(self.error("<name> or '...' expected")),
                }
                if !self.accept(Token::Comma)? {
                    break;
                }
            }
        }
        for &(name, param) in &params {
            self.activate(name, param);
        }
        self.expect(Token::RightParen)?;
        self.function_opens(params.len() as u8)?;
        self.block()?;
        if self.token() != Token::End {
            self.expect_match(Token::End, Token::Function, line)?;
        }
        self.close_block();
        self.check_gotos()?;
        self.function_closes(self.lexer.last_line, self.lexer.line)?;
        self.advance()?;
        Ok(FunctionId(self.functions.len() as u32 - 1))
    }

    pub(super) fn at(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    fn at_mut(&mut self, id: ExprId) -> &mut Expr {
        &mut self.exprs[id.0 as usize]
    }
}

/// The value of an operation on numerals, unless it is one that must be left to run time: NaN and -0 are no constants.
fn fold(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    let n = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if b != 0.0 => a / b,
        BinaryOp::Mod if b != 0.0 => crate::value::number::modulo(a, b),
        BinaryOp::Pow => a.powf(b),
        _ => return None,
    };
    let constant = !n.is_nan() && n.to_bits() != (-0f64).to_bits();
    constant.then_some(n)
}
