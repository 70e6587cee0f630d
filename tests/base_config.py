"""The default config with some fields changed, for tests of what follows from a config."""

from ml_collections import ConfigDict

from headprune.runs import defaults


def changed(**fields) -> ConfigDict:
  """`defaults.base()` with these fields, "__" for "."."""
  config = defaults.base()
  for field, value in fields.items():
    config.update_from_flattened_dict({field.replace("__", "."): value})
  return config.lock()
