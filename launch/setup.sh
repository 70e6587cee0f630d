# Sourced by the scripts beside it: installs the project into a virtual environment, once, and
# activates it. PYTHON names the interpreter that it is made with (default python3), VENV its folder
# (default .venv), ACCELERATOR what JAX runs on besides the CPU: cuda13, cuda12 or tpu (default no).
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-.venv}
# Of this place as well: in a checkout that was moved, .venv still names the old one.
sum=$({ cat requirements.txt pyproject.toml; pwd -P; } | cksum | cut -d' ' -f1)
stamp="$VENV/installed-$sum-${ACCELERATOR:-cpu}"
if [ ! -e "$stamp" ]; then
  # Before anything is made: an environment keeps the Python that it was made with.
  "${PYTHON:-python3}" -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else
    "Python 3.11 or newer is needed, not %d.%d: set PYTHON to one" % sys.version_info[:2])' ||
    return 1
  mkdir -p "$VENV" || return 1
  exec 9> "$VENV/lock"
  flock 9 2> /dev/null || true  # of scripts that start together one installs, where there is flock
fi
if [ ! -e "$stamp" ]; then
  echo "Installing into $VENV ..."
  "${PYTHON:-python3}" -m venv "$VENV" || return 1
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]' \
    ${ACCELERATOR:+"jax[$ACCELERATOR]"} || return 1
  find "$VENV/" -maxdepth 1 -name 'installed-*' ! -name "installed-$sum-*" -delete
  touch "$stamp"
fi
exec 9>&-
source "$VENV/bin/activate"
