//! S3: objects and buckets in both styles, and the calls that are refused as unmapped.

use super::*;

fn s3(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Result<Call, Unmapped> {
    mapped(Service::S3, &call(method, uri, headers, ""))
}

#[test]
fn object_is_found_in_both_addressing_styles() {
    let object = [("s3:GetObject", "arn:aws:s3:::releases/app/1 2.tgz")];
    let path_style = s3(Method::GET, "/releases/app/1%202.tgz?x-id=GetObject", &[]).unwrap();
    assert_eq!(asked(&path_style), object);
    for host in ["releases.s3.us-east-1.amazonaws.com", "releases.localhost:4600"] {
        let virtual_style = s3(Method::HEAD, "/app/1%202.tgz", &[("host", host)]).unwrap();
        assert_eq!(asked(&virtual_style), object, "{host}");
    }
    let put = s3(Method::PUT, "/releases/a", &[]).unwrap();
    assert_eq!(asked(&put), [("s3:PutObject", "arn:aws:s3:::releases/a")]);
}

#[test]
fn listing_is_checked_with_its_prefix() {
    let list = s3(Method::GET, "/releases?list-type=2&prefix=app%2F&max-keys=5", &[]).unwrap();
    assert_eq!(asked(&list), [("s3:ListBucket", "arn:aws:s3:::releases")]);
    assert_eq!(list.checks[0].context["s3:prefix"], ["app/"]);
    assert_eq!(asked(&s3(Method::GET, "/", &[]).unwrap()), [("s3:ListAllMyBuckets", "*")]);
}

#[test]
fn s3_call_that_needs_a_further_permission_is_unmapped() {
    assert!(s3(Method::GET, "/releases/a?versionId=1", &[]).is_err());
    assert!(s3(Method::PUT, "/releases?policy", &[]).is_err());
    assert!(s3(Method::PUT, "/releases/a", &[("x-amz-copy-source", "other/x")]).is_err());
    assert!(s3(Method::PUT, "/releases/a", &[("x-amz-tagging", "a=b")]).is_err());
    assert!(s3(Method::POST, "/releases?delete", &[]).is_err());
}
