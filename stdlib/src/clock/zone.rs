//! The local time zone: how far local time is from UTC at a given moment.
//!
//! A zone is what `TZ` says or what /etc/localtime holds: a TZif file (RFC 9636) is a list of moments at which the
//! offset changes, and behind it a POSIX rule such as `CET-1CEST,M3.5.0,M10.5.0/3` for all later times. A zone that
//! cannot be read is UTC, as it is for the C library.

use super::format::{Civil, days_from_civil};

/// Local time's offset from UTC over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// What holds before the first change.
    first: Kind,
    /// Moments in unix seconds, ascending, and what holds from then on.
    changes: Vec<(i64, Kind)>,
    /// The rule that holds after the last change.
    rule: Option<Rule>,
}

/// What local time is for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// In seconds, east positive.
    pub offset: i64,
    pub summer: bool,
    /// `CEST`.
    pub name: Box<str>,
}

impl Default for Kind {
    fn default() -> Kind {
        Kind { offset: 0, summer: false, name: "UTC".into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    standard: Kind,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    kind: Kind,
    start: Date,
    end: Date,
}

/// A day of the year and a time of day (seconds, may be negative or beyond a day).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Date {
    day: Day,
    time: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Day {
    /// `Jn`: 1 to 365, 29 February never counted.
    Julian(i64),
    /// `n`: 0 to 365.
    Ordinal(i64),
    /// `Mm.w.d`: weekday d (0 is Sunday) of week w (5 is the last) of month m.
    Weekday { month: i64, week: i64, weekday: i64 },
}

impl Zone {
    pub fn utc() -> Zone {
        Zone::default()
    }

    /// The zone of this process: `TZ` if set, else /etc/localtime, else UTC.
    pub fn local() -> Zone {
        let zone = match std::env::var("TZ") {
            Ok(name) => Zone::named(&name),
            Err(_) => std::fs::read("/etc/localtime").ok().and_then(|file| Zone::from_tzif(&file)),
        };
        zone.unwrap_or_default()
    }

    /// What a value of `TZ` means: a file of the zone database (`Europe/Prague`, `:Europe/Prague`, a full path), or a
    /// POSIX rule.
    pub fn named(name: &str) -> Option<Zone> {
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.is_empty() {
            return Some(Zone::utc());
        }
        let path = if name.starts_with('/') {
            name.to_owned()
        } else if name.split('/').any(|part| part == "..") {
            return None;
        } else {
            format!("/usr/share/zoneinfo/{name}")
        };
        let file = std::fs::read(path).ok().and_then(|file| Zone::from_tzif(&file));
        file.or_else(|| Zone::from_posix(name))
    }

    /// A POSIX rule.
    pub fn from_posix(text: &str) -> Option<Zone> {
        let rule = Rule::parse(text.as_bytes())?;
        Some(Zone { first: rule.standard.clone(), changes: Vec::new(), rule: Some(rule) })
    }

    /// The contents of a TZif file, version 1 to 4.
    pub fn from_tzif(file: &[u8]) -> Option<Zone> {
        let head = Header::read(file)?;
        if head.version < 2 {
            return head.body(&file[HEADER..], 4).map(|(zone, _)| zone);
        }
        let second = file.get(HEADER + head.body_len(4)?..)?;
        let head = Header::read(second)?;
        let (mut zone, rest) = head.body(second.get(HEADER..)?, 8)?;
        let footer = rest.strip_prefix(b"\n")?;
        let footer = &footer[..footer.iter().position(|&byte| byte == b'\n')?];
        zone.rule = Rule::parse(footer);
        Some(zone)
    }

    /// Seconds to add to UTC for local time at `unix`.
    pub fn offset(&self, unix: i64) -> i64 {
        self.kind(unix).offset
    }

    /// What local time is at `unix`.
    pub fn kind(&self, unix: i64) -> &Kind {
        let passed = self.changes.partition_point(|&(at, _)| at <= unix);
        match (&self.rule, passed.checked_sub(1)) {
            (Some(rule), last) if passed == self.changes.len() && (last.is_some() || self.changes.is_empty()) => {
                rule.kind(unix)
            }
            (_, Some(last)) => &self.changes[last].1,
            (_, None) => &self.first,
        }
    }
}

/// The counts at the head of a TZif block.
struct Header {
    version: u8,
    is_ut: usize,
    is_standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    chars: usize,
}

impl Header {
    fn read(block: &[u8]) -> Option<Header> {
        let head = block.get(..HEADER)?;
        if !head.starts_with(b"TZif") {
            return None;
        }
        let count = |at: usize| {
            let bytes = head.get(20 + 4 * at..24 + 4 * at)?;
            usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok().filter(|&count| count < 1 << 20)
        };
        Some(Header {
            version: head[4].saturating_sub(b'0'),
            is_ut: count(0)?,
            is_standard: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            chars: count(5)?,
        })
    }

    /// Length of the data behind the header when times take `width` bytes.
    fn body_len(&self, width: usize) -> Option<usize> {
        let times = self.times * (width + 1);
        Some(times + self.types * 6 + self.chars + self.leaps * (width + 4) + self.is_standard + self.is_ut)
    }

    fn body<'a>(&self, body: &'a [u8], width: usize) -> Option<(Zone, &'a [u8])> {
        let rest = body.get(self.body_len(width)?..)?;
        let (times, body) = body.split_at(self.times * width);
        let (indices, body) = body.split_at(self.times);
        let (types, body) = body.split_at(self.types * 6);
        let names = &body[..self.chars];
        let kind = |index: usize| {
            let (offset, rest) = types.get(index * 6..index * 6 + 6)?.split_at(4);
            let name = names.get(usize::from(rest[1])..)?.split(|&byte| byte == 0).next()?;
            let name = String::from_utf8_lossy(name).into();
            Some(Kind { offset: i64::from(i32::from_be_bytes(offset.try_into().ok()?)), summer: rest[0] != 0, name })
        };
        let mut changes = Vec::with_capacity(self.times);
        for (time, &index) in times.chunks(width).zip(indices) {
            let negative = time[0] & 0x80 != 0;
            let start = if negative { -1i64 } else { 0 };
            let at = time.iter().fold(start, |number, &byte| number << 8 | i64::from(byte));
            changes.push((at, kind(usize::from(index))?));
        }
        changes.is_sorted_by_key(|(at, _)| *at).then_some(())?;
        Some((Zone { first: kind(0)?, changes, rule: None }, rest))
    }
}

impl Rule {
    fn parse(text: &[u8]) -> Option<Rule> {
        let mut text = Text(text);
        let name = text.name()?;
        let standard = Kind { offset: -text.time()?, summer: false, name };
        if text.0.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        let name = text.name()?;
        let later = matches!(text.0.first(), None | Some(b','));
        let kind = Kind { offset: if later { standard.offset + 3600 } else { -text.time()? }, summer: true, name };
        // The rule of the United States is what POSIX leaves to the implementation, and glibc uses.
        let mut dates = if text.0.is_empty() { Text(b",M3.2.0,M11.1.0") } else { text };
        let summer = Summer { kind, start: dates.date()?, end: dates.date()? };
        dates.0.is_empty().then_some(Rule { standard, summer: Some(summer) })
    }

    fn kind(&self, unix: i64) -> &Kind {
        let Some(summer) = &self.summer else { return &self.standard };
        // (beyond that a year is no C int)
        let farthest = i64::from(i32::MAX) * 365 * 86_400;
        let year = Civil::at(unix.saturating_add(self.standard.offset).clamp(-farthest, farthest)).year;
        let start = summer.start.moment(year) - self.standard.offset;
        let end = summer.end.moment(year) - summer.kind.offset;
        // In the south summer contains the turn of the year.
        let in_summer = if start < end { start <= unix && unix < end } else { !(end <= unix && unix < start) };
        if in_summer { &summer.kind } else { &self.standard }
    }
}

impl Date {
    /// Seconds since 1970, in the local time in force before it.
    fn moment(&self, year: i64) -> i64 {
        let new_year = days_from_civil(year, 1, 1);
        let leap = days_from_civil(year + 1, 1, 1) - new_year == 366;
        let day = match self.day {
            Day::Julian(day) => new_year + day - 1 + i64::from(leap && day >= 60),
            Day::Ordinal(day) => new_year + day,
            Day::Weekday { month, week, weekday } => {
                let first = days_from_civil(year, month, 1);
                let next =
                    if month == 12 { days_from_civil(year + 1, 1, 1) } else { days_from_civil(year, month + 1, 1) };
                let mut day = first + (weekday - (first + 4)).rem_euclid(7) + (week - 1) * 7;
                while day >= next {
                    day -= 7;
                }
                day
            }
        };
        day * 86400 + self.time
    }
}

/// A POSIX rule being read.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// A zone's name: letters, or anything between `<` and `>`.
    fn name(&mut self) -> Option<Box<str>> {
        let len = if self.0.first() == Some(&b'<') {
            self.0.iter().position(|&byte| byte == b'>')? + 1
        } else {
            self.0.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(self.0.len())
        };
        let (name, rest) = self.0.split_at(len);
        self.0 = rest;
        (len > 0).then(|| String::from_utf8_lossy(name).trim_matches(['<', '>']).into())
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn number(&mut self) -> Option<i64> {
        let len = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(len);
        self.0 = rest;
        if !(1..=4).contains(&len) {
            return None;
        }
        Some(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    /// `[+-]hh[:mm[:ss]]` in seconds.
    fn time(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        let mut seconds = self.number()?.min(167) * 3600;
        if self.eat(b':') {
            seconds += self.number()?.min(59) * 60;
            if self.eat(b':') {
                seconds += self.number()?.min(59);
            }
        }
        Some(if negative { -seconds } else { seconds })
    }

    /// `,DAY[/TIME]`.
    fn date(&mut self) -> Option<Date> {
        if !self.eat(b',') {
            return None;
        }
        let day = if self.eat(b'M') {
            let month = self.number()?;
            let week = self.eat(b'.').then(|| self.number())??;
            let weekday = self.eat(b'.').then(|| self.number())??;
            if !(1..=12).contains(&month) || !(1..=5).contains(&week) || weekday > 6 {
                return None;
            }
            Day::Weekday { month, week, weekday }
        } else if self.eat(b'J') {
            Day::Julian(self.number()?.clamp(1, 365))
        } else {
            Day::Ordinal(self.number()?.min(365))
        };
        let time = if self.eat(b'/') { self.time()? } else { 7200 };
        Some(Date { day, time })
    }
}

const HEADER: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, unix: i64, offset: i64) {
        assert_eq!(Zone::from_posix(rule).unwrap().offset(unix), offset, "{rule} at {unix}");
    }

    #[test]
    fn posix_rules() {
        let prague = "CET-1CEST,M3.5.0,M10.5.0/3";
        // The turns of 2026: 29 March and 25 October, 01:00 UTC.
        for (unix, offset) in
            [(1_774_745_999, 3600), (1_774_746_000, 7200), (1_792_889_999, 7200), (1_792_890_000, 3600)]
        {
            check(prague, unix, offset);
        }
        let sydney = "AEST-10AEDT,M10.1.0,M4.1.0/3";
        check(sydney, 1_767_225_600, 39600);
        check(sydney, 1_782_864_000, 36000);
        check("EST5EDT", 1_782_864_000, -14400);
        check("<+0545>-5:45", 0, 20700);
        check("UTC0", 0, 0);
        let summer = Zone::from_posix(prague).unwrap().kind(1_782_864_000).clone();
        assert_eq!(summer, Kind { offset: 7200, summer: true, name: "CEST".into() });
        for bad in ["", "CET", "5", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.5.0"] {
            assert_eq!(Zone::from_posix(bad), None, "{bad}");
        }
    }

    #[test]
    fn tzif_files() {
        // Version 2 with an empty first block, two changes, and a rule behind them.
        let block = |version: u8, times: &[(i64, u8)], types: &[i32]| {
            let mut out = b"TZif".to_vec();
            out.push(version);
            out.extend([0; 15]);
            for count in [0, 0, 0, times.len(), types.len(), 4] {
                out.extend((count as u32).to_be_bytes());
            }
            times.iter().for_each(|(at, _)| out.extend(at.to_be_bytes()));
            times.iter().for_each(|(_, index)| out.push(*index));
            types.iter().for_each(|offset| {
                out.extend(offset.to_be_bytes());
                out.extend([0, 0]);
            });
            out.extend(b"XXX\0");
            out
        };
        let mut file = block(b'2', &[], &[0]);
        file.extend(block(b'2', &[(-100, 1), (500, 2)], &[60, 3600, 7200]));
        file.extend(b"\nCET-1\n");
        let zone = Zone::from_tzif(&file).unwrap();
        let offsets: Vec<i64> = [-101, -100, 499, 500, 1 << 40].map(|unix| zone.offset(unix)).into();
        assert_eq!(offsets, [60, 3600, 3600, 3600, 3600]);
        assert_eq!((&*zone.kind(-100).name, &*zone.kind(500).name), ("XXX", "CET"));
        for len in 0..file.len() {
            assert_eq!(Zone::from_tzif(&file[..len]), None);
        }
        assert_eq!(Zone::named("../../etc/passwd"), None);
    }
}
