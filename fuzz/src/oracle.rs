//! What PCRE2 says.

use std::ptr::null_mut;

use pcre2_sys::*;

use crate::Answer;

pub const NAME: &str = "PCRE2";

pub fn answer(pattern: &[u8], options: &str, subjects: &[&[u8]]) -> Result<Vec<Answer>, (String, usize)> {
    ask(pattern, options, subjects, 0)
}

/// Without what PCRE2 finds out about a pattern to be faster: where a match can begin, which characters it has to have, which repetitions
/// need not give anything back.
pub fn answer_without_shortcuts(pattern: &[u8], options: &str, subject: &[u8]) -> Option<Answer> {
    ask(pattern, options, &[subject], PCRE2_NO_START_OPTIMIZE | PCRE2_NO_AUTO_POSSESS).ok()?.pop()
}

fn ask(pattern: &[u8], options: &str, subjects: &[&[u8]], more: u32) -> Result<Vec<Answer>, (String, usize)> {
    let mut flags = more;
    for letter in options.chars() {
        flags |= match letter {
            'i' => PCRE2_CASELESS,
            'm' => PCRE2_MULTILINE,
            's' => PCRE2_DOTALL,
            'x' => PCRE2_EXTENDED,
            'u' => PCRE2_UTF,
            'a' => PCRE2_ANCHORED,
            _ => 0,
        };
    }
    // SAFETY: lengths are those of the slices, and every object lives until it is freed below.
    unsafe {
        let (mut error, mut at) = (0, 0);
        let code = pcre2_compile_8(pattern.as_ptr(), pattern.len(), flags, &mut error, &mut at, null_mut());
        if code.is_null() {
            let mut words = [0u8; 256];
            let length = pcre2_get_error_message_8(error, words.as_mut_ptr(), words.len());
            let words = words.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
            return Err((String::from_utf8_lossy(words).into_owned(), at));
        }
        let context = pcre2_match_context_create_8(null_mut());
        pcre2_set_match_limit_8(context, crate::LIMIT);
        let data = pcre2_match_data_create_from_pattern_8(code, null_mut());
        let mut groups = 0u32;
        pcre2_pattern_info_8(code, PCRE2_INFO_CAPTURECOUNT, (&raw mut groups).cast());
        let answers = subjects.iter().map(|subject| {
            let count = pcre2_match_8(code, subject.as_ptr(), subject.len(), 0, 0, data, context);
            match count {
                PCRE2_ERROR_NOMATCH => Answer::No,
                ..0 => Answer::Error(count),
                _ => {
                    let places =
                        std::slice::from_raw_parts(pcre2_get_ovector_pointer_8(data), 2 * (groups as usize + 1));
                    let spans = places.chunks(2).enumerate().map(|(group, span)| {
                        let (start, end) = (span[0], span[1]);
                        (group < count as usize && start != usize::MAX).then_some((start, end))
                    });
                    Answer::Match(spans.collect())
                }
            }
        });
        let answers = answers.collect();
        pcre2_match_data_free_8(data);
        pcre2_match_context_free_8(context);
        pcre2_code_free_8(code);
        Ok(answers)
    }
}
