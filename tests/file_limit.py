"""A disk that does not take all, for tests of what writes files."""

from collections.abc import Iterator
import contextlib
import resource
import signal


@contextlib.contextmanager
def bytes_of_a_file(count: int) -> Iterator[None]:
  """Lets no file of this process become larger."""
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  resource.setrlimit(resource.RLIMIT_FSIZE, (count, limit[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    signal.signal(signal.SIGXFSZ, handler)
