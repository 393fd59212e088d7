//! The command line: nginx's flags, and the subcommands `lua` and `run`.

pub mod demo;
pub mod flags;
mod hint;
pub mod identity;
pub mod lua;
mod prompt;
pub mod run;
mod script;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ngx::log::Level;

use crate::conf::names::Names;
use crate::conf::{self, Origin};
use crate::log::{self, ErrorLog, LogFile, Plain};
use crate::worker::{daemon, master, pid, server};
use flags::{Flags, Signal};

pub fn main() -> ExitCode {
    // One line: the default hook's backtrace costs the worker tens of milliseconds.
    std::panic::set_hook(Box::new(|panic| eprintln!("perilune: {panic}")));
    #[cfg(feature = "trace")]
    log::trace::begin();
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    match args.first().map(String::as_str) {
        Some("lua") => return lua::main(&args[1..]),
        Some("run") => return run::main(&args[1..]),
        _ => {}
    }
    let flags = match flags::parse(&args) {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("{}: {error}", identity::PROGRAM);
            return ExitCode::FAILURE;
        }
    };
    if flags.version {
        identity::print_version(flags.configure, flags.help);
        if !flags.test {
            return ExitCode::SUCCESS;
        }
    }
    serve(&flags, args.is_empty())
}

fn serve(flags: &Flags, bare: bool) -> ExitCode {
    if let Some(parent) = master::parent() {
        return server::run_for_parent(&origin(flags), parent);
    }
    if daemon::is_child() {
        daemon::detach();
    }
    let mut origin = origin(flags);
    let file = origin.prefix.join(&origin.file);
    if bare && !file.exists() {
        origin.text = Some(demo::CONF);
    }
    // Until the configuration names a log, messages go where -e says.
    let early = LogFile::new(origin.prefix.join(&origin.error_log));
    if let Err(error) = early.open()
        && origin.text.is_none()
    {
        let path = origin.prefix.join(&origin.error_log);
        let (path, error) = (path.display(), conf::os_error(&error));
        eprintln!("{}: [alert] could not open error log file: open() \"{path}\" failed {error}", identity::PROGRAM);
    }
    let early = Plain::early(&[ErrorLog { level: Level::Notice, file: std::sync::Arc::new(early) }]);
    let tell = |level: Level, text: &str| {
        let quiet = flags.quiet && flags.test && level > Level::Error;
        if !quiet {
            eprintln!("{}: [{}] {text}", identity::PROGRAM, level.name());
        }
        early.say(level, text);
    };
    if let Some(Signal(name)) = &flags.signal {
        let sent = match conf::load(&origin, &mut Vec::new()) {
            Err(error) => Err((Level::Emerg, error)),
            Ok(main) => pid::signal(&main.pid, name)
                .map_err(|error| (if error.starts_with("kill(") { Level::Alert } else { Level::Error }, error)),
        };
        return match sent {
            Ok(()) => ExitCode::SUCCESS,
            Err((level, error)) => {
                tell(level, &error);
                ExitCode::FAILURE
            }
        };
    }
    let mut notes = Vec::new();
    let loaded = conf::load(&origin, &mut notes);
    // A detached child would say again what its parent has said already.
    if !daemon::is_child() {
        notes.iter().for_each(|(level, text)| tell(*level, text));
    }
    let shown = file.display();
    let main = match loaded {
        Ok(main) => main,
        Err(error) => {
            // The one fault that is found after the syntax was.
            if flags.test && !flags.quiet && error.starts_with("no \"events\"") {
                eprintln!("{}: the configuration file {shown} syntax is ok", identity::PROGRAM);
            }
            tell(Level::Emerg, &error);
            if std::io::stderr().is_terminal() {
                eprint!("{}", hint::of(&error));
            }
            if flags.test {
                eprintln!("{}: configuration file {shown} test failed", identity::PROGRAM);
            }
            return ExitCode::FAILURE;
        }
    };
    if flags.test && !flags.quiet {
        eprintln!("{}: the configuration file {shown} syntax is ok", identity::PROGRAM);
    }
    if let Err(error) = log::open_all(&main.log_files) {
        tell(Level::Emerg, &error);
        if flags.test {
            eprintln!("{}: configuration file {shown} test failed", identity::PROGRAM);
        }
        return ExitCode::FAILURE;
    }
    if flags.test {
        if !flags.quiet {
            eprintln!("{}: configuration file {shown} test is successful", identity::PROGRAM);
        }
        if flags.dump {
            dump(&main.files);
        }
        return ExitCode::SUCCESS;
    }
    if main.daemon && !daemon::is_child() && origin.text.is_none() {
        return daemon::start();
    }
    if origin.text.is_some() {
        println!("{}", demo::GREETING);
        return server::run(&origin, main);
    }
    if main.master_process {
        return master::run(&origin, main);
    }
    if let Err(error) = crate::worker::environment::restrict(&main) {
        tell(Level::Alert, &format!("the environment stays as it is {}", conf::os_error(&error)));
    }
    server::run(&origin, main)
}

fn origin(flags: &Flags) -> Origin {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let mut prefix = flags.prefix.clone().unwrap_or_else(|| here.to_string_lossy().into_owned());
    // Paths are shown with the prefix as it was given, with one slash at its end.
    if !prefix.ends_with('/') {
        prefix.push('/');
    }
    let prefix = if Path::new(&prefix).is_absolute() { PathBuf::from(prefix) } else { here.join(prefix) };
    Origin {
        file: PathBuf::from(flags.file.as_deref().unwrap_or("conf/nginx.conf")),
        error_log: PathBuf::from(flags.error_log.as_deref().unwrap_or("logs/error.log")),
        prefix,
        globals: flags.globals.clone(),
        text: None,
        snapshot: None,
        names: Names::System,
    }
}

fn dump(files: &[(PathBuf, Vec<u8>)]) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    for (path, bytes) in files {
        let _ = writeln!(out, "# configuration file {}:", path.display());
        let _ = out.write_all(bytes);
        let _ = writeln!(out);
    }
}
