//! The configuration: text (`lex`, `lua_block`) to directives (`directives/`, `build`) to drafts to the immutable `tree`.

pub mod build;
pub mod directives;
pub mod draft;
pub mod glob;
pub mod lex;
mod lua_block;
pub mod names;
pub mod regex;
pub mod scalar;
pub mod settings;
pub mod tree;
pub mod value;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ngx::log::Level;

use crate::log::{AccessLog, ErrorLog};
use build::Builder;
pub use build::os_error;
pub use directives::resolve;
use tree::{Main, Pos};

/// Where the configuration comes from, as the command line says.
#[derive(Clone, Debug)]
pub struct Origin {
    pub prefix: PathBuf,
    pub file: PathBuf,
    /// `-e`: where messages go until, or unless, the configuration names a log.
    pub error_log: PathBuf,
    /// `-g`
    pub globals: Option<String>,
    /// The built-in configuration, instead of `file`.
    pub text: Option<&'static str>,
    /// What another process has read for this one, instead of what is on the disk.
    pub snapshot: Option<build::Snapshot>,
    pub names: names::Names,
}

/// Reads and checks the whole configuration. The error is complete, with its place; warnings go to `notes` either way.
pub fn load(origin: &Origin, notes: &mut Vec<(Level, String)>) -> Result<Main, String> {
    let file = origin.prefix.join(&origin.file);
    let conf_prefix = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut builder = Builder::new(origin.prefix.clone(), conf_prefix);
    builder.snapshot = origin.snapshot.clone();
    builder.names = origin.names;
    let result = run(&mut builder, origin, &file);
    notes.append(&mut builder.notes);
    result
}

fn run(builder: &mut Builder, origin: &Origin, file: &Path) -> Result<Main, String> {
    if let Some(globals) = &origin.globals {
        builder.parameter(globals.as_bytes())?;
    }
    let nodes = match origin.text {
        Some(text) => builder.text(text, "built-in")?,
        None => builder.file(file, directives::context::MAIN, None)?,
    };
    if !builder.main.events {
        return Err("no \"events\" section in configuration".into());
    }
    let main = std::mem::take(&mut builder.main);
    let mut error_log = main.error_log;
    if error_log.is_empty() {
        let file = builder.log_file(origin.prefix.join(&origin.error_log));
        error_log.push(ErrorLog { level: Level::Error, file });
    }
    let http = match builder.http.take() {
        Some(mut draft) if builder.has_http => {
            draft.settings.error_log.get_or_insert_with(|| Arc::from(error_log.clone()));
            if draft.settings.access_log.is_none() {
                let file = builder.log_file(origin.prefix.join("logs/access.log"));
                let format = crate::log::access::Format::combined(&mut draft.names);
                draft.settings.access_log = Some(Arc::from([AccessLog {
                    target: crate::log::access::Target::File(file),
                    format,
                    condition: None,
                }]));
            }
            let mut warnings = Vec::new();
            let http = draft.finish(builder.codes, &mut |text| warnings.push((Level::Warn, text)));
            builder.notes.append(&mut warnings);
            Some(Arc::new(http?))
        }
        _ => None,
    };
    let connections = main.worker_connections.unwrap_or(512);
    let listening = http.as_ref().map_or(0, |http| http.listens.len());
    if connections <= listening {
        return Err(format!("{connections} worker_connections are not enough for {listening} listening sockets"));
    }
    Ok(Main {
        prefix: builder.prefix.clone(),
        conf_prefix: builder.conf_prefix.clone(),
        files: std::mem::take(&mut builder.files),
        material: std::mem::take(&mut builder.material),
        nodes,
        daemon: main.daemon.unwrap_or(true),
        master_process: main.master_process.unwrap_or(true),
        worker_processes: main.worker_processes.unwrap_or(1),
        worker_connections: connections,
        worker_rlimit_nofile: main.worker_rlimit_nofile,
        worker_rlimit_core: main.worker_rlimit_core,
        worker_shutdown_timeout: main.worker_shutdown_timeout,
        working_directory: main.working_directory,
        pid: main.pid.unwrap_or_else(|| origin.prefix.join("logs/nginx.pid")),
        user: match main.user {
            Some(user) => user,
            None => crate::worker::user::default(),
        },
        env: main.env,
        thread_pools: main.thread_pools,
        error_log: Arc::from(error_log),
        log_files: std::mem::take(&mut builder.logs),
        log_buffers: std::mem::take(&mut builder.log_buffers),
        memory_logs: std::mem::take(&mut builder.memory_logs),
        temp_paths: std::mem::take(&mut builder.temp_paths),
        http,
    })
}

/// ` in FILE:LINE`
pub fn place(pos: &Pos) -> String {
    format!(" in {}:{}", pos.file, pos.line)
}
