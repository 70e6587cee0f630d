"""How good a model is while it trains, on all devices: dev losses, translations, BLEU and chrF."""

import jax

from headprune.files import write_text
from headprune.runs import heads as heads_lib
from headprune.runs import targets
from headprune.runs.run import Run
from headprune.text import bleu, chrf
from headprune.train import prepare, processes, steps
from headprune.translator.translator import Translator


def dev_losses(job: prepare.Job, params: dict) -> dict:
  """Losses per target token over all batches, summed first and divided once."""
  _, gate_values = _as_tested(job, params["gates"])
  model = job.step_config, params["model"], gate_values
  totals = [steps.eval_step(*model, batch) for batch in job.dev_batches]
  loss, smoothed, tokens = (float(sum(values)) for values in zip(*totals))
  return {"dev_loss": loss / tokens, "dev_smoothed_loss": smoothed / tokens}


def translate(job: prepare.Job, params: dict, splits: list[str], step: int) -> dict:
  """Translates splits into files, gates as at test time.

  Each process translates its share of the sentences, on one of its devices.

  Returns:
    {"{split}_bleu": ..., "{split}_chrf": ..., "signature": BLEU's}.
  """
  row, run = {}, evaluated(job, params)
  number, count = processes.share()
  for split in splits:
    sources, references = job.text[split]
    with processes.meeting("translating"):
      own = run.translate(sources[number::count])
    lines = processes.join(own)
    with processes.meeting("writing translations"):
      if processes.is_first():
        path = job.workdir.translations(split, step)
        write_text(path, "".join(f"{line}\n" for line in lines))
    row[f"{split}_bleu"], row["signature"] = bleu.score(lines, references, run.config.eval)
    row[f"{split}_chrf"], _ = chrf.score(lines, references, run.config.eval.lowercase)
  return row


def evaluated(job: prepare.Job, params: dict) -> Run:
  """The run as it would be loaded with these parameters."""
  log_alphas, gate_values = _as_tested(job, params["gates"])
  translator = Translator(job.step_config.model, params["model"], gate_values)
  return Run(job.workdir, job.config, translator, log_alphas, *job.tokenizers)


def gate_lists(job: prepare.Job, log_alphas: dict) -> dict:
  """Test-time gates as heads.json holds them."""
  _, gate_values = _as_tested(job, log_alphas)
  return heads_lib.as_lists(jax.device_get(gate_values), job.step_config.model.heads)


def _as_tested(job: prepare.Job, log_alphas: dict) -> tuple[dict, dict]:
  model, fixed_gates = job.step_config.model, job.knobs.fixed_gates
  return targets.as_tested(job.config, model, fixed_gates, log_alphas)
