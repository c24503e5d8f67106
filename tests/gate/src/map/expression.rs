//! The part of DynamoDB's expression language that IAM's condition keys depend on.
//!
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html>

use std::collections::BTreeSet;

use serde_json::Value;

/// A token, just enough to tell attribute names from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A bare word: a name, a keyword or a function.
    Word(String),
    /// `#name`, resolved: always an attribute.
    Alias(String),
    /// `:value`.
    Value(String),
    /// Any other character that is not white space.
    Sign(char),
}

const KEYWORDS: &[&str] = &["and", "or", "not", "between", "in", "set", "remove", "add", "delete"];

fn tokens(text: &str, names: &Value) -> Vec<Token> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        if first.is_whitespace() {
            continue;
        }
        if !(first == '#' || first == ':' || word(first)) {
            out.push(Token::Sign(first));
            continue;
        }
        let mut text = String::from(first);
        while let Some(next) = rest.next_if(|c| word(*c)) {
            text.push(next);
        }
        out.push(match first {
            ':' => Token::Value(text),
            '#' => {
                let resolved = names.get(&text).and_then(Value::as_str);
                Token::Alias(resolved.map_or(text, str::to_owned))
            }
            _ => Token::Word(text),
        });
    }
    out
}

/// The top-level attributes in `expression`, with placeholders resolved through `names`.
pub(super) fn attributes(expression: &str, names: &Value) -> BTreeSet<String> {
    let tokens = tokens(expression, names);
    let mut out = BTreeSet::new();
    let mut before: Option<&Token> = None;
    let mut after = tokens.iter().skip(1);
    for token in &tokens {
        let next = after.next();
        let below = matches!(before, Some(&Token::Sign('.' | '[')));
        match token {
            Token::Alias(name) if !below => {
                out.insert(name.clone());
            }
            Token::Word(name) if !below => {
                let keyword = KEYWORDS.contains(&name.to_ascii_lowercase().as_str());
                if !keyword && next != Some(&Token::Sign('(')) {
                    out.insert(name.clone());
                }
            }
            Token::Alias(_) | Token::Word(_) | Token::Value(_) | Token::Sign(_) => {}
        }
        before = Some(token);
    }
    out
}

/// The placeholder that `expression` compares with `attribute` by `=`, e.g. `:pk`.
pub(super) fn equals(expression: &str, names: &Value, attribute: &str) -> Option<String> {
    let tokens = tokens(expression, names);
    tokens.windows(3).find_map(|window| match window {
        [Token::Word(name) | Token::Alias(name), Token::Sign('='), Token::Value(value)] if name == attribute => {
            Some(value.clone())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(expression: &str) -> Vec<String> {
        let names = json!({ "#s": "state", "#v": "version" });
        attributes(expression, &names).into_iter().collect()
    }

    #[test]
    fn attributes_are_top_level_names_only() {
        assert_eq!(
            of("SET #s = :s, body.inner.deep = :b, list[0] = :x REMOVE ttl ADD #v :one"),
            ["body", "list", "state", "ttl", "version"]
        );
        assert_eq!(
            of("attribute_not_exists(pk) AND (NOT begins_with(sk, :p) OR #s IN (:a, :b))"),
            ["pk", "sk", "state"]
        );
        assert_eq!(of("pk, #s"), ["pk", "state"]);
        assert_eq!(of("size (body) > :n"), ["body"]);
    }

    #[test]
    fn key_condition_is_found_at_any_position() {
        let names = json!({ "#pk": "pk" });
        let found = |text| equals(text, &names, "pk");
        assert_eq!(found("#pk = :k AND begins_with(sk, :p)"), Some(":k".to_owned()));
        assert_eq!(found("sk=:s and pk=:k"), Some(":k".to_owned()));
        assert_eq!(found("(pk = :k)"), Some(":k".to_owned()));
        assert_eq!(found("begins_with(pk, :k)"), None);
    }
}
