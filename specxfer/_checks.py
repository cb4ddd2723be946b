"""What `Spectra` accepts, and what it says to the rest."""

import numpy as np
from astropy.table import Table
from astropy.units import Quantity, Unit, UnitConversionError
from astropy.utils.masked import Masked

from specxfer._lazy import LazyArray
from specxfer.wavelengths import MEDIA

MISSING = -999.0  # what catalogues write, or less, for what they do not know
BLOCK_ELEMENTS = 2**24  # 64 MiB of float32: what one block of rows may hold


def index_of(flux):
    """The index of a data frame, unless it only counts rows."""
    index = getattr(flux, "index", None)
    if index is None or callable(index):
        return None
    # shuffled or selected, a count of rows is an unnamed integer index
    counts = index.name is None and getattr(index.dtype, "kind", "O") in "iu"
    return None if counts else index


def as_float_rows(values, name, dtype=None):
    """`values` as native floats of shape (n, p), and a mask of masked entries."""
    if isinstance(values, LazyArray):
        return values, None
    if hasattr(values, "to_numpy"):
        values = from_frame(values)
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} is a sparse matrix: pass {name}.toarray().")
    values, mask = without_mask(values)
    values = without_unit(values, "", name)
    lazy = isinstance(values, np.memmap) and mask is None
    if not lazy:
        try:
            values = np.asarray(values)
        except ValueError as error:  # rows of different lengths
            raise ValueError(
                f"{name} is no table of numbers ({error}); expected rows of one "
                "length, shape (n_spectra, n_pixels)."
            ) from None
    if values.ndim != 2:
        hint = f" Write {name}[None, :] for one spectrum." if values.ndim == 1 else ""
        raise ValueError(
            f"{name} has {values.ndim} dimension(s), shape {values.shape}; expected "
            f"(n_spectra, n_pixels).{hint}"
        )
    if values.dtype.kind not in "fiub":
        if values.dtype.kind != "O":
            raise TypeError(
                f"{name} has dtype {values.dtype}; expected real numbers, shape "
                "(n_spectra, n_pixels)."
            )
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name} holds objects that are no numbers: {error}"
            ) from None
    if dtype is None:
        dtype = values.dtype.newbyteorder("=")
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float32)
    if lazy:
        return LazyArray(values, dtype), None
    with np.errstate(over="ignore"):  # infinite then, and refused by name
        return np.asarray(values, dtype=dtype), mask


def from_frame(frame):
    values = frame.to_numpy()
    if values.dtype == object and hasattr(frame, "iloc"):  # pandas' NA has no float
        try:
            return frame.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            pass
    return values


def without_mask(values):
    """Values without their mask, numpy's or astropy's, and the mask or None."""
    mask = getattr(values, "mask", None)
    if mask is None or not isinstance(values, np.ma.MaskedArray | Masked):
        return values, None
    if isinstance(values, Masked):
        values = values.unmasked
    else:
        unit, values = getattr(values, "unit", None), values.data
        values = values if unit is None else Quantity(values, unit, copy=False)
    return values, np.broadcast_to(mask, values.shape) if np.any(mask) else None


def without_unit(values, unit, name):
    """Plain values in `unit`; what has no unit is taken to be in it."""
    given = getattr(values, "unit", None)
    if given is None:
        return values
    try:
        return Quantity(values, copy=False).to(Unit(unit), copy=False).value
    except UnitConversionError:
        wanted = (
            "a length, such as Å"
            if unit
            else "units of the continuum (dimensionless): divide by the continuum"
        )
        raise ValueError(f"{name} is in {given}; expected {wanted}.") from None


def either(a, b):
    if a is None or b is None:
        return b if a is None else a
    return a | b


def checked_flux(flux):
    for rows in row_blocks(flux):
        bad = np.isinf(flux[rows])
        if bad.any():
            row = rows.start + int(np.flatnonzero(bad.any(axis=1))[0])
            raise ValueError(
                f"flux is infinite in {int(bad.sum())} pixels, first in row {row}; "
                "mark unknown pixels with NaN."
            )
    return flux


def checked_ivar(ivar):
    unknown = False
    for rows in row_blocks(ivar):
        block = ivar[rows]
        unknown = unknown or bool(np.isnan(block).any())
        bad = np.isinf(block) | (block < 0)
        if bad.any():
            row = rows.start + int(np.flatnonzero(bad.any(axis=1))[0])
            hint = ""
            if np.isinf(block).any():
                hint = (
                    " Infinite is what 1/√ivar makes of 0: give inverse variances, "
                    "not errors."
                )
            raise ValueError(
                f"ivar is negative or infinite in {int(bad.sum())} pixels, first in "
                f"row {row} ({block[bad][0]}); expected finite values >= 0, 0 for "
                f"pixels without weight.{hint}"
            )
    return np.where(np.isnan(ivar), ivar.dtype.type(0), ivar) if unknown else ivar


def row_blocks(values):
    step = max(1, BLOCK_ELEMENTS // max(1, values.shape[1]))
    return (slice(i, i + step) for i in range(0, len(values), step))


def checked_grid(wave, medium, n_pixels):
    if wave is None and medium is None:
        return None, None
    check_medium(medium)
    wave, mask = without_mask(wave)
    if mask is not None:
        raise ValueError("wave has masked entries: every pixel needs a wavelength.")
    try:
        wave = np.array(without_unit(wave, "Angstrom", "wave"), dtype=float)
    except TypeError as error:
        raise TypeError(f"wave is no array of wavelengths in Å: {error}") from None
    if wave.shape != (n_pixels,):
        raise ValueError(
            f"wave has shape {wave.shape}, the flux has {n_pixels} pixels: give one "
            "wavelength (Å) per pixel."
        )
    if not np.isfinite(wave).all() or (wave <= 0).any() or (np.diff(wave) <= 0).any():
        raise ValueError(
            "wave must be finite, positive and strictly increasing (Å); reverse "
            "descending spectra with wave[::-1] and flux[:, ::-1]."
        )
    wave.flags.writeable = False
    return wave, medium


def check_medium(medium):
    if medium not in MEDIA:
        raise ValueError(
            f'medium is {medium!r}; expected "air" or "vacuum" (APOGEE is in vacuum, '
            "GALAH in air)."
        )


def checked_ids(ids, n):
    if ids is None:
        return None
    if np.ma.is_masked(ids):
        raise ValueError("ids has masked entries: name the star of every row.")
    ids = np.asarray(ids)
    if ids.shape != (n,):
        raise ValueError(f"ids has shape {ids.shape}; expected one per row, ({n},).")
    return ids.astype(str) if ids.dtype.kind == "S" else ids  # FITS names are bytes


def checked_meta(meta, n):
    if meta is None:
        return None
    if not isinstance(meta, Table):
        meta = Table.from_pandas(meta) if hasattr(meta, "iloc") else Table(meta)
    if len(meta) != n:
        raise ValueError(
            f"meta has {len(meta)} rows, flux has {n}: one row a spectrum."
        )
    return meta


def checked_chip(chip, p):
    if chip is None:
        return None
    chip = np.asarray(chip)
    if chip.dtype.kind == "u":  # differences of unsigned numbers wrap
        chip = chip.astype(int)
    if chip.shape != (p,) or chip.dtype.kind != "i" or (np.diff(chip) < 0).any():
        raise ValueError(
            f"chip has shape {chip.shape} and dtype {chip.dtype}; expected ({p},) "
            "integers that do not decrease with wavelength."
        )
    return np.unique(chip, return_inverse=True)[1]


def checked_covariance(covariance, shape):
    if covariance is None:
        return None
    seen = tuple(covariance.shape)
    if seen != shape:
        raise ValueError(
            f"covariance is of {seen[0]} spectra × {seen[1]} pixels, the flux has "
            f"{shape[0]} × {shape[1]}: give one for this flux, or covariance=None."
        )
    return covariance


def checked_resolution(resolution, n, chip):
    if resolution is None:
        return None
    resolution = np.asarray(resolution, dtype=float)
    if resolution.ndim == 0:
        resolution = np.full(n, float(resolution))
    n_chips = int(chip[-1]) + 1 if len(chip) else 0
    if resolution.shape not in ((n,), (n, n_chips)):
        raise ValueError(
            f"resolution has shape {resolution.shape}; expected ({n},), one resolving "
            f"power per spectrum, or ({n}, {n_chips}), one per chip."
        )
    if np.isinf(resolution).any() or (resolution <= 0).any():
        raise ValueError("resolution must be positive; NaN where it is unknown.")
    return resolution


def check_same_chips(resolutions, spectra):
    """Raise unless resolving powers stack: per spectrum, or per chip of the same."""
    if len({r.shape[1:] for r in resolutions}) > 1:
        raise ValueError(
            "resolution is per spectrum in some parts and per chip, or of other chips, "
            f"in others (shapes {[r.shape for r in resolutions]}): bring them to one "
            "form."
        )
    if resolutions[0].ndim == 2:
        for i, other in enumerate(spectra[1:], 1):
            if not np.array_equal(spectra[0].chip, other.chip):
                raise ValueError(
                    f"spectra[0] and spectra[{i}] divide the pixels into different "
                    "chips, and resolution is per chip: give them the same chip=."
                )


def check_same_grid(a, b, name_a, name_b):
    """Raise unless two `Spectra` share wavelengths and medium."""
    for one, name in ((a, name_a), (b, name_b)):
        if one.wave is None and (a.wave is not None or b.wave is not None):
            raise ValueError(
                f"{name} is a plain array without wavelengths: make it Spectra(flux, "
                "wave=..., medium=...)."
            )
    if a.medium != b.medium:
        raise ValueError(
            f"{name_a} is in {a.medium} and {name_b} in {b.medium}: convert one with "
            "to_medium()."
        )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name_a} has {a.shape[1]} pixels and {name_b} has {b.shape[1]}: put both "
            "on one wavelength grid."
        )
    if a.wave is not None and not np.allclose(a.wave, b.wave, rtol=1e-8, atol=0):
        worst = np.abs(a.wave - b.wave).max()
        raise ValueError(
            f"the wavelengths of {name_a} and {name_b} differ by up to {worst:.4g} Å: "
            "put both on one grid (specxfer.resampling.resample)."
        )


def known_labels(column):
    """A column of labels, with NaN for what is masked, and for −999 and below.

    Parameters
    ----------
    column : Column, Quantity or array-like of shape (n,)

    Returns
    -------
    ndarray of float of shape (n,)
    """
    values = np.ma.asarray(getattr(column, "value", column), dtype=float)
    values = values.filled(np.nan)
    return np.where(values <= MISSING, np.nan, values)


def no_score_said(y, weight, seen):
    """Why a prediction of y has no score.

    Parameters
    ----------
    y : Spectra of shape (n, n_pixels)
    weight : ndarray of shape (n,)
    seen : ndarray of bool of shape (n_pixels,)
        Pixels that are predicted.

    Returns
    -------
    str
    """
    known = np.zeros(y.shape[1], bool)
    for rows, block in y.iter_blocks():
        known |= block.valid()[weight[rows] != 0].any(axis=0)
    if not known.any():
        return (
            f"all pixels of the {len(y)} spectra of y are masked (NaN, or ivar 0), so "
            "that there is nothing to compare with: check flux and ivar of y, and "
            "leave out stars that have no target spectrum."
        )
    if not (known & seen).any():
        return (
            f"y is known at {int(known.sum())} pixels, and the training targets at "
            "none of these, so that nothing is predicted there: score on pixels that "
            "the training stars have, or fit to stars that have these."
        )
    return "y has no variance about the mean training spectrum."


def range_said(wave, medium, said):
    """What wavelengths a grid has, to be added to a message.

    Parameters
    ----------
    wave : ndarray of shape (n_pixels,) or None
        Å.
    medium : {"air", "vacuum"} or None
    said : str
        What comes before the range.

    Returns
    -------
    str
        Empty without a grid.
    """
    if wave is None:
        return ""
    return f", {said} {wave[0]:.0f} to {wave[-1]:.0f} Å in {medium}"
