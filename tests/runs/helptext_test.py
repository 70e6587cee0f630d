"""What --help says of configs."""

from headprune.runs import defaults, derived, helptext, presets


def test_every_field_has_the_comment_of_its_line_or_of_its_section():
  found = helptext.comments()
  assert found.keys() == derived.flatten(defaults.base()).keys() and all(found.values())
  assert found["data.corpus.dev"] == "sentence pairs"
  assert found["data.text.dev_tgt"] == 'file; the test pair may stay ""'
  assert found["model.heads.dec_self"].startswith("heads of each layer")


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
