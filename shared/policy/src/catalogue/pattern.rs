//! Patterns of parameters and tickets: a subset of regular expressions in which no value can contain a wildcard.

use std::iter::Peekable;
use std::str::Chars;

/// The characters of a text besides letters and digits.
#[derive(Debug)]
pub(super) struct Alphabet {
    marks: &'static str,
    /// The same characters as a pattern writes them, for messages.
    written: &'static str,
}

/// The alphabet of `ParameterValue`.
pub(super) const VALUES: Alphabet = Alphabet { marks: "_.:/=+-@,", written: r"`_:/=-@,`, `\.`, `\+`" };

/// The alphabet of `Ticket`.
pub(super) const TICKETS: Alphabet = Alphabet { marks: "-_#/.", written: r"`-_#/`, `\.`" };

/// The problem with `pattern`, if any.
///
/// Refuses every construct that could match `*`, `?` or `$` (a bare `.`, negated classes, `\S` and the like), and those
/// that would undo the anchoring of the whole value.
pub(super) fn problem(pattern: &str, alphabet: &Alphabet) -> Option<String> {
    if let Some(odd) = alphabet.odd_part(pattern) {
        let written = alphabet.written;
        return Some(format!(
            "pattern `{pattern}` contains `{odd}`, which could admit a wildcard or is not supported; a pattern may contain letters, digits, {written}, `\\d`, classes such as `[a-z0-9-]`, groups, `|`, `?`, `*`, `+` and `{{m,n}}`, and always matches the whole value"
        ));
    }
    // The pattern is compiled without a group: `a)|(b` would compile inside one and lose its anchors.
    match regex_lite::Regex::new(pattern) {
        Err(error) => Some(format!("pattern `{pattern}` does not compile: {error}")),
        Ok(_) if pattern.is_empty() => {
            Some("the pattern is empty; write a pattern that the whole value must match".to_owned())
        }
        Ok(_) => None,
    }
}

impl Alphabet {
    fn odd_part(&self, pattern: &str) -> Option<String> {
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let odd = match c {
                '\\' => self.odd_escape(&mut chars),
                '[' => self.odd_class(&mut chars),
                '(' => odd_group(&mut chars),
                '{' => odd_repeat(&mut chars),
                '|' | ')' | '*' | '+' | '?' => None,
                '.' => Some(".".to_owned()),
                c if self.has(c) => None,
                c => Some(c.to_string()),
            };
            if odd.is_some() {
                return odd;
            }
        }
        None
    }

    fn has(&self, c: char) -> bool {
        c.is_ascii_alphanumeric() || self.marks.contains(c)
    }

    fn odd_escape(&self, chars: &mut Peekable<Chars<'_>>) -> Option<String> {
        match chars.next() {
            Some(c) if c == 'd' || self.marks.contains(c) => None,
            Some(c) => Some(format!("\\{c}")),
            None => Some("\\".to_owned()),
        }
    }

    fn odd_class(&self, chars: &mut Peekable<Chars<'_>>) -> Option<String> {
        let mut before: Option<char> = None;
        while let Some(c) = chars.next() {
            match c {
                ']' => return None,
                '\\' => {
                    if let Some(odd) = self.odd_escape(chars) {
                        return Some(odd);
                    }
                    before = None;
                }
                '-' if before.is_some() && chars.peek().is_some_and(|next| *next != ']') => {
                    let (from, to) = (before.take().unwrap_or(c), chars.next().unwrap_or(c));
                    let same = |is: fn(&char) -> bool| is(&from) && is(&to);
                    let kinds = [char::is_ascii_lowercase, char::is_ascii_uppercase, char::is_ascii_digit];
                    if !kinds.into_iter().any(same) {
                        return Some(format!("[{from}-{to}]"));
                    }
                }
                c if self.has(c) => before = Some(c),
                c => return Some(format!("[{c}")),
            }
        }
        None
    }
}

fn odd_group(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    if chars.next_if_eq(&'?').is_none() || chars.next_if_eq(&':').is_some() {
        return None;
    }
    let next = chars.next().map(String::from).unwrap_or_default();
    Some(format!("(?{next}"))
}

fn odd_repeat(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    for c in chars.by_ref() {
        match c {
            '}' => return None,
            ',' => {}
            c if c.is_ascii_digit() => {}
            c => return Some(format!("{{{c}")),
        }
    }
    Some("{".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_only_match_plain_characters_pass() {
        for pattern in [
            r"v[0-9]+\.[0-9]+\.[0-9]+",
            "[a-z0-9-]{1,40}(/[a-z0-9-]{1,40})?",
            r"(?:eu|us)-\d{1,2}",
            "[A-Za-z_.:/=+@,-]*",
        ] {
            assert_eq!(problem(pattern, &VALUES), None, "{pattern}");
        }
    }

    #[test]
    fn patterns_that_could_match_more_are_refused() {
        for pattern in [
            "",
            ".*",
            "[^a]",
            r"\S+",
            r"\w\W",
            r"\*",
            r"\$",
            "[*]",
            "[?]",
            "[ -~]",
            "[+-z]",
            "[&&a]",
            "a)|(b",
            "(?s)a",
            "(?x)a #",
            "^a$",
            "(",
            "[a",
            "a{2",
            "é",
            "[[:punct:]]",
            r"\x2a",
            r"\u{2a}",
        ] {
            assert!(problem(pattern, &VALUES).is_some(), "{pattern}");
        }
    }

    #[test]
    fn ticket_pattern_accepts_only_ticket_characters() {
        for pattern in ["INC-[0-9]{1,8}", "[a-z]+/[a-z]+#\\d+", r"[A-Z#/_.-]+\.\d"] {
            assert_eq!(problem(pattern, &TICKETS), None, "{pattern}");
        }
        for pattern in ["INC:1", "a=b", "a@b", ".*", "[^#]", "a,b"] {
            assert!(problem(pattern, &TICKETS).is_some(), "{pattern}");
        }
        assert!(problem("a#1", &VALUES).is_some());
    }
}
