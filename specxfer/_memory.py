"""How much memory a piece of work takes."""

import os
import time
from pathlib import Path
from threading import Event, Thread

__all__ = ["MemoryWatch"]

EVERY = 0.02  # seconds between two looks
STATM = Path("/proc/self/statm")  # pages: total, resident, shared with files


class MemoryWatch:
    """Peak of the process's own memory while a block of code runs.

    What is mapped from files does not count. A context manager: `peak` is in MiB
    beyond what was in use at the start, NaN where the system does not tell (it does
    on Linux). Peaks shorter than 20 ms may go unseen.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer._memory import MemoryWatch
    >>> with MemoryWatch() as memory:
    ...     held = np.ones(2**20)
    >>> memory.peak >= 0 or np.isnan(memory.peak)
    True
    """

    peak = float("nan")

    def __enter__(self):
        self._start = self._now()
        if self._start is not None:
            self._most, self._stop = self._start, Event()
            self._thread = Thread(target=self._look, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_):
        if self._start is not None:
            self._stop.set()
            self._thread.join()
            self._most = max(self._most, self._now())
            self.peak = (self._most - self._start) / 2**20

    def _look(self):
        while not self._stop.is_set():
            self._most = max(self._most, self._now())
            time.sleep(EVERY)

    @staticmethod
    def _now():
        try:
            _, resident, shared, *_ = STATM.read_text().split()
        except OSError:
            return None
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
