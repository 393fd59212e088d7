//! The tokens of the language and how messages spell them.
use super::names::Symbol;

macro_rules! tokens {
    ($($name:ident $text:literal),* ; $($keyword:ident $word:literal),*) => {
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum Token {
            $($name,)* $($keyword,)*
            Name(Symbol),
            String(Symbol),
            Number(f64),
            Int64 { bits: u64, unsigned: bool },
            /// A byte that begins no token; the parser refuses it where it stands.
            Stray(u8),
            Eof,
        }

        impl Token {
            /// The reserved word that `text` is.
            pub fn keyword(text: &[u8]) -> Option<Token> {
                if !(2..=8).contains(&text.len()) {
                    return None;
                }
                match text { $(word if word == $word.as_bytes() => Some(Token::$keyword),)* _ => None }
            }

            /// As messages show it, but for names, strings and numbers, which are shown as written.
            pub fn text(self) -> String {
                match self {
                    $(Token::$name => $text.to_string(),)* $(Token::$keyword => $word.to_string(),)*
                    Token::Name(_) => "<name>".to_string(),
                    Token::String(_) => "<string>".to_string(),
                    Token::Number(_) | Token::Int64 { .. } => "<number>".to_string(),
                    Token::Stray(c) if c < 0x20 || c == 0x7f => format!("char({c})"),
                    Token::Stray(c) => char::from(c).to_string(),
                    Token::Eof => "<eof>".to_string(),
                }
            }
        }
    };
}

tokens! {
    Plus "+", Minus "-", Star "*", Slash "/", Percent "%", Caret "^", Hash "#", Less "<", Greater ">", Assign "=",
    LeftParen "(", RightParen ")", LeftBrace "{", RightBrace "}", LeftBracket "[", RightBracket "]", Semicolon ";",
    Colon ":", Comma ",", Dot ".", Concat "..", Dots "...", Equal "==", GreaterEqual ">=", LessEqual "<=",
    NotEqual "~=", Label "::";
    And "and", Break "break", Do "do", Else "else", ElseIf "elseif", End "end", False "false", For "for",
    Function "function", Goto "goto", If "if", In "in", Local "local", Nil "nil", Not "not", Or "or", Repeat "repeat",
    Return "return", Then "then", True "true", Until "until", While "while"
}
