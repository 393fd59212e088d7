//! A file of spans (`ngx::trace`), for a program with the feature `trace`: where PERILUNE_TRACE names a file, each span is a line
//! when it begins, `MICROSECONDS THREAD NUMBER<PARENT NAME NOTE`, and one when it ends, `MICROSECONDS THREAD NUMBER end`.

use std::cell::RefCell;
use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

struct Lines {
    file: File,
    began: Instant,
    next: AtomicU64,
}

thread_local! {
    /// The spans that are entered, the innermost last.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// From here on spans are written, if they are to be.
pub fn begin() {
    let Some(path) = std::env::var_os("PERILUNE_TRACE") else { return };
    match File::options().create(true).append(true).open(Path::new(&path)) {
        Ok(file) => {
            let lines = Lines { file, began: Instant::now(), next: AtomicU64::new(1) };
            // (the only one there is)
            let _ = tracing::subscriber::set_global_default(lines);
        }
        Err(error) => eprintln!("perilune: PERILUNE_TRACE: {error}"),
    }
}

impl Lines {
    fn write(&self, id: u64, what: &str) {
        let time = self.began.elapsed().as_micros();
        let line = format!("{time} {:?} {id}{what}\n", std::thread::current().id());
        // (a trace that cannot be written must not hold up the server)
        let _ = (&self.file).write_all(line.as_bytes());
    }
}

/// The field `note`.
struct Note(String);

impl Visit for Note {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "note" {
            self.0 = value.to_string();
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "note" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("ngx::trace")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let parent = ENTERED.with_borrow(|entered| entered.last().copied().unwrap_or(0));
        let mut note = Note(String::new());
        span.record(&mut note);
        self.write(id, &format!("<{parent} {} {}", span.metadata().name(), note.0));
        Id::from_u64(id)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }
    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|known| *known == id.into_u64()) {
                entered.remove(at);
            }
        });
    }
    // (spans are never cloned: the first close is the last)
    fn try_close(&self, id: Id) -> bool {
        self.write(id.into_u64(), " end");
        true
    }
}
