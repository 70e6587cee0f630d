"""Becoming one of several processes, and ending with one line when another of them is lost."""

import atexit
import ctypes
import logging
import os
import pathlib
import signal
import sys
import tempfile
import traceback
from typing import NoReturn

import jax

from headprune.errors import UserError

LOST_AFTER = 10  # seconds without a sign of life from a process; then all others end


def connect(**address) -> None:
  """Finds the other processes; the first JAX call of a distributed run.

  Args:
    **address: `coordinator_address`, `num_processes` and `process_id` where JAX cannot find them by
      itself, as it does under Slurm, on TPU pods and in Kubernetes JobSets.
  Raises:
    UserError: nothing tells where they are.
  """
  _end_with_a_line()
  try:
    jax.distributed.initialize(
      heartbeat_timeout_seconds=LOST_AFTER, shutdown_timeout_seconds=LOST_AFTER, **address
    )
  except ValueError as error:
    raise UserError(
      f"--distributed: this is not one of several processes ({error}); leave it out, or start them "
      "by srun, on a TPU pod or in a Kubernetes JobSet, as the files in launch/ do"
    ) from error


def leave(error: Exception) -> NoReturn:
  """Ends this process at once with what went wrong; JAX then ends the others."""
  if isinstance(error, UserError):
    print(f"error: {error}", file=sys.stderr, flush=True)
    os._exit(2)
  traceback.print_exception(error)
  os._exit(1)


def _end_with_a_line() -> None:
  """Turns JAX's way to end when a process is lost, a dump and an abort, into one line and code 1.

  What native code prints (file descriptor 2) and libraries log goes into a file: of one process
  that is lost, all of the others' would fill the terminal.
  """
  sys.stderr.flush()
  sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
  log, path = tempfile.mkstemp(prefix="headprune-", suffix=".log")
  os.dup2(log, 2)
  logging.basicConfig(stream=os.fdopen(log, "w"), level=logging.WARNING, force=True)
  own = os.getpid()
  atexit.register(lambda: os.getpid() == own and pathlib.Path(path).unlink(missing_ok=True))

  def end(_):
    try:
      print(
        "error: another process was lost, so that this one ends; the same command goes on from the "
        f"last checkpoint (what JAX said of it: {path})",
        file=sys.stderr,
      )
    finally:
      os._exit(1)

  # Not signal.signal: Python would wait for its main thread, which is in the middle of a step.
  _end_with_a_line.handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
  libc = ctypes.CDLL(None)
  libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
  libc.signal(signal.SIGABRT, ctypes.cast(_end_with_a_line.handler, ctypes.c_void_p))
