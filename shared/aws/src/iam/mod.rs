//! IAM: the reserved deny on session roles, and policies on attachment principals.
//!
//! The types are split by the rights of the functions that use them.

mod account_listing;
mod deprovisioner;
mod effective;
mod principals;
mod provisioner;
mod session_roles;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use brevet_engine::port::{PortError, PortResult};

pub use self::account_listing::IamAccountListing;
pub use self::deprovisioner::IamDeprovisioner;
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

/// The most pages of one list that are read.
const MAX_PAGES: usize = 20;

/// The role's name without its path. Role names are unique in an account.
fn role_name<'a>(operation: &'static str, role_arn: &'a str) -> PortResult<&'a str> {
    let resource = role_arn.split(':').nth(5);
    resource
        .filter(|resource| resource.starts_with("role/"))
        .and_then(|resource| resource.rsplit('/').next())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| refused(operation, format!("`{role_arn}` is not the ARN of a role")))
}

/// The policy document of IAM's answer, as JSON text.
fn document(operation: &'static str, encoded: &str) -> PortResult<String> {
    // The SDK reads a missing document as an empty one, which no policy has.
    decoded(encoded)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| unreadable(operation, "its policy document is empty or not percent-encoded"))
}

/// Decodes RFC 3986 percent-encoding, the form of documents in IAM's answers.
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

/// Whether IAM answered that the role, or the policy on it, does not exist.
fn is_gone<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("NoSuchEntity")
}

fn request_id(operation: &'static str, watch: &Watch) -> PortResult<String> {
    watch.request_id().ok_or_else(|| unreadable(operation, "the answer has no request id"))
}

/// The marker of the next page. `None` after the last page.
fn next_page(operation: &'static str, is_truncated: bool, marker: Option<String>) -> PortResult<Option<String>> {
    match marker.filter(|marker| !marker.is_empty()) {
        _ if !is_truncated => Ok(None),
        Some(marker) => Ok(Some(marker)),
        None => Err(unreadable(operation, "the list is truncated and has no marker")),
    }
}

fn too_many_pages(operation: &'static str) -> PortError {
    unreadable(operation, format!("the list has more than {MAX_PAGES} pages"))
}

fn refused(operation: &'static str, reason: String) -> PortError {
    PortError::Refused { operation, source: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_name_omits_the_path() {
        let arn = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";
        assert_eq!(role_name(GET, arn).unwrap(), "brevet-dev-shop");
        for wrong in ["", "brevet-dev-shop", "arn:aws:iam::000000000000:user/x", "arn:aws:iam::0:role/"] {
            assert!(role_name(GET, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn document_is_decoded_or_unreadable() {
        assert_eq!(document(GET, "%7B%22a%22%3A%2B+1%7D").unwrap(), r#"{"a":++1}"#);
        for broken in ["", "%", "%7", "%zz", "%ff"] {
            let answer = document(GET, broken);
            assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{broken}: {answer:?}");
        }
    }

    #[test]
    fn a_truncated_list_without_a_marker_is_unreadable() {
        assert_eq!(next_page(LIST, false, None).unwrap(), None);
        assert_eq!(next_page(LIST, false, Some("stale".to_owned())).unwrap(), None);
        assert_eq!(next_page(LIST, true, Some("m".to_owned())).unwrap().as_deref(), Some("m"));
        for marker in [None, Some(String::new())] {
            assert!(next_page(LIST, true, marker).is_err());
        }
    }
}
