"""Runs notebooks from top to bottom and keeps what they show.

  python colabs/renew.py                            the repository's address alone, in all of them
  python colabs/renew.py 1 2 3                      and the outputs of those
  python colabs/renew.py 5 --set MODEL=my/model     with other parameters, which are shown

The address is that of pyproject.toml. Runs go where the notebooks say, into runs/ of the checkout.
"""

import argparse
import base64
from collections.abc import Mapping
import hashlib
import io
import pathlib
import re
import tomllib

import nbclient
import nbformat
from PIL import Image

FOLDER = pathlib.Path(__file__).resolve().parent
PATHS = sorted(FOLDER.glob("*.ipynb"))


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("numbers", nargs="*", choices=[path.name[0] for path in PATHS], default=[])
  parser.add_argument("--set", nargs="+", default=[], metavar="NAME=TEXT", help="parameters")
  args = parser.parse_args()
  parameters = dict(item.split("=", 1) for item in args.set)
  for path in PATHS:
    notebook = nbformat.read(path, as_version=4)
    write_address(notebook)
    if path.name[0] in args.numbers:
      print(f"{path.name} ...", flush=True)
      execute(notebook, parameters)
      join_parameters(notebook)
      shrink_pictures(notebook)
      notebook.metadata["executed"] = digest(notebook)
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def address() -> str:
  """The repository's address."""
  project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
  return project["urls"]["Repository"]


def write_address(notebook) -> None:
  """Puts the repository's address into the first cell of code."""
  cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
  cell.source = re.sub('^REPOSITORY = ".*?"', f'REPOSITORY = "{address()}"', cell.source)


def execute(
  notebook,
  parameters: Mapping,
  environment: Mapping | None = None,
  timeout: float | None = None,
) -> None:
  """Runs all cells in an ordinary kernel; raises if one does.

  Args:
    notebook: takes the outputs and, if there are parameters, a cell behind its own with them.
    parameters: name -> value, instead of the notebook's.
    environment: variables of the kernel; None for those of this process.
    timeout: seconds that a cell may take; None for no limit.
  """
  if parameters:
    place = next(i for i, cell in enumerate(notebook.cells) if _is_parameters(cell))
    lines = [f"{name} = {value!r}" for name, value in parameters.items()]
    cell = nbformat.v4.new_code_cell("\n".join([*lines, *(f"print({line!r})" for line in lines)]))
    cell.metadata["instead"] = True
    notebook.cells.insert(place + 1, cell)
  client = nbclient.NotebookClient(
    notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}},
    coalesce_streams=True, record_timing=False,
  )  # fmt: skip
  client.execute(**({} if environment is None else {"env": environment}))


def digest(notebook) -> str:
  """Tells whether a cell of code was changed since the notebook was run."""
  code = "\0".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
  return hashlib.sha256(code.encode()).hexdigest()[:16]


def join_parameters(notebook) -> None:
  """Shows the parameters that were set under the notebook's own, without their cell."""
  for i, cell in enumerate(notebook.cells):
    if "instead" in cell.metadata:
      notebook.cells[i - 1].outputs += cell.outputs
      del notebook.cells[i]
      break
  code = (cell for cell in notebook.cells if cell.cell_type == "code")
  for count, cell in enumerate(code, 1):
    cell.execution_count = count
    for output in cell.outputs:
      if "execution_count" in output:
        output["execution_count"] = count


def shrink_pictures(notebook) -> None:
  """Draws all pictures in 32 greys or colours, so that a notebook stays small."""
  for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
    if "image/png" in output.get("data", ()):
      data = io.BytesIO()
      with Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))) as image:
        image.convert("RGB").quantize(32).save(data, "png", optimize=True)
      output.data["image/png"] = base64.b64encode(data.getvalue()).decode()


def _is_parameters(cell) -> bool:
  return "parameters" in cell.metadata.get("tags", ())


if __name__ == "__main__":
  main()
