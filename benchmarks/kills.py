"""Runs that are killed (SIGKILL) at random moments and called again."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np

__all__ = ["contents", "in_child", "kills"]


def contents(folder):
    """Every file below a folder, and what is in it."""
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def in_child(function, kill_after=None):
    """Call a function in a process of its own; whether it came to its end."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def kills(name, make, folder, n_kills, parts):
    """Kill runs at random moments; whether each ends with the bytes of an unbroken one.

    Parameters
    ----------
    name : str
        Of what is killed.
    make : callable
        Makes a folder, or goes on with it.
    folder : Path
        Where to; the unbroken run stays there as ``whole``.
    n_kills : int
    parts : str
        Pattern of the files that say that a part is done.
    """
    whole, broken = folder / "whole", folder / "broken"
    start = time.perf_counter()
    in_child(partial(make, whole))
    took = time.perf_counter() - start
    expected = contents(whole)
    rng = np.random.default_rng(1)
    same = midway = tries = 0
    while tries < n_kills:
        if in_child(partial(make, broken), rng.uniform(0, took)):
            shutil.rmtree(broken)  # it was faster than the kill
            continue
        tries += 1
        midway += any(broken.glob(parts))
        again = in_child(partial(make, broken))
        same += again and contents(broken) == expected
        shutil.rmtree(broken)
    print(
        f"killed {n_kills} times, {name}: {same} times the same bytes in the end "
        f"({midway} times some parts were done, and not all)",
        flush=True,
    )
    return same == n_kills
