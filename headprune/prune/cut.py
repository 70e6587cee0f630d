"""Cutting dead heads out: the same function of source and target, with fewer heads.

A head whose test-time gate is 0 adds nothing: its part of every projection is dropped. Another gate
is a factor of its head's rows of the output projection. What is left is an ordinary model with
fewer heads, all of whose gates are one.
"""

import dataclasses
import functools

from flax import traverse_util
import jax
from ml_collections import ConfigDict
import numpy as np

from headprune.nn.config import TYPES, open_gates
from headprune.nn.transformer import init_params
from headprune.runs import presets
from headprune.translator.translator import Translator

_PLACES = {  # attention type -> its place in the parameter tree
  "enc_self": ("encoder", "self_attention"),
  "dec_self": ("decoder", "self_attention"),
  "dec_enc": ("decoder", "cross_attention"),
}


def cut(translator: Translator) -> Translator:
  """The same model without its closed heads and without gates; heads keep their order."""
  params, heads = dict(translator.params), {}
  for name, (stack, module) in _PLACES.items():
    kept = []
    for n, count in enumerate(translator.config.heads[name]):
      gate_H = np.asarray(translator.gate_values[name])[n, :count]
      layer = params[f"{stack}_{n}"]
      params[f"{stack}_{n}"] = layer | {module: _cut_attention(layer[module], gate_H)}
      kept.append(int(np.count_nonzero(gate_H)))
    heads[name] = tuple(kept)
  config = dataclasses.replace(translator.config, **heads)
  return Translator(config, params, open_gates(config))


def _cut_attention(params: dict, gate_H: np.ndarray) -> dict:
  """One attention's parameters; of one without heads, the output bias."""
  kept = np.flatnonzero(gate_H)
  if not len(kept):
    return {"out_bias": params["out_bias"]}
  result = {}
  for name, x in params.items():
    if name == "out_kernel":
      x = x[kept] * gate_H[kept, None, None]
    elif name != "out_bias":
      x = np.take(x, kept, axis=-2)  # all others end in [H, K]
    result[name] = x
  return result


def pad(translator: Translator, heads: dict[str, tuple[int, ...]]) -> Translator:
  """The other way: the same function with more heads, for formats that count them evenly.

  Args:
    translator: without gates.
    heads: attention type -> heads of each layer, none fewer than there are.
  Returns:
    a model whose added heads are zeros, behind the others.
  """
  config = dataclasses.replace(translator.config, **heads)
  shapes = jax.eval_shape(functools.partial(init_params, config), jax.random.key(0))
  known = traverse_util.flatten_dict(translator.params)
  params = {}
  for path, leaf in traverse_util.flatten_dict(shapes).items():
    params[path] = np.zeros(leaf.shape, np.float32)
    if path in known:  # an attention without heads has an output bias alone
      params[path][tuple(map(slice, known[path].shape))] = known[path]
  return Translator(config, traverse_util.unflatten_dict(params), open_gates(config))


def smaller_config(config: ConfigDict, heads: dict[str, tuple[int, ...]]) -> ConfigDict:
  """A run's config with these heads in each layer and no gates, as a model that stands alone."""
  result = ConfigDict(config.to_dict())
  result.init_from, result.gates.kind, result.gates.fixed_from = "", "none", ""
  result.gates.chosen_by = result.gates.chosen_for = ""  # of heads that are gone
  result.update_from_flattened_dict(presets.NO_PENALTY)
  result.train.distill = 0.0  # there is no run to learn from
  result.eval.average = 1  # of one checkpoint, which may be an average already
  for name in TYPES:
    result.model.heads[name] = heads[name]
    result.gates.fixed[name] = ()
  if "pretrain" in result:
    del result.pretrain
  return result.lock()


def table(before: Translator, after: Translator) -> str:
  """How many heads stay, by type and layer."""
  total, kept = (sum(map(sum, t.config.heads.values())) for t in (before, after))
  gates = map(np.asarray, before.gate_values.values())
  folded = sum(int(np.sum((g != 0) & (g != 1))) for g in gates)
  rows = [f"{kept} of {total} heads stay, {folded} of them with a gate to fold in"]
  if kept == total and not folded:
    rows = [f"all {total} heads are open and no gate is to fold in: nothing to cut, only copied"]
  for name, counts in before.config.heads.items():
    shown = "  ".join(f"{a}/{b}" for a, b in zip(after.config.heads[name], counts))
    rows.append(f"  {name:<10}{shown}   (layer 1 first)")
  return "\n".join(rows)
