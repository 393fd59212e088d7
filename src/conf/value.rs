//! "Complex values": texts with `$variables`, compiled once when the configuration is read to a list of pieces.

use std::collections::HashMap;

/// Index into the configuration's table of variables.
pub type VarId = u32;

#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(Vec<u8>),
    Var(VarId),
    /// `$1` .. `$9` of the last regex that matched; `$0` is the whole match.
    Capture(usize),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Value {
    pub pieces: Vec<Piece>,
}

impl Value {
    pub fn text(text: impl Into<Vec<u8>>) -> Value {
        Value { pieces: vec![Piece::Text(text.into())] }
    }
    /// The text, where no variable is in it.
    pub fn literal(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
    pub fn compile(text: &[u8], names: &mut Names) -> Result<Value, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut at = 0;
        while at < text.len() {
            if text[at] != b'$' {
                literal.push(text[at]);
                at += 1;
                continue;
            }
            at += 1;
            let braced = text.get(at) == Some(&b'{');
            let start = if braced { at + 1 } else { at };
            let digit = text.get(start).filter(|b| b.is_ascii_digit());
            let length = match digit {
                Some(_) => 1,
                None => text[start..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count(),
            };
            let name = &text[start..start + length];
            at = start + length;
            if braced {
                if text.get(at) != Some(&b'}') {
                    let name = String::from_utf8_lossy(name);
                    return Err(format!("the closing bracket in \"{name}\" variable is missing"));
                }
                at += 1;
            }
            if length == 0 {
                return Err("invalid variable name".into());
            }
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(match digit {
                Some(digit) => Piece::Capture(usize::from(digit - b'0')),
                None => Piece::Var(names.id(name)),
            });
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Value { pieces })
    }
}

/// The names of all variables that the configuration mentions, numbered as they appear.
#[derive(Clone, Debug, Default)]
pub struct Names {
    ids: HashMap<Vec<u8>, VarId>,
    names: Vec<Vec<u8>>,
}

impl Names {
    /// Variable names ignore case.
    pub fn id(&mut self, name: &[u8]) -> VarId {
        let name = name.to_ascii_lowercase();
        if let Some(&id) = self.ids.get(&name) {
            return id;
        }
        let id = VarId::try_from(self.names.len()).unwrap_or(VarId::MAX);
        self.names.push(name.clone());
        self.ids.insert(name, id);
        id
    }
    pub fn find(&self, name: &[u8]) -> Option<VarId> {
        self.ids.get(name).copied()
    }
    pub fn iter(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.names.iter()
    }
    pub fn name(&self, id: VarId) -> &[u8] {
        self.names.get(id as usize).map_or(b"", Vec::as_slice)
    }
}
