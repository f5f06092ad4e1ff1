#!/usr/bin/env bash
# Builds the documentation into build/docs, warnings being errors, in an environment that it sets up itself (see
# environment.sh). The tutorial is run on the way: about a minute on two cores.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare docs
"$python" -m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/docs "$@"
echo "launch: the pages begin at $PWD/build/docs/index.html"
