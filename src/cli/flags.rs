//! nginx's flags, letter by letter: values may stick to their flag, and flags without values may be joined.

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    pub help: bool,
    pub version: bool,
    pub configure: bool,
    pub test: bool,
    pub dump: bool,
    pub quiet: bool,
    pub prefix: Option<String>,
    pub file: Option<String>,
    pub error_log: Option<String>,
    pub globals: Option<String>,
    pub signal: Option<Signal>,
}

/// `stop`, `quit`, `reopen`, `reload`.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal(pub String);

pub fn parse(args: &[String]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(letters) = arg.strip_prefix('-') else { return Err(format!("invalid option: \"{arg}\"")) };
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let mut value = |complaint: &str| {
                let stuck = rest.as_str().to_string();
                rest = "".chars();
                if stuck.is_empty() { args.next().cloned().ok_or(complaint.to_string()) } else { Ok(stuck) }
            };
            match letter {
                '?' | 'h' => (flags.version, flags.help) = (true, true),
                'v' => flags.version = true,
                'V' => (flags.version, flags.configure) = (true, true),
                't' => flags.test = true,
                'T' => (flags.test, flags.dump) = (true, true),
                'q' => flags.quiet = true,
                'p' => flags.prefix = Some(value("option \"-p\" requires directory name")?),
                'c' => flags.file = Some(value("option \"-c\" requires file name")?),
                'e' => flags.error_log = Some(value("option \"-e\" requires file name")?),
                'g' => flags.globals = Some(value("option \"-g\" requires parameter")?),
                's' => {
                    let name = value("option \"-s\" requires parameter")?;
                    if !matches!(name.as_str(), "stop" | "quit" | "reopen" | "reload") {
                        return Err(format!("invalid option: \"-s {name}\""));
                    }
                    flags.signal = Some(Signal(name));
                }
                other => return Err(format!("invalid option: \"{other}\"")),
            }
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], expected: Result<Flags, &str>) {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
        assert_eq!(parse(&args), expected.map_err(str::to_string));
    }

    #[test]
    fn letters() {
        let text = |text: &str| Some(text.to_string());
        check(
            &["-p", "/x/", "-c", "a.conf", "-tq"],
            Ok(Flags { prefix: text("/x/"), file: text("a.conf"), test: true, quiet: true, ..Flags::default() }),
        );
        check(&["-p/x"], Ok(Flags { prefix: text("/x"), ..Flags::default() }));
        check(&["-s", "stop"], Ok(Flags { signal: Some(Signal("stop".into())), ..Flags::default() }));
        check(&["-s", "go"], Err("invalid option: \"-s go\""));
        check(&["x"], Err("invalid option: \"x\""));
        check(&["-x"], Err("invalid option: \"x\""));
        check(&["-c"], Err("option \"-c\" requires file name"));
    }
}
