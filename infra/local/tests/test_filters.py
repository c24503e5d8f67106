"""Lambda's event filtering rules, one by one, and the template's own filters."""

import pytest

from brevet_local.filters import UnknownFilter, any_of, compile_pattern


@pytest.mark.parametrize(
    ("leaf", "passing", "refused"),
    [
        (["a", "b"], ["a", "b", ["x", "b"]], ["c", None, 1, {"a": 1}]),
        ([1], [1], [True, "1", 2]),
        ([None], [None], ["null", 0]),
        ([{"prefix": "ab"}], ["ab", "abc"], ["b", "", 1, None]),
        ([{"suffix": "yz"}], ["yz", "xyz"], ["y", 1]),
        ([{"equals-ignore-case": "Ab"}], ["aB"], ["abc"]),
        ([{"anything-but": ["x"]}], ["y", 1, ""], ["x"]),
        ([{"exists": True}], ["x", None, 0], [{"S": "x"}]),
        (["a", {"prefix": "z"}], ["a", "zz"], ["b"]),
    ],
)
def test_leaf_passes_the_values_that_it_names_and_no_others(leaf, passing, refused):
    matches = compile_pattern({"k": leaf})
    assert [value for value in passing if not matches({"k": value})] == []
    assert [value for value in refused if matches({"k": value})] == []


def test_absent_key_passes_only_exists_false():
    assert compile_pattern({"k": [{"exists": False}]})({})
    for leaf in (["a"], [None], [{"prefix": ""}], [{"anything-but": ["a"]}], [{"exists": True}]):
        assert not compile_pattern({"k": leaf})({}), leaf


def test_every_key_of_a_pattern_must_match():
    matches = compile_pattern({"a": {"b": [1]}, "c": [2]})
    assert matches({"a": {"b": 1}, "c": 2, "more": 3})
    assert not matches({"a": {"b": 1}})
    assert not matches({"a": 1, "c": 2})


@pytest.mark.parametrize("leaf", [[{"numeric": [">", 1]}], [{"wildcard": "*"}], [[1]], [], "x", [{"exists": 1}], [{}]])
def test_pattern_with_an_unknown_operator_is_rejected_when_compiled(leaf):
    with pytest.raises(UnknownFilter):
        compile_pattern({"k": leaf})


def record(event, pk, new=None, old=None, by=None, sk="META"):
    image = {"Keys": {"pk": {"S": pk}, "sk": {"S": sk}}}
    for name, attributes in (("NewImage", new), ("OldImage", old)):
        if attributes is not None:
            image[name] = {key: {"S": value} for key, value in attributes.items()}
    return {"eventName": event, "dynamodb": image, **({"userIdentity": by} if by else {})}


SERVICE = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def filters_of(facts, function):
    (stream,) = [one for one in facts["streams"] if (one["function"], one["switch"]) == (function, "pump")]
    return any_of(stream["filters"])


@pytest.mark.parametrize(
    ("invokes", "why", "event"),
    [
        (True, "a release mark", record("INSERT", "BLOCK#grant/g", {"due_pk": "reap#0"})),
        (True, "a release mark put again", record("MODIFY", "BLOCK#grant/g", {"due_pk": "reap#0"}, {})),
        (False, "a release mark taken off the to-do list", record("MODIFY", "BLOCK#grant/g", {}, {"due_pk": "reap#0"})),
        (False, "a release mark that expired", record("REMOVE", "BLOCK#grant/g", None, {"due_pk": "reap#0"})),
        (False, "a block of an identity, whose revocation invokes reap", record("INSERT", "BLOCK#identity/i", {"due_pk": "reap#0"})),
        (True, "a first use of the kill switch", record("INSERT", "REVOCATION#latest", {"body": "{}"}, sk="identity:i")),
        (True, "a later use of the kill switch", record("MODIFY", "REVOCATION#latest", {"body": "{}"}, {"body": "{}"}, sk="all")),
        (False, "the history of the kill switch", record("INSERT", "REVOCATION#identity/i", {"body": "{}"}, sk="000000001")),
        (False, "the reaper's progress on the kill switch", record("MODIFY", "PROGRESS#all", {"body": "{}"}, {"body": "{}"}, sk="-")),
        (True, "entry into Revoking", record("MODIFY", "GRANT#g", {"state": "Revoking"}, {"state": "Active"})),
        (False, "progress in Revoking", record("MODIFY", "GRANT#g", {"state": "Revoking"}, {"state": "Revoking"})),
        (False, "an ended grant", record("MODIFY", "GRANT#g", {"state": "Ended"}, {"state": "Revoking"})),
        (False, "an evidence entry", record("INSERT", "GRANT#g", {"body": "{}"})),
        (False, "the heartbeat", record("MODIFY", "HEARTBEAT#reap", {"at": "now"}, {"at": "then"})),
        (True, "a TTL backstop that DynamoDB removed", record("REMOVE", "BACKSTOP#g", None, {}, by=SERVICE, sk="-")),
        (False, "a TTL backstop that reap removed", record("REMOVE", "BACKSTOP#g", None, {}, sk="-")),
        (False, "a TTL backstop that a user removed", record("REMOVE", "BACKSTOP#g", None, {}, by={"type": "Root", "principalId": "1"})),
        (False, "a TTL backstop that was put", record("INSERT", "BACKSTOP#g", {}, sk="-")),
        (False, "another item that DynamoDB removed", record("REMOVE", "IDEM#a#b", None, {}, by=SERVICE)),
        (False, "an approval", record("MODIFY", "GRANT#g", {"state": "Approved", "due_pk": "issue#0"}, {})),
    ],
)
def test_stream_filter_invokes_reap_only_for_removals(facts, invokes, why, event):
    assert filters_of(facts, "reap")(event) is invokes, why


@pytest.mark.parametrize(
    ("invokes", "why", "event"),
    [
        (True, "approved at once", record("INSERT", "GRANT#g", {"state": "Approved", "due_pk": "issue#3"})),
        (True, "approved by people", record("MODIFY", "GRANT#g", {"state": "Approved", "due_pk": "issue#0"}, {})),
        (False, "a session, which its holder fetches", record("INSERT", "GRANT#g", {"state": "Approved", "due_pk": "reap#0"})),
        (False, "a grant on no to-do list", record("INSERT", "GRANT#g", {"state": "Approved"})),
        (False, "a write of issue itself", record("MODIFY", "GRANT#g", {"state": "Activating", "due_pk": "issue#0"}, {})),
        (False, "not approved yet", record("INSERT", "GRANT#g", {"state": "ApprovalAwaited", "due_pk": "issue#0"})),
        (False, "an evidence entry", record("INSERT", "GRANT#g", {"state": "Approved", "due_pk": "issue#0"}, sk="EVD#000001")),
        (False, "another item", record("INSERT", "REQUEST#g", {"state": "Approved", "due_pk": "issue#0"})),
        (False, "a removal of the grant", record("REMOVE", "GRANT#g", None, {"state": "Approved", "due_pk": "issue#0"}, by=SERVICE)),
        (False, "a TTL backstop", record("REMOVE", "BACKSTOP#g", None, {}, by=SERVICE, sk="-")),
    ],
)
def test_stream_filter_invokes_issue_only_for_approved_attachments(facts, invokes, why, event):
    assert filters_of(facts, "issue")(event) is invokes, why
