"""`fingerprint`: by which two sets of spectra are known to be the same."""

import hashlib

import numpy as np

from specxfer.spectra import as_spectra

__all__ = ["fingerprint"]


def fingerprint(*spectra):
    """SHA-256 of spectra: the same if every value is the same.

    Flux, inverse variance, wavelengths, medium, ids and resolution count; `meta`, the
    kind of storage and the order of bytes do not. Stored spectra are read block by
    block.

    Parameters
    ----------
    *spectra : Spectra or array-like of shape (n_spectra, n_pixels)
        Such as the X and y of a fit; their order counts.

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> import specxfer
    >>> flux = np.array([[1.0, 0.9], [0.8, 1.0]])
    >>> specxfer.fingerprint(flux)[:8], specxfer.fingerprint(flux[::-1])[:8]
    ('b88fb6ac', '90b32716')
    """
    digest = hashlib.sha256()
    for each in map(as_spectra, spectra):
        digest.update(repr((each.shape, each.dtype.name, each.medium)).encode())
        names = None if each.ids is None else [str(star) for star in each.ids.tolist()]
        digest.update(repr(names).encode())
        for values in (each.wave, each.resolution):
            _add(digest, values)
        for _, block in each.iter_blocks():
            _add(digest, block.flux)
            _add(digest, block.ivar)
    return digest.hexdigest()


def _add(digest, values):
    """Take in an array, in the byte order of small endians, or that there is none."""
    if values is None:
        digest.update(b"none")
        return
    kind = values.dtype.newbyteorder("<")
    digest.update(np.ascontiguousarray(values, dtype=kind).data)
