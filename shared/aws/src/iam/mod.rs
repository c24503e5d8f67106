//! IAM: the reserved deny on session roles, and policies on attachment principals, split by who may call what.

mod deprovisioner;
mod effective;
mod estate;
mod principals;
mod provisioner;
mod session_roles;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use brevet_engine::port::{PortError, PortResult};

pub use self::deprovisioner::IamDeprovisioner;
pub use self::estate::IamEstate;
pub use self::principals::IamPrincipals;
pub use self::provisioner::IamProvisioner;
pub use self::session_roles::IamSessionRoles;
use crate::error::{Watch, unreadable};

const ATTACH: &str = "iam:AttachRolePolicy";
const DELETE: &str = "iam:DeleteRolePolicy";
const DETACH: &str = "iam:DetachRolePolicy";
const GET: &str = "iam:GetRolePolicy";
const GET_ROLE: &str = "iam:GetRole";
const LIST: &str = "iam:ListRolePolicies";
const LIST_ROLES: &str = "iam:ListRoles";
const LIST_ATTACHED: &str = "iam:ListAttachedRolePolicies";
const PUT: &str = "iam:PutRolePolicy";
const SIMULATE: &str = "iam:SimulatePrincipalPolicy";

/// How many pages of one list are read at most.
const MAX_PAGES: usize = 20;

/// IAM names roles without their path, and role names are unique in an account.
fn role_name<'a>(operation: &'static str, role_arn: &'a str) -> PortResult<&'a str> {
    let resource = role_arn.split(':').nth(5);
    resource
        .filter(|resource| resource.starts_with("role/"))
        .and_then(|resource| resource.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| refused(operation, format!("`{role_arn}` is not the ARN of a role")))
}

/// The document that IAM answered, as JSON text.
fn document(operation: &'static str, encoded: &str) -> PortResult<String> {
    // The SDK reads a missing document as an empty one, which no policy has.
    decoded(encoded)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| unreadable(operation, "its document is not percent-encoded"))
}

/// Undoes RFC 3986 percent-encoding: how IAM answers documents.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRolePolicy.html>
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether IAM knows no such role, or no such policy on it.
fn is_gone<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("NoSuchEntity")
}

fn request_id(operation: &'static str, watch: &Watch) -> PortResult<String> {
    watch.request_id().ok_or_else(|| unreadable(operation, "it has no request id"))
}

/// Where the page after this one begins; nothing if this is the last.
fn next_page(operation: &'static str, is_truncated: bool, marker: Option<String>) -> PortResult<Option<String>> {
    match marker.filter(|marker| !marker.is_empty()) {
        _ if !is_truncated => Ok(None),
        Some(marker) => Ok(Some(marker)),
        None => Err(unreadable(operation, "it is cut off, and does not say where to go on")),
    }
}

fn too_many_pages(operation: &'static str) -> PortError {
    unreadable(operation, format!("it goes on after {MAX_PAGES} pages"))
}

fn refused(operation: &'static str, why: String) -> PortError {
    PortError::Refused { operation, source: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_without_its_path() {
        let arn = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";
        assert_eq!(role_name(GET, arn).unwrap(), "brevet-dev-shop");
        for wrong in ["", "brevet-dev-shop", "arn:aws:iam::000000000000:user/x", "arn:aws:iam::0:role/"] {
            assert!(role_name(GET, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn documents_are_decoded_and_broken_ones_refused() {
        assert_eq!(document(GET, "%7B%22a%22%3A%2B+1%7D").unwrap(), r#"{"a":++1}"#);
        for broken in ["", "%", "%7", "%zz", "%ff"] {
            let answer = document(GET, broken);
            assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{broken}: {answer:?}");
        }
    }

    #[test]
    fn a_list_that_is_cut_off_must_say_where_it_goes_on() {
        assert_eq!(next_page(LIST, false, None).unwrap(), None);
        assert_eq!(next_page(LIST, false, Some("stale".to_owned())).unwrap(), None);
        assert_eq!(next_page(LIST, true, Some("m".to_owned())).unwrap().as_deref(), Some("m"));
        for marker in [None, Some(String::new())] {
            assert!(next_page(LIST, true, marker).is_err());
        }
    }
}
