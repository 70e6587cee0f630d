"""Arrays over all devices: where they lie, and the same training."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np

from headprune.nn.config import TYPES
from headprune.train import devices, steps
from tests.train.steps_test import STEPS, initial_params, make_batch, make_config, make_knobs, run


def test_rows_lie_on_all_devices():
  mesh = devices.mesh()
  assert mesh.devices.size == jax.device_count() == 8
  batch = devices.shard_batch({"src_BS": np.arange(32).reshape(16, 2)}, mesh)
  assert {s.data.shape for s in batch["src_BS"].addressable_shards} == {(2, 2)}
  np.testing.assert_array_equal(batch["src_BS"], np.arange(32).reshape(16, 2))
  copies = devices.replicate({"a": np.arange(3)}, mesh)
  assert copies["a"].sharding.is_fully_replicated and len(copies["a"].sharding.device_set) == 8


def test_arrays_lie_in_equal_parts_along_their_longest_axis():
  mesh = devices.mesh()
  shapes = {"wide": (16, 80), "long": (80, 16), "odd": (9, 999), "small": (8, 8), "one": ()}
  tree = {name: jnp.arange(np.prod(shape)).reshape(shape) for name, shape in shapes.items()}
  placed = devices.spread(tree, mesh)
  specs = {name: x.sharding.spec for name, x in placed.items()}
  assert specs == {
    "wide": P(None, "data"), "long": P("data"), "odd": P(), "small": P(), "one": P(),
  }  # fmt: skip
  assert {s.data.shape for s in placed["wide"].addressable_shards} == {(16, 10)}
  for name, x in devices.gather(placed, mesh).items():
    assert type(x) is np.ndarray
    np.testing.assert_array_equal(x, tree[name])


def test_training_is_the_same_and_stays_spread(monkeypatch):
  monkeypatch.setattr(devices, "_SMALL", 100)
  mesh, config, knobs = devices.mesh(), make_config(), make_knobs()
  params = devices.spread(initial_params(), mesh)
  state = devices.spread(steps.init_state(config, params), mesh)
  batch, losses, placed = devices.shard_batch(make_batch(), mesh), [], _specs(state)
  kernels = [spec for spec in jax.tree.leaves(placed) if "data" in spec]
  assert len(kernels) > 60, "parameters and two moments"
  for _ in range(STEPS):
    state, metrics = steps.train_step(config, knobs, state, batch)
    state = devices.spread(state, mesh)
    losses.append(float(metrics["objective"]))
    assert _specs(state) == placed
  want = run(config, count=8)
  np.testing.assert_allclose(losses, want[0], rtol=1e-5)
  for name in TYPES:
    found = devices.gather(state.params["gates"][name], mesh)
    np.testing.assert_allclose(found, want[1]["gates"][name], atol=2e-4)


def _specs(state) -> list:
  """The sharding of each array, without axes at the end that are whole."""
  return [tuple(x.sharding.spec)[: x.ndim] for x in jax.tree.leaves(state)]
