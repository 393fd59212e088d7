//! What PCRE 8 says, the library that the engine's semantics and error messages are taken from.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::ptr::{null, null_mut};

use crate::Answer;

pub const NAME: &str = "PCRE 8";

#[link(name = "pcre")]
unsafe extern "C" {
    fn pcre_compile(
        pattern: *const c_char,
        options: c_int,
        error: *mut *const c_char,
        at: *mut c_int,
        tables: *const u8,
    ) -> *mut c_void;
    fn pcre_exec(
        code: *const c_void,
        extra: *const Extra,
        subject: *const c_char,
        length: c_int,
        start: c_int,
        options: c_int,
        places: *mut c_int,
        size: c_int,
    ) -> c_int;
    static pcre_free: unsafe extern "C" fn(*mut c_void);
}

#[repr(C)]
struct Extra {
    flags: c_ulong,
    study: *mut c_void,
    match_limit: c_ulong,
    callout: *mut c_void,
    tables: *const u8,
    recursion_limit: c_ulong,
    mark: *mut *mut u8,
    jit: *mut c_void,
}

pub fn answer_without_shortcuts(_: &[u8], _: &str, _: &[u8]) -> Option<Answer> {
    None
}

pub fn answer(pattern: &[u8], options: &str, subjects: &[&[u8]]) -> Result<Vec<Answer>, (String, usize)> {
    let Ok(text) = CString::new(pattern) else { return Err(("a zero byte".to_string(), 0)) };
    let mut flags = 0;
    for letter in options.chars() {
        flags |= match letter {
            'i' => 0x1,
            'm' => 0x2,
            's' => 0x4,
            'x' => 0x8,
            'a' => 0x10,
            'u' => 0x800,
            _ => 0,
        };
    }
    // SAFETY: the pattern ends in a zero byte, lengths are those of the slices, the code lives until it is freed below.
    unsafe {
        let (mut error, mut at) = (null(), 0);
        let code = pcre_compile(text.as_ptr(), flags, &mut error, &mut at, null());
        if code.is_null() {
            let words = CStr::from_ptr(error).to_string_lossy().into_owned();
            return Err((words, usize::try_from(at).unwrap_or(0)));
        }
        let extra = Extra {
            flags: 0x2 | 0x10,
            study: null_mut(),
            match_limit: c_ulong::from(crate::LIMIT),
            callout: null_mut(),
            tables: null(),
            recursion_limit: 5000,
            mark: null_mut(),
            jit: null_mut(),
        };
        let answers = subjects.iter().map(|subject| {
            let mut places = [0 as c_int; 300];
            let (text, length) = (subject.as_ptr().cast(), subject.len() as c_int);
            match pcre_exec(code, &extra, text, length, 0, 0, places.as_mut_ptr(), 300) {
                -1 => Answer::No,
                error @ ..0 => Answer::Error(error),
                count => {
                    let spans = places.chunks(2).take(count as usize).map(|span| {
                        let (start, end) = (usize::try_from(span[0]).ok()?, usize::try_from(span[1]).ok()?);
                        Some((start, end))
                    });
                    Answer::Match(spans.collect())
                }
            }
        });
        let answers = answers.collect();
        pcre_free(code);
        Ok(answers)
    }
}
