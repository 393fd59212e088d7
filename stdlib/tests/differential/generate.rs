//! Lua programs out of numbers: statements.
//!
//! Every program ends (loops are short, functions count their calls with `tick`), and shows nothing that Lua leaves open: the order of
//! `pairs`, `#` of tables with holes, addresses. Variables have kinds, so that most programs mean something; now and then a value is of
//! the wrong kind, for the error messages.
use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::library::{BINARY, LIBRARY, METAMETHODS, OTHERS, UNARY};

/// What a variable most likely holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Num,
    Str,
    /// A list without holes.
    Arr,
    Map,
    /// A table with metamethods of its class.
    Obj,
    Fun,
    Bool,
    Any,
}

pub struct Var {
    pub name: String,
    pub kind: Kind,
    /// Of the function that it belongs to.
    pub level: usize,
}

/// How often each row of the tables was made.
#[derive(Default)]
pub struct Coverage(pub BTreeMap<&'static str, u64>);

impl Coverage {
    /// Every row, with those that were never made.
    pub fn rows() -> impl Iterator<Item = &'static str> {
        let functions = LIBRARY.iter().map(|f| f.0);
        functions.chain(BINARY.iter().chain(UNARY).chain(METAMETHODS).chain(OTHERS).copied())
    }
    pub fn add(&mut self, other: &Coverage) {
        for (row, count) in &other.0 {
            *self.0.entry(row).or_default() += count;
        }
    }
}

pub struct Generator {
    pub dice: Dice,
    pub coverage: Coverage,
    pub out: String,
    pub scope: Vec<Var>,
    pub level: usize,
    /// Whether `...` may be used.
    pub vararg: bool,
    loops: usize,
    depth: usize,
    pub labels: usize,
}

/// The program of a number.
pub fn program(number: u64) -> (String, Coverage) {
    let mut g = Generator {
        dice: Dice(number.wrapping_mul(0x2545_f491_4f6c_dd1d)),
        coverage: Coverage::default(),
        out: String::new(),
        scope: Vec::new(),
        level: 0,
        vararg: false,
        loops: 0,
        depth: 0,
        labels: 0,
    };
    if g.dice.once_in(2) {
        g.class();
    }
    for _ in 0..g.dice.roll(3) {
        g.local();
    }
    for n in 0..1 + g.dice.roll(5) {
        g.line(&format!("section({n}, function()"));
        g.function_body(&[], false, 2 + n % 5);
        g.line("end)");
    }
    (g.out, g.coverage)
}

impl Generator {
    pub fn seen(&mut self, row: &'static str) {
        debug_assert!(Coverage::rows().any(|known| known == row), "{row}");
        *self.coverage.0.entry(row).or_default() += 1;
    }
    pub fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
    pub fn name(&mut self) -> String {
        self.dice
            .one(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "s", "t", "u", "v", "w", "x"])
            .to_string()
    }
    pub fn declare(&mut self, name: &str, kind: Kind) {
        if self.visible().iter().any(|at| self.scope[*at].name == name) {
            self.seen("shadowing");
        }
        self.scope.push(Var { name: name.to_string(), kind, level: self.level });
    }
    /// The variables that are not shadowed.
    pub fn visible(&self) -> Vec<usize> {
        let shadowed = |at: usize| self.scope[at + 1..].iter().any(|v| v.name == self.scope[at].name);
        (0..self.scope.len()).filter(|at| !shadowed(*at)).collect()
    }
    pub fn any_kind(&mut self) -> Kind {
        use Kind::*;
        [Num, Num, Str, Str, Arr, Map, Fun, Bool, Any][self.dice.roll(9)]
    }

    /// The statements of a function with these parameters; `...` beyond them if `vararg`.
    pub fn function_body(&mut self, parameters: &[(&str, Kind)], vararg: bool, statements: usize) {
        let (scope, loops) = (self.scope.len(), std::mem::take(&mut self.loops));
        let before = std::mem::replace(&mut self.vararg, vararg);
        self.level += 1;
        for (name, kind) in parameters {
            self.declare(name, *kind);
        }
        self.line("tick()");
        self.statements(statements);
        if self.dice.once_in(2) {
            self.return_statement();
        }
        self.level -= 1;
        self.vararg = before;
        self.loops = loops;
        self.scope.truncate(scope);
    }

    pub fn block(&mut self) {
        let scope = self.scope.len();
        let count = 1 + self.dice.roll(3);
        self.statements(count);
        self.scope.truncate(scope);
    }

    fn statements(&mut self, count: usize) {
        for _ in 0..count {
            if self.depth > 4 {
                self.show();
                continue;
            }
            self.depth += 1;
            self.statement();
            self.depth -= 1;
        }
    }

    fn statement(&mut self) {
        match self.dice.roll(40) {
            0..5 => self.local(),
            5..9 => self.assignment(),
            9..16 => self.show(),
            16..18 => self.call_statement(),
            18..20 => self.conditional(),
            20..23 if self.loops < 2 => self.loop_statement(),
            23 => {
                self.seen("do");
                self.line("do");
                self.block();
                self.line("end");
            }
            24..27 => self.function_statement(),
            27..30 => self.failing(),
            30..33 => self.coroutine(),
            33 | 34 if self.level < 3 => self.class(),
            35..38 => self.special(),
            38 => self.jump(),
            _ => self.show(),
        }
    }

    pub fn local(&mut self) {
        let kind = self.any_kind();
        let name = self.name();
        if self.dice.once_in(5) {
            self.seen("local list");
            let other = self.name();
            let (a, b) = (self.expression(kind, 2), self.list(2));
            self.line(&format!("local {name}, {other} = {a}, {b}"));
            self.declare(&name, kind);
            self.declare(&other, Kind::Any);
        } else {
            self.seen("local");
            let value = self.stored(kind);
            self.line(&format!("local {name} = {value}"));
            self.declare(&name, kind);
        }
    }

    /// An expression to be kept: never a long string.
    pub fn stored(&mut self, kind: Kind) -> String {
        let value = self.expression(kind, 3);
        if matches!(kind, Kind::Str | Kind::Any) { format!("cut({value})") } else { value }
    }

    fn assignment(&mut self) {
        let visible = self.visible();
        match self.dice.roll(8) {
            0..3 if !visible.is_empty() => {
                let at = visible[self.dice.roll(visible.len())];
                let (name, kind) = (self.scope[at].name.clone(), self.scope[at].kind);
                self.seen(if self.scope[at].level < self.level { "upvalue assignment" } else { "assignment" });
                let value = self.stored(kind);
                self.line(&format!("{name} = {value}"));
            }
            3 if visible.len() > 1 => {
                let pick = |g: &mut Self| g.scope[visible[g.dice.roll(visible.len())]].name.clone();
                let (a, b) = (pick(self), pick(self));
                // (a list without holes stays one)
                let safe = |g: &Self, name: &str| {
                    visible.iter().any(|at| g.scope[*at].name == name && !matches!(g.scope[*at].kind, Kind::Arr))
                };
                if !safe(self, &a) || !safe(self, &b) {
                    return self.show();
                }
                if self.dice.once_in(2) {
                    self.seen("swap");
                    self.line(&format!("{a}, {b} = {b}, {a}"));
                } else {
                    self.seen("assignment list");
                    let (x, y) = (self.stored(Kind::Any), self.stored(Kind::Any));
                    self.line(&format!("{a}, {b} = {x}, {y}"));
                }
            }
            4 => {
                self.seen("global assignment");
                let value = self.stored(Kind::Any);
                let name = self.global();
                self.line(&format!("{name} = {value}"));
            }
            5 | 6 => {
                self.seen("field assignment");
                let (map, value, field) = (self.place(Kind::Map), self.stored(Kind::Any), self.field());
                self.line(&format!("{map}.{field} = {value}"));
            }
            _ => {
                self.seen("index assignment");
                if self.dice.once_in(2) {
                    let (map, key, value) = (self.place(Kind::Map), self.key(), self.stored(Kind::Any));
                    self.line(&format!("{map}[{key}] = {value}"));
                } else {
                    let (arr, value) = (self.place(Kind::Arr), self.stored(Kind::Any));
                    self.line(&format!("{arr}[#{arr} + 1] = N({value})"));
                }
            }
        }
    }

    /// Shows what expressions give.
    pub fn show(&mut self) {
        let count = 1 + self.dice.roll(3);
        let list = self.list(count);
        self.line(&format!("out({list})"));
    }

    fn call_statement(&mut self) {
        if self.dice.once_in(2) {
            self.seen("call");
            let f = self.place(Kind::Fun);
            let list = self.list(2);
            self.line(&format!("{f}({list})"));
        } else {
            let call = self.library_call(None, 2);
            self.line(&format!("out({call})"));
        }
    }

    fn conditional(&mut self) {
        self.seen("if");
        let condition = self.expression(Kind::Bool, 3);
        self.line(&format!("if {condition} then"));
        self.block();
        while self.dice.once_in(3) {
            self.seen("elseif");
            let condition = self.expression(Kind::Bool, 2);
            self.line(&format!("elseif {condition} then"));
            self.block();
        }
        if self.dice.once_in(2) {
            self.seen("else");
            self.line("else");
            self.block();
        }
        self.line("end");
    }

    /// The body of a loop, with ways out.
    fn loop_body(&mut self, names: &[(&str, Kind)]) {
        let scope = self.scope.len();
        self.loops += 1;
        for (name, kind) in names {
            self.declare(name, *kind);
        }
        let goto = self.dice.once_in(6);
        let label = self.labels;
        if goto {
            self.labels += 1;
            self.seen("goto continue");
            let condition = self.expression(Kind::Bool, 2);
            self.line(&format!("if {condition} then goto continue{label} end"));
        }
        if goto {
            self.line("do");
        }
        self.block();
        if self.dice.once_in(6) {
            self.seen("break");
            let condition = self.expression(Kind::Bool, 2);
            self.line(&format!("if {condition} then break end"));
        }
        if self.dice.once_in(8) {
            self.seen("closure in loop");
            let value = self.expression(Kind::Any, 2);
            self.line(&format!("G1 = function() return {value} end"));
        }
        if goto {
            self.line("end");
            self.line(&format!("::continue{label}::"));
        }
        self.loops -= 1;
        self.scope.truncate(scope);
    }

    fn loop_statement(&mut self) {
        let (a, b) = (self.name(), self.name());
        let n = 1 + self.dice.roll(5);
        match self.dice.roll(12) {
            0 => {
                self.seen("while");
                self.labels += 1;
                let counter = format!("n{}", self.labels);
                let condition = self.expression(Kind::Bool, 2);
                self.line(&format!("local {counter} = 0 while {counter} < {n} and ({condition}) do"));
                self.line(&format!("{counter} = {counter} + 1"));
                self.loop_body(&[]);
                self.line("end");
            }
            1 => {
                self.seen("repeat");
                self.labels += 1;
                let counter = format!("n{}", self.labels);
                self.line(&format!("local {counter} = 0 repeat local {a} = {counter}"));
                self.line(&format!("{counter} = {counter} + 1"));
                let scope = self.scope.len();
                self.declare(&a, Kind::Num);
                self.line("do");
                self.loop_body(&[]);
                self.line("end");
                let condition = self.expression(Kind::Bool, 2);
                self.line(&format!("until {counter} > {n} or ({condition})"));
                self.scope.truncate(scope);
            }
            2 | 3 => {
                self.seen("for numeric");
                let from = self.dice.roll(4);
                let limit = if self.dice.once_in(15) { self.expression(Kind::Any, 1) } else { format!("{}", from + n) };
                // (a limit that is no number is an error; one that is large must not be reached)
                self.line(&format!("for {a} = {from}, {limit} do if {a} > 9 then break end"));
                self.loop_body(&[(&a, Kind::Num)]);
                self.line("end");
            }
            4 => {
                self.seen("for down");
                let step = 1 + self.dice.roll(2);
                self.line(&format!("for {a} = {n}, 0, -{step} do"));
                self.loop_body(&[(&a, Kind::Num)]);
                self.line("end");
            }
            5 => {
                self.seen("for fraction");
                let step = self.dice.one(&["0.5", "0.3", "1.5", "0.25", "'1'"]);
                self.line(&format!("for {a} = 0.1, 2, {step} do"));
                self.loop_body(&[(&a, Kind::Num)]);
                self.line("end");
            }
            6 => {
                self.seen("for ipairs");
                let list = self.expression(Kind::Arr, 2);
                self.line(&format!("for {a}, {b} in ipairs({list}) do if {a} == 6 then break end"));
                self.loop_body(&[(&a, Kind::Num), (&b, Kind::Any)]);
                self.line("end");
            }
            7 => {
                self.seen("for pairs");
                let map = self.expression(Kind::Map, 2);
                let spelled = self.dice.one(&["spairs", "spairs", "spairs", "pairs"]);
                if spelled == "pairs" {
                    // (an order is not promised: count)
                    self.line(&format!("local count = 0 for {a} in pairs({map}) do count = count + 1 end out(count)"));
                } else {
                    self.line(&format!("for {a}, {b} in spairs({map}) do"));
                    self.loop_body(&[(&a, Kind::Any), (&b, Kind::Any)]);
                    self.line("end");
                }
            }
            8 => {
                self.seen("for next");
                let value = self.expression(Kind::Any, 2);
                self.line(&format!("for {a}, {b} in next, {{ x = N({value}) }} do"));
                self.loop_body(&[(&a, Kind::Str), (&b, Kind::Any)]);
                self.line("end");
            }
            9 => {
                self.seen("for gmatch");
                let (s, p) = (self.expression(Kind::Str, 1), self.pattern());
                self.line(&format!("local count = 0 for {a}, {b} in string.gmatch({s}, {p}) do count = count + 1 if count > 5 then break end"));
                self.loop_body(&[(&a, Kind::Str), (&b, Kind::Str)]);
                self.line("end");
            }
            10 => {
                self.seen("for closure");
                self.line(&format!("local count = 0 for {a}, {b} in function(s, c) count = count + 1 if count < {n} then return count, s end end, 'state' do"));
                self.loop_body(&[(&a, Kind::Num), (&b, Kind::Str)]);
                self.line("end");
            }
            _ => {
                self.seen("for coroutine");
                let value = self.expression(Kind::Any, 2);
                self.line(&format!("for {a}, {b} in coroutine.wrap(function() for i = 1, {n} do coroutine.yield(i, {value}) end end) do"));
                self.loop_body(&[(&a, Kind::Num), (&b, Kind::Any)]);
                self.line("end");
            }
        }
    }

    fn jump(&mut self) {
        self.labels += 1;
        let label = self.labels;
        if self.dice.once_in(2) {
            self.seen("goto back");
            self.line(&format!("do local n = 0 ::back{label}:: n = n + 1"));
            let scope = self.scope.len();
            self.declare("n", Kind::Num);
            let inside = std::mem::replace(&mut self.loops, 2);
            self.line("do");
            self.block();
            self.line("end");
            self.loops = inside;
            self.scope.truncate(scope);
            self.line(&format!("if n < 3 then goto back{label} end end"));
        } else {
            self.seen("goto out");
            let condition = self.expression(Kind::Bool, 2);
            self.line("do");
            self.line(&format!("if {condition} then goto out{label} end"));
            self.line("do");
            self.block();
            self.line("end");
            self.line(&format!("::out{label}:: end"));
        }
    }

    pub fn parameters(&mut self) -> (Vec<(String, Kind)>, bool, String) {
        let mut parameters: Vec<(String, Kind)> = Vec::new();
        for _ in 0..self.dice.roll(4) {
            let (name, kind) = (self.name(), self.any_kind());
            // (anything may be passed for a list: `#` of it would not be sure)
            let kind = if kind == Kind::Arr { Kind::Any } else { kind };
            if !parameters.iter().any(|(other, _)| *other == name) {
                parameters.push((name, kind));
            }
        }
        let vararg = self.dice.once_in(3);
        let mut text = parameters.iter().map(|p| p.0.clone()).collect::<Vec<_>>();
        if vararg {
            text.push("...".to_string());
        }
        (parameters, vararg, text.join(", "))
    }

    /// From the parameters' parenthesis to `end`.
    pub fn function_rest(&mut self) {
        let (parameters, vararg, text) = self.parameters();
        self.line(&format!("({text})"));
        let parameters: Vec<_> = parameters.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let statements = 1 + self.dice.roll(2);
        self.function_body(&parameters, vararg, statements);
        self.line("end");
    }

    fn function_statement(&mut self) {
        let name = self.name();
        match self.dice.roll(6) {
            0 => {
                self.seen("function global");
                let global = self.global();
                self.out.push_str(&format!("function {global}"));
                self.function_rest();
            }
            1 => {
                self.seen("function field");
                let (map, field) = (self.place(Kind::Map), self.field());
                self.out.push_str(&format!("function {map}.{field}"));
                self.function_rest();
            }
            2 => {
                self.seen("function method");
                let (map, field) = (self.place(Kind::Map), self.field());
                self.out.push_str(&format!("function {map}:{field}"));
                let scope = self.scope.len();
                self.declare("self", Kind::Map);
                self.function_rest();
                self.scope.truncate(scope);
                self.seen("method call");
                let list = self.list(1);
                self.line(&format!("out({map}:{field}({list}))"));
            }
            3 => {
                self.seen("recursion");
                let (base, step) = (self.expression(Kind::Any, 1), self.expression(Kind::Num, 1));
                let depth = self.dice.roll(8);
                self.line(&format!(
                    "local function {name}(n) tick() if n <= 0 then return {base} end return ({name}(n - 1)) end"
                ));
                self.declare(&name, Kind::Fun);
                self.line(&format!("out({name}({depth}), {step})"));
            }
            _ => {
                self.seen("function local");
                self.out.push_str(&format!("local function {name}"));
                self.declare(&name, Kind::Fun);
                self.function_rest();
                self.seen("call");
                let list = self.list(2);
                self.line(&format!("out({name}({list}))"));
            }
        }
    }

    fn return_statement(&mut self) {
        match self.dice.roll(5) {
            0 => {
                self.seen("return");
                self.line("return");
            }
            1 => {
                self.seen("return tail call");
                let call = if self.dice.once_in(2) {
                    self.library_call(None, 2)
                } else {
                    let (f, list) = (self.place(Kind::Fun), self.list(2));
                    format!("{f}({list})")
                };
                self.line(&format!("return {call}"));
            }
            2 if self.vararg => {
                self.seen("varargs");
                self.line("return ...");
            }
            n => {
                self.seen("return list");
                let list = self.list(n);
                self.line(&format!("return {list}"));
            }
        }
    }
}
