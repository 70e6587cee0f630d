"""Everything about a run's heads in one dict, as analysis.json and the report hold it."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from headprune import config as config_lib
from headprune import evaluate, gates
from headprune.analysis import alignment, attention, compare, conllu, functions, importance, lrp
from headprune.run import Run
from headprune.tokenizer import EOS


@dataclasses.dataclass(frozen=True)
class Options:
  """What to look at and when a head has a function."""

  relations: tuple[str, ...] = functions.RELATIONS
  limits: functions.Thresholds = functions.Thresholds()
  max_offset: int = 5
  rare_top: int = 500  # sentences whose rarest token is among the most frequent ones do not count
  max_tokens: int = 128  # longer sentences are left out
  lrp_sentences: int = 200  # 0 leaves relevance out
  lrp_rule: str = lrp.DEFAULT_RULE
  bleu_sentences: int = 0  # 0 leaves BLEU after closing each head out, which is slow


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Sentence pairs as text and as ids with EOS."""

  numbers: list[int]  # lines they come from, from 0
  text: list[tuple[str, str]]
  sources: list[list[int]]
  targets: list[list[int]]


def encode(run: Run, src_lines: Sequence[str], tgt_lines: Sequence[str], max_tokens: int) -> Pairs:
  """Encodes pairs; those with an empty or a long side are left out."""
  sides = run.src_tokenizer.encode(src_lines), run.tgt_tokenizer.encode(tgt_lines)
  lengths = [sorted(map(len, pair)) for pair in zip(*sides)]
  numbers = [i for i, (short, long) in enumerate(lengths) if 0 < short and long < max_tokens]
  text = [(src_lines[i], tgt_lines[i]) for i in numbers]
  return Pairs(numbers, text, *([[*side[i], EOS] for i in numbers] for side in sides))


def scores(run: Run, pairs: Pairs, options: Options) -> tuple[float, dict]:
  """Every importance score.

  Returns:
    (-log p per target token, score -> type -> [N, H]).
  """
  model = run.model_config, run.params["model"], run.gates()
  batches = [batch for _, batch in attention.batches(pairs.sources, pairs.targets)]
  loss, increase = importance.closing(*model, batches)
  found = {"loss": increase, "gradient": importance.gradient(*model, batches)}
  if options.lrp_sentences:
    few = pairs.sources[: options.lrp_sentences], pairs.targets[: options.lrp_sentences]
    rows = attention.batches(*few, max_tokens=attention.MAX_TOKENS // 8)
    found["relevance"] = lrp.relevance(*model, (b for _, b in rows), options.lrp_rule)
  if options.bleu_sentences:
    found["bleu"] = bleu_drops(run, pairs.text[: options.bleu_sentences])
  found["gate"] = run.gates()
  if run.params["gates"]:
    p_open = {name: np.asarray(gates.p_open(a)) for name, a in run.params["gates"].items()}
    found["p_open"] = {**{n: np.array(g > 0, float) for n, g in run.gates().items()}, **p_open}
  return loss, found


def bleu_drops(run: Run, text: Sequence[tuple[str, str]]) -> dict:
  """BLEU lost by closing each open head alone, in percent points: type -> [N, H]."""
  sources, references = map(list, zip(*text))

  def bleu(gate_values):
    closed = dataclasses.replace(run, gate_values=gate_values)
    return evaluate.bleu(closed.translate(sources), references, run.config.eval)[0]

  before = bleu(run.gates())
  drops = {name: np.zeros_like(g, float) for name, g in run.gates().items()}
  for name, n, h, gate_values in importance.closed_one_by_one(run.gates(), run.model_config.heads):
    drops[name][n, h] = before - bleu(gate_values)
  return drops


def look(run: Run, pairs: Pairs, rank_V, links: Sequence[alignment.Links] | None, options: Options):
  """One pass over the attention weights of the pairs.

  Returns:
    counts: ("confidence", type), "offset", "rare" and, with links, ("align", step).
  """
  counts, model = {}, (run.model_config, run.params["model"], run.gates())
  for rows, batch in attention.batches(pairs.sources, pairs.targets):
    attn = {n: np.asarray(x) for n, x in attention.all_types(*model, batch).items()}
    src_BS = attention.words(batch["src_segment_BS"])
    tgt_BT = attention.words(batch["tgt_segment_BT"])
    sides = {"enc_self": (src_BS,) * 2, "dec_self": (tgt_BT,) * 2, "dec_enc": (tgt_BT, src_BS)}
    part = {("confidence", n): functions.confidence(attn[n], *s) for n, s in sides.items()}
    part["offset"] = functions.positional(attn["enc_self"], src_BS, options.max_offset)
    ids_BS = batch["src_BS"]
    part["rare"] = functions.rare(attn["enc_self"], ids_BS, src_BS, rank_V, options.rare_top)
    for row, i in enumerate(rows) if links is not None else ():
      right = links[pairs.numbers[i]]
      part = functions.add(part, _align(run, pairs.text[i], attn["dec_enc"][:, row], right))
    counts = functions.add(counts, part)
  return counts


def _align(run: Run, text: tuple[str, str], attn_NHTS, links: alignment.Links) -> dict:
  """Counts of one pair for the alignment error rate."""
  tokenizers = run.src_tokenizer, run.tgt_tokenizer
  units = [
    conllu.units(alignment.word_spans(line), tokenizer.spans(line))
    for line, tokenizer in zip(text, tokenizers)
  ]
  (src_words, src_units), (tgt_words, tgt_units) = units
  part = {}
  for shift, step in enumerate(alignment.STEPS):
    top_NHU = alignment.aligned(attn_NHTS, src_units, tgt_units, shift)
    part["align", step] = alignment.count_links(top_NHU, src_words, tgt_words, links), 1
  return part


def syntax(run: Run, parsed: Sequence[conllu.Sentence], options: Options):
  """Accuracy of each encoder head on the relations of parsed sentences.

  Returns:
    (relation -> accuracy_NH, relation -> (most frequent offset, its accuracy), relation -> cases).
  """
  tokenizer = run.src_tokenizer
  ids = [[*row, EOS] for row in tokenizer.encode([sentence.text for sentence in parsed])]
  chosen = [i for i, row in enumerate(ids) if 1 < len(row) <= options.max_tokens]
  units = {i: conllu.units(parsed[i].spans, tokenizer.spans(parsed[i].text)) for i in chosen}
  cases = {i: functions.cases(parsed[i], units[i][0], options.relations) for i in chosen}
  counts, model = {}, (run.model_config, run.params["model"], run.gates())
  for rows, batch in attention.batches([ids[i] for i in chosen], [[]] * len(chosen)):
    attn_NBHSS = np.asarray(attention.encoder(*model, batch))
    for row, i in enumerate(chosen[j] for j in rows):
      top_NHU = functions.pointed_units(attn_NBHSS[:, row], units[i][1])
      counts = functions.add(counts, functions.syntactic(top_NHU, cases[i]))
  accuracy = {name: functions.share(count) for name, count in sorted(counts.items())}
  numbers = {name: count[1] for name, count in counts.items()}
  return accuracy, functions.baselines(list(cases.values())), numbers


def sizes(pairs: Pairs, parsed) -> dict[str, int]:
  """How much there is to look at: sentence pairs and parsed sentences."""
  return {"text": len(pairs.text), "parsed": len(parsed or ())}


def survey(run: Run, pairs: Pairs, rank_V, parsed=None, links=None, options=Options()) -> dict:
  """All scores and functions of a run's heads, ready for JSON.

  Args:
    run: a run.
    pairs: sentence pairs, such as the dev set, from `encode`.
    rank_V: rank of source ids by frequency, from functions.ranks.
    parsed: sentences with their syntax, from conllu.read.
    links: word alignments of all lines that `pairs` come from, from alignment.read.
    options: what to look at.
  """
  loss, found = scores(run, pairs, options)
  counts = look(run, pairs, rank_V, links, options)
  found["confidence"] = {name: functions.share(counts["confidence", name]) for name in gates.TYPES}
  for step in alignment.STEPS if links is not None else ():
    error_NH = alignment.error_rate(counts["align", step][0])
    found[f"alignment error, {step}"] = {"dec_enc": error_NH}
  offset_ONH, rare_2NH = functions.share(counts["offset"]), functions.share(counts["rare"])
  accuracy, baseline, numbers = syntax(run, parsed, options) if parsed else ({}, {}, {})
  common_O11 = functions.common(np.asarray(counts["offset"][1]))[:, None, None]
  enough = {name: x for name, x in accuracy.items() if numbers[name] >= options.limits.cases}
  labels = functions.label(offset_ONH * common_O11, enough, baseline, rare_2NH[0], options.limits)
  heads = config_lib.heads_as_lists(run.gates(), run.model_config.heads)
  encoder = {"rarest": rare_2NH[0], "one of two rarest": rare_2NH[1]}
  encoder |= {f"position {o - options.max_offset:+d}": x for o, x in enumerate(offset_ONH)}
  as_lists = lambda by_type: _ragged(by_type, run.model_config.heads)
  return {
    "run": run.workdir.name,
    "options": dataclasses.asdict(options),
    "sentences": sizes(pairs, parsed),
    "rare_tokens": counts["rare"][1],
    "loss": loss,
    "heads": heads,
    "scores": {name: as_lists(by_type) for name, by_type in found.items()},
    "encoder": {n: as_lists({"enc_self": x})["enc_self"] for n, x in (encoder | accuracy).items()},
    "relations": {
      name: {"offset": baseline[name][0], "baseline": baseline[name][1], "cases": numbers[name]}
      for name in accuracy
    },
    "labels": [row[:count] for row, count in zip(labels, run.model_config.enc_self)],
    "functions": compare.holders(labels, heads["enc_self"]),
    "kinds": compare.count_kinds(labels, heads["enc_self"]),
    "aligning": _aligning(found, run, options.limits.aligning),
    "correlations": _correlations(found, run),
  }


def _aligning(found: dict, run: Run, limit: float) -> list[tuple[int, int]] | None:
  """Open cross-attention heads that align at one of the steps; None without alignments."""
  errors = [by["dec_enc"] for name, by in found.items() if name.startswith("alignment error")]
  if not errors:
    return None
  is_open_NH = importance.open_heads(run.gates()["dec_enc"], run.model_config.dec_enc)
  aligns_NH = is_open_NH & (np.min(errors, axis=0) <= limit)
  return [(int(n), int(h)) for n, h in np.argwhere(aligns_NH)]


def _ragged(by_type: dict, heads: dict) -> dict:
  """Arrays [N, H] as lists that hold a number for each head that there is."""
  return config_lib.heads_as_lists(by_type, {name: heads[name] for name in by_type})


def _correlations(found: dict, run: Run) -> dict:
  """Rank correlations between the scores of all open heads: type -> names and a matrix."""
  result = {}
  for kind in gates.TYPES:
    is_open_NH = importance.open_heads(run.gates()[kind], run.model_config.heads[kind])
    values = {name: by_type[kind][is_open_NH] for name, by_type in found.items() if kind in by_type}
    values = {name: x for name, x in values.items() if x.size > 2 and np.ptp(x) > 0}
    if len(values) > 1:
      matrix = importance.correlations(values).round(3).tolist()
      result[kind] = {"names": list(values), "matrix": matrix}
  return result


def maps(run: Run, sources: Sequence[str], targets: Sequence[str] | None) -> list[dict]:
  """Attention weights of a few pairs: pieces, and type -> layer -> head -> weights in 0..255."""
  found = []
  for attn in run.attention(list(sources), None if targets is None else list(targets)):
    weights = {
      name: [[np.rint(w_NHQM[n, h] * 255).astype(int).tolist() for h in range(count)]
             for n, count in enumerate(run.model_config.heads[name])]
      for name, w_NHQM in attn.weights.items()
    }  # fmt: skip
    found.append({"source": attn.source, "target": attn.target, "weights": weights})
  return found
