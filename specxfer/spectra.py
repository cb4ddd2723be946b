"""`Spectra`: rows of continuum-normalised flux with their noise, on one grid."""

import html

import numpy as np
from astropy.table import vstack

from specxfer._checks import (
    BLOCK_ELEMENTS,
    as_float_rows,
    check_medium,
    check_same_chips,
    check_same_grid,
    checked_chip,
    checked_covariance,
    checked_flux,
    checked_grid,
    checked_ids,
    checked_ivar,
    checked_meta,
    checked_resolution,
    either,
    index_of,
)
from specxfer._lazy import (
    LazyArray,
    as_index,
    in_memory,
    is_everything,
    split_key,
    take,
)
from specxfer.wavelengths import air_to_vacuum, vacuum_to_air

__all__ = ["Spectra", "as_spectra"]


class Spectra:
    """Continuum-normalised spectra with their noise, on one wavelength grid.

    It slices like an array, by row and column, and takes inverse variance, star
    ids, labels, resolution and wavelengths along; so it passes unchanged through
    scikit-learn's pipelines, splitters and searches, and a scorer receives the
    noise together with the flux.

    Parameters
    ----------
    flux : array-like of shape (n_spectra, n_pixels)
        Flux in units of the continuum. NaN means unknown. float32 and float64 are
        kept, anything else becomes native float32. Masked arrays, dimensionless
        quantities and data frames are converted: masked pixels become NaN, a named
        index becomes `ids`.
    ivar : array-like of shape (n_spectra, n_pixels), optional
        Inverse variance of the flux. 0 (or NaN) is a pixel without weight. None
        means that the noise is unknown.
    wave : array-like of shape (n_pixels,)
        Wavelengths in Å (or a quantity of length), strictly increasing.
    medium : {"air", "vacuum"}
        What the wavelengths are measured in.
    ids : array-like of shape (n_spectra,), optional
        One name per *star*: repeats of a star share it, and cross-validation never
        splits them.
    meta : astropy.table.Table or anything it accepts, optional
        Labels and remarks, one row a spectrum. A column ``lsf_boxiness`` of shape
        (n_spectra, n_chips) follows the chips, as `resolution` does.
    resolution : float or array-like, optional
        Resolving power R = λ/FWHM of each spectrum, shape (n_spectra,), or of each
        of its chips, shape (n_spectra, n_chips).
    chip : array-like of int of shape (n_pixels,), optional
        The chip (or CCD) of each pixel, counted from 0. By default a chip ends
        where the wavelength step is more than three times the usual one.
    covariance : LowRankCovariance or BandedCovariance, optional
        Covariance of the flux errors, where it is known.

    Raises
    ------
    ValueError
        If shapes disagree, wavelengths do not increase, the flux is infinite or an
        inverse variance negative or infinite.
    TypeError
        If a value cannot be read as numbers.

    Notes
    -----
    Memory maps stay on disk: selecting rows or columns is an index, `flux` and
    `ivar` read what is selected, and `iter_blocks` reads it block by block. Their
    values are checked as they are read. Nothing here changes its arguments, which
    may be read-only.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> X = Spectra(np.ones((3, 4)), wave=[5000, 5001, 5002, 5003], medium="air",
    ...             ids=["a", "a", "b"])
    >>> X.shape
    (3, 4)
    >>> X[X.ids == "a", 1:3].wave
    array([5001., 5002.])
    """

    def __init__(
        self,
        flux,
        ivar=None,
        *,
        wave,
        medium,
        ids=None,
        meta=None,
        resolution=None,
        chip=None,
        covariance=None,
    ):
        if isinstance(flux, Spectra):
            raise TypeError(
                "flux is already a Spectra. Use it as it is, or "
                "spectra.replace(...) to change a part of it."
            )
        index = index_of(flux)
        flux, masked = as_float_rows(flux, "flux")
        if ivar is not None:
            ivar, ivar_masked = as_float_rows(ivar, "ivar", flux.dtype)
            if ivar.shape != flux.shape:
                raise ValueError(
                    f"ivar has shape {ivar.shape}, flux has {flux.shape}: give one "
                    "inverse variance per flux."
                )
            masked = either(masked, ivar_masked)
        if masked is not None:
            flux = np.where(masked, flux.dtype.type(np.nan), in_memory(flux))
            if ivar is not None:
                ivar = np.where(masked, ivar.dtype.type(0), in_memory(ivar))
        n, p = flux.shape
        self._flux = flux if isinstance(flux, LazyArray) else checked_flux(flux)
        self._ivar = (
            ivar if ivar is None or isinstance(ivar, LazyArray) else checked_ivar(ivar)
        )
        self.wave, self.medium = checked_grid(wave, medium, p)
        self.ids = checked_ids(index if ids is None else ids, n)
        self.meta = checked_meta(meta, n)
        self._chip = checked_chip(chip, p)
        self.resolution = checked_resolution(resolution, n, self.chip)
        if self.resolution is not None and self.resolution.ndim == 2:
            self._chip = self.chip  # keep it: slicing columns must not renumber chips
        self.covariance = checked_covariance(covariance, self.shape)

    # ------------------------------------------------------------------ values
    @property
    def flux(self):
        """Flux in continuum units, shape (n_spectra, n_pixels); NaN is unknown."""
        if isinstance(self._flux, LazyArray):
            flux = self._flux.read()
            return flux if self._flux.checked else checked_flux(flux)
        return self._flux

    @property
    def ivar(self):
        """Inverse variance of the flux, same shape; None where it is unknown."""
        if isinstance(self._ivar, LazyArray):
            ivar = self._ivar.read()
            return ivar if self._ivar.checked else checked_ivar(ivar)
        return self._ivar

    @property
    def has_noise(self):
        """Whether the noise of the flux is known."""
        return self._ivar is not None

    @property
    def is_lazy(self):
        """Whether the flux is still on disk."""
        return isinstance(self._flux, LazyArray)

    @property
    def shape(self):
        """(n_spectra, n_pixels)."""
        return self._flux.shape

    ndim = 2

    @property
    def dtype(self):
        """The number format of the flux."""
        return self._flux.dtype

    @property
    def chip(self):
        """The chip of each pixel, int array of shape (n_pixels,)."""
        if self._chip is None:
            if self.wave is None or len(self.wave) < 3:
                return np.zeros(self.shape[1], dtype=int)
            step = np.diff(np.log(self.wave))
            return np.r_[0, np.cumsum(step > 3 * np.median(step))]
        return self._chip

    def __len__(self):
        return self.shape[0]

    def __array__(self, dtype=None, copy=None):
        converts = dtype is not None and np.dtype(dtype) != self.dtype
        if copy is False and (self.is_lazy or converts):
            raise ValueError(
                f"flux as {dtype or self.dtype} without a copy is not possible: it is "
                f"{self.dtype}, {'on disk' if self.is_lazy else 'in memory'}."
            )
        if converts:
            return self.flux.astype(dtype)
        return self.flux.copy() if copy and not self.is_lazy else self.flux

    def valid(self):
        """Pixels that count: finite flux and, where noise is known, ivar > 0.

        Returns
        -------
        ndarray of bool of shape (n_spectra, n_pixels)
        """
        good = np.isfinite(self.flux)
        if self.has_noise:
            good &= self.ivar > 0
        return good

    def weights(self):
        """Inverse variance with 0 at unknown pixels; 1 and 0 where noise is unknown.

        Returns
        -------
        ndarray of shape (n_spectra, n_pixels)
        """
        known = np.isfinite(self.flux)
        if not self.has_noise:
            return known.astype(self.dtype)
        return np.where(known, self.ivar, self.dtype.type(0))

    # --------------------------------------------------------------- selection
    def __getitem__(self, key):
        rows, cols = split_key(key)
        rows = as_index(rows, self.shape[0], "row")
        cols = as_index(cols, self.shape[1], "pixel")
        new = self._shell()
        new._flux = take(self._flux, rows, cols)
        new._ivar = None if self._ivar is None else take(self._ivar, rows, cols)
        new.ids = None if self.ids is None else self.ids[rows]
        new.meta = None if self.meta is None else self.meta[rows]
        new.covariance = (
            None if self.covariance is None else self.covariance[rows, cols]
        )
        if self.resolution is not None:
            new.resolution = self.resolution[rows]
        if not is_everything(cols):
            new._select_grid(self, cols)
        return new

    def _select_grid(self, old, cols):
        if old.wave is not None:
            self.wave = old.wave[cols]
            self.wave.flags.writeable = False
            if (np.diff(self.wave) <= 0).any():
                raise ValueError(
                    "the pixels selected are not in order of wavelength: sort them, "
                    "without repeats."
                )
        if old._chip is not None:
            kept, self._chip = np.unique(old._chip[cols], return_inverse=True)
            if self.resolution is not None and self.resolution.ndim == 2:
                n_chips = self.resolution.shape[1]
                self.resolution = self.resolution[:, kept]
                self._select_boxiness(kept, n_chips)

    def _select_boxiness(self, kept, n_chips):
        """The line-spread function's shape follows its width."""
        name = "lsf_boxiness"
        if self.meta is None or name not in self.meta.colnames:
            return
        if self.meta[name].shape[1:] == (n_chips,) and len(kept) < n_chips:
            self.meta = self.meta.copy(copy_data=False)
            self.meta[name] = self.meta[name][:, kept]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def iter_blocks(self, n_rows=None):
        """Read the spectra in blocks of rows that fit in memory.

        Parameters
        ----------
        n_rows : int, optional
            Rows per block; by default as many as make 64 MiB of float32.

        Yields
        ------
        rows : slice
            Which rows these are.
        block : Spectra
            The rows, in memory and in C order, whatever the order of the whole: sums
            over a block have the same bits.
        """
        if n_rows is None:
            n_rows = max(1, BLOCK_ELEMENTS // max(1, self.shape[1]))
        for start in range(0, len(self), n_rows):
            rows = slice(start, min(start + n_rows, len(self)))
            block = self[rows].load()  # a new object, which may be changed
            block._flux = np.ascontiguousarray(block._flux)
            if block.has_noise:
                block._ivar = np.ascontiguousarray(block._ivar)
            yield rows, block

    def load(self):
        """The same spectra with flux and ivar in memory."""
        if not (self.is_lazy or isinstance(self._ivar, LazyArray)):
            return self
        new = self._shell()
        new._flux, new._ivar = self.flux, self.ivar
        return new

    def __getstate__(self):
        # a block of a large map travels as its values, not with the map
        small = self._flux.shape[0] * self._flux.shape[1] <= BLOCK_ELEMENTS
        return (self.load() if small else self).__dict__

    def _shell(self):
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    # ----------------------------------------------------------------- changes
    def replace(self, **changes):
        """A new `Spectra` with some parts changed and the rest shared.

        Parameters
        ----------
        **changes
            Any argument of the constructor.

        Returns
        -------
        Spectra
        """
        parts = {
            "flux": self._flux,
            "ivar": self._ivar,
            "wave": self.wave,
            "medium": self.medium,
            "ids": self.ids,
            "meta": self.meta,
            "resolution": self.resolution,
            "chip": self._chip,
            "covariance": self.covariance,
        }
        unknown = set(changes) - set(parts)
        if unknown:
            raise TypeError(
                f"Spectra has no part named {sorted(unknown)}; it has {sorted(parts)}."
            )
        if "wave" in changes:  # chips were of the old grid
            parts["chip"] = None
        return Spectra(**{**parts, **changes})

    __replace__ = replace

    def to_medium(self, medium):
        """The same pixels with wavelengths in air or in vacuum.

        The flux is per pixel and does not change; the wavelengths are relabelled.

        Parameters
        ----------
        medium : {"air", "vacuum"}

        Returns
        -------
        Spectra
        """
        check_medium(medium)
        self._require_wave("to_medium")
        if medium == self.medium:
            return self
        convert = vacuum_to_air if medium == "air" else air_to_vacuum
        new = self._shell()
        new.wave, new.medium = convert(self.wave), medium
        new.wave.flags.writeable = False
        return new

    @staticmethod
    def concatenate(spectra):
        """Stack the rows of several `Spectra` that share a grid, in memory.

        Noise, ids, labels and resolution are kept where every part has them. It
        is an error if only some have them: the others' would be invented. The
        covariance is kept where all parts have one on the same basis, else dropped.

        Parameters
        ----------
        spectra : sequence of Spectra

        Returns
        -------
        Spectra

        Raises
        ------
        ValueError
            If the grids, the media or what the parts carry differ.
        """
        spectra = list(spectra)
        if not spectra:
            raise ValueError("nothing to concatenate: give at least one Spectra.")
        first = spectra[0]
        for i, other in enumerate(spectra[1:], 1):
            check_same_grid(first, other, "spectra[0]", f"spectra[{i}]")
        parts = {}
        for name in ("ivar", "ids", "resolution", "meta"):
            values = [getattr(s, name) for s in spectra]
            missing = [i for i, v in enumerate(values) if v is None]
            if len(missing) == len(values):
                parts[name] = None
            elif missing:
                raise ValueError(
                    f"spectra {missing} have no {name} and the others do: give every "
                    f"part {name}, or none (spectra.replace({name}=None))."
                )
            elif name == "meta":
                parts[name] = vstack(values, metadata_conflicts="silent")
            else:
                if name == "resolution":
                    check_same_chips(values, spectra)
                parts[name] = np.concatenate(values)
        return Spectra(
            np.concatenate([s.flux for s in spectra]),
            wave=first.wave,
            medium=first.medium,
            chip=first._chip,
            covariance=_joint_covariance([s.covariance for s in spectra]),
            **parts,
        )

    def _require_wave(self, what):
        if self.wave is None:
            raise ValueError(
                f"{what} needs wavelengths and these spectra came as a plain array. "
                "Give Spectra(flux, wave=..., medium=...), or wave= and medium=."
            )

    # ------------------------------------------------------------------- shows
    def plot(self, ax=None, rows=None, offset=0.0, **line_options):
        """Plot spectra against wavelength.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made when not given.
        rows : int, slice or array, optional
            Which spectra; by default the first five.
        offset : float, default=0
            Shift between one spectrum and the next, in continuum units.
        **line_options
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        matplotlib.axes.Axes
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "plotting needs matplotlib: pip install 'specxfer[plot]'."
            ) from error
        if ax is None:
            _, ax = plt.subplots(figsize=(9, 3), layout="constrained")
        shown = self[slice(5) if rows is None else rows]
        x = np.arange(self.shape[1]) if self.wave is None else self.wave
        cuts = np.flatnonzero(np.diff(shown.chip)) + 1
        options = {"lw": 0.8, **line_options}
        for i, flux in enumerate(shown.flux):
            # a NaN between chips lifts the pen
            ax.plot(
                np.insert(x.astype(float), cuts, np.nan),
                np.insert(flux.astype(float), cuts, np.nan) + i * offset,
                label=str(shown.ids[i]) if shown.ids is not None else None,
                **options,
            )
        ax.set_xlabel(
            "pixel" if self.wave is None else f"wavelength in {self.medium} [Å]"
        )
        ax.set_ylabel("flux / continuum")
        return ax

    def _facts(self):
        """What the reprs say: (name, text) pairs, from at most 64 rows."""
        n, p = self.shape
        stars = "" if self.ids is None else f" of {len(set(self.ids.tolist()))} stars"
        facts = [("shape", f"{n} spectra{stars} × {p} pixels, {self.dtype}")]
        if self.is_lazy:
            facts[0] = ("shape", facts[0][1] + ", on disk")
        if self.wave is not None and p:
            chips = len(np.unique(self.chip))
            facts.append(
                (
                    "wave",
                    f"{self.wave[0]:.2f} to {self.wave[-1]:.2f} Å in {self.medium}, "
                    f"{chips} chip{'s' * (chips > 1)}",
                )
            )
        if n and p:
            some = self[:: -(-n // 64)].load()
            good = some.valid()
            noise = "known, no pixel has weight" if self.has_noise else "unknown"
            if self.has_noise and good.any():
                snr = np.median(some.flux[good] * np.sqrt(some.ivar[good]))
                noise = f"known, median S/N {snr:.3g} per pixel"
            facts += [("noise", noise), ("masked", f"{1 - good.mean():.1%} of pixels")]
        if self.resolution is not None and n:
            r = self.resolution[np.isfinite(self.resolution)]
            facts.append(
                (
                    "resolution",
                    f"R = {np.median(r):.0f} (median)" if r.size else "unknown",
                )
            )
        if self.meta is not None and self.meta.colnames:
            names = self.meta.colnames
            more = f", … ({len(names)} columns)" if len(names) > 8 else ""
            facts.append(("meta", ", ".join(names[:8]) + more))
        if self.covariance is not None:
            facts.append(("covariance", self.covariance.form))
        return facts

    def __repr__(self):
        return "<Spectra\n" + "\n".join(f"  {k:<11}{v}" for k, v in self._facts()) + ">"

    def _repr_html_(self):
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th>"
            f"<td style='text-align:left'>{html.escape(v)}</td></tr>"
            for k, v in self._facts()
        )
        return f"<table><caption><b>Spectra</b></caption>{rows}</table>"


def _joint_covariance(covariances):
    if any(c is None or not c.shares_basis(covariances[0]) for c in covariances):
        return None
    return type(covariances[0]).concatenate(covariances)


def as_spectra(X, wave=None, medium=None, name="X"):
    """`Spectra` as they are; anything else array-like as `Spectra`.

    Parameters
    ----------
    X : Spectra or array-like of shape (n_spectra, n_pixels)
        NaN marks masked pixels of a plain array.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of a plain array; without them what needs Å will say so.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.
    name : str, default="X"
        What error messages call it.

    Returns
    -------
    Spectra

    Raises
    ------
    ValueError
        If `wave` or `medium` contradict the `Spectra` given.

    Examples
    --------
    >>> from specxfer import as_spectra
    >>> as_spectra([[0.9, 1.0]], wave=[5000.0, 5000.1], medium="air").shape
    (1, 2)
    """
    if not isinstance(X, Spectra):
        if (wave is None) != (medium is None):
            raise ValueError("give wave and medium together, or neither.")
        return Spectra(X, wave=wave, medium=medium)
    if X.wave is None:
        return X if wave is None else X.replace(wave=wave, medium=medium)
    if medium is not None and medium != X.medium:
        raise ValueError(
            f"{name} is in {X.medium} and medium={medium!r}: use {name}.to_medium()."
        )
    if wave is not None:
        given, _ = checked_grid(wave, X.medium, X.shape[1])
        if not np.allclose(X.wave, given, rtol=1e-8, atol=0):
            raise ValueError(f"{name} has its own wavelengths: drop wave=.")
    return X


def as_plain(X):
    """Masks to NaN and bytes to native order: check_array would lose or widen them."""
    if isinstance(X, np.ma.MaskedArray) or hasattr(X, "unit"):
        return as_spectra(X).flux
    if isinstance(X, np.ndarray) and X.dtype.kind == "f" and not X.dtype.isnative:
        return X.astype(X.dtype.newbyteorder("="))
    return X
