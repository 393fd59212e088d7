//! A chunk's name as messages show it.

/// The longest shown, counting a terminating zero that C has and we do not.
const ID_SIZE: usize = 60;

/// `=name` is shown as is, `@file` from its end if it is long, source text as `[string "first line..."]`.
pub fn chunk_id(source: &[u8]) -> Vec<u8> {
    match source {
        [b'=', name @ ..] => c_text(name)[..c_text(name).len().min(ID_SIZE - 1)].to_vec(),
        [b'@', file @ ..] => {
            if file.len() >= ID_SIZE {
                [b"...", c_text(&file[file.len() - (ID_SIZE - 4)..])].concat()
            } else {
                c_text(file).to_vec()
            }
        }
        _ => {
            let line = source.iter().take(ID_SIZE - 12).take_while(|&&c| c >= b' ').count();
            // A zero ends the text as the end of the source does.
            let cut = source.get(line).is_some_and(|&c| c != 0);
            let shown = if cut { line.min(ID_SIZE - 15) } else { line };
            let dots: &[u8] = if cut { b"..." } else { b"" };
            [b"[string \"", &source[..shown], dots, b"\"]"].concat()
        }
    }
}

/// Up to the first zero.
fn c_text(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|&c| c == 0).unwrap_or(bytes.len())]
}
