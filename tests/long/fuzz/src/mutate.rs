//! Mutations of well-formed input: of bytes by byte, word and line, and of JSON by node.

use brevet_chance::Chance;
use serde_json::{Value, json};

/// The longest mutated text, in bytes.
const LONGEST: usize = 48 * 1024;

/// Numbers at which parsers fail.
const NUMBERS: [&str; 18] = [
    "0",
    "-1",
    "1",
    "59",
    "60",
    "899",
    "900",
    "3600",
    "43200",
    "43201",
    "255",
    "256",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "0.5",
];

/// Tokens that are repeated to nest deeply.
const NESTS: [&str; 10] = ["[", "{", "(", "- ", "{\"a\":", "[[", "!", "-", "? ", "{a: "];

/// `start` with a few changes. Parts of `others` are spliced in; `words` are tokens of the language.
pub(crate) fn bytes(chance: &mut Chance, start: &[u8], others: &[&[u8]], words: &[&str]) -> Vec<u8> {
    let mut text = start.to_vec();
    let n_changes = if chance.one_in(64) { 1 + chance.below(40) } else { 1 + chance.below(4) };
    for _ in 0..n_changes {
        change(chance, &mut text, others, words);
        text.truncate(LONGEST);
    }
    text
}

/// As [`bytes`], for text. Bytes that are not UTF-8 become replacement characters.
pub(crate) fn text(chance: &mut Chance, start: &str, others: &[&[u8]], words: &[&str]) -> String {
    String::from_utf8_lossy(&bytes(chance, start.as_bytes(), others, words)).into_owned()
}

fn change(chance: &mut Chance, text: &mut Vec<u8>, others: &[&[u8]], words: &[&str]) {
    let at = chance.below(text.len() + 1);
    let until = at + chance.below(17).min(text.len() - at);
    match chance.below(16) {
        0 if at < text.len() => text[at] ^= 1 << chance.below(8),
        1 if at < text.len() => text[at] = chance.number() as u8,
        2 => drop(text.drain(at..until)),
        3 => {
            let again = text[at..until].to_vec();
            text.splice(at..at, again);
        }
        4 | 5 if !words.is_empty() => drop(text.splice(at..at, chance.pick(words).bytes())),
        6 | 7 if !words.is_empty() => {
            let (from, to) = word_at(text, at);
            text.splice(from..to, chance.pick(words).bytes());
        }
        8 if !others.is_empty() => {
            let other = *chance.pick(others);
            let from = chance.below(other.len() + 1);
            text.truncate(at);
            text.extend_from_slice(&other[from..]);
        }
        9 => {
            let many = if chance.one_in(16) { 20_000 } else { 1 + chance.below(300) };
            let nest = chance.pick(&NESTS).repeat(many);
            text.splice(at..at, nest.bytes().take(LONGEST / 2));
        }
        10 => {
            let (from, to) = number_after(text, at);
            text.splice(from..to, chance.pick(&NUMBERS).bytes());
        }
        11 | 12 => change_lines(chance, text),
        13 => text.truncate(at),
        14 => {
            drop(text.splice(
                at..at,
                chance.pick(&["é", "\u{feff}", "\u{0}", "\u{2028}", "\u{1f511}", "\r\n", "\t"]).bytes(),
            ))
        }
        _ => {
            let new: Vec<u8> = (0..chance.below(8)).map(|_| chance.number() as u8).collect();
            text.splice(at..until, new);
        }
    }
}

/// Removes a line, copies one, swaps two, or indents one.
fn change_lines(chance: &mut Chance, text: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
    match chance.below(4) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(other, lines[one].clone()),
        2 => lines.swap(one, other),
        _ => drop(lines[one].splice(0..0, *b"  ")),
    }
    *text = lines.join(&b'\n');
}

/// The range of the word at `at`; empty if there is none.
fn word_at(text: &[u8], at: usize) -> (usize, usize) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let before = text[..at].iter().rev().take_while(|byte| is_word(byte)).count();
    let after = text[at..].iter().take_while(|byte| is_word(byte)).count();
    (at - before, at + after)
}

/// The range of the first number from `at` on; empty if there is none.
fn number_after(text: &[u8], at: usize) -> (usize, usize) {
    let from = text[at..].iter().position(u8::is_ascii_digit).map_or(at, |skipped| at + skipped);
    let n = text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    (from, from + n)
}

/// Changes a few nodes of `value`. Nodes of `others` may replace them.
pub(crate) fn json(chance: &mut Chance, value: &mut Value, others: &[Value]) {
    let n_changes = if chance.one_in(2) { 1 } else { 1 + chance.below(4) };
    for _ in 0..n_changes {
        let at = chance.below(count(value));
        let lent = if others.is_empty() || chance.one_in(2) { value.clone() } else { chance.pick(others).clone() };
        let lent = nth(&lent, &mut chance.below(count(&lent))).cloned().unwrap_or(Value::Null);
        if let Some(node) = nth_mut(value, &mut at.clone()) {
            change_node(chance, node, lent);
        }
    }
}

fn change_node(chance: &mut Chance, node: &mut Value, lent: Value) {
    if chance.one_in(4) {
        *node = if chance.one_in(2) { lent } else { edge_value(chance) };
        return;
    }
    match node {
        Value::Null => *node = lent,
        Value::Bool(truth) => *truth = !*truth,
        Value::Number(number) => {
            let near = number.as_i64().and_then(|n| n.checked_add(if chance.one_in(2) { 1 } else { -1 }));
            *node = near.filter(|_| chance.one_in(2)).map_or_else(|| edge_value(chance), Value::from);
        }
        Value::String(old) if is_instant(old) && !chance.one_in(4) => *node = instant(chance),
        Value::String(old) => *old = text(chance, old, &[], &["*", "?", "${", "}", "\"", "\\", "Z", "-", "9999", " "]),
        Value::Array(items) if items.is_empty() => items.push(lent),
        Value::Array(items) => {
            let (one, other) = (chance.below(items.len()), chance.below(items.len()));
            match chance.below(4) {
                0 => drop(items.remove(one)),
                1 => items.insert(other, items[one].clone()),
                2 => items.swap(one, other),
                _ => items.push(lent),
            }
        }
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = if names.is_empty() { "a".to_owned() } else { chance.pick(&names).clone() };
            match chance.below(4) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert(text(chance, &name, &[], &[]), lent)),
                2 => {
                    let other = if names.is_empty() { name.clone() } else { chance.pick(&names).clone() };
                    let moved = members.get(&other).cloned().unwrap_or(lent);
                    members.insert(name, moved);
                }
                _ => drop(members.insert(name, lent)),
            }
        }
    }
}

fn is_instant(text: &str) -> bool {
    text.len() == 24 && text.starts_with("20") && text.ends_with('Z')
}

/// An instant near those of the corpus, so that both orders of two instants occur.
fn instant(chance: &mut Chance) -> Value {
    let (minute, second, milli) = (chance.below(12), chance.below(60), [0, 0, 1, 999][chance.below(4)]);
    json!(format!("2026-11-22T12:{minute:02}:{second:02}.{milli:03}Z"))
}

/// A value at which parsers fail.
fn edge_value(chance: &mut Chance) -> Value {
    match chance.below(12) {
        0 => Value::Null,
        1 => json!(u64::MAX),
        2 => json!(i64::MIN),
        3 => json!(u64::from(u32::MAX) + chance.number() % 2),
        4 => json!(1.5),
        5 => json!([]),
        6 => json!({}),
        7 => json!(""),
        8 => json!("9999-12-31T23:59:59.999Z"),
        9 => json!("1970-01-01T00:00:00.000Z"),
        10 => json!(chance.number() % 100_000),
        _ => json!(true),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn nth<'a>(value: &'a Value, n: &mut usize) -> Option<&'a Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter().find_map(|item| nth(item, n)),
        Value::Object(members) => members.values().find_map(|member| nth(member, n)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn nth_mut<'a>(value: &'a mut Value, n: &mut usize) -> Option<&'a mut Value> {
    if *n == 0 {
        return Some(value);
    }
    *n -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth_mut(item, n)),
        Value::Object(members) => members.values_mut().find_map(|member| nth_mut(member, n)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
