"""Runs that go on where they were: files that are there whole, and what a run is of."""

import json
import os
import shutil
from pathlib import Path

import numpy as np

__all__ = ["begin_run", "differences", "sweep", "write_whole"]

NOTE = "run.json"
CLOSE = 1e-3  # predictions of the same model on another machine differ by less


def write_whole(path, data):
    """Write a file that is there whole, or not at all, and stays so after a crash.

    Parameters
    ----------
    path : path-like
        An earlier file is replaced.
    data : bytes-like or sequence of bytes-like
        Written one after the other.

    Raises
    ------
    OSError
        Of that path, such as of a full disk.
    """
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            for each in data if isinstance(data, list | tuple) else (data,):
                file.write(each)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        # a write does not know where to, and nobody asked for the unfinished file
        if error.filename in (None, str(unfinished)):
            error.filename = str(path)
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def begin_run(folder, stamp, *, what, error, may_change=()):
    """Make the folder of a run, or see that it is of the same run.

    Parameters
    ----------
    folder : Path
    stamp : dict
        What tells two runs apart.
    what : str
        What the run makes.
    error : type
        What to raise if the folder holds anything else.
    may_change : sequence of (name, value)
        What may be otherwise now if it was of that value then.
    """
    note = folder / NOTE
    if note.exists():
        then = json.loads(note.read_text())
        free = {n: stamp[n] for n, value in may_change if then.get(n) == value}
        refuse_another(folder, {**then, **free}, stamp, what, error)
        if free:
            write_whole(note, json.dumps(stamp, indent=1).encode())
    elif folder.exists() and (
        not folder.is_dir() or any(path.suffix != ".tmp" for path in folder.iterdir())
    ):
        raise error(f"{folder} is no {what} and not empty: give another folder.")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps(stamp, indent=1).encode())


def refuse_another(folder, then, now, what, error):
    """Raise unless two runs are the same."""
    differ = differences(then, now)
    if differ:
        raise error(
            f"{folder} holds a {what} of another run ({differ}): give another folder, "
            "or remove this one."
        )


def differences(then, now):
    """What differs between the stamps of two runs; "" if nothing does.

    A ``sketch`` of numbers may differ by what another machine makes of the same. Of
    entries that are stamps themselves only what differs is told.
    """
    return "; ".join(_differences(then, now, ""))


def _differences(then, now, of):
    found = []
    for name in dict.fromkeys([*then, *now]):
        a, b = then.get(name), now.get(name)
        if name == "sketch":
            same = np.shape(a) == np.shape(b) and np.allclose(
                np.array(a, float), np.array(b, float), rtol=CLOSE, equal_nan=True
            )
            if not same:
                found.append("the model or its source")
        elif isinstance(a, dict) and isinstance(b, dict):
            found += _differences(a, b, f"{of}{name} ")
        elif a != b:
            found.append(f"{of}{name}: {a!r} then, {b!r} now")
    return found


def sweep(folder, patterns):
    """Remove what a kill left half written."""
    for pattern in patterns:
        for left in list(folder.glob(pattern)):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
