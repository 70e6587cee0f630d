"""What --help says of configs."""

from headprune.runs import defaults, helptext, presets


def test_fields_stand_in_the_order_in_which_they_are_explained():
  for config in (None, defaults.config("concrete")):  # the latter has those of `pretrain` as well
    lines = [line[2:].split() for line in helptext.text(config).split("\n")]
    first = lines.index(["seed", "0", *defaults.FIELDS["seed"][1].split()])
    names = [line[0] for line in lines[first:] if line]
    assert names[: len(defaults.FIELDS)] == list(defaults.FIELDS)
    assert all(name.startswith("pretrain.") for name in names[len(defaults.FIELDS) :])
    assert lines[first - 1] == lines[first + 3] == []  # a blank line before each section


def test_methods_and_presets_have_a_line_each():
  assert presets.METHODS.keys() == defaults.PARTS.keys()
  assert presets.ABOUT.keys() == presets.TASKS.keys()
  lines = helptext.text(None).split("\n")
  assert "  multi30k   " + presets.ABOUT["multi30k"] in lines
  assert "  (none)     " + presets.ABOUT[""] in lines


def test_fields_with_their_values():
  rows = lambda config: {
    line[2:].split()[0]: line for line in helptext.text(config).split("\n") if "." in line[2:40]
  }
  plain, enru = rows(None), rows(defaults.config("concrete", "enru"))
  assert plain["optim.learning_rate"].split()[:2] == ["optim.learning_rate", "0.00625"]
  assert enru["optim.learning_rate"].split()[:3] == ["*", "optim.learning_rate", "0.00441942"]
  assert enru["train.keep"].startswith("  train.keep  ")  # as by default
  assert enru["pretrain.train.steps"].split()[1:] == ["2400", "optimiser", "steps"]
