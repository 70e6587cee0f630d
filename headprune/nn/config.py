"""What a model is, in numbers: sizes, rates and the choices in which families of models differ."""

import dataclasses

import jax.numpy as jnp

TYPES = ("enc_self", "dec_self", "dec_enc")  # attention types: encoder, decoder, cross-attention
PRECISIONS = ("bfloat16", "float32")
NORMS = ("pre", "post")
ACTIVATIONS = ("relu", "silu", "gelu")
POSITIONS = ("tensor2tensor", "huggingface")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Sizes and choices; hashable, so that modules compare equal and compiled code is reused.

  The defaults are the original program's architecture (Voita et al. 2019); what other families of
  models do differently is a field, such as those of MarianMT: post, silu, no final norms, 1e-5,
  huggingface, a logits bias, no source bias.
  """

  src_vocab: int
  tgt_vocab: int
  model_size: int
  enc_self: tuple[int, ...]  # heads of each layer
  dec_self: tuple[int, ...]
  dec_enc: tuple[int, ...]  # as many layers as dec_self
  enc_head_size: int  # channels of a head
  dec_head_size: int  # of both attentions of a decoder layer
  enc_ff_size: int
  dec_ff_size: int
  share_embeddings: bool = False  # one table: source, target, logits
  norm: str = "pre"  # x + f(LN(x)), or "post": LN(x + f(x))
  final_norms: bool = True  # a layer norm behind each stack
  norm_epsilon: float = 1e-6
  activation: str = "relu"  # of the feed-forward layers, in ACTIVATIONS
  positions: str = "tensor2tensor"  # in POSITIONS; ops.positions has their frequencies
  scale_embeddings: bool = True  # times sqrt(D), both sides
  source_bias: bool = True  # one vector added to all source embeddings
  logits_bias: bool = False
  decoder_start: int | None = None  # id read before the first target token; None reads zeros
  eos: int = 1  # id that ends a target
  pad: int | None = None  # id of padding in the target vocabulary, which no search emits
  embed_dropout: float = 0.0
  residual_dropout: float = 0.0
  attention_dropout: float = 0.0
  activation_dropout: float = 0.0
  precision: str = "float32"  # of matrix products' operands, in PRECISIONS; all else is float32
  attention_precision: str = "float32"  # of attention's two products, which have a batch axis

  @property
  def enc_layers(self) -> int:
    return len(self.enc_self)

  @property
  def dec_layers(self) -> int:
    return len(self.dec_self)

  @property
  def heads(self) -> dict[str, tuple[int, ...]]:
    """Attention type -> heads of each layer."""
    return {"enc_self": self.enc_self, "dec_self": self.dec_self, "dec_enc": self.dec_enc}

  @property
  def gate_shapes(self) -> dict[str, tuple[int, int]]:
    """Attention type -> (N, H): layers and the heads of the widest one."""
    return {name: (len(heads), max(1, *heads)) for name, heads in self.heads.items()}

  def exact(self) -> "ModelConfig":
    """The same model with all matrix products in float32."""
    return dataclasses.replace(self, precision="float32", attention_precision="float32")


def attention_precision(precision: str, platform: str) -> str:
  """What attention's two products take on a platform, such as "cpu", of a model in `precision`.

  On CPUs XLA has no bfloat16 kernel for some of their transposes, and float32 is as fast.
  """
  return "float32" if platform == "cpu" else precision


def open_gates(config: ModelConfig) -> dict:
  """Gates that change nothing: attention type -> ones [N, H]."""
  return {name: jnp.ones(shape) for name, shape in config.gate_shapes.items()}
