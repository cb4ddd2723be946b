"""GapMasker: drop the pixels that few stars have, fill the rest."""

from itertools import pairwise
from numbers import Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from specxfer._checks import BLOCK_ELEMENTS
from specxfer.preprocessing._transformer import PixelSelector, is_run, select
from specxfer.spectra import Spectra


class GapMasker(PixelSelector):
    """Drop the gaps of a survey, and fill the bad pixels of each star.

    A pixel is masked where its flux is NaN or its ivar 0. Pixels that too few stars
    have are dropped for all; in the rest, masked pixels get a plausible flux, and
    ivar 0. So any scikit-learn step may follow, and those that know ivar still see
    what was unknown.

    Parameters
    ----------
    min_fraction : float, default=0.5
        Fraction of the training stars that must have a pixel for it to stay. A pixel
        that no star has never stays.
    fill : {"median", "mean", "interpolate"} or None, default="median"
        What masked pixels become: the median of the training stars that have the
        pixel; their ivar-weighted mean; or the straight line between the star's own
        nearest pixels on the same chip (the mean, where it has none there). None
        leaves them as they are.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays, which tell the chips apart; `Spectra` have
        their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    pixels_ : ndarray of bool of shape (n_features_in_,)
        The pixels kept.
    fraction_ : ndarray of shape (n_features_in_,)
        Fraction of the training stars that have each pixel.
    fill_ : ndarray of shape (n_kept,)
        Median or mean of the training stars. Not there if `fill` is None.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    Notes
    -----
    Memory-mapped `Spectra` are read in blocks of columns by `fit`, which holds one
    block at a time. Filling changes values, so `transform` brings the kept pixels
    into memory, unless `fill` is None.

    `Spectra` without ivar have none after filling either: what was filled can then no
    longer be told from what was measured.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.preprocessing import GapMasker
    >>> X = np.array([[1.0, np.nan, 0.8], [0.9, np.nan, np.nan], [0.8, np.nan, 0.6]])
    >>> masker = GapMasker().fit(X)
    >>> masker.transform(X)
    array([[1. , 0.8],
           [0.9, 0.7],
           [0.8, 0.6]])
    >>> masker.inverse_transform([[0.5, 0.6]])
    array([[0.5, nan, 0.6]])
    """

    _parameter_constraints: dict = {
        **PixelSelector._parameter_constraints,
        "min_fraction": [Interval(Real, 0, 1, closed="both")],
        "fill": [StrOptions({"median", "mean", "interpolate"}), None],
    }

    def __init__(self, min_fraction=0.5, *, fill="median", wave=None, medium=None):
        self.min_fraction = min_fraction
        self.fill = fill
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Count which pixels the stars have, and learn what to fill in.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no pixel is left.
        """
        X = self._check_X(X, reset=True)
        typical = _median if self.fill == "median" else _mean
        count = np.empty(X.shape[1], dtype=int)
        fill = np.empty(X.shape[1], dtype=X.dtype)
        for cols in _column_blocks(X.shape):
            block = X[:, cols].load()
            valid = block.valid()
            count[cols] = valid.sum(axis=0)
            if self.fill is not None:
                fill[cols] = typical(block, valid)
        self.fraction_ = count / len(X)
        self.pixels_ = (self.fraction_ >= self.min_fraction) & (count > 0)
        if not self.pixels_.any():
            raise ValueError(
                f"no pixel is valid in {self.min_fraction:.0%} of the {len(X)} stars; "
                f"the most complete one is in {self.fraction_.max():.0%}. Lower "
                "min_fraction, or check the masks (NaN flux or ivar 0)."
            )
        if self.fill is not None:
            self.fill_ = fill[self.pixels_]
        return self

    def transform(self, X):
        """Drop the gaps and fill the masked pixels.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_kept)
            `Spectra` if X is, otherwise an array.
        """
        check_is_fitted(self)
        spectra = select(self._check_X(X, reset=False), self.pixels_)
        if self.fill is not None:
            spectra = self._filled(spectra)
        return spectra if isinstance(X, Spectra) else spectra.flux

    def _filled(self, X):
        X = X.load()
        flux, ivar = X.flux, X.ivar
        if is_run(self.pixels_):  # views of the input
            flux, ivar = flux.copy(), None if ivar is None else ivar.copy()
        for rows, block in X.iter_blocks():
            masked = ~block.valid()
            if self.fill == "interpolate":
                self._interpolate(flux[rows], masked)
            else:
                np.copyto(flux[rows], self.fill_, where=masked)
            if ivar is not None:
                ivar[rows][masked] = 0
        return X.replace(flux=flux, ivar=ivar)

    def _interpolate(self, flux, masked):
        """Fill in place, from the unmasked pixels of the same row and chip."""
        at = np.arange(self.n_features_in_) if self.wave_ is None else self.wave_
        at, chip = at[self.pixels_], self.chip_[self.pixels_]
        edges = np.flatnonzero(np.diff(chip, prepend=-1, append=chip[-1] + 1))
        for row in np.flatnonzero(masked.any(axis=1)):
            for start, stop in pairwise(edges):
                bad = start + np.flatnonzero(masked[row, start:stop])
                good = start + np.flatnonzero(~masked[row, start:stop])
                flux[row, bad] = (
                    np.interp(at[bad], at[good], flux[row, good])
                    if len(good)
                    else self.fill_[bad]
                )


def _column_blocks(shape):
    n, p = shape
    step = max(1, BLOCK_ELEMENTS // n)
    return (slice(start, min(start + step, p)) for start in range(0, p, step))


def _mean(block, valid):
    weight = np.where(valid, block.ivar if block.has_noise else 1, 0)
    total = weight.sum(axis=0, dtype=float)
    flux = np.einsum("np,np->p", weight, np.where(valid, block.flux, 0), dtype=float)
    return np.divide(flux, total, out=np.full_like(flux, np.nan), where=total > 0)


def _median(block, valid):
    """Median over the valid stars of each pixel; NaN where there is none."""
    ordered = np.where(valid, block.flux, np.inf).T.copy()
    ordered.sort(axis=1)  # what is masked goes to the end
    count = valid.sum(axis=0)
    pixel = np.arange(len(count))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(valid) - 1)
    median = (ordered[pixel, low] + ordered[pixel, high]) / 2
    median[count == 0] = np.nan
    return median
