"""Reads the report as a browser would."""

import html.parser


class Page(html.parser.HTMLParser):
  """Tables as rows of texts, the other text, and every address in the page."""

  def __init__(self, text):
    super().__init__()
    self.tables, self.rows, self.addresses, self.open = [], [], [], []
    self.text = ""
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.addresses += [value for name, value in attrs if name in ("src", "href")]
    self.open.append(tag)
    if tag == "table":
      self.tables.append([])
    if tag == "tr":
      self.tables[-1].append([])
    if tag in ("td", "th"):
      self.tables[-1][-1].append("")

  def handle_endtag(self, tag):
    while self.open.pop() != tag:
      pass

  def handle_data(self, data):
    if {"td", "th"} & set(self.open):
      self.tables[-1][-1][-1] += data
    elif not {"style", "script"} & set(self.open):
      self.text += data
