"""What all spectra of one side of a store have in common."""

import hashlib
from dataclasses import dataclass

import numpy as np

from specxfer.io._columns import columns_of

__all__ = ["Grid"]


@dataclass
class Grid:
    """Wavelengths, and what is known of each spectrum, of one survey in a store.

    Parameters
    ----------
    wave : ndarray or None
        Å.
    medium : str or None
    chip : ndarray of int
    dtype : dtype
    has_noise : bool
    resolution : tuple or None
        Shape of the resolving power of a spectrum.
    columns : dict of str to Plain
        Of `meta`, without rows.
    """

    wave: np.ndarray | None
    medium: str | None
    chip: np.ndarray
    dtype: np.dtype
    has_noise: bool
    resolution: tuple | None
    columns: dict

    @classmethod
    def of(cls, spectra):
        """That of some spectra."""
        if spectra.covariance is not None:
            raise ValueError(
                "spectra with a covariance cannot be stored with it: give "
                "spectra.replace(covariance=None), or store what they were made from."
            )
        power = spectra.resolution
        columns = columns_of(spectra.meta)
        return cls(
            wave=spectra.wave,
            medium=spectra.medium,
            chip=np.asarray(spectra.chip),
            dtype=spectra.dtype,
            has_noise=spectra.has_noise,
            resolution=None if power is None else power.shape[1:],
            columns={name: column[:0] for name, column in columns.items()},
        )

    @property
    def n_pixels(self):
        """Pixels of a spectrum."""
        return len(self.chip)

    def unlike(self, other):
        """In what another grid differs; "" if in nothing."""
        for name, ours, theirs in (
            ("number of pixels", self.n_pixels, other.n_pixels),
            ("medium", self.medium, other.medium),
            ("number format", self.dtype.name, other.dtype.name),
            ("knowledge of noise", self.has_noise, other.has_noise),
            ("shape of resolution", self.resolution, other.resolution),
            ("columns of meta", self._forms(), other._forms()),
        ):
            if ours != theirs:
                return f"its {name} is {theirs}, that of the others {ours}"
        same = (self.wave is None) == (other.wave is None)
        if not same or not np.array_equal(self.wave, other.wave):
            return "its wavelengths are others: put all on one grid"
        if not np.array_equal(self.chip, other.chip):
            return "its pixels are divided into other chips"
        return ""

    def stamp(self):
        """By which two grids are known to be the same."""
        shape = self.resolution
        digest = hashlib.sha256(repr(self._forms()).encode())
        for values in (self.wave, self.chip):
            if values is not None:
                digest.update(values.astype("<f8").tobytes())
        return {
            "n_pixels": self.n_pixels,
            "medium": self.medium,
            "dtype": self.dtype.name,
            "has_noise": self.has_noise,
            "resolution": None if shape is None else list(shape),  # as JSON has it
            "sha256": digest.hexdigest(),
        }

    def _forms(self):
        return {name: column.form for name, column in self.columns.items()}
