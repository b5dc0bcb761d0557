# Sourced by the scripts beside it: strict mode, the top folder, where libraries are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Prints a line of progress. Results go to standard output, everything else here.
say() { printf '==> %s\n' "$*" >&2; }

# Prints why it cannot go on, and ends with the given status (69: something needed is not there).
fail() {
  local status=$1
  shift
  printf 'error: %s\n' "$@" >&2
  exit "$status"
}

# Homebrew's folders are not on the compiler's own search path.
if [[ "$(uname -s)" == Darwin ]] && command -v brew >/dev/null; then
  homebrew="$(brew --prefix)"
  export CPATH="$homebrew/include${CPATH:+:$CPATH}"
  export LIBRARY_PATH="$homebrew/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
fi
