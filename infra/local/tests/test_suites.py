"""The counts that `make test` prints are read rightly, and what did not run is not counted as passed."""

import pytest

import suites
from suites import Count

CARGO = """
     Running unittests src/lib.rs (/t/debug/deps/brevet_domain-0123456789abcdef)
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running tests/golden.rs (/t/debug/deps/golden-0123456789abcdef)
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running unittests src/main.rs (/t/debug/deps/intake-0123456789abcdef)
test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests brevet_domain
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""


def test_cargos_counts_are_read_per_binary_and_ignored_counts_as_failed():
    assert list(suites.cargo_counts(CARGO)) == [
        Count("rust: brevet_domain", 12, 1),
        Count("rust: golden", 3, 2),
        Count("rust: brevet_domain (doc)", 1, 0),
    ]


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (101, "error: could not compile `brevet-domain` (lib)"),
        (101, CARGO.replace("1 ignored", "0 ignored").replace("2 failed", "0 failed") + "(signal: 11, SIGSEGV)"),
        (0, "    Finished `test` profile"),
    ],
)
def test_a_build_that_failed_a_crash_and_no_test_at_all_count_as_failed(code, output):
    assert list(suites.rust_counts(code, output))[-1] == Count("rust: build or crash", 0, 1)


def test_a_good_run_of_cargo_has_no_failure_and_a_bad_one_is_not_counted_twice():
    good = CARGO.replace("1 ignored", "0 ignored").replace("2 failed", "0 failed")
    assert sum(count.failed for count in suites.rust_counts(0, good)) == 0
    named = "error: 1 target failed:\n    `-p brevet-aws --test faults`\n"
    assert sum(count.failed for count in suites.rust_counts(101, CARGO + named)) == 3


def test_a_crash_of_one_binary_is_counted_beside_failures_of_another():
    named = "error: 2 targets failed:\n    `-p brevet-aws --test faults`\n    `-p brevet-gate --lib`\n"
    assert list(suites.rust_counts(101, CARGO + named))[-1] == Count("rust: build or crash", 0, 1)


@pytest.mark.parametrize(
    ("code", "output", "passed", "failed"),
    [
        (0, "==== 5 passed in 0.10s ====", 5, 0),
        (1, "==== 2 failed, 5 passed, 1 skipped in 0.10s ====", 5, 3),
        (1, "==== 1 passed, 1 error in 0.10s ====", 1, 1),
        (0, "4 passed, 1 skipped in 61.10s (0:01:01)", 4, 1),
        (5, "==== no tests ran in 0.01s ====", 0, 1),
        (2, "INTERNALERROR", 0, 1),
        (0, "", 0, 1),
        (0, "==== 3 deselected in 0.01s ====", 0, 1),
    ],
)
def test_pytests_counts_are_read_and_what_did_not_run_counts_as_failed(code, output, passed, failed):
    assert suites.pytest_count("x", code, output) == Count("x", passed, failed)
