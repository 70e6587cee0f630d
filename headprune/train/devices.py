"""Arrays over all devices of all processes; a process drives the devices of one host."""

import math

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
import numpy as np

_SMALL = 1024  # elements; smaller arrays are not worth spreading


def mesh() -> Mesh:
  """All devices of all processes in one axis, "data"; those of a process side by side."""
  devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
  return Mesh(np.array(devices), ("data",), axis_types=(AxisType.Auto,))


def shard_batch(batch: dict, mesh: Mesh) -> dict:
  """This process's rows -> global arrays, rows sharded over all devices."""
  sharding = NamedSharding(mesh, PartitionSpec("data"))
  return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def replicate(tree, mesh: Mesh):
  """The same values on all devices."""
  return jax.device_put(jax.device_get(tree), NamedSharding(mesh, PartitionSpec()))


def spread(tree, mesh: Mesh):
  """Each array in equal parts on all devices, along its longest axis that they divide.

  Small arrays, gates among them, and those without such an axis are on every device.
  """
  return jax.device_put(tree, jax.tree.map(lambda x: _parts(np.shape(x), mesh), tree))


def _parts(shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
  axes = [i for i, size in enumerate(shape) if size % mesh.size == 0]
  if not axes or math.prod(shape) < _SMALL:
    return NamedSharding(mesh, PartitionSpec())
  longest = max(axes, key=lambda i: shape[i])
  return NamedSharding(mesh, PartitionSpec(*[None] * longest, "data"))


def gather(tree, mesh: Mesh):
  """Arrays that are spread over devices, also those of other processes, whole on the host."""
  if not all(x.is_fully_addressable for x in jax.tree.leaves(tree)):
    tree = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))(tree)
  return jax.device_get(tree)
