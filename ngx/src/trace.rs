//! The seams of a request's life as spans for `tracing`, named after its words: accept, request, phase, run, park, resume, respond.
//! Without the feature `trace` nothing of it is in the program: a job is what it was, a note is never made.

pub use seams::{Note, at, during, note, over};

/// Where in its life a request is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Word {
    /// A client's connection is taken.
    Accept,
    /// From its head to its line in the access log.
    Request,
    /// One of nginx's.
    Phase,
    /// The Lua of a phase, with all its light threads.
    Run,
    /// A light thread begins to wait.
    Park,
    /// A light thread goes on.
    Resume,
    /// Bytes go out, through the filters.
    Respond,
}

#[cfg(feature = "trace")]
mod seams {
    use tracing::{Instrument, Span, info_span};

    use super::Word;

    pub type Note = String;

    /// What a span says beyond its name.
    pub fn note(text: impl FnOnce() -> String) -> Note {
        text()
    }
    /// A moment.
    pub fn at(word: Word, note: Note) {
        drop(span(word, &note));
    }
    /// Something that does not wait.
    pub fn during<T>(word: Word, note: Note, job: impl FnOnce() -> T) -> T {
        span(word, &note).in_scope(job)
    }
    /// Something that may wait: the span is entered whenever it is polled.
    pub fn over<J: Future>(word: Word, note: Note, job: J) -> impl Future<Output = J::Output> {
        job.instrument(span(word, &note))
    }

    fn span(word: Word, note: &str) -> Span {
        match word {
            Word::Accept => info_span!("accept", note),
            Word::Request => info_span!("request", note),
            Word::Phase => info_span!("phase", note),
            Word::Run => info_span!("run", note),
            Word::Park => info_span!("park", note),
            Word::Resume => info_span!("resume", note),
            Word::Respond => info_span!("respond", note),
        }
    }
}

#[cfg(not(feature = "trace"))]
mod seams {
    use super::Word;

    /// Nothing.
    pub struct Note;

    #[inline(always)]
    pub fn note(_: impl FnOnce() -> String) -> Note {
        Note
    }
    #[inline(always)]
    pub fn at(_: Word, _: Note) {}
    #[inline(always)]
    pub fn during<T>(_: Word, _: Note, job: impl FnOnce() -> T) -> T {
        job()
    }
    #[inline(always)]
    pub fn over<J: Future>(_: Word, _: Note, job: J) -> J {
        job
    }
}
