#!/usr/bin/env bash
# Lints and tests, in an environment that it sets up itself (see environment.sh); the arguments are pytest's:
#   launch/test.sh -m 'not slow'

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare test
"$python" -m ruff check .
"$python" -m ruff format --check .
exec "$python" -m pytest "$@"
