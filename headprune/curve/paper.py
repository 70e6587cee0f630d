"""The published curves: Voita et al. 2019, figure 7 and table 2, English-Russian."""

from headprune.nn.config import TYPES

HEADS = 48  # of each attention type: six layers of eight heads

# Encoder heads kept -> BLEU; the first is the model before pruning (figure 7).
ENCODER = {
  "WMT": {48: 29.60, 35: 29.70, 19: 29.56, 10: 29.45, 8: 29.26, 5: 29.08, 3: 28.54, 2: 28.26},
  "OpenSubtitles": {48: 32.40, 14: 32.43, 11: 32.20, 4: 32.15, 1: 31.46},
}
# Heads kept of each type in TYPES -> BLEU (table 2).
TABLE_2 = {
  "WMT": {
    (48, 48, 48): 29.60, (14, 31, 30): 29.62, (12, 21, 25): 29.36, (8, 13, 15): 29.06,
    (5, 9, 12): 28.90,
  },
}  # fmt: skip


def changes(types: tuple[str, ...]) -> dict[str, list[tuple[float, float]]]:
  """Data set -> (share of the heads that are kept, BLEU less that of the whole model).

  Args:
    types: attention types that may lose heads; there are curves for the encoder and for all.
  """
  if types == ("enc_self",):
    return {
      name: [(kept / HEADS, bleu - curve[HEADS]) for kept, bleu in curve.items()]
      for name, curve in ENCODER.items()
    }
  if len(types) < 3:
    return {}
  return {
    name: [(sum(kept) / sum(full), bleu - curve[full]) for kept, bleu in curve.items()]
    for name, curve in TABLE_2.items()
    for full in [max(curve)]
  }


def kept_by_type() -> dict[str, list[tuple[float, float]]]:
  """Attention type -> (share of all heads that are kept, share of its own), as figure 9 has it."""
  (curve,) = TABLE_2.values()
  return {
    name: [(sum(kept) / (3 * HEADS), kept[i] / HEADS) for kept in curve]
    for i, name in enumerate(TYPES)
  }
