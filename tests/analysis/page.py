"""Reads the report as a browser would."""

import dataclasses
import html.parser
import json


@dataclasses.dataclass
class Grid:
  """A grid of heads: its title, and for each head where it is, what it says, and its colours."""

  title: str
  cells: list[str] = dataclasses.field(default_factory=list)  # the text in each head
  tips: list[str] = dataclasses.field(default_factory=list)
  strengths: list[list[float]] = dataclasses.field(default_factory=list)  # of each colour
  places: list[str | None] = dataclasses.field(default_factory=list)  # type, layer, head


class Page(html.parser.HTMLParser):
  """Tables as rows of texts, grids, what is folded away, other text, every address in the page."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.addresses, self.open, self.grids = [], [], [], []
    self.ids, self.files, self.folded = [], [], []  # folded: (summary, all text of it)
    self.text = self.json = ""
    self.feed(text)

  @property
  def data(self):
    """What the page's scripts read."""
    return json.loads(self.json)

  def grid(self, title):
    """The one grid with a title."""
    (found,) = [grid for grid in self.grids if grid.title == title]
    return found

  def handle_starttag(self, tag, attrs):
    found = dict(attrs)
    self.addresses += [value for name, value in attrs if name in ("src", "href")]
    self.files += [f"{found['data-svg']}.svg"] if "data-svg" in found else []
    self.files += [found["download"]] if "download" in found else []
    self.ids += [found["id"]] if "id" in found else []
    self.open.append((tag, found))
    if tag == "table":
      self.tables.append([])
    if tag == "tr":
      self.tables[-1].append([])
    if tag in ("td", "th"):
      self.tables[-1][-1].append("")
    if tag == "details":
      self.folded.append(["", ""])
    if tag == "svg":
      self.grids.append(Grid(found.get("aria-label", "")))
    if tag == "g":
      for texts in (self.grids[-1].cells, self.grids[-1].tips):
        texts.append("")
      self.grids[-1].strengths.append([])
      self.grids[-1].places.append(found.get("data-at"))
    if tag == "rect" and "fill-opacity" in found:
      self.grids[-1].strengths[-1].append(float(found["fill-opacity"]))

  def handle_endtag(self, tag):
    while self.open.pop()[0] != tag:
      pass

  def handle_data(self, data):
    tags = [tag for tag, _ in self.open]
    if "details" in tags:
      self.folded[-1]["summary" not in tags] += data
    if "g" in tags:
      grid = self.grids[-1]
      (grid.tips if tags[-1] == "title" else grid.cells)[-1] += data
    elif {"td", "th"} & set(tags):
      self.tables[-1][-1][-1] += data
    elif tags[-1:] == ["script"] and self.open[-1][1].get("type") == "application/json":
      self.json += data
    elif not {"style", "script"} & set(tags):
      self.text += data
