//! Patterns of parameters: a part of the regular expressions in which it is plain that no value can be a wildcard.

use std::iter::Peekable;
use std::str::Chars;

/// What may stand in a value beside letters and digits; the alphabet of `ParameterValue`.
const MARKS: &str = "_.:/=+-@,";

/// What a pattern may hold, for messages.
const ALLOWED: &str = "letters, digits, `_:/=-@,`, `\\.`, `\\+`, `\\d`, classes such as `[a-z0-9-]`, groups, `|`, `?`, `*`, `+` and `{m,n}`";

/// What is wrong with `pattern`, if anything.
///
/// Refuses everything that could match `*`, `?` or `$` (a bare `.`, negated classes, `\S` and the like), and
/// what would undo the anchoring of the whole value.
pub(super) fn problem(pattern: &str) -> Option<String> {
    if let Some(odd) = odd_part(pattern) {
        return Some(format!(
            "pattern `{pattern}` holds `{odd}`, which could admit a wildcard or is not needed; a pattern may hold {ALLOWED}, and always matches the whole value"
        ));
    }
    // By itself: `a)|(b` compiles once it is wrapped, and is then no longer anchored.
    match regex_lite::Regex::new(pattern) {
        Err(error) => Some(format!("pattern `{pattern}` does not compile: {error}")),
        Ok(_) if pattern.is_empty() => Some("the pattern is empty; it must say what a value looks like".to_owned()),
        Ok(_) => None,
    }
}

fn odd_part(pattern: &str) -> Option<String> {
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let odd = match c {
            '\\' => odd_escape(&mut chars),
            '[' => odd_class(&mut chars),
            '(' => odd_group(&mut chars),
            '{' => odd_repeat(&mut chars),
            '|' | ')' | '*' | '+' | '?' => None,
            '.' => Some(".".to_owned()),
            c if is_value_char(c) => None,
            c => Some(c.to_string()),
        };
        if odd.is_some() {
            return odd;
        }
    }
    None
}

fn is_value_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || MARKS.contains(c)
}

fn odd_escape(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    match chars.next() {
        Some(c) if c == 'd' || MARKS.contains(c) => None,
        Some(c) => Some(format!("\\{c}")),
        None => Some("\\".to_owned()),
    }
}

fn odd_class(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut before: Option<char> = None;
    while let Some(c) = chars.next() {
        match c {
            ']' => return None,
            '\\' => {
                if let Some(odd) = odd_escape(chars) {
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
            c if is_value_char(c) => before = Some(c),
            c => return Some(format!("[{c}")),
        }
    }
    None
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
            assert_eq!(problem(pattern), None, "{pattern}");
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
            assert!(problem(pattern).is_some(), "{pattern}");
        }
    }
}
