//! The limits and attributes in policies by which they distinguish requests.

use std::collections::BTreeSet;

use brevet_domain::time::Timestamp;
use cedar_policy::Policy;
use serde_json::Value;

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// The limits that policies name, at any depth of a condition, and the attributes that they read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// Whole numbers in conditions.
    pub(crate) numbers: BTreeSet<u32>,
    /// Arguments of `datetime("…")`.
    instants: BTreeSet<Timestamp>,
    /// Arguments of `duration("…")` below a day, in milliseconds. Policies compare them with times of day.
    times_of_day: BTreeSet<i64>,
    attributes: BTreeSet<String>,
}

impl Declared {
    /// Reads `policies`. A policy without a JSON form declares nothing.
    pub(crate) fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut declared = Self::default();
        for json in policies.filter_map(|policy| policy.to_json().ok()) {
            declared.read(json.get("conditions").unwrap_or(&Value::Null));
        }
        declared
    }

    /// Whether some policy reads an attribute of this name.
    pub(crate) fn names(&self, attribute: &str) -> bool {
        self.attributes.contains(attribute)
    }

    /// Up to `limit` instants after `now`, in order, at which a policy may change its answer: each declared instant and
    /// time of day (UTC), and a second later.
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

/// The single string argument of an extension function.
fn argument(value: &Value) -> Option<&str> {
    value.get(0)?.get("Value")?.as_str()
}

/// Source of the forms: <https://docs.cedarpolicy.com/policies/syntax-datatypes.html#datatype-datetime>
fn instant(text: &str) -> Option<Timestamp> {
    if !text.contains('T') {
        return format!("{text}T00:00:00Z").parse().ok();
    }
    // Offsets have no colon in Cedar, and one in RFC 3339.
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
    fn declared_numbers_and_attributes_are_found_at_any_depth() {
        let found = declared("!(context has task) && (context.termSeconds <= 300 || [60, 90].contains(context.other))");
        assert_eq!(found.numbers, [60, 90, 300].into());
        assert!(["task", "termSeconds", "other"].iter().all(|name| found.names(name)) && !found.names("hasTicket"));
        // Numbers in strings and numbers out of range are not terms.
        assert!(declared("principal.name == \"600\" && 5000000000 > -7").numbers.is_subset(&[7].into()));
    }

    #[test]
    fn declared_instants_and_times_of_day_come_in_order() {
        let found = declared(
            "context.now >= datetime(\"2026-12-24\") && context.now < datetime(\"2026-12-24T12:00:00+0100\") || \
             context.now.toTime() >= duration(\"13h30m\") || context.now.toTime() < duration(\"-1h\")",
        );
        let instants_after = |text: &str| {
            let after = found.instants_after(text.parse().unwrap(), 3);
            after.iter().map(|at| at.policy_form()).collect::<Vec<_>>()
        };
        assert_eq!(
            instants_after("2026-12-23T13:30:00Z"),
            ["2026-12-23T13:30:01Z", "2026-12-24T00:00:00Z", "2026-12-24T00:00:01Z"]
        );
        assert_eq!(
            instants_after("2026-12-24T09:00:00Z"),
            ["2026-12-24T11:00:00Z", "2026-12-24T11:00:01Z", "2026-12-24T13:30:00Z"]
        );
        assert_eq!(
            instants_after("2027-01-01T14:00:00Z"),
            ["2027-01-02T13:30:00Z", "2027-01-02T13:30:01Z"],
            "the list continues on the next day, and ends with the declared instants"
        );
    }

    #[test]
    fn durations_and_datetimes_are_read_as_in_cedar() {
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
