#!/usr/bin/env bash
# Trains with several processes on this machine, in an environment that it sets up itself (see environment.sh): with
# simulated devices, to try what a cluster will do, or with one process a GPU. 2 processes of 2 devices each:
#   PROCESSES=2 DEVICES=2 launch/local_processes.sh --config=configs/digits.py --config.mesh=entity=4 \
#     --config.batch_size=180 --workdir=runs/digits_mesh
# The arguments are those of `python -m mans_jax.train`. PORT=12400 is where process 0 listens. DEVICES=0 takes the
# devices that are there. DRY_RUN=1 prints the commands and starts nothing. When one process ends with an error or the
# script is stopped, the others are stopped; the same command goes on.

source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
processes=${PROCESSES:-2} devices=${DEVICES:-2} port=${PORT:-12400}
[[ $processes =~ ^[1-9][0-9]*$ ]] || fail "PROCESSES=$processes is no number of processes"
[[ $devices =~ ^[0-9]+$ ]] || fail "DEVICES=$devices is no number of devices"
[[ $# -gt 0 ]] || fail "name a recipe: --config=FILE --workdir=FOLDER"
[[ -n ${DRY_RUN:-} ]] || prepare
simulated=()
((devices == 0)) || simulated=(env "JAX_PLATFORMS=cpu" "JAX_NUM_CPU_DEVICES=$devices")

pids=()
for ((id = 0; id < processes; id++)); do
  command=(${simulated[@]+"${simulated[@]}"} "$python" -m mans_jax.train "$@"
    "--coordinator=localhost:$port" "--num_processes=$processes" "--process_id=$id")
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "${command[@]}"
    echo
    continue
  fi
  "${command[@]}" &
  pids+=($!)
done
[[ -z ${DRY_RUN:-} ]] || exit 0

trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT
code=0
for ((left = processes; left > 0; left--)); do
  wait -n "${pids[@]}" || code=$?
  ((code == 0)) || kill -TERM "${pids[@]}" 2>/dev/null || true
done
exit "$code"
