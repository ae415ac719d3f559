"""The threads that share large nests: native ones, which never hold Python's lock."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading

import numpy as np

from tinygraph.backends.native.runtime import entry_points
from tinygraph.config import config

__all__ = ["can_share", "pool", "threads"]

_lock = threading.Lock()
_pools: dict[int, Pool] = {}


def can_share() -> bool:
    """Whether this system has what threads wait with; elsewhere one thread does it all."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def threads() -> int:
    """How many threads compute, as ``config.threads`` says, or one on each processor that this process may use."""
    if not can_share():
        return 1
    if config.threads:
        return config.threads
    return len(os.sched_getaffinity(0))


class Pool:
    """Workers that wait for nests; one nest at a time.

    Attributes
    ----------
    address
        Of the words that workers and nests share.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        memory = np.zeros(64 + 8, dtype="int64")  # eight lines of the cache
        start = -(-memory.ctypes.data // 64) * 64
        self._memory = memory
        self.address = start
        libc = ctypes.CDLL(None)
        for _ in range(count - 1):
            handle = ctypes.c_ulong()
            worker = ctypes.c_void_p(entry_points["worker"])
            failed = libc.pthread_create(ctypes.byref(handle), None, worker, ctypes.c_void_p(start))
            if failed:
                raise OSError(failed, os.strerror(failed))
            libc.pthread_detach(handle)


def pool(count: int) -> Pool:
    """The pool of so many threads, the calling one included; made when it is first asked for."""
    with _lock:
        if count not in _pools:
            _pools[count] = Pool(count)
        return _pools[count]


def _forget() -> None:
    """A forked process has none of the threads; whoever shared a nest then does all of it."""
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
