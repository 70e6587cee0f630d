"""What earlier versions wrote into the files of a run, in the words of this one."""

from headprune.runs.presets import noam_peak


def losses(row: dict) -> dict:
  """A row of metrics or a summary; "loss" was once the name of what is minimised, smoothed."""
  names = {"loss": "objective", "xent": "smoothed_loss"}
  if "dev_smoothed_loss" not in row:
    names["dev_loss"] = "dev_smoothed_loss"
  return {names.get(name, name): value for name, value in row.items()}


def config(fields: dict) -> dict:
  """The content of a config.json with the fields that there are now; what they do is the same."""
  result = dict(fields)
  result["model"] = dict(fields["model"])
  if fields.get("data", {}).get("kind") == "corpus":  # there was one; elsewhere it has no effect
    result["data"] = fields["data"] | {"corpus": {"kind": "cldr"} | fields["data"]["corpus"]}
  result.setdefault("mrt", {})
  if "relu_dropout" in result["model"]:
    result["model"]["activation_dropout"] = result["model"].pop("relu_dropout")
  size = result["model"].get("model_size")
  result["optim"] = _rules(_schedule(fields["optim"], size, fields["train"]))
  if "pretrain" in fields:
    pretrain = fields["pretrain"]
    own = {"optim": _schedule(pretrain["optim"], size, pretrain["train"])}
    result["pretrain"] = dict(pretrain) | own
  return result


def _rules(optim: dict) -> dict:
  """An `optim` section in which what trains with the encoder is one rule, as in presets."""
  rules = list(map(list, optim.get("rules", ())))
  if rules[:2] == [["model/src_.*", "train"], ["model/enc.*", "train"]]:
    return optim | {"rules": [["model/(src_|enc).*", "train"], *rules[2:]]}
  return optim


def _schedule(optim: dict, model_size: int, train: dict) -> dict:
  """An `optim` section with Noam's scale and numbers of steps -> its peak, and shares of steps.

  A warm-up or cool-down that is longer than the run becomes the part of it that was reached.
  """
  if "warmup_steps" not in optim:
    return optim
  result, steps = dict(optim), max(train["steps"], 1)
  warmup, cooldown = max(result.pop("warmup_steps"), 1), result.pop("cooldown_steps", 0)
  peak = noam_peak(result.pop("scale"), model_size, warmup)
  result["learning_rate"] = peak * min(1.0, steps / warmup) * min(1.0, steps / max(cooldown, 1))
  return result | {"warmup": min(1.0, warmup / steps), "cooldown": min(1.0, cooldown / steps)}
