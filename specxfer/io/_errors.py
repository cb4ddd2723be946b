"""Why a file, or a store, was refused: `ReadError`, `ReadWarning`, `StoreError`."""

from contextlib import contextmanager

import numpy as np

__all__ = ["ReadError", "ReadWarning", "StoreError", "damage_is_a_refusal"]


class ReadError(ValueError):
    """A file that cannot be read as what it was given for.

    Parameters
    ----------
    path : str
        The file.
    reason : str
        What was seen, and what to do about it.
    format : str, default="unknown"
        What the file looked like.

    Examples
    --------
    >>> print(ReadError("star.fits", "it is empty"))
    star.fits: it is empty
    """

    def __init__(self, path, reason, format="unknown"):
        super().__init__(str(path), reason, format)  # all three, so that it pickles
        self.path = str(path)
        self.reason = reason
        self.format = format

    def __str__(self):
        return f"{self.path}: {self.reason}"


class ReadWarning(UserWarning):
    """Of many files none could be read."""


class StoreError(ValueError):
    """A store that cannot be made, or not in this folder, or that is damaged."""


@contextmanager
def damage_is_a_refusal(path):
    """Turn what a nonsensical header or table makes Python raise into a `ReadError`."""
    try:
        with np.errstate(all="ignore"):  # damaged data hold NaN, infinity and 1e300
            yield
    except ReadError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        detail = " ".join(f"{type(e).__name__}: {e}".split())[:150]
        raise ReadError(
            path, f"it is damaged: its contents make no sense ({detail})"
        ) from e
