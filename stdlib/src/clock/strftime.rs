//! C's strftime in the C locale, with most of glibc's flags, widths and modifiers: what os.date and `set_formatted_local_time` use.
//! (Not as there: a width for what pads with spaces or is not known, `%E` and `%O` before conversions that ignore them.)
use super::format::{Civil, days_from_civil};

/// A moment, as strftime shows it.
pub(crate) struct Moment<'a> {
    pub civil: Civil,
    pub unix: i64,
    /// Local time's distance from UTC in seconds, and its name.
    pub offset: i64,
    pub zone: &'a str,
}

/// Appends what `format` makes of a moment. `%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %n %p %P %r %R %s %S %t %T %u
/// %U %V %w %W %x %X %y %Y %z %Z %%`, each with flags (`_`, `-`, `0`, `^`, `#`), a width, and a modifier (`E`, `O`); anything else stays as it is.
pub(crate) fn strftime(format: &[u8], at: &Moment<'_>, out: &mut Vec<u8>) {
    let mut rest = format;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let mut options = Options::default();
        let used = options.read(rest);
        match rest.get(used).and_then(|c| field(*c, at, &options)) {
            Some(made) => {
                made.write(&options, out);
                rest = &rest[used + 1..];
            }
            // What is not known stays, from its per cent sign on; it may begin anew in the middle.
            None => {
                out.push(b'%');
                let end = rest.len().min(used + usize::from(rest.get(used) != Some(&b'%')));
                out.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
    }
}

#[derive(Default)]
struct Options {
    /// `_`, `-` or `0`.
    pad: Option<u8>,
    upper: bool,
    /// `#`: the other case.
    swap: bool,
    width: usize,
    modifier: Option<u8>,
}

impl Options {
    /// Reads what stands before a conversion; how many bytes that is.
    fn read(&mut self, text: &[u8]) -> usize {
        let mut used = 0;
        for c in text {
            match c {
                b'_' | b'-' | b'0' => self.pad = Some(*c),
                b'^' => self.upper = true,
                b'#' => self.swap = true,
                _ => break,
            }
            used += 1;
        }
        for c in text[used..].iter().take_while(|c| c.is_ascii_digit()) {
            // (a name of any length in one conversion would be no format any more)
            self.width = (self.width * 10 + usize::from(c - b'0')).min(WIDEST);
            used += 1;
        }
        if let Some(c @ (b'E' | b'O')) = text.get(used) {
            self.modifier = Some(*c);
            used += 1;
        }
        used
    }
}

enum Field {
    /// A number, its usual number of digits, and what fills them.
    Number(i64, usize, u8),
    /// A text, and what `#` makes of it: lower case instead of upper case.
    Text(Vec<u8>, bool),
    /// `+0100`.
    Zone(i64),
}

impl Field {
    fn write(self, options: &Options, out: &mut Vec<u8>) {
        let (sign, digits, usual, fill) = match self {
            Field::Text(mut text, lowers) => {
                match (options.swap, options.upper) {
                    (true, _) if lowers => text.make_ascii_lowercase(),
                    (false, false) => {}
                    _ => text.make_ascii_uppercase(),
                }
                let fill = if options.pad == Some(b'0') { b'0' } else { b' ' };
                let missing = if options.pad == Some(b'-') { 0 } else { options.width.saturating_sub(text.len()) };
                out.extend(std::iter::repeat_n(fill, missing));
                out.extend_from_slice(&text);
                return;
            }
            Field::Number(n, usual, fill) => (if n < 0 { "-" } else { "" }, n.unsigned_abs().to_string(), usual, fill),
            Field::Zone(offset) => {
                let minutes = offset.abs() / 60;
                let sign = if offset < 0 { "-" } else { "+" };
                (sign, (minutes / 60 * 100 + minutes % 60).to_string(), 5, b'0')
            }
        };
        let fill = match options.pad {
            Some(b'_') => b' ',
            Some(b'0') => b'0',
            _ => fill,
        };
        let width = if options.pad == Some(b'-') { 0 } else { usual.max(options.width) };
        let missing = width.saturating_sub(sign.len() + digits.len());
        if fill == b' ' {
            out.extend(std::iter::repeat_n(b' ', missing));
            out.extend_from_slice(sign.as_bytes());
        } else {
            out.extend_from_slice(sign.as_bytes());
            out.extend(std::iter::repeat_n(b'0', missing));
        }
        out.extend_from_slice(digits.as_bytes());
    }
}

fn field(conversion: u8, at: &Moment<'_>, options: &Options) -> Option<Field> {
    let allowed: &[u8] = match options.modifier {
        None => &[conversion],
        Some(b'E') => b"cCxXyY",
        _ => b"deHIkmlMSuUVwWyb",
    };
    if !allowed.contains(&conversion) {
        return None;
    }
    let c = &at.civil;
    let day = DAYS[c.weekday as usize % 7];
    let month = MONTHS[(c.month as usize).wrapping_sub(1) % 12];
    let number = |n: u32, digits| Some(Field::Number(i64::from(n), digits, b'0'));
    let text = |text: &str| Some(Field::Text(text.as_bytes().to_vec(), false));
    let several = |format: &str| {
        let mut out = Vec::new();
        strftime(format.as_bytes(), at, &mut out);
        Some(Field::Text(out, false))
    };
    let hour = match c.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match conversion {
        b'a' => text(&day[..3]),
        b'A' => text(day),
        b'b' | b'h' => text(&month[..3]),
        b'B' => text(month),
        b'c' => several("%a %b %e %H:%M:%S %Y"),
        b'C' => Some(Field::Number(c.year.div_euclid(100), 2, b'0')),
        b'd' => number(c.day, 2),
        b'D' | b'x' => several("%m/%d/%y"),
        b'e' => Some(Field::Number(i64::from(c.day), 2, b' ')),
        b'F' => several("%Y-%m-%d"),
        b'g' => Some(Field::Number(week(c).0.rem_euclid(100), 2, b'0')),
        b'G' => Some(Field::Number(week(c).0, 1, b'0')),
        b'H' => number(c.hour, 2),
        b'I' => number(hour, 2),
        b'j' => number(yearday(c) + 1, 3),
        b'k' => Some(Field::Number(i64::from(c.hour), 2, b' ')),
        b'l' => Some(Field::Number(i64::from(hour), 2, b' ')),
        b'm' => number(c.month, 2),
        b'M' => number(c.minute, 2),
        b'n' => text("\n"),
        b'p' => Some(Field::Text(if c.hour < 12 { "AM" } else { "PM" }.into(), true)),
        b'P' => text(if c.hour < 12 { "am" } else { "pm" }),
        b'r' => several("%I:%M:%S %p"),
        b'R' => several("%H:%M"),
        b's' => Some(Field::Number(at.unix, 1, b'0')),
        b'S' => number(c.second, 2),
        b't' => text("\t"),
        b'T' | b'X' => several("%H:%M:%S"),
        b'u' => number(if c.weekday == 0 { 7 } else { c.weekday }, 1),
        b'U' => number((yearday(c) + 7 - c.weekday) / 7, 2),
        b'V' => Some(Field::Number(week(c).1, 2, b'0')),
        b'w' => number(c.weekday, 1),
        b'W' => number((yearday(c) + 7 - (c.weekday + 6) % 7) / 7, 2),
        b'y' => Some(Field::Number(c.year.rem_euclid(100), 2, b'0')),
        b'Y' => Some(Field::Number(c.year, 1, b'0')),
        b'z' => Some(Field::Zone(at.offset)),
        b'Z' => Some(Field::Text(at.zone.as_bytes().to_vec(), true)),
        b'%' => text("%"),
        _ => None,
    }
}

/// Days since the year's first.
pub(crate) fn yearday(c: &Civil) -> u32 {
    (days_from_civil(c.year, i64::from(c.month), i64::from(c.day)) - days_from_civil(c.year, 1, 1)) as u32
}

/// Year and number of an ISO 8601 week: it is the year's that has its Thursday.
fn week(c: &Civil) -> (i64, i64) {
    let today = days_from_civil(c.year, i64::from(c.month), i64::from(c.day));
    let thursday = today + 3 - i64::from((c.weekday + 6) % 7);
    let year = Civil::at(thursday * 86_400).year;
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// Fields are not filled further than this.
const WIDEST: usize = 1000;
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
