//! Lua programs out of numbers: expressions.
use crate::generate::{Generator, Kind};
use crate::library::{BINARY, CHUNKS, FORMATS, Function, LIBRARY, NUMBERS, PATTERNS, STRINGS};

impl Generator {
    pub fn global(&mut self) -> String {
        self.dice.one(&["G1", "G2", "G3", "G4"]).to_string()
    }
    pub fn field(&mut self) -> String {
        self.dice.one(&["x", "y", "z", "name", "count", "next"]).to_string()
    }
    /// Never a positive whole number: the borders of maps are not sure.
    pub fn key(&mut self) -> String {
        match self.dice.roll(6) {
            0 => "-1".to_string(),
            1 => "0.5".to_string(),
            2 => "true".to_string(),
            3 => format!("({}) .. 'k'", self.expression(Kind::Str, 1)),
            4 if self.dice.once_in(4) => self.dice.one(&["nil", "0/0"]).to_string(),
            _ => format!("'{}'", self.field()),
        }
    }
    pub fn pattern(&mut self) -> String {
        format!("'{}'", self.dice.one(PATTERNS))
    }

    /// A variable of a kind; where there is none, one that is made for it.
    pub fn place(&mut self, kind: Kind) -> String {
        let visible = self.visible();
        let fitting: Vec<_> = visible.iter().filter(|at| self.scope[**at].kind == kind).collect();
        if let Some(at) = (!fitting.is_empty()).then(|| *fitting[self.dice.roll(fitting.len())]) {
            return self.scope[at].name.clone();
        }
        if self.dice.once_in(12) {
            return self.global(); // (most likely nil)
        }
        let value = self.expression(kind, 1);
        let name = self.name();
        self.line(&format!("local {name} = {value}"));
        self.declare(&name, kind);
        name
    }

    pub fn list(&mut self, count: usize) -> String {
        let mut parts = Vec::new();
        for _ in 0..count {
            let kind = self.any_kind();
            parts.push(self.expression(kind, 2));
        }
        if self.vararg && self.dice.once_in(6) {
            self.seen("varargs");
            parts.push("...".to_string());
        }
        parts.join(", ")
    }

    /// An expression, most likely of this kind.
    pub fn expression(&mut self, kind: Kind, depth: usize) -> String {
        // (`#` and the list functions never get a table that may have holes)
        let kind = if kind != Kind::Arr && self.dice.once_in(25) { self.any_kind() } else { kind };
        if depth == 0 || self.dice.once_in(3) {
            return self.leaf(kind);
        }
        match kind {
            Kind::Num => self.number(depth),
            Kind::Str => self.string(depth),
            Kind::Bool => self.boolean(depth),
            Kind::Arr => self.array(depth),
            Kind::Map => self.map(depth),
            Kind::Fun => self.function(),
            Kind::Obj => self.leaf(kind),
            Kind::Any => match self.dice.roll(8) {
                0 => self.library_call(None, depth - 1),
                1 => {
                    self.seen("call");
                    let (f, list) = (self.leaf(Kind::Fun), self.list(1));
                    format!("({f})({list})")
                }
                2 => {
                    let (map, field) = (self.leaf(Kind::Map), self.field());
                    format!("({map}).{field}")
                }
                3 => {
                    let (map, key) = (self.leaf(Kind::Map), self.key());
                    format!("({map})[{key}]")
                }
                4 => {
                    let arr = self.leaf(Kind::Arr);
                    format!("({arr})[{}]", self.dice.roll(5))
                }
                5 => {
                    let op = self.dice.one(&["and", "or"]);
                    let row = BINARY.iter().find(|row| **row == op).copied().unwrap();
                    self.seen(row);
                    let (a, b) = (self.any_kind(), self.any_kind());
                    format!("({} {op} {})", self.expression(a, depth - 1), self.expression(b, depth - 1))
                }
                6 if self.vararg => {
                    self.seen("varargs in parentheses");
                    "(...)".to_string()
                }
                _ => {
                    let kind = self.any_kind();
                    self.expression(kind, depth - 1)
                }
            },
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let visible = self.visible();
        let fitting: Vec<_> = visible.iter().filter(|at| self.scope[**at].kind == kind).collect();
        if !fitting.is_empty() && !self.dice.once_in(3) {
            return self.scope[*fitting[self.dice.roll(fitting.len())]].name.clone();
        }
        match kind {
            Kind::Num => {
                self.seen("numeral");
                self.dice.one(NUMBERS).to_string()
            }
            Kind::Str => {
                if self.dice.once_in(20) {
                    self.seen("long string");
                    return self.dice.one(&["[[long]]", "[==[\nlong ]] ]==]", "[[\\n]]"]).to_string();
                }
                if self.dice.once_in(20) {
                    self.seen("escape");
                    return self
                        .dice
                        .one(&[
                            "'\\65\\066'",
                            "'\\x41'",
                            "'\\z   x'",
                            "'\\u{48}\\u{20AC}'",
                            "'\\'\\a\\b\\t\\v'",
                            "'\\\n'",
                        ])
                        .to_string();
                }
                format!("'{}'", self.dice.one(STRINGS))
            }
            Kind::Bool => self.dice.one(&["true", "false", "nil"]).to_string(),
            Kind::Arr => self
                .dice
                .one(&["{ 1, 2, 3 }", "{}", "{ 'a', 'b' }", "{ 3, 1, 2, 5, 4 }", "{ 'x', 1, true }"])
                .to_string(),
            Kind::Map => self
                .dice
                .one(&[
                    "{}",
                    "{ x = 1, y = 2 }",
                    "{ name = 'n', z = {} }",
                    "{ x = { y = { z = 1 } } }",
                    "{ [true] = 1, [-1] = 2 }",
                ])
                .to_string(),
            Kind::Fun => self
                .dice
                .one(&[
                    "tostring",
                    "type",
                    "math.sqrt",
                    "string.upper",
                    "print",
                    "error",
                    "function(...) return ... end",
                    "select",
                    "string.rep",
                    "tonumber",
                    "rawget",
                    "ipairs",
                ])
                .to_string(),
            Kind::Obj => "{}".to_string(),
            Kind::Any => match self.dice.roll(4) {
                0 => self.global(),
                1 => "nil".to_string(),
                _ => {
                    let kind = self.any_kind();
                    if kind == Kind::Any { "nil".to_string() } else { self.leaf(kind) }
                }
            },
        }
    }

    fn binary(&mut self, ops: &[&'static str], kind: Kind, depth: usize) -> String {
        let op = ops[self.dice.roll(ops.len())];
        self.seen(op);
        let (a, b) = (self.expression(kind, depth - 1), self.expression(kind, depth - 1));
        if self.dice.once_in(3) && !a.starts_with('-') && !b.starts_with('-') {
            format!("{a} {op} {b}")
        } else {
            format!("(({a}) {op} ({b}))")
        }
    }

    fn number(&mut self, depth: usize) -> String {
        match self.dice.roll(10) {
            0..5 => {
                let kind = if self.dice.once_in(12) {
                    self.seen("string coercion");
                    Kind::Str
                } else {
                    Kind::Num
                };
                let text = self.binary(&["+", "-", "*", "/", "%", "^"], kind, depth);
                format!("({text})")
            }
            5 => {
                self.seen("-");
                format!("(- ({}))", self.expression(Kind::Num, depth - 1))
            }
            6 => {
                self.seen("#");
                let kind = [Kind::Arr, Kind::Str, Kind::Num, Kind::Bool][self.dice.roll(4)];
                // (a string may be a map by mistake, but not here)
                let text = if kind == Kind::Arr { self.leaf(kind) } else { format!("tostring({})", self.leaf(kind)) };
                if kind == Kind::Num {
                    format!("#{}", self.dice.one(&["G1", "nil", "(5)", "print", "'abc'"]))
                } else {
                    format!("#({text})")
                }
            }
            _ => self.library_call(Some('n'), depth - 1),
        }
    }

    fn string(&mut self, depth: usize) -> String {
        match self.dice.roll(6) {
            0..2 => {
                self.seen("..");
                let kind = if self.dice.once_in(4) { Kind::Num } else { Kind::Str };
                let (a, b) = (self.expression(Kind::Str, depth - 1), self.expression(kind, depth - 1));
                format!("(cut({a}) .. ({b}))")
            }
            2 => {
                self.seen("..");
                let (a, b, c) = (self.leaf(Kind::Str), self.leaf(Kind::Num), self.leaf(Kind::Str));
                format!("(({a}) .. ({b}) .. ({c}))")
            }
            _ => self.library_call(Some('s'), depth - 1),
        }
    }

    fn boolean(&mut self, depth: usize) -> String {
        match self.dice.roll(6) {
            0..3 => {
                let kind = if self.dice.once_in(2) { Kind::Num } else { Kind::Str };
                let text = self.binary(&["<", "<=", ">", ">=", "==", "~="], kind, depth);
                format!("({text})")
            }
            3 => {
                let text = self.binary(&["and", "or"], Kind::Bool, depth);
                format!("({text})")
            }
            4 => {
                self.seen("not ");
                format!("(not ({}))", self.expression(Kind::Any, depth - 1))
            }
            _ => {
                let row = if self.dice.once_in(2) { "==" } else { "~=" };
                self.seen(row);
                let (a, b) = (self.any_kind(), self.any_kind());
                format!("(({}) {row} ({}))", self.expression(a, depth - 1), self.expression(b, depth - 1))
            }
        }
    }

    fn array(&mut self, depth: usize) -> String {
        self.seen("table constructor");
        let mut parts = Vec::new();
        for _ in 0..self.dice.roll(5) {
            let kind = self.any_kind();
            parts.push(format!("N({})", self.expression(kind, depth - 1)));
        }
        format!("{{ {} }}", parts.join(", "))
    }

    fn map(&mut self, depth: usize) -> String {
        self.seen("table constructor");
        let mut parts = Vec::new();
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..self.dice.roll(4) {
            let (kind, field, key) = (self.any_kind(), self.field(), self.key());
            // (which of two values for one key wins is not said)
            if keys.contains(&field) || key.contains("..") || keys.contains(&key) {
                continue;
            }
            keys.extend([field.clone(), format!("'{field}'"), key.trim_matches('\'').to_string(), key.clone()]);
            let value = self.expression(kind, depth - 1);
            parts.push(if self.dice.once_in(3) { format!("[{key}] = {value}") } else { format!("{field} = {value}") });
        }
        format!("{{ {} }}", parts.join(self.dice.one(&[", ", "; "])))
    }

    /// A function expression, on lines of its own above: as a local.
    fn function(&mut self) -> String {
        if self.level > 4 || self.dice.once_in(2) {
            return self.leaf(Kind::Fun);
        }
        self.seen("function expression");
        let (parameters, vararg, text) = self.parameters();
        let (scope, before) = (self.scope.len(), std::mem::replace(&mut self.vararg, vararg));
        self.level += 1;
        for (name, kind) in &parameters {
            self.declare(name, *kind);
        }
        let out = std::mem::take(&mut self.out);
        let list = self.list(1);
        // (what the expressions needed declared comes before the return)
        let needed = std::mem::replace(&mut self.out, out);
        self.level -= 1;
        self.vararg = before;
        self.scope.truncate(scope);
        format!("function({text}) tick() {needed} return {list} end").replace('\n', " ")
    }

    /// A call of the library, of a function with this kind of result.
    pub fn library_call(&mut self, result: Option<char>, depth: usize) -> String {
        let fitting: Vec<&'static Function> =
            LIBRARY.iter().filter(|f| result.is_none_or(|kind| f.2 == kind)).collect();
        let function = fitting[self.dice.roll(fitting.len())];
        self.seen(function.0);
        let mut arguments = Vec::new();
        let mut optional = false;
        // (without a second argument it is the present time; without one LuaJIT's interpreter says 0)
        let may_lack = !["os.date", "math.floor", "math.ceil"].contains(&function.0);
        for letter in function.1.chars() {
            if letter == '?' {
                optional = true;
            } else if optional && self.dice.once_in(2) || may_lack && self.dice.once_in(60) {
                break;
            } else {
                let argument = self.argument(letter, depth);
                // (a call that gives nothing would be none, too)
                arguments.push(if may_lack { argument } else { format!("({argument})") });
            }
        }
        if function.0.starts_with("string.")
            && function.1.starts_with('s')
            && !arguments.is_empty()
            && self.dice.once_in(3)
        {
            self.seen("method on string");
            let subject = arguments.remove(0);
            return format!("({subject}):{}({})", &function.0["string.".len()..], arguments.join(", "));
        }
        let call = format!("{}({})", function.0, arguments.join(", "));
        // (what is in use is made nothing of: an operator before the call must not reach it first)
        if function.0 == "collectgarbage" { format!("({call})") } else { call }
    }

    fn argument(&mut self, letter: char, depth: usize) -> String {
        let depth = depth.min(1);
        match letter {
            'n' => self.expression(Kind::Num, depth),
            // A number for what LuaJIT has written in Lua: there a `__mul` would be asked.
            'q' => format!("(tonumber({}) or 0)", self.expression(Kind::Num, depth)),
            'i' => {
                if self.dice.once_in(25) {
                    return self.leaf(Kind::Any);
                }
                self.dice.one(&["1", "2", "3", "0", "-1", "-2", "4", "5", "2.5", "'2'", "-5", "1"]).to_string()
            }
            'I' => {
                if self.dice.once_in(25) {
                    return self.leaf(Kind::Any);
                }
                self.dice
                    .one(&[
                        "1",
                        "255",
                        "-1",
                        "0x7fffffff",
                        "0x80000000",
                        "4294967295",
                        "1.5",
                        "2.5",
                        "-0.5",
                        "1e9",
                        "'7'",
                        "0",
                    ])
                    .to_string()
            }
            'c' => self.dice.one(&["65", "97", "0", "255", "256", "-1", "'66'", "32.5"]).to_string(),
            'w' => self.dice.one(&["10", "16", "2", "36", "8", "1", "37", "7"]).to_string(),
            's' => self.expression(Kind::Str, depth),
            'u' => {
                if self.dice.once_in(2) {
                    return format!(
                        "'{}'",
                        self.dice.one(&[
                            "ff", "0x1F", "zz", "1010", "12e", " 10 ", "1e5", "1e", "0x", "-7", "+7", "- 7", "0b11",
                            "1_0", "inf", "nan", "10LL", "1i", ".", "5.", ".5e1", "0x.1p3", "0x1p", "1 2"
                        ])
                    );
                }
                self.expression(Kind::Any, depth)
            }
            'p' => self.pattern(),
            // (beyond the end LuaJIT finds nothing only where it has the extras of Lua 5.2)
            'j' => self.dice.one(&["1", "0", "-1", "-2", "1", "'1'", "1.5", "-100"]).to_string(),
            // Nothing with an address.
            'y' => {
                let kind = [Kind::Num, Kind::Str, Kind::Bool][self.dice.roll(3)];
                self.leaf(kind)
            }
            'k' => self.dice.one(&["1", "2", "3", "0", "-1", "4", "'2'"]).to_string(),
            // One that nobody else captures: what is set there is not seen elsewhere.
            'M' => "(function() local p, q = 1, 2 return function() return p, q end end)()".to_string(),
            // A function of Lua, with captured variables.
            'L' => {
                let list = self.list(2);
                format!("function() return {list} end")
            }
            'r' => match self.dice.roll(5) {
                0 => {
                    self.seen("gsub with function");
                    let value = self.leaf(Kind::Any);
                    self.dice
                        .one(&[
                            "function(c) return c .. c end",
                            "function(a, b) return b end",
                            "string.upper",
                            "function() return nil end",
                            "function() return {} end",
                            &format!("function() return {value} end"),
                        ])
                        .to_string()
                }
                1 => {
                    self.seen("gsub with table");
                    self.dice
                        .one(&[
                            "{ a = 'A', b = 1 }",
                            "{}",
                            "{ a = false, x = true }",
                            "setmetatable({}, { __index = function(t, k) return k .. '!' end })",
                        ])
                        .to_string()
                }
                _ => format!(
                    "'{}'",
                    self.dice.one(&["", "x", "%0", "%1%1", "<%0>", "%%", "%2", "a%", "[%1]", "%9", "%a"])
                ),
            },
            'F' => format!("'{}'", self.dice.one(FORMATS)),
            'a' => self.expression(Kind::Arr, depth),
            // Which elements are compared, and where equal ones end up, is not said: all are of a kind, or there are two.
            'A' => self
                .dice
                .one(&[
                    "{ 3, 1, 2, 5, 4, 10, -1 }",
                    "{ 'b', 'a', 'c' }",
                    "{}",
                    "{ 2, 1 }",
                    "{ 1, 'x' }",
                    "{ {}, {} }",
                    "{ true, 1 }",
                    "{ 5, 3, 9, 2, 8, 7, 1, 6, 4, 0 }",
                ])
                .to_string(),
            'm' => self.expression(Kind::Map, depth),
            't' => {
                if self.dice.once_in(2) {
                    self.expression(Kind::Arr, depth)
                } else {
                    self.expression(Kind::Map, depth)
                }
            }
            'e' => self
                .dice
                .one(&["{}", "{ x = 1 }", "{ 5 }", "nil", "{ 5 }, 1", "{}, 1", "{ x = 2 }, 'x'", "{ 1 }, 'nothing'"])
                .to_string(),
            'f' => self.expression(Kind::Fun, depth),
            'o' => {
                self.seen("sort with comparator");
                self.dice
                    .one(&[
                        "function(a, b) return a < b end",
                        "function(a, b) return a > b end",
                        "function(a, b) return tostring(a) < tostring(b) end",
                        "nil",
                    ])
                    .to_string()
            }
            'N' => format!("N({})", self.expression(Kind::Any, depth)),
            'b' => self.expression(Kind::Bool, depth),
            'h' => self.dice.one(&["coroutine.create(print)", "coroutine.running()", "nil"]).to_string(),
            'l' => {
                let text = self.dice.one(CHUNKS);
                if text.contains('\'') { format!("\"{text}\"") } else { format!("'{text}'") }
            }
            'd' => self
                .dice
                .one(&[
                    "'!%Y-%m-%d %H:%M:%S'",
                    "'!%c'",
                    "'!%x %X %p'",
                    "'!*t'",
                    "'!%A %B %j'",
                    "'!%a %b %d %y %I %M %w %%'",
                    "'!'",
                ])
                .to_string(),
            'D' => self.dice.one(&["0", "1e9", "1234567890", "86399", "951782400", "1.7e9"]).to_string(),
            'g' => self
                .dice
                .one(&["'count') * 0 + tonumber('1'", "'collect'", "'stop') + collectgarbage('restart'", "'nonsense'"])
                .to_string(),
            _ => self.expression(Kind::Any, depth),
        }
    }
}
