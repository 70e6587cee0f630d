"""The original program's recorded numbers: forward pass, losses, gradients and training steps."""

import dataclasses
import functools
import json
import pathlib

from flax import traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import common
from headprune import gates, model, ops, optim, steps
from headprune.convert import original
from headprune.convert.__main__ import read_npz

GOLDEN = pathlib.Path(__file__).parent / "golden"
KINDS = ("baseline", "concrete")
PAIRS = 8
LAYOUTS = {  # rows of pairs
  "unpacked": [[i] for i in range(PAIRS)],
  "packed": [[0, 3, 1], [4, 5], [2, 6, 7]],
}


@functools.cache
def converted(kind):
  hp = json.loads((GOLDEN / kind / "hp.json").read_text())
  return original.from_npz(read_npz(GOLDEN / kind / "model.npz"), hp)


@functools.cache
def recorded(name):
  return read_npz(GOLDEN / name)


def pairs(record):
  """(source ids, target ids) with EOS, of a recorded batch."""
  sides = zip((record["inp"], record["out"]), (record["inp_len"], record["out_len"]))
  return [[row[:n].tolist() for row, n in zip(ids, lengths)] for ids, lengths in sides]


def pack(sources, targets, rows):
  """A batch with the pairs `rows` in each row, and pair -> (row, source slice, target slice)."""
  widths = [max(sum(len(side[i]) for i in row) for row in rows) for side in (sources, targets)]
  batch, places = {}, {i: [n] for n, row in enumerate(rows) for i in row}
  for side, letter, ids, width in zip(("src", "tgt"), "ST", (sources, targets), widths):
    names = [f"{side}_B{letter}", f"{side}_segment_B{letter}", f"{side}_position_B{letter}"]
    arrays = [np.zeros((len(rows), width), np.int32) for _ in names]
    for n, row in enumerate(rows):
      start = 0
      for segment, i in enumerate(row, 1):
        place = slice(start, start + len(ids[i]))
        for array, values in zip(arrays, (ids[i], segment, np.arange(len(ids[i])))):
          array[n, place] = values
        places[i].append(place)
        start = place.stop
    batch |= zip(names, arrays)
  return batch, places


def gate_values(kind):
  config, params = converted(kind)
  return steps.test_gates(dict.fromkeys(gates.TYPES, np.ones((2, 4), np.float32)), params)


@functools.cache
def computed(kind, layout):
  """Everything the model computes, in recorded names, cut into one entry per pair."""
  config, params = converted(kind)
  batch, places = pack(*pairs(recorded(f"{kind}/outputs.npz")), LAYOUTS[layout])

  @jax.jit
  def forward(params, batch, values):
    apply = functools.partial(model.Transformer(config).apply, {"params": params})
    enc_out, enc_self = apply(batch, values, method="encode")
    rdo, dec_self, dec_enc = apply(batch, enc_out, values, method="decode")
    logits = apply(rdo, method="logits")
    loss = ops.smoothed_loss(logits, batch["tgt_BT"], 0.1)
    attns = {"enc-self": enc_self, "dec-self": dec_self, "dec-enc": dec_enc}
    return {"enc_out": enc_out, "rdo": rdo, "logits": logits, "token_loss": loss}, attns

  values, attns = jax.device_get(forward(params["model"], batch, gate_values(kind)))
  result = []
  for i in range(PAIRS):
    row, src, tgt = places[i]
    of_pair = {name: x[row, src if name == "enc_out" else tgt] for name, x in values.items()}
    for name, layers in attns.items():
      queries, memories = src if name == "enc-self" else tgt, tgt if name == "dec-self" else src
      for n, attn in enumerate(layers):
        elsewhere = np.delete(attn[row, :, queries], np.arange(memories.start, memories.stop), -1)
        assert not elsewhere.any()  # nothing leaks into other pairs or padding
        of_pair[f"attn_weights/{name}/{n}"] = attn[row, :, queries, memories]
    result.append(of_pair)
  return result


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
  "name, tolerance", [("enc_out", 1e-4), ("rdo", 1e-4), ("logits", 1e-4), ("token_loss", 1e-5)]
)
def test_forward_pass(kind, layout, name, tolerance):
  expected = recorded(f"{kind}/outputs.npz")[name]
  for i, of_pair in enumerate(computed(kind, layout)):
    ours = of_pair[name]
    np.testing.assert_allclose(ours, expected[i, : len(ours)], rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", (0, 1))
@pytest.mark.parametrize("name", ("enc-self", "dec-self", "dec-enc"))
def test_attention_of_every_head(kind, layout, name, layer):
  key = f"attn_weights/{name}/{layer}"
  expected = recorded(f"{kind}/outputs.npz")[key]
  for i, of_pair in enumerate(computed(kind, layout)):
    heads, queries, memories = of_pair[key].shape
    assert heads == 4
    real = expected[i, :, :queries, :memories]
    np.testing.assert_allclose(of_pair[key], real, rtol=0, atol=1e-5)


def test_gates_and_penalties():
  outputs, (config, params) = recorded("concrete/outputs.npz"), converted("concrete")
  total = 0.0
  for name, (key, _) in original.TYPES.items():
    log_alpha_NH = params["gates"][name]
    for n in range(2):
      for ours, theirs in (
        (gate_values("concrete")[name][n], outputs[f"gate/{key}/{n}"].ravel()),
        (gates.p_open(log_alpha_NH[n]), outputs[f"p_open/{key}/{n}"].ravel()),
        (
          gates.penalty({name: log_alpha_NH[n : n + 1]}, {name: (4,)}),
          outputs[f"l0_penalty/{key}/{n}"],
        ),
      ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
      total += outputs[f"l0_penalty/{key}/{n}"]
  penalty = gates.penalty(params["gates"], config.heads)
  np.testing.assert_allclose(penalty, total / 6, rtol=0, atol=1e-5)
  np.testing.assert_allclose(penalty, outputs["problem/counters/concrete_reg"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_total_loss(kind):
  config, params = converted(kind)
  losses = [of_pair["token_loss"] for of_pair in computed(kind, "unpacked")]
  penalty = gates.penalty(params["gates"], config.heads)
  loss = sum(map(np.sum, losses)) / sum(map(len, losses)) + 0.1 * penalty
  expected = recorded(f"{kind}/outputs.npz")["problem/loss"]
  np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-5)


@functools.cache
def trained():
  """The recorded steps, taken here: ((metrics, gradients) of each step, final parameters)."""
  settings = json.loads((GOLDEN / "train_steps" / "config.json").read_text())
  record = recorded("train_steps/steps.npz")
  optim_config = common.base().optim
  optim_config.scale, optim_config.warmup_steps = 0.1, 4
  model_config, params = original.from_npz(read_npz(GOLDEN / "concrete/model.npz"), settings["hp"])
  labels = optim.label(params, optim_config.rules)
  schedule = optim.noam(optim_config, model_config.model_size, 8)
  setup = steps.Setup(
    model_config=model_config,
    optimizer=optim.make(optim_config, schedule, labels),
    schedule=schedule,
    labels=labels,
    fixed_gates=model.ones(model_config),
    l0_coef=settings["concrete_coef"],
    label_smoothing=0.1,
    accumulate=1,
    seed=0,
  )

  @jax.jit
  def step(state, batch, uniforms):
    metrics, grads = steps.gradients(setup, state.params, batch, uniforms, None)
    updates, opt_state = setup.optimizer.update(grads, state.opt_state, state.params)
    metrics["rate"] = schedule(state.step)
    params = optax.apply_updates(state.params, updates)
    return steps.TrainState(state.step + 1, params, opt_state), metrics, grads

  state, history = steps.init_state(setup, jax.tree.map(jnp.asarray, params)), []
  for i in range(8):
    prefix = f"step{i}/"
    here = {k.removeprefix(prefix): x for k, x in record.items() if k.startswith(prefix)}
    uniforms = {
      name: np.stack([here[f"noise/{key}/{n}"].ravel() for n in range(2)])
      for name, (key, _) in original.TYPES.items()
    }
    state, metrics, grads = step(state, model.unpacked_batch(*pairs(here), 48, 48), uniforms)
    history.append((metrics, grads))
  return history, state.params


def recorded_tree(prefix):
  """Recorded variables as a parameter tree, flat."""
  settings = json.loads((GOLDEN / "train_steps" / "config.json").read_text())
  record = recorded("train_steps/steps.npz")
  arrays = {k.removeprefix(prefix): x for k, x in record.items() if k.startswith(prefix)}
  _, params = original.from_npz(arrays, settings["hp"])
  return traverse_util.flatten_dict(params, sep="/")


def without_key_bias(path, array):
  """Drops the keys' biases, which no output depends on.

  A key bias adds the same number to all scores of a query. Its gradient is zero but for rounding,
  and Adam's normalisation turns that noise, another one in every program, into steps.
  """
  if path.endswith("qkv_bias"):
    return np.delete(array, 1, axis=0)
  return np.delete(array, 0, axis=0) if path.endswith("kv_bias") else np.asarray(array)


def test_losses_and_learning_rates_of_the_recorded_steps():
  record = recorded("train_steps/steps.npz")
  for i, (metrics, _) in enumerate(trained()[0]):
    np.testing.assert_allclose(metrics["loss"], record[f"step{i}/loss"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(metrics["rate"], record[f"step{i}/lr"], rtol=1e-6)


def test_gradients_of_the_first_recorded_step():
  ours = traverse_util.flatten_dict(trained()[0][0][1], sep="/")
  theirs = recorded_tree("step0/grad/")
  assert ours.keys() == theirs.keys()
  for path, expected in theirs.items():
    np.testing.assert_allclose(ours[path], expected, rtol=0, atol=1e-5, err_msg=path)


def test_weights_after_the_recorded_steps():
  ours = traverse_util.flatten_dict(trained()[1], sep="/")
  theirs = recorded_tree("step7/weights_after/")
  assert ours.keys() == theirs.keys()
  for path, expected in theirs.items():
    pair = (without_key_bias(path, x) for x in (ours[path], expected))
    # Weights move by up to 0.05 here. Adam magnifies the rounding of small gradients, which differs
    # from processor to processor: 1.9e-5 and 2.1e-5 were seen.
    np.testing.assert_allclose(*pair, rtol=0, atol=5e-5, err_msg=path)


def test_key_biases_change_nothing():
  config, params = converted("concrete")
  batch, _ = pack(*pairs(recorded("concrete/outputs.npz")), LAYOUTS["packed"])
  flat = traverse_util.flatten_dict(params["model"], sep="/")
  for path, array in flat.items():
    if path.endswith("kv_bias"):
      flat[path] = array.copy()
      flat[path][1 if path.endswith("qkv_bias") else 0] += 0.1
  moved = traverse_util.unflatten_dict(flat, sep="/")
  net, values = model.Transformer(config), gate_values("concrete")
  apply = jax.jit(lambda params: net.apply({"params": params}, batch, values)[0])
  np.testing.assert_allclose(apply(moved), apply(params["model"]), rtol=0, atol=1e-4)


def test_learning_rate():
  config = common.base().optim
  config.scale, config.warmup_steps = 4.0, 16000
  schedule = optim.noam(config, 512, 10**9)
  for step in (0, 1, 999, 15999, 16000, 10**6):
    s = step + 1
    expected = 4.0 * 512**-0.5 * min(s**-0.5, s * 16000**-1.5)
    np.testing.assert_allclose(schedule(step), expected, rtol=1e-5)


def test_positional_signal():
  expected = recorded("concrete/outputs.npz")["positional_signal_40"]
  np.testing.assert_allclose(ops.positions(40, 32), expected, rtol=0, atol=1e-5)
  frequency = np.exp(-np.arange(16) * np.log(1e4) / 15)
  angle = np.arange(40)[:, None] * frequency
  formula = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
  np.testing.assert_allclose(ops.positions(40, 32), formula, rtol=0, atol=1e-6)


def test_label_smoothing():
  rng = np.random.default_rng(0)
  logits, labels, vocab, e = rng.normal(size=(2, 3, 11)), rng.integers(0, 11, (2, 3)), 11, 0.1
  soft = np.full((2, 3, vocab), e / (vocab - 1))
  np.put_along_axis(soft, labels[..., None], 1 - e, axis=-1)
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  expected = (soft * (np.log(soft) - log_p)).sum(-1)
  loss = ops.smoothed_loss(jnp.asarray(logits, jnp.float32), labels, e)
  np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-5)
  best = ops.smoothed_loss(jnp.asarray(np.log(soft), jnp.float32), labels, e)
  np.testing.assert_allclose(best, 0, rtol=0, atol=1e-6)


def test_initialisers():
  config, _ = converted("concrete")
  config = dataclasses.replace(config, enc_self=(4,), dec_self=(4,), dec_enc=(4,))
  size, hidden, heads = config.model_size, config.ff_size, 4
  batch = model.unpacked_batch([[1]], [[1]], 1, 1)
  net = model.Transformer(config)
  key = jax.random.key(0, impl="unsafe_rbg")  # compiles faster
  init = jax.jit(net.init)(key, batch, model.ones(config))["params"]
  log_alphas = gates.Gates(gates.TYPES, 2, heads, "glorot").init(jax.random.key(1))["params"]
  glorot = lambda fan_in, fan_out: (6 / (fan_in + fan_out)) ** 0.5
  limits = {  # each stands for the one matrix of the original
    "src_bias": glorot(1, size),
    "logits_kernel": glorot(size, config.tgt_vocab),
    "qkv_kernel": glorot(size, 3 * size),
    "q_kernel": glorot(size, size),
    "kv_kernel": glorot(size, 2 * size),
    "attention/out_kernel": glorot(size, size),
    "in_kernel": glorot(size, hidden),
    "ffn/out_kernel": glorot(hidden, size),
    "gates": (3 / heads) ** 0.5,
  }
  flat = traverse_util.flatten_dict(init, sep="/")
  flat["gates"] = np.concatenate([np.ravel(x) for x in log_alphas.values()])
  for path, array in flat.items():
    limit = next((limits[end] for end in limits if path.endswith(end)), None)
    if limit:
      assert 0.85 * limit < np.abs(array).max() <= limit, path
      assert np.abs(array.mean()) < 0.3 * limit, path
    elif path.endswith("embed"):
      np.testing.assert_allclose(array.std(), size**-0.5, rtol=0.05)
      assert np.abs(array).max() > 2.5 * size**-0.5
    else:
      assert np.all(array == (1 if path.endswith("scale") else 0)), path
