"""Settings made before JAX starts: eight CPU devices; code that is quick to compile."""

import gc
import os

from tests import xla_flags

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags.EIGHT_DEVICES}"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import pytest  # noqa: E402

gc.set_threshold(20_000)  # tracing makes much that stays; looking for garbage took a sixth of it
jax.config.update("jax_numpy_rank_promotion", "raise")
# Commands that are called here would turn it on; what they compile for eight devices may crash it.
jax.config.update("jax_enable_compilation_cache", False)


@pytest.fixture(autouse=True, scope="module")
def drop_compiled():
  """Frees what a file compiled: Linux gives a process 65,530 mappings, too few for all of it."""
  yield
  jax.clear_caches()
