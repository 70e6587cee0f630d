"""Pages that need nothing else: what their templates share."""

from collections.abc import Sequence
import json
import pathlib
import string
import urllib.parse

_FOLDER = pathlib.Path(__file__).parent
_SCRIPTS = ("elements.js", "sortable.js")


def fill(template: pathlib.Path, scripts: Sequence[pathlib.Path] = (), **parts: str) -> str:
  """A page from its template, whose $style, $scripts and own places are filled.

  Args:
    template: the page's HTML.
    scripts: the page's own JavaScript, which comes after that of all pages, in strict mode.
    parts: what belongs in the template's own places.
  """
  paths = [*(_FOLDER / name for name in _SCRIPTS), *scripts]
  script = "\n".join(['"use strict";', *map(_read, paths)])
  return string.Template(_read(template)).substitute(
    style=_read(_FOLDER / "page.css"), scripts=script, **parts
  )


def download(name: str, text: str) -> str:
  """A link that saves a CSV file, which the page itself holds."""
  data = urllib.parse.quote(text)
  return f'<p><a download="{name}" href="data:text/csv;charset=utf-8,{data}">{name}</a></p>'


def _read(path: pathlib.Path) -> str:
  return path.read_text(encoding="utf-8")


def script_json(value) -> str:
  """JSON that cannot end its <script> element."""
  return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
