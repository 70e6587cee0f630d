# Sourced by the scripts beside it: installs the project into a virtual environment, once, and
# activates it. PYTHON names the interpreter (default python3), VENV the folder (default .venv).
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-.venv}
stamp="$VENV/installed-$(cat requirements.txt pyproject.toml | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ]; then
  echo "Installing into $VENV ..."
  "${PYTHON:-python3}" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]'
  touch "$stamp"
fi
source "$VENV/bin/activate"
