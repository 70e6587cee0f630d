"""What a run works on, and what is told of it."""

import pytest

from headprune.runs import defaults, derived
from headprune.text import special, whitespace
from headprune.train import prepare, step_settings, word_dropout
from tests import small_run


@pytest.mark.parametrize(
  "fields, line",
  [
    ({"l0.coef": 0.3}, "l0.coef 0.3 is lambda 0.05 on a plain sum over heads (6 modules)"),
    (
      {"l0.coef": 0.0, "l0.per_head": 0.05},
      "l0.coef 0.3 is lambda 0.05 on a plain sum over heads (6 modules)",
    ),
    (
      {"l0.target_heads": "12"},
      "l0.target_heads 12, aimed at after step 250 and kept exactly after step 250",
    ),
    (
      {"l0.target_heads": "12", "gates.kind": "topk", "gates.topk_start": 2.0},
      "l0.target_heads 12, chosen anew at every step, at a temperature that falls from 2 to 0.1 "
      "and kept exactly after step 250",
    ),
  ],
)
def test_what_decides_how_many_heads_stay_is_told(fields, line):
  config = defaults.config("concrete", "cldr")
  config.update_from_flattened_dict(fields)
  model = derived.model_config(config.model)
  assert prepare._how_many(config, model, step_settings.goal(config, model)[0]) == line


def test_gates_that_have_settled_do_not_begin_again_with_more_steps():
  config, longer = (defaults.config("concrete", "cldr").unlock() for _ in "ab")
  longer.train.steps = 2000  # they would settle after step 1,000
  for one in (config, longer):
    one.l0.target_heads = "12"
  (line,) = prepare._settled(longer, config, 500)
  assert line.startswith("the gates have settled after step 250 of 500 and learn no more")
  assert prepare._settled(longer, config, 250) == [], "what is saved there is from before"
  assert prepare._settled(config, config, 500) == prepare._settled(longer, longer, 500) == []


def test_words_are_hidden_as_the_config_says():
  config = defaults.config("baseline", "cldr")
  words = whitespace.Whitespace((*special.RESERVED, *small_run.WORDS))
  assert prepare._hidden(config.train, (words, words)) == (None, None)
  config.train.src_word_dropout, config.train.word_dropout_by = 0.1, "random"
  how = word_dropout.Side(0.1, None, 10, (0, 1, 2))
  assert prepare._hidden(config.train, (words, words)) == (how, None)
  config.train.src_word_dropout, config.train.tgt_word_dropout = 0.0, 0.2
  config.train.word_dropout_by = "unknown"
  how = word_dropout.Side(0.2, 2, 10, (0, 1, 2))
  assert prepare._hidden(config.train, (words, words)) == (None, how)
