"""Huge memory pages for a command, which glibc reads of its environment only at its start.

HEADPRUNE_HUGE_PAGES=0 keeps a command from restarting itself for them.
"""

import os
import platform
import sys

_TUNABLES = "GLIBC_TUNABLES"


def restart() -> None:
  """Starts the program once more with huge pages for malloc, if it has not been.

  XLA takes its buffers from malloc anew at each step; with small pages a train step on two CPU
  cores spends a quarter of its time on page faults.
  """
  wanted = os.environ.get("HEADPRUNE_HUGE_PAGES", "1") != "0"
  if wanted and platform.libc_ver()[0] == "glibc" and _TUNABLES not in os.environ:
    os.environ[_TUNABLES] = "glibc.malloc.hugetlb=1"
    os.execv(sys.executable, [sys.executable] + sys.orig_argv[1:])
