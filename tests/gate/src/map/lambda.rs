//! Lambda: `Invoke`.

use super::{Asker, Call, Context, Unmapped};
use crate::inbound::{Inbound, decode};

/// `POST /2015-03-31/functions/<name>/invocations` is `Invoke`.
pub(super) fn operation(call: &Inbound) -> Result<&'static str, Unmapped> {
    match function(call) {
        Some(_) if call.method == http::Method::POST => Ok("Invoke"),
        Some(_) | None => Err(Unmapped::because("it is not `Invoke`")),
    }
}

pub(super) fn map(asker: &Asker<'_>, call: &Inbound) -> Result<Call, Unmapped> {
    let name = function(call).ok_or_else(|| Unmapped::because("it names no function"))?;
    if !call.query().is_empty() {
        return Err(Unmapped::because("a `Qualifier` is not modelled"));
    }
    let name = name.rsplit_once(":function:").map_or(name.as_str(), |(_, name)| name);
    if name.contains(':') {
        return Err(Unmapped::because("a qualified function is not modelled"));
    }
    let arn = asker.arn("lambda", &format!("function:{name}"));
    Ok(Call { checks: vec![asker.check("lambda:InvokeFunction", "function", arn, Context::new())?], ..Call::default() })
}

fn function(call: &Inbound) -> Option<String> {
    let name = call.path().strip_prefix("/2015-03-31/functions/")?.strip_suffix("/invocations")?;
    (!name.is_empty() && !name.contains('/')).then(|| decode(name, false))
}
