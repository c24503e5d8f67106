//! Independent implementations that share no code with the tested one: dates, wildcards, filled-in templates.

use std::collections::BTreeMap;

/// Seconds since 1970 of `YYYY-MM-DDThh:mm:ssZ`, computed by the calendar.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let digits = |from: usize, n: usize| text.get(from..from + n)?.parse::<i64>().ok();
    let marks = [(4, '-'), (7, '-'), (10, 'T'), (13, ':'), (16, ':'), (19, 'Z')];
    if text.len() != 20 || marks.iter().any(|(at, mark)| text.chars().nth(*at) != Some(*mark)) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let of_month = months(year);
    let leaps = |until: i64| until / 4 - until / 100 + until / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    let days = years + of_month.iter().take(month as usize - 1).sum::<i64>() + day - 1;
    Some(days * 86_400 + digits(11, 2)? * 3600 + digits(14, 2)? * 60 + digits(17, 2)?)
}

/// The number of days of each month of `year`.
fn months(year: i64) -> [i64; 12] {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
}

/// Whether `text` is a calendar day in the form `YYYY-MM-DD`.
pub(super) fn is_day(text: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| if [4, 7].contains(&at) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() != 10 || !text.bytes().enumerate().all(shape) {
        return false;
    }
    let digits =
        |from: usize, n: usize| text.get(from..from + n).and_then(|part| part.parse::<i64>().ok()).unwrap_or(0);
    let (year, month, day) = (digits(0, 4), digits(5, 2), digits(8, 2));
    year > 0 && (1..=12).contains(&month) && (1..=months(year)[month as usize - 1]).contains(&day)
}

/// The whole number in `text`, computed digit by digit; `None` unless it has the canonical form.
pub(super) fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) || text == "-0" {
        return None;
    }
    let size = digits.bytes().fold(0_i64, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some(if text.starts_with('-') { -size } else { size })
}

/// Whether `text` is `pattern` with each `${name}` replaced by its value, and each value is plain: without a wildcard,
/// a variable, or a character that ends a JSON string.
pub(super) fn fills(pattern: &str, text: &str, values: &BTreeMap<String, String>) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    loop {
        let Some(at) = pattern.find("${") else {
            return pattern == text;
        };
        let (literal, rest) = pattern.split_at(at);
        let Some((name, after)) = rest.strip_prefix("${").and_then(|rest| rest.split_once('}')) else {
            return false;
        };
        let Some(value) = values.get(name).filter(|value| plain(value)) else {
            return false;
        };
        let Some(left) = text.strip_prefix(literal).and_then(|text| text.strip_prefix(value.as_str())) else {
            return false;
        };
        (pattern, text) = (after, left);
    }
}

fn plain(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| (0x21..0x7f).contains(&byte) && !b"*?$\\\"{}[]<>%&'()|;`!#^~".contains(&byte))
}

/// Whether IAM's `pattern` covers `text`, ignoring case: `*` matches any text, `?` any one character.
pub(super) fn covers(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for c in pattern {
        if c == '*' {
            for at in 1..reached.len() {
                reached[at] |= reached[at - 1];
            }
        } else {
            for at in (1..reached.len()).rev() {
                reached[at] = reached[at - 1] && (c == '?' || c == text[at - 1]);
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_numbers_have_one_form() {
        for day in ["2026-01-31", "2024-02-29", "2000-02-29", "0001-01-01"] {
            assert!(is_day(day), "{day}");
        }
        for other in ["2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-1-31", "0000-01-01", "2026-01-3x"] {
            assert!(!is_day(other), "{other}");
        }
        assert_eq!([number("0"), number("-7"), number("120")], [Some(0), Some(-7), Some(120)]);
        assert_eq!(["", "-", "-0", "07", "+7", "7.0"].map(number), [None; 6]);
    }

    #[test]
    fn seconds_are_computed_by_the_calendar() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2026-11-22T12:00:00Z"), Some(1_795_348_800));
        assert_eq!(seconds("2000-03-01T00:00:01Z"), Some(951_868_801));
        assert_eq!(seconds("9999-12-31T23:59:59Z"), Some(253_402_300_799));
        assert_eq!(seconds("2026-11-22 12:00:00Z"), None);
    }

    #[test]
    fn text_that_exceeds_its_pattern_is_rejected() {
        let values = |value: &str| BTreeMap::from([("a".to_owned(), value.to_owned())]);
        assert!(fills("x/${a}/*", "x/b:c/*", &values("b:c")));
        assert!(!fills("x/${a}/*", "x/*/*", &values("*")));
        assert!(!fills("x/${a}/*", "x/b/c", &values("b")));
        assert!(!fills("x/${a}", "x/c", &values("b")));
        assert!(!fills("x/${c}", "x/b", &values("b")));
        assert!(!fills("x/${a", "x/b", &values("b")));
    }

    #[test]
    fn wildcards_cover_as_in_iam() {
        assert!(
            covers("IAM:*", "iam:CreateUser") && covers("*", "iam:CreateUser") && covers("i?m:C*r", "iam:CreateUser")
        );
        assert!(!covers("iam:Create", "iam:CreateUser") && !covers("s3:*", "iam:CreateUser"));
    }
}
