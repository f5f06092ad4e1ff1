#!/usr/bin/env bash
# Trains and evaluates on this machine, in an environment that it sets up itself (see environment.sh):
#   launch/local.sh --config=configs/digits.py --workdir=runs/digits
# The arguments are those of `python -m mans_jax.train`; without any, these two.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare
[[ $# -gt 0 ]] || set -- --config=configs/digits.py --workdir=runs/digits
exec "$python" -m mans_jax.train "$@"
