"""Work shared out over threads that each keep to one core of the BLAS."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock, current_thread
from weakref import WeakSet

from threadpoolctl import ThreadpoolController

__all__ = ["blas_threads", "in_parallel"]


def in_parallel(function, items):
    """Call a function on every item, on as many threads as the BLAS would use.

    Sums and products of numpy release the interpreter's lock; element by element they
    use one core, and small matrices one as well. Each item is worked on by one thread
    of one core, so its result does not depend on how many there are.

    Parameters
    ----------
    function : callable
    items : sequence

    Returns
    -------
    list
        The results, in the order of the items.

    Examples
    --------
    >>> from specxfer._threads import in_parallel
    >>> in_parallel(abs, [-1, 2, -3])
    [1, 2, 3]
    """
    items = list(items)
    with _one_core_each() as n_threads:
        if min(n_threads, len(items)) <= 1 or current_thread() in _workers:
            return [function(item) for item in items]
        return list(_pool(n_threads).map(function, items))


def blas_threads():
    """Threads that numpy's BLAS takes just now.

    Returns
    -------
    int
    """
    return max(filter(None, (lib.get_num_threads() for lib in _blas())), default=1)


_state = {"lock": Lock(), "depth": 0, "n_threads": 1}
_workers = WeakSet()


@contextmanager
def _one_core_each():
    """Hold the BLAS to one thread; yields how many it had.

    The number of threads belongs to the process, so calls that overlap share one
    limit, and the last of them lifts it.
    """
    with _state["lock"]:
        if _state["depth"] == 0:
            _state["before"] = [lib.get_num_threads() for lib in _blas()]
            _state["n_threads"] = max(_state["before"], default=1)
            for lib in _blas():
                lib.set_num_threads(1)
        _state["depth"] += 1
        n_threads = _state["n_threads"]
    try:
        yield n_threads
    finally:
        with _state["lock"]:
            _state["depth"] -= 1
            if _state["depth"] == 0:
                for lib, number in zip(_blas(), _state["before"]):
                    lib.set_num_threads(number)


@cache
def _blas():
    return ThreadpoolController().select(user_api="blas").lib_controllers


@cache
def _pool(n_threads):
    return ThreadPoolExecutor(
        n_threads, "specxfer", lambda: _workers.add(current_thread())
    )


def _after_fork():
    """A child process has none of the threads, and may have been born in a call."""
    _pool.cache_clear()
    _state.update(lock=Lock(), depth=0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
