"""The tensors of a MarianMT model: names, shapes, and where each stands in our parameter tree."""

from collections.abc import Iterator, Mapping
import dataclasses
import pathlib

from flax import traverse_util
import numpy as np
import safetensors
import safetensors.numpy

from headprune.errors import UserError
from headprune.files import check_fetched
from headprune.nn import ops
from headprune.nn.config import ModelConfig

_FLOATS = ("float64", "float32", "float16", "bfloat16")
_SHARED = "model.shared.weight"
_ENCODER, _DECODER = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
_POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")


@dataclasses.dataclass(frozen=True)
class Tensor:
  """One tensor of the file, and the parameter that it is or that it is a part of."""

  name: str
  shape: tuple[int, ...]
  path: str  # in the parameter tree
  our_shape: tuple[int, ...]  # of the part
  transposed: bool = False  # [out, in] there, [in, out] here
  part: int | None = None  # which projection of a fused one

  def to_ours(self, array: np.ndarray) -> np.ndarray:
    return (array.T if self.transposed else array).reshape(self.our_shape)

  def to_theirs(self, param: np.ndarray) -> np.ndarray:
    x = param if self.part is None else np.take(param, self.part, axis=-3)
    flat = x.reshape(self.shape[::-1] if self.transposed else self.shape)
    return np.ascontiguousarray(flat.T if self.transposed else flat, np.float32)


def layout(c: ModelConfig) -> Iterator[Tensor]:
  """Every tensor of a model whose layers are whole; one that we have twice comes twice."""
  size = c.model_size
  yield Tensor("final_logits_bias", (1, c.tgt_vocab), "logits_bias", (c.tgt_vocab,))
  src, tgt = (c.src_vocab, size), (c.tgt_vocab, size)
  if c.share_embeddings:
    yield Tensor(_SHARED, tgt, "shared_embed", tgt)
  else:
    yield Tensor(_ENCODER, src, "src_embed", src)
    yield Tensor(_DECODER, tgt, "tgt_embed", tgt)
    yield Tensor(_DECODER, tgt, "logits_kernel", tgt[::-1], transposed=True)
  for stack, layers in (("encoder", c.enc_layers), ("decoder", c.dec_layers)):
    for n in range(layers):
      yield from _layer(c, stack, f"model.{stack}.layers.{n}", f"{stack}_{n}")


def _layer(c: ModelConfig, stack: str, name: str, path: str) -> Iterator[Tensor]:
  size = c.model_size
  depth, hidden = getattr(c, f"{stack[:3]}_head_size"), getattr(c, f"{stack[:3]}_ff_size")
  split = size // depth, depth
  yield from _attention(f"{name}.self_attn", f"{path}/self_attention", size, split, "qkv")
  yield from _norm(f"{name}.self_attn_layer_norm", f"{path}/self_norm", size)
  if stack == "decoder":
    yield from _attention(f"{name}.encoder_attn", f"{path}/cross_attention", size, split, "kv")
    yield from _norm(f"{name}.encoder_attn_layer_norm", f"{path}/cross_norm", size)
  for fc, ours, i, o in (("fc1", "in", size, hidden), ("fc2", "out", hidden, size)):
    yield Tensor(f"{name}.{fc}.weight", (o, i), f"{path}/ffn/{ours}_kernel", (i, o), True)
    yield Tensor(f"{name}.{fc}.bias", (o,), f"{path}/ffn/{ours}_bias", (o,))
  yield from _norm(f"{name}.final_layer_norm", f"{path}/ffn_norm", size)


def _attention(
  name: str, path: str, size: int, split: tuple[int, int], fused: str
) -> Iterator[Tensor]:
  """One attention; `split` is its heads and their size. Head h owns rows hK to (h + 1)K."""
  square = size, size
  for x in "qkv":
    part = fused.index(x) if x in fused else None
    prefix = f"{path}/{'q' if part is None else fused}"
    weight, bias = f"{name}.{x}_proj.weight", f"{name}.{x}_proj.bias"
    yield Tensor(weight, square, f"{prefix}_kernel", (size, *split), True, part)
    yield Tensor(bias, (size,), f"{prefix}_bias", split, False, part)
  yield Tensor(f"{name}.out_proj.weight", square, f"{path}/out_kernel", (*split, size), True)
  yield Tensor(f"{name}.out_proj.bias", (size,), f"{path}/out_bias", (size,))


def _norm(name: str, path: str, size: int) -> Iterator[Tensor]:
  yield Tensor(f"{name}.weight", (size,), f"{path}/scale", (size,))
  yield Tensor(f"{name}.bias", (size,), f"{path}/bias", (size,))


def read(path: pathlib.Path, config: ModelConfig) -> dict:
  """The parameters of a model.

  Args:
    path: of model.safetensors.
    config: its sizes, all layers whole.
  Returns:
    our parameter tree, float32.
  Raises:
    UserError: the file or one of its tensors cannot be used; names it.
  """
  try:
    with path.open("rb") as file:
      check_fetched(path, file.read(100))
    arrays = safetensors.numpy.load_file(path)
  except FileNotFoundError:
    raise UserError(f"{path}: no such file") from None
  except (AttributeError, OSError, TypeError, ValueError, safetensors.SafetensorError) as error:
    reason = " ".join(str(error).split())
    raise UserError(f"{path}: damaged, or not a file of plain tensors ({reason})") from error
  try:
    return from_tensors(config, arrays)
  except UserError as error:
    raise UserError(f"{path}: {error}") from None


def from_tensors(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> dict:
  """Parameters of a model's tensors; see `read`."""
  arrays = _without_copies(config, arrays)
  parts, names = {}, set()
  for tensor in layout(config):
    if tensor.name not in arrays:
      raise UserError(f"tensor {tensor.name} is missing")
    names.add(tensor.name)
    array = tensor.to_ours(_checked(tensor.name, arrays[tensor.name], tensor.shape))
    parts.setdefault(tensor.path, []).append(array)
  superfluous = sorted(arrays.keys() - names)
  if superfluous:
    raise UserError(
      f"tensor {superfluous[0]} is superfluous ({len(superfluous)} in all): config.json has no "
      "place for it"
    )
  # q, k and v of a fused projection come in this order.
  flat = {path: np.stack(x, axis=-3) if len(x) > 1 else x[0] for path, x in parts.items()}
  return traverse_util.unflatten_dict(flat, sep="/")


def _checked(name: str, array: np.ndarray, shape: tuple) -> np.ndarray:
  """A tensor in float32."""
  if array.shape != shape:
    raise UserError(f"tensor {name} has shape {array.shape}, expected {shape}")
  if array.dtype.name not in _FLOATS:
    raise UserError(f"tensor {name} has type {array.dtype}, expected float32, float16 or bfloat16")
  with np.errstate(over="ignore"):
    array = np.asarray(array, np.float32)
  if not np.isfinite(array).all():
    raise UserError(f"tensor {name} has values that are not finite (NaN or infinity)")
  return array


def _without_copies(config: ModelConfig, arrays: Mapping[str, np.ndarray]) -> dict:
  """`arrays` without what older files hold twice or could do without, which is checked."""
  arrays = dict(arrays)
  output = _SHARED if config.share_embeddings else _DECODER
  copies = ("lm_head.weight", *((_ENCODER, _DECODER) if config.share_embeddings else ()))
  for name in copies:
    copy = arrays.pop(name, None)
    if copy is not None and not np.array_equal(arrays.setdefault(output, copy), copy):
      raise UserError(f"tensor {name} is not a copy of {output}: they are tied in MarianMT")
  for name in _POSITIONS:
    table = arrays.pop(name, None)
    if table is not None:
      length = table.shape[0] if table.ndim == 2 else 0
      table = _checked(name, table, (length, config.model_size))
      expected = ops.positions(length, config.model_size, "huggingface")
      if np.max(np.abs(table - expected), initial=0) > 1e-2:  # it may be in half precision
        raise UserError(f"tensor {name} is not MarianMT's table of positions")
  return arrays


def to_tensors(config: ModelConfig, params: Mapping) -> dict[str, np.ndarray]:
  """The other way: the tensors of parameters; `from_tensors` gives the same parameters back.

  Args:
    config: sizes, all layers whole.
    params: our parameter tree.
  Raises:
    UserError: the target embedding and the output layer differ, which are tied in MarianMT.
  """
  flat = traverse_util.flatten_dict(params, sep="/")
  arrays = {}
  for tensor in layout(config):
    array = tensor.to_theirs(np.asarray(flat[tensor.path]))
    if not np.array_equal(arrays.setdefault(tensor.name, array), array):
      raise UserError(
        "model/logits_kernel is not model/tgt_embed transposed, but MarianMT has one table for "
        "both: training unties them unless config.optim.rules freeze them"
      )
  return arrays
