#!/usr/bin/env bash
# Runs one Rust test for nextest and records its CPU time: `cpu <binary> <test> <user s> <system s>`, a line a test.
# nextest also calls this to list tests. Then, and without BREVET_RUST_TIMES, the program just runs.
if [[ -z ${BREVET_RUST_TIMES:-} || -z ${NEXTEST_TEST_NAME:-} ]]; then
  exec "$@"
fi
TIMEFORMAT="cpu $NEXTEST_BINARY_ID $NEXTEST_TEST_NAME %U %S"
# The test keeps its own standard output and error; `time` writes to the file.
{ time "$@" 1>&3 2>&4; } 3>&1 4>&2 2>>"$BREVET_RUST_TIMES"
