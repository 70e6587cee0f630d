"""Pages that need nothing else: what their templates share."""

import json
import pathlib
import string

_FOLDER = pathlib.Path(__file__).parent


def fill(template: pathlib.Path, **parts: str) -> str:
  """A page from its template, whose $style, $sorting and own places are filled."""
  shared = {"style": "page.css", "sorting": "sortable.js"}
  texts = {place: _read(_FOLDER / name) for place, name in shared.items()}
  return string.Template(_read(template)).substitute(texts, **parts)


def _read(path: pathlib.Path) -> str:
  return path.read_text(encoding="utf-8")


def script_json(value) -> str:
  """JSON that cannot end its <script> element."""
  return json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
