"""`Checkpoints`: the state of a training on disk, an epoch at a time."""

import hashlib
import io
import os
import warnings
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from specxfer.neural._errors import CheckpointError, TrainingWarning

__all__ = ["Checkpoints", "differences", "sketch"]

DIGEST = 32  # bytes of a SHA-256, behind the state in each file
CLOSE = 1e-3  # data of the same stars on another machine differ by less


class Checkpoints:
    """The state of a training on disk: the last two epochs', each whole or absent.

    Parameters
    ----------
    folder : path-like
        Made if need be; of one training alone.

    Raises
    ------
    CheckpointError
        On reading, if every file there is torn.

    Examples
    --------
    >>> import tempfile, torch
    >>> from specxfer.neural._checkpoint import Checkpoints
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Checkpoints(folder).write(1, {"weights": torch.ones(2)})
    ...     Checkpoints(folder).latest()
    {'weights': tensor([1., 1.])}
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def files(self):
        """All there are, the newest first."""
        return sorted(self.folder.glob("epoch-*.ckpt"), reverse=True)

    def write(self, epoch, state):
        """Write a state; a kill at any moment leaves this or the previous epoch's."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getbuffer()
        temporary = self.folder / "unfinished.tmp"
        with open(temporary, "wb") as file:
            file.write(payload)
            file.write(hashlib.sha256(payload).digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.folder / f"epoch-{epoch:06d}.ckpt")
        _sync_folder(self.folder)
        for old in self.files()[2:]:
            old.unlink(missing_ok=True)

    def latest(self):
        """The newest state that is whole, on the CPU; None where there is no file."""
        torn = []
        for file in self.files():
            state = _read(file)
            if state is None:
                torn.append(file.name)
                continue
            if torn:
                warnings.warn(
                    f"{', '.join(torn)} in {self.folder} is torn or damaged; training "
                    f"goes on from {file.name}.",
                    TrainingWarning,
                    stacklevel=3,
                )
            return state
        if torn:
            raise CheckpointError(
                f"{', '.join(torn)} in {self.folder} is torn or damaged, and there is "
                "no earlier one: remove it to train from the beginning."
            )
        return None


def _read(file):
    """The state in a file, or None if the file is not what was written."""
    data = file.read_bytes()
    payload, digest = data[:-DIGEST], data[-DIGEST:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def _sync_folder(folder):
    """Make the new name last through a power cut, where folders can be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def sketch(tensors):
    """What tells data apart and survives another machine's rounding.

    Parameters
    ----------
    tensors : dict of str to Tensor

    Returns
    -------
    dict of str to list of float
        Mean, root mean square and 30 values of each, by name and shape.
    """
    found = {}
    for name, tensor in tensors.items():
        values = tensor.detach().double().reshape(-1)
        some = values[:: max(len(values) // 30, 1)][:30]
        both = values.mean(), values.square().mean().sqrt()
        key = f"{name} of shape {tuple(tensor.shape)}"
        found[key] = [float(v) for v in (*both, *some)]
    return found


def differences(then, now):
    """Lines that say how two trainings differ; none if they are the same.

    Parameters
    ----------
    then, now : dict
        Names with a number, string, None, or what `sketch` gave.
    """
    found = []
    for name in dict.fromkeys([*then, *now]):
        a, b = then.get(name), now.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            parts = dict.fromkeys([*a, *b])
            found += [f"{name}: {k}" for k in parts if not _same(a.get(k), b.get(k))]
        elif a != b:
            if isinstance(a, str) and isinstance(b, str):
                lines = zip_longest(a.splitlines(), b.splitlines())
                a, b = next((x, y) for x, y in lines if x != y)
            found.append(f"{name}: {_short(a)} then, {_short(b)} now")
    return found


def _same(a, b):
    if a is None or b is None or len(a) != len(b):
        return False
    return np.allclose(a, b, rtol=CLOSE, atol=CLOSE * abs(a[1]), equal_nan=True)


def _short(value):
    return value.strip() if isinstance(value, str) else repr(value)
