//! `error_log`, `access_log`, `log_format`.

use std::sync::Arc;
use std::time::Duration;

use ngx::log::Level;

use super::super::build::{Builder, Directive, Frame};
use super::super::names::Names;
use super::super::scalar;
use super::arity::{ONE_MORE, TWO_MORE};
use super::context::{ALL, ALL_IF, HTTP, LIMIT_EXCEPT, MAIN};
use super::{Row, row};
use crate::log::access::{Format, Target};
use crate::log::buffer::Buffered;
use crate::log::syslog::Syslog;
use crate::log::{AccessLog, ErrorLog, LogFile};

pub static ROWS: &[Row] = &[
    row("error_log", MAIN | ALL, ONE_MORE, error_log),
    row("access_log", ALL_IF | LIMIT_EXCEPT, ONE_MORE, access_log),
    row("log_format", HTTP, TWO_MORE, log_format),
];

fn error_log(b: &mut Builder, d: &Directive) -> Result<(), String> {
    let file = match d.arg(0) {
        b"stderr" => Arc::new(LogFile::stderr()),
        word if word.starts_with(b"syslog:") => syslog(word, b.names)?,
        word if word.starts_with(b"memory:") => {
            let size = word.strip_prefix(b"memory:").and_then(scalar::size).and_then(|size| usize::try_from(size).ok());
            let size = size.filter(|size| *size >= crate::log::LINE);
            let size =
                size.ok_or_else(|| format!("invalid buffer size \"{}\"", d.text(0).replacen("memory:", "", 1)))?;
            let file = Arc::new(LogFile::memory(size));
            b.memory_logs.push(file.clone());
            file
        }
        word => {
            let path = b.path(word);
            b.log_file(path)
        }
    };
    let level = match d.args().get(1) {
        None => Level::Error,
        Some(word) => {
            let name = String::from_utf8_lossy(word).into_owned();
            if name.starts_with("debug_") {
                Level::Debug
            } else {
                let at = Level::NAMES.iter().skip(1).position(|known| *known == name);
                let number = at.and_then(|at| i64::try_from(at + 1).ok());
                number.and_then(Level::from_number).ok_or_else(|| format!("invalid log level \"{name}\""))?
            }
        }
    };
    let log = ErrorLog { level, file };
    if b.frames.is_empty() {
        b.main.error_log.push(log);
        return Ok(());
    }
    let mut logs = b.settings().error_log.as_deref().unwrap_or_default().to_vec();
    logs.push(log);
    b.settings().error_log = Some(Arc::from(logs));
    Ok(())
}

fn access_log(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if d.arg(0) == b"off" {
        if d.args().len() > 1 {
            return Err(format!("invalid parameter \"{}\"", d.text(1)));
        }
        b.settings().access_log = Some(Arc::from([]));
        return Ok(());
    }
    let mut format = Format::combined(&mut b.http().names);
    let (mut condition, mut buffer, mut flush, mut gzip) = (None, None, None, None);
    for (n, word) in d.args().iter().enumerate().skip(1) {
        let text = String::from_utf8_lossy(word).into_owned();
        if let Some(test) = text.strip_prefix("if=") {
            condition = Some(b.value(test.as_bytes())?);
        } else if let Some(size) = text.strip_prefix("buffer=") {
            let bytes = scalar::size(size.as_bytes()).filter(|size| *size > 0);
            buffer = Some(bytes.ok_or_else(|| format!("invalid buffer size \"{text}\""))?);
        } else if let Some(time) = text.strip_prefix("flush=") {
            let ms = scalar::msec(time.as_bytes()).filter(|ms| *ms > 0);
            flush = Some(ms.ok_or_else(|| format!("invalid flush time \"{text}\""))?);
        } else if text == "gzip" || text.starts_with("gzip=") {
            let level = text.strip_prefix("gzip=").map_or(Some(1), |level| level.parse().ok());
            let level = level.filter(|level| (1..=9).contains(level));
            gzip = Some(level.ok_or_else(|| format!("invalid compression level \"{text}\""))?);
        } else if n == 1 {
            format = match text.as_str() {
                "combined" => format,
                name => match b.http().formats.get(name.as_bytes()) {
                    Some(found) => found.clone(),
                    None => return Err(format!("unknown log format \"{name}\"")),
                },
            };
        } else {
            return Err(format!("invalid parameter \"{text}\""));
        }
    }
    if flush.is_some() && buffer.is_none() && gzip.is_none() {
        return Err(format!("no buffer is defined for access_log \"{}\"", d.text(0)));
    }
    let buffered = buffer.is_some() || gzip.is_some();
    let target = if d.arg(0).starts_with(b"syslog:") {
        if buffered {
            return Err("logs to syslog cannot be buffered".into());
        }
        Target::File(syslog(d.arg(0), b.names)?)
    } else if d.arg(0).contains(&b'$') {
        if buffered {
            return Err("buffered logs cannot have variables in name".into());
        }
        Target::Named(b.value(d.arg(0))?)
    } else {
        let path = b.path(d.arg(0));
        let file = b.log_file(path);
        match buffered {
            false => Target::File(file),
            true => {
                let size = usize::try_from(buffer.unwrap_or(64 * 1024)).unwrap_or(usize::MAX);
                let buffer = Arc::new(Buffered::new(file, size, flush.map(Duration::from_millis), gzip));
                b.log_buffers.push(buffer.clone());
                Target::Buffered(buffer)
            }
        }
    };
    let mut logs = b.settings().access_log.as_deref().unwrap_or_default().to_vec();
    logs.push(AccessLog { target, format, condition });
    b.settings().access_log = Some(Arc::from(logs));
    Ok(())
}

fn syslog(word: &[u8], names: Names) -> Result<Arc<LogFile>, String> {
    let text = String::from_utf8_lossy(word.get(7..).unwrap_or_default()).into_owned();
    Ok(Arc::new(LogFile::syslog(Syslog::parse(&text, names)?)))
}

fn log_format(b: &mut Builder, d: &Directive) -> Result<(), String> {
    if !matches!(b.frames.last(), Some(Frame::Http(_))) {
        return Ok(());
    }
    let name = d.arg(0).to_vec();
    if name == b"combined" || b.http().formats.contains_key(&name) {
        return Err(format!("duplicate \"log_format\" name \"{}\"", d.text(0)));
    }
    let mut words = &d.args()[1..];
    let mut escape = crate::log::access::Escape::Default;
    if let Some(kind) = words.first().and_then(|word| word.strip_prefix(b"escape=")) {
        use crate::log::access::Escape;
        escape = match kind {
            b"default" => Escape::Default,
            b"json" => Escape::Json,
            b"none" => Escape::None,
            other => return Err(format!("unknown log format escaping \"{}\"", String::from_utf8_lossy(other))),
        };
        words = &words[1..];
    }
    let value = b.value(&words.concat())?;
    b.http().formats.insert(name, Arc::new(Format { value, escape }));
    Ok(())
}
