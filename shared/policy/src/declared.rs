//! What policies declare: the limits and facts by which they tell one request from another.

use std::collections::BTreeSet;

use brevet_domain::time::Timestamp;
use cedar_policy::Policy;
use serde_json::Value;

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// Limits that policies name, wherever they stand in them, and the attributes that they look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Whole numbers.
    pub(crate) numbers: BTreeSet<u32>,
    /// Instants, as `datetime("…")` has them.
    instants: BTreeSet<Timestamp>,
    /// Lengths of time below a day, as `duration("…")` has them, in milliseconds: times of day, by their use.
    times_of_day: BTreeSet<i64>,
    attributes: BTreeSet<String>,
}

impl Declared {
    /// What `policies` declare. One that has no JSON form declares nothing.
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut declared = Self::default();
        for json in policies.filter_map(|policy| policy.to_json().ok()) {
            declared.read(json.get("conditions").unwrap_or(&Value::Null));
        }
        declared
    }

    /// Whether some policy looks at an attribute of this name.
    pub(crate) fn names(&self, attribute: &str) -> bool {
        self.attributes.contains(attribute)
    }

    /// Up to `limit` instants after `now`, the first ones first, at which a policy may come to say something else: each
    /// declared instant and time of day (UTC), and a second later.
    pub(crate) fn instants_after(&self, now: Timestamp, limit: usize) -> Vec<Timestamp> {
        let midnight = now.as_millis().saturating_sub(now.as_millis().rem_euclid(DAY_MS));
        let daily = self.times_of_day.iter().flat_map(|at| {
            [0, DAY_MS].map(|day| Timestamp::from_millis(midnight.saturating_add(day).saturating_add(*at)))
        });
        let all = self.instants.iter().copied().chain(daily).flat_map(|at| [at, at.plus(1)]);
        let later: BTreeSet<Timestamp> = all.filter(|at| *at > now).collect();
        later.into_iter().take(limit).collect()
    }

    /// Reads an expression in Cedar's JSON form.
    ///
    /// Source: <https://docs.cedarpolicy.com/policies/json-format.html>
    fn read(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.read(part)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("Value", Value::Number(number)) => {
                            self.numbers.extend(number.as_u64().and_then(|number| u32::try_from(number).ok()));
                        }
                        ("attr", Value::String(attribute)) => drop(self.attributes.insert(attribute.clone())),
                        ("datetime", _) => self.instants.extend(argument(value).and_then(instant)),
                        ("duration", _) => {
                            let length = argument(value).and_then(milliseconds);
                            self.times_of_day.extend(length.filter(|length| (0..DAY_MS).contains(length)));
                        }
                        _ => self.read(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The one text that an extension function is given.
fn argument(value: &Value) -> Option<&str> {
    value.get(0)?.get("Value")?.as_str()
}

/// Source of the forms: <https://docs.cedarpolicy.com/policies/syntax-datatypes.html#datatype-datetime>
fn instant(text: &str) -> Option<Timestamp> {
    if !text.contains('T') {
        return format!("{text}T00:00:00Z").parse().ok();
    }
    // Cedar's offsets have no colon, those of RFC 3339 have one.
    let place = text.len().checked_sub(5).filter(|at| text.get(*at..).is_some_and(|end| end.starts_with(['+', '-'])));
    let Some((local, offset)) = place.and_then(|at| text.split_at_checked(at)) else { return text.parse().ok() };
    let (hours, minutes) = offset.split_at_checked(3)?;
    format!("{local}{hours}:{minutes}").parse().ok()
}

/// Source of the forms: <https://docs.cedarpolicy.com/policies/syntax-datatypes.html#datatype-duration>
fn milliseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(n_digits)?;
        let n_letters = after.bytes().take_while(u8::is_ascii_lowercase).count();
        let (unit, after) = after.split_at_checked(n_letters)?;
        let factor = match unit {
            "d" => DAY_MS,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        sum = sum.checked_add(number.parse::<i64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    sum.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use cedar_policy::PolicySet;

    use super::*;

    fn declared(condition: &str) -> Declared {
        let text = format!("permit (principal == E::\"900\", action, resource) when {{ {condition} }};");
        Declared::of(text.parse::<PolicySet>().unwrap().policies())
    }

    #[test]
    fn numbers_and_attributes_are_found_wherever_they_stand() {
        let found = declared("!(context has task) && (context.termSeconds <= 300 || [60, 90].contains(context.other))");
        assert_eq!(found.numbers, [60, 90, 300].into());
        assert!(["task", "termSeconds", "other"].iter().all(|name| found.names(name)) && !found.names("hasTicket"));
        // Neither what stands in texts nor what is no term.
        assert!(declared("principal.name == \"600\" && 5000000000 > -7").numbers.is_subset(&[7].into()));
    }

    #[test]
    fn instants_and_times_of_day_come_in_their_order() {
        let found = declared(
            "context.now >= datetime(\"2026-12-24\") && context.now < datetime(\"2026-12-24T12:00:00+0100\") || \
             context.now.toTime() >= duration(\"13h30m\") || context.now.toTime() < duration(\"-1h\")",
        );
        let told = |text: &str| {
            let after = found.instants_after(text.parse().unwrap(), 3);
            after.iter().map(|at| at.policy_form()).collect::<Vec<_>>()
        };
        assert_eq!(
            told("2026-12-23T13:30:00Z"),
            ["2026-12-23T13:30:01Z", "2026-12-24T00:00:00Z", "2026-12-24T00:00:01Z"]
        );
        assert_eq!(
            told("2026-12-24T09:00:00Z"),
            ["2026-12-24T11:00:00Z", "2026-12-24T11:00:01Z", "2026-12-24T13:30:00Z"]
        );
        assert_eq!(
            told("2027-01-01T14:00:00Z"),
            ["2027-01-02T13:30:00Z", "2027-01-02T13:30:01Z"],
            "the next day, and no more than there are"
        );
    }

    #[test]
    fn lengths_of_time_are_read_as_cedar_reads_them() {
        for (text, expected) in [
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("0s", Some(0)),
            ("-90m", Some(-5_400_000)),
            ("3", None),
            ("h", None),
            ("1w", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        for (text, expected) in [
            ("2026-12-24T12:00:00Z", "2026-12-24T12:00:00Z"),
            ("2026-12-24T12:00:00.500Z", "2026-12-24T12:00:00Z"),
            ("2026-12-24T12:00:00-0230", "2026-12-24T14:30:00Z"),
        ] {
            assert_eq!(instant(text).unwrap().policy_form(), expected);
        }
        assert_eq!(instant("noon"), None);
    }
}
