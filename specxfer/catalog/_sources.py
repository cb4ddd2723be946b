"""Where the spectra of a catalogue come from, a block of rows at a time."""

from dataclasses import dataclass, field
from pathlib import PurePath

import numpy as np

from specxfer._one_spectrum import read_one, said
from specxfer.catalog._errors import CatalogError
from specxfer.spectra import Spectra

__all__ = ["Files", "Loaded", "as_source"]


@dataclass
class Loaded:
    """A block of stars in memory.

    Parameters
    ----------
    spectra : Spectra or None
        Of the stars that could be read; None if none could.
    n : int
        Stars of the block.
    at : ndarray of int
        Their places in it.
    problems : dict of int to str
        Why the others could not be read.
    may_miss : bool
        Whether that may happen here at all.
    """

    spectra: Spectra | None
    n: int
    at: np.ndarray
    problems: dict = field(default_factory=dict)
    may_miss: bool = False


@dataclass
class Files:
    """Files of one spectrum each, read where they are needed."""

    paths: list
    reader: object
    on_error: str

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, rows):
        return Files(self.paths[rows], self.reader, self.on_error)

    def picked(self, rows):
        """Those of an array of numbers."""
        return Files([self.paths[i] for i in rows], self.reader, self.on_error)

    def loaded(self):
        """Read them all, file by file."""
        found, at, problems = [], [], {}
        for i, path in enumerate(self.paths):
            try:
                found.append(read_one(self.reader, path)[0])
                at.append(i)
            except Exception as error:  # a reader may raise what it likes
                if self.on_error == "raise":
                    raise CatalogError(
                        f"{path} cannot be read ({said(error)}): what is done is "
                        'kept; mend it and call again, or give on_error="skip".'
                    ) from error
                problems[i] = f"{path}: {said(error)}"
        spectra = Spectra.concatenate(found) if found else None
        at = np.array(at, int)
        return Loaded(spectra, len(self), at, problems, self.on_error == "skip")

    def sent(self):
        """What a worker is sent."""
        return self


@dataclass
class Rows:
    """Spectra that exist, in memory or on disk."""

    spectra: Spectra

    def __len__(self):
        return len(self.spectra)

    def __getitem__(self, rows):
        return Rows(self.spectra[rows])

    picked = __getitem__

    def loaded(self):
        """Read them."""
        spectra = self.spectra.load()
        return Loaded(spectra, len(spectra), np.arange(len(spectra)))

    def sent(self):
        """What a worker is sent: a block's values, never the whole."""
        return Rows(self.spectra.load())


def as_source(source, reader, on_error):
    """What has a length, gives blocks by slices, and reads them on `loaded()`."""
    if on_error not in ("skip", "raise"):
        raise ValueError(f'on_error is {on_error!r}; expected "skip" or "raise".')
    if isinstance(source, Spectra):
        if reader is not None:
            raise ValueError("source is Spectra, which need no reader=: leave it out.")
        found = Rows(source)
    elif isinstance(source, (str, bytes, PurePath)):
        raise TypeError(
            f"source is one path, {str(source)!r}; expected Spectra, or a list of "
            f'paths, such as sorted(Path({str(source)!r}).glob("*.fits")).'
        )
    elif reader is None:
        raise TypeError(
            f"source is a {type(source).__name__}; expected Spectra, or paths of files "
            "and a reader= that makes Spectra of one."
        )
    else:
        found = Files([str(path) for path in source], reader, on_error)
    if not len(found):
        raise ValueError("source holds no star.")
    return found
