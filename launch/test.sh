#!/usr/bin/env bash
# Lints and tests, in an environment that it sets up itself (see environment.sh); the arguments are pytest's:
#   launch/test.sh -m 'not slow'
# EXTRAS=test-features,docs,compare installs those extras too; without them the tests that need them are skipped, which
# the end tells.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "test${EXTRAS:+,$EXTRAS}"
"$python" -m ruff check .
"$python" -m ruff format --check .
# Each process has whole files, whose tests share what was trained for them. One more than there are cores, as some tests
# do nothing but wait for others' processes.
exec "$python" -m pytest --numprocesses=$(($(getconf _NPROCESSORS_ONLN) + 1)) --dist=loadfile "$@"
