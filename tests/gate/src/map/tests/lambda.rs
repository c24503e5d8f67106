//! Lambda: the function that `Invoke` is checked on.

use super::*;

#[test]
fn invoke_is_checked_on_its_function() {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:brevet-dev-evaluate";
    for name in ["brevet-dev-evaluate", &arn.replace(':', "%3A")] {
        let uri = format!("/2015-03-31/functions/{name}/invocations");
        let invoke = mapped(Service::Lambda, &call(Method::POST, &uri, &[], "{}")).unwrap();
        assert_eq!(asked(&invoke), [("lambda:InvokeFunction", arn)]);
    }
    assert!(mapped(Service::Lambda, &call(Method::GET, "/2015-03-31/functions/", &[], "")).is_err());
    let qualified = "/2015-03-31/functions/f/invocations?Qualifier=1";
    assert!(mapped(Service::Lambda, &call(Method::POST, qualified, &[], "")).is_err());
}
