"""What to say of paths that are not there."""

import os
from pathlib import Path

__all__ = ["is_missing", "require_folder", "seen_instead"]


def is_missing(path):
    """Whether a path is known not to be there.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    bool
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # a null character
        return True
    except OSError:  # not to be looked at is not to be missing: the reader says why
        return False
    return False


def seen_instead(path):
    """The nearest folder above a path that is there, and what it holds.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    str
    """
    place = Path(path).absolute().parent
    while is_missing(place):
        place = place.parent
    if not place.is_dir():
        return f"{place} is a file"
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        return f"{place} cannot be listed ({error.strerror})"
    some = ", ".join(names[:3]) + (", …" if names[3:] else "")
    return f"{place} is there and holds {some or 'nothing'}"


def require_folder(path):
    """Refuse to write where there is no folder to write to.

    Parameters
    ----------
    path : path-like
        Of a file.

    Raises
    ------
    FileNotFoundError
        If its folder does not exist.
    """
    folder = Path(path).parent
    if is_missing(folder):
        raise FileNotFoundError(
            f"the folder {folder} does not exist, so that {path} cannot be written: "
            f"make it, or give another ({seen_instead(folder)})."
        )
