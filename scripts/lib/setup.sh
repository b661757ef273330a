# shellcheck shell=bash
# setup_environment EXTRAS [cpu]: makes .venv with the pinned packages, or sees that it has them.
# With "cpu", a PyTorch that is not installed yet becomes the build without CUDA.
# Sourced by scripts/run and scripts/test, from the repository's root.

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or later is needed and none was found on the PATH"
}

setup_environment() {
  local extras=$1 kind=${2:-} stamp=.venv/.installed wanted have=""
  wanted="$(cat pyproject.toml requirements/constraints.txt | cksum) $PWD"
  [ -f "$stamp" ] && have="$(cat "$stamp")"
  # The stamp's last line lists the extras that are in; a smaller wish is met by a larger one.
  if [ "$(head -n 1 <<<"$have")" = "$wanted" ] && [[ ",$(tail -n 1 <<<"$have")," == *",${extras//,/,}"* ]] &&
    [ -x .venv/bin/python ]; then
    return
  fi
  if [ ! -x .venv/bin/python ]; then
    local python
    python="$(find_python)"
    echo "Making a virtual environment with $("$python" --version)..."
    "$python" -m venv .venv || fail "no virtual environment could be made; on Debian: apt-get install python3-venv"
  fi
  echo "Installing pinned packages (about 2 GB, some minutes the first time)..."
  local torch=(torch==2.13.0)
  if [ "$kind" = cpu ]; then
    torch+=(--extra-index-url https://download.pytorch.org/whl/cpu --retries 1)
    echo "PyTorch without CUDA takes 0.8 GB of it."
  elif [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
    echo "On Linux, PyPI's PyTorch is the build for NVIDIA cards, which takes 5.6 GB more on the disk;"
    echo "no card was found here. To save them: Ctrl-C, then ./scripts/run --cpu"
  else
    echo "PyTorch for NVIDIA cards takes 5.6 GB more on the disk."
  fi
  local pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt)
  # torch alone and exactly pinned: any looser request may be answered with another build.
  "${pip[@]}" "${torch[@]}" || fail "torch could not be installed (see above)"
  "${pip[@]}" -e ".[${extras}]" || fail "the packages could not be installed (see above)"
  printf '%s\n%s\n' "$wanted" "$extras" >"$stamp"
}
