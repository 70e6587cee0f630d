"""Dev loss, translation and sacreBLEU; `python -m headprune.evaluate` scores a run on files."""

import argparse
import json
import pathlib

import sacrebleu

from headprune import cli, decode, sources
from headprune.errors import UserError
from headprune.layers import PRECISIONS


def mean_loss(eval_step, params: dict, batches) -> float:
  """Loss per target token over all batches, summed first and divided once."""
  totals = [eval_step(params, batch) for batch in batches]
  return float(sum(loss for loss, _ in totals)) / float(sum(tokens for _, tokens in totals))


def translate_lines(
  lines, tokenizers, model_config, params: dict, gate_values: dict, config
) -> list[str]:
  """Translates lines of text with beam search.

  Args:
    lines: source text; an empty line gives an empty line.
    tokenizers: (source, target).
    model_config: the model's sizes.
    params: the model's parameters.
    gate_values: type -> gate_NH.
    config: the `eval` section.
  Returns:
    As many lines.
  """
  ids = tokenizers[0].encode(lines)
  full = [i for i, row in enumerate(ids) if row]
  beam = decode.BeamConfig(config.beams, config.alpha, config.spread)
  found = decode.translate(
    model_config, params, gate_values, [ids[i] for i in full], beam, config.batch_sentences
  )
  result = [""] * len(lines)
  for i, text in zip(full, tokenizers[1].decode([h.ids for h in found])):
    result[i] = text
  return result


def check_bleu(config) -> None:
  """Raises a UserError if sacreBLEU cannot use the tokenizer of the `eval` section."""
  known = sacrebleu.metrics.BLEU.TOKENIZERS
  if config.tokenize not in known:
    raise UserError(f"config.eval.tokenize={config.tokenize!r}: choose one of {', '.join(known)}")
  try:
    bleu(["a"], ["a"], config)
  except (ImportError, OSError, RuntimeError) as error:  # a package or a model that it lacks
    reason = " ".join(str(error).split())
    raise UserError(f"config.eval.tokenize={config.tokenize!r}: {reason}") from error


def bleu(hypotheses: list[str], references: list[str], config) -> tuple[float, str]:
  """Corpus BLEU in percent and sacreBLEU's signature, with the `eval` section's settings."""
  # force: these are pieces on purpose where the run's text is already split.
  metric = sacrebleu.metrics.BLEU(tokenize=config.tokenize, lowercase=config.lowercase, force=True)
  score = metric.corpus_score(hypotheses, [references])
  return score.score, str(metric.get_signature())


def main() -> None:
  from headprune.run import load

  parser = argparse.ArgumentParser(prog="python -m headprune.evaluate", description=__doc__)
  parser.add_argument("--workdir", required=True, help="a trained run")
  parser.add_argument("--src", required=True, help="source text, one sentence a line (.gz is fine)")
  parser.add_argument("--ref", required=True, help="reference translations, as many lines")
  parser.add_argument("--checkpoint", default="last", help="last, best, or a step")
  parser.add_argument("--precision", choices=PRECISIONS, help="of products; default: the run's")
  parser.add_argument("--out", help="file for the translations")
  args = parser.parse_args()
  src_lines, references = sources.read_parallel(args.src, args.ref)
  if args.out and not pathlib.Path(args.out).absolute().parent.is_dir():
    raise UserError(f"--out {args.out}: its folder does not exist")
  run = load(args.workdir, args.checkpoint, args.precision)
  hypotheses = run.translate(src_lines)
  if args.out:
    pathlib.Path(args.out).write_text("".join(f"{line}\n" for line in hypotheses), encoding="utf-8")
  score, signature = bleu(hypotheses, references, run.config.eval)
  print(json.dumps({"bleu": round(score, 2), "signature": signature, "sentences": len(references)}))


if __name__ == "__main__":
  cli.run(main)
