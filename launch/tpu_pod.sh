#!/usr/bin/env bash
# Trains on all workers of a Cloud TPU slice; run it where gcloud is set up:
#   TPU=my-v5e-256 ZONE=us-west4-a launch/tpu_pod.sh \
#     --config=configs/db15k.py --config.mesh=entity=256 --workdir=/mnt/shared/runs/db15k
# The arguments are those of `python -m mans_jax.train`. FOLDER=mans_jax is the repository on every worker, in which
# .venv has mans_jax and jax[tpu]; the workdir and the data are on a disk that all workers share. JAX asks the pod who
# is who. A preempted worker gets SIGTERM: the run saves, and the same command goes on when the slice is back.
# DRY_RUN=1 prints the command and starts nothing.

set -euo pipefail

fail() {
  echo "launch: $1" >&2
  exit 1
}

[[ -n ${TPU:-} ]] || fail 'set TPU to the name of the slice'
[[ -n ${ZONE:-} ]] || fail 'set ZONE to its zone'
[[ $# -gt 0 ]] || fail 'name a recipe: --config=FILE --workdir=FOLDER'
printf -v train '%q ' .venv/bin/python -m mans_jax.train "$@" --coordinator=auto
printf -v folder '%q' "${FOLDER:-mans_jax}"
command=(gcloud compute tpus tpu-vm ssh "$TPU" "--zone=$ZONE" --worker=all "--command=cd $folder && exec ${train% }")
if [[ -n ${DRY_RUN:-} ]]; then
  printf '%q ' "${command[@]}"
  echo
  exit
fi
exec "${command[@]}"
