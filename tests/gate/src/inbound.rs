//! A call as the gate received it, completely read.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

/// One HTTP request with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Inbound {
    /// The first value of header `name` that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The path as it was sent, still encoded.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The query's parameters, decoded, in the order sent. `+` is a plus sign: AWS SDKs send `%20`.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        pairs(self.uri.query().unwrap_or_default(), false)
    }

    /// The parameters of an `application/x-www-form-urlencoded` body (AWS's Query protocol).
    pub(crate) fn form(&self) -> Form {
        Form(pairs(&String::from_utf8_lossy(&self.body), true))
    }

    /// The same call in AWS's Query protocol with parameter `name` set to `value`.
    pub(crate) fn with_field(&self, name: &str, value: &str) -> Self {
        let Form(mut pairs) = self.form();
        for (_, old) in pairs.iter_mut().filter(|(key, _)| key == name) {
            value.clone_into(old);
        }
        let body: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{}={}", encode(key, b""), encode(value, b""))).collect();
        Self { body: Bytes::from(body.join("&")), ..self.clone() }
    }

    /// The body as JSON, `null` if it is not JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Parameters of a call in AWS's Query protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The value of parameter `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The members of list `name`, in order: `<name>.member.<i>`, or `….<field>` of each if `field` is given.
    pub(crate) fn members(&self, name: &str, field: Option<&str>) -> Vec<&str> {
        (1..=100_u8)
            .map_while(|index| {
                let key = match field {
                    None => format!("{name}.member.{index}"),
                    Some(field) => format!("{name}.member.{index}.{field}"),
                };
                self.field(&key)
            })
            .collect()
    }

    /// Whether any parameter starts with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|(key, _)| key.starts_with(prefix))
    }
}

fn pairs(text: &str, plus_is_space: bool) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(key, plus_is_space), decode(value, plus_is_space))
        })
        .collect()
}

/// Resolves percent escapes. A malformed escape stays as it is.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escape = (byte == b'%').then(|| {
            let mut ahead = bytes.clone();
            let high = ahead.next().and_then(hex)?;
            let low = ahead.next().and_then(hex)?;
            Some((high << 4 | low, ahead))
        });
        match escape.flatten() {
            Some((resolved, ahead)) => {
                out.push(resolved);
                bytes = ahead;
            }
            None if byte == b'+' && plus_is_space => out.push(b' '),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Escapes everything but RFC 3986's unreserved characters and those in `also_safe`.
pub(crate) fn encode(text: &str, also_safe: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also_safe.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_lists_keep_their_order_and_stop_at_a_gap() {
        let form = Form(pairs("Tags.member.1.Key=a%3Ab&Tags.member.2.Key=c+d&Tags.member.4.Key=e", true));
        assert_eq!(form.members("Tags", Some("Key")), ["a:b", "c d"]);
    }

    #[test]
    fn malformed_escapes_stay_unchanged() {
        assert_eq!(decode("100%", false), "100%");
        assert_eq!(decode("%zz%41", false), "%zzA");
    }

    #[test]
    fn encoding_reverses_decoding() {
        assert_eq!(encode("a b/ü", b"/"), "a%20b/%C3%BC");
        assert_eq!(decode("a%20b/%C3%BC", false), "a b/ü");
    }
}
