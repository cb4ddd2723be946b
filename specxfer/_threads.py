"""Work shared out over threads that each keep to one core of the BLAS."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Lock, current_thread
from weakref import WeakSet

from threadpoolctl import ThreadpoolController

__all__ = ["in_parallel", "one_core_each"]


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
    with one_core_each() as n_threads:
        if min(n_threads, len(items)) <= 1:
            return [function(item) for item in items]
        return list(_pool(n_threads).map(function, items))


@contextmanager
def one_core_each():
    """Hold the BLAS to one thread.

    The number of threads belongs to the process, so calls that overlap share one
    limit, and the last of them lifts it.

    Yields
    ------
    int
        Threads to share work out over: as many as the BLAS had, one where this is
        already part of shared work.
    """
    with _state["lock"]:
        if _state["depth"] == 0:
            _state["before"] = [lib.get_num_threads() or 1 for lib in _blas()]
            _state["n_threads"] = max(_state["before"], default=1)
            _set_threads(1)
        _state["depth"] += 1
        n_threads = _state["n_threads"]
    try:
        yield 1 if current_thread() in _workers else n_threads
    finally:
        with _state["lock"]:
            _state["depth"] -= 1
            if _state["depth"] == 0:
                _set_threads()


_state = {"lock": Lock(), "depth": 0, "n_threads": 1}
_workers = WeakSet()


def _set_threads(number=None):
    """Set the BLAS to one number of threads or to what it had, whichever thread asks.

    Of an OpenBLAS, threadpoolctl since 3.8 heeds only the thread that set it first,
    and nobody else for as long as that lives.
    """
    for lib, before in zip(_blas(), _state["before"]):
        if before != 1:
            release = getattr(lib, "clear_controlling_thread", lambda force: None)
            release(force=True)
            lib.set_num_threads(number or before)
            release(force=True)


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
