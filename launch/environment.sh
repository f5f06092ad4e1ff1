# shellcheck shell=bash
# The environment that the launch scripts share. Sourced, not run: goes to the top of the repository, where paths on
# the command line are then relative to, and defines `prepare` and `python`.
#
# PYTHON=python3.12 chooses the interpreter of .venv; without it an existing .venv stays, and a new one gets python3.
# Python 3.11 gets the exact versions of requirements-lock.txt, another the newest that requirements.txt allows.

set -euo pipefail
unset CDPATH
caller=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $PWD -ef $caller ]] || echo "launch: paths are relative to $PWD" >&2
python=$PWD/.venv/bin/python
# Large tables on pages of 2 MB, where the C library is glibc: rows all over them are then found sooner.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}

fail() {
  echo "launch: $1" >&2
  exit 1
}

interpreter() { # COMMAND: where its Python lives and which one it is, the same for a .venv and what it was made with
  "$1" -c 'import sys; print(sys.base_prefix, sys.version)' 2>/dev/null
}

fingerprint() { # All that an installation depends on: also where it stands, for neither it nor .venv can be moved.
  pwd -P
  readlink -f "$python"
  cksum pyproject.toml requirements.txt requirements-lock.txt
}

usable() { # Whether .venv works and is of the interpreter that is asked for.
  [[ -x $python ]] && "$python" -m pip --version >/dev/null 2>&1 || return 1
  [[ -z ${PYTHON:-} || $(interpreter "$PYTHON") == "$(interpreter "$python")" ]]
}

create() {
  local base=${PYTHON:-python3}
  command -v "$base" >/dev/null || fail "$base is not there; install Python 3.11 or later, or set PYTHON to it"
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$base is $("$base" --version 2>&1); Python 3.11 or later is needed: set PYTHON to it, as in PYTHON=python3.11"
  echo "launch: making .venv with $("$base" --version)" >&2
  if "$base" -c 'from ensurepip import version' 2>/dev/null; then
    "$base" -m venv --clear .venv
  else # Debian without python3-venv: pip, where it is there, can put itself into a bare environment.
    { "$base" -m venv --clear --without-pip .venv && "$base" -m pip --python "$python" install -qq pip; } 2>/dev/null ||
      fail "$base cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"
  fi
}

prepare() { # [EXTRA]: makes .venv and installs mans_jax[EXTRA] into it, unless that is done already.
  local extra=${1:-} pins=()
  local stamp=.venv/installed${extra:+-$extra}
  [[ -z ${PYTHON:-} ]] || usable || rm -rf .venv/installed*
  [[ -x $python && $(cat "$stamp" 2>/dev/null) == "$(fingerprint)" ]] && return
  usable || create
  rm -f .venv/installed*
  if [[ $("$python" -c 'import sys; print(*sys.version_info[:2])') == '3 11' ]]; then
    pins=(--constraint requirements-lock.txt)
  fi
  echo "launch: installing mans_jax and what it needs into .venv; a minute or two, the first time" >&2
  "$python" -m pip install -qq --no-input ${pins[@]+"${pins[@]}"} --editable ".${extra:+[$extra]}" ||
    fail "the installation into .venv failed; pip's own words are above"
  fingerprint | tee .venv/installed "$stamp" >/dev/null
}
