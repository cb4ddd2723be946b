"""ResolutionMatcher: every spectrum at one stated resolving power."""

import warnings
from functools import partial
from numbers import Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from specxfer._lsf import BOXINESS
from specxfer.covariance import BandedCovariance
from specxfer.preprocessing._matching import chips_of
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.spectra import Spectra

MAX_GAIN = 1.1  # of the amplitude of any frequency: more would be sharpening


class ResolutionWarning(UserWarning):
    """Some spectra could not be brought to the resolving power asked for."""


class ResolutionMatcher(OneToOneFeatureMixin, SpectraTransformer):
    r"""Degrade every spectrum from its own resolving power to one stated.

    Each chip of each spectrum is convolved with the kernel that turns its
    line-spread function, of its own width and shape, into a Gaussian of
    FWHM λ/R. Nothing is ever sharpened: what is below R already, or of unknown
    resolving power, becomes NaN, with ivar 0 and resolution NaN, and a
    `ResolutionWarning` says how many.

    Parameters
    ----------
    resolution : float
        Resolving power R = λ/FWHM of the output.
    resolution_in : float or array-like of shape (n_chips,), optional
        Resolving power of the input, of all spectra; ``inf`` where it is far higher
        than `resolution`. By default that of each row, or of each row and chip, of
        the `Spectra`.
    boxiness : float, str or array-like of shape (n_chips,), default="lsf_boxiness"
        Exponent B of the input's line-spread function
        :math:`\exp(-\ln 2\,|2x/\mathrm{FWHM}|^B)`, from 1.5 to 10; 2 is a Gaussian.
        A name is that of a column of `meta`, one number a row or a row and chip.
        Where there is no such column, or it is NaN, the profile is taken as Gaussian.
    tolerance : float, default=0.005
        Largest error of a matched line in units of its depth, for a line far narrower
        than the line-spread function. A Gaussian is matched without one. A boxy
        profile holds nothing at some frequencies that a slightly wider Gaussian has:
        for B = 2.5 and 3.7 pixels a FWHM the error is 0.0003 from R = 28,000 to
        20,000, and 0.004 from 22,000.
    min_coverage : float, default=0.995
        A pixel is NaN where less than this part of its kernel lies on known pixels:
        within four pixels of a masked one or of an end, from R = 28,000 to 20,000 on
        the grid of GALAH, and farther for boxy profiles, whose kernels are longer.
        Lower, it keeps more pixels, with a flux that is wrong by up to the missing
        part times the depth of the masked lines.
    noise_correlation : float, default=0.0
        Correlation of the input noise of neighbouring pixels, as
        `specxfer.metrics.noise_scale` finds it: resampled spectra have up to 0.5. Of
        no account where the spectra have a `covariance`.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    wave_, medium_ : ndarray of shape (n_features_in_,) and str
        The grid of the fit.
    n_features_in_ : int
        Number of pixels.

    Notes
    -----
    The line-spread function is taken to be that of the samples, so to include the
    width of a pixel, as one fitted to the pixels of arc lines does. Two pixels or more
    should fall on its FWHM, or the samples do not hold the spectrum to be convolved.

    With :math:`L` the Fourier transform of the input profile and :math:`G` that of
    the output, the kernel is :math:`G/L` where :math:`L` is above 0.01, and goes over
    to the Gaussian of the missing variance where it is not, as around the zeros of a
    boxy profile; so no frequency grows by more than 10%. A chip that would need more
    than that, or has an error above `tolerance`, counts as below R.

    One resolving power holds for a whole chip. Where it changes along the chip, the
    output differs from R as the input did from the number given.

    Known pixels count the same, whatever their ivar: a weight would shift lines. At
    masked pixels, gaps and ends the kernel is normalised over the known ones.

    The ivar is exact for independent noise: :math:`\sigma_i^2 = \sum_j K_{ij}^2
    \sigma_j^2`, and with `noise_correlation` for such noise. The output is far more
    correlated than the input; its `covariance` (`BandedCovariance`) says how, and
    :func:`specxfer.metrics.equivalent_width` uses it.

    References
    ----------
    Buder, S. et al. 2025, PASA 42, e051: the line-spread functions of GALAH DR4.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra
    >>> from specxfer.preprocessing import ResolutionMatcher
    >>> wave = np.arange(4990.0, 5010.0, 0.05)
    >>> sigma = 5000 / np.array([[28_000.0], [24_000.0]]) / 2.355
    >>> flux = 1 - 0.05 * np.exp(-0.5 * ((wave - 5000) / sigma) ** 2) / sigma
    >>> y = Spectra(flux, wave=wave, medium="air", resolution=[28_000, 24_000])
    >>> matched = ResolutionMatcher(20_000).fit_transform(y)
    >>> y.flux.min(axis=1).round(3), np.nanmin(matched.flux, axis=1).round(3)
    (array([0.341, 0.435]), array([0.529, 0.529]))
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "resolution": [Interval(Real, 0, None, closed="neither")],
        "resolution_in": [Interval(Real, 0, None, closed="right"), "array-like", None],
        "boxiness": [Interval(Real, *BOXINESS, closed="both"), str, "array-like"],
        "tolerance": [Interval(Real, 0, 1, closed="neither")],
        "min_coverage": [Interval(Real, 0, 1, closed="right")],
        "noise_correlation": [Interval(Real, 0, 0.5, closed="both")],
    }

    def __init__(
        self,
        resolution,
        *,
        resolution_in=None,
        boxiness="lsf_boxiness",
        tolerance=0.005,
        min_coverage=0.995,
        noise_correlation=0.0,
        wave=None,
        medium=None,
    ):
        self.resolution = resolution
        self.resolution_in = resolution_in
        self.boxiness = boxiness
        self.tolerance = tolerance
        self.min_coverage = min_coverage
        self.noise_correlation = noise_correlation
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the grid.

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
            If the wavelengths, or the resolving power of the input, are not known.
        """
        X = self._check_X(X, reset=True)
        if X.wave is None:
            raise ValueError(
                "a resolving power needs wavelengths: give Spectra, or wave= and "
                "medium=."
            )
        self._profiles(X)  # what is wrong with them is better known now
        self._chips = chips_of(X.wave, self.chip_, self.resolution)
        return self

    def transform(self, X):
        """Convolve every chip of every spectrum with a kernel of its own.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            `Spectra` if X is, otherwise an array; in memory.

        Raises
        ------
        ValueError
            If the spectra have a covariance that is not banded, as translated ones
            do: it is not known how it would change.

        Warns
        -----
        ResolutionWarning
            If chips with data are below the resolving power asked for, or of unknown
            resolving power.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        ratio, boxiness, per_chip = self._profiles(spectra)
        before = self._kernels_before(spectra)
        flux = np.full(spectra.shape, np.nan, spectra.dtype)
        ivar = np.zeros(spectra.shape, spectra.dtype) if spectra.has_noise else None
        reach = max(chip.reaches[int((boxiness != 2).any())] for chip in self._chips)
        shape = (*ratio.shape, 2 * reach + before.shape[-1])
        kernels = np.zeros(shape, np.float32)
        reached = np.zeros(ratio.shape, dtype=bool)
        has_data = np.zeros(ratio.shape, dtype=bool)
        find = [_Latest(partial(self._find, chip)) for chip in self._chips]
        for rows, block in spectra.iter_blocks():
            for row, values, weight in zip(
                range(rows.start, rows.stop), block.flux, block.weights()
            ):
                found = [f(*p) for f, *p in zip(find, ratio[row], boxiness[row])]
                if not per_chip and None in found:  # one resolving power: all or none
                    found = [None] * len(found)
                for c, (chip, matches) in enumerate(zip(self._chips, found)):
                    here = chip.pixels
                    has_data[row, c] = (weight[here] > 0).any()
                    reached[row, c] = matches is not None
                    if matches is None or not has_data[row, c]:
                        continue
                    kernel = before[min(row, len(before) - 1), c]
                    flux[row, here], new = chip.matched(
                        values[here], weight[here], matches, kernel, self.min_coverage
                    )
                    if ivar is not None:
                        ivar[row, here] = new
                        kernel = np.convolve(chip.typical(matches), kernel)
                        kernels[row, c, : len(kernel)] = kernel
        self._report(ratio, has_data & ~reached)
        if not isinstance(X, Spectra):
            return flux
        resolution = np.where(reached, float(self.resolution), np.nan)
        covariance = None
        if ivar is not None:
            position = np.concatenate([chip.position for chip in self._chips])
            sizes = [len(chip.position) for chip in self._chips]
            chip = np.repeat(np.arange(len(sizes)), sizes)
            covariance = BandedCovariance(ivar, kernels, position, chip)
        return spectra.replace(
            flux=flux,
            ivar=ivar,
            chip=self.chip_,
            resolution=resolution if per_chip else resolution[:, 0],
            covariance=covariance,
        )

    def _find(self, chip, ratio, boxiness):
        """Kernels for one chip, or None where they would sharpen or be wrong."""
        if not ratio >= 1 - 1e-6:  # R in float32 is still R
            return None
        matches = chip.match(ratio, boxiness)
        good = all(m.error <= self.tolerance and m.gain <= MAX_GAIN for m in matches)
        return matches if good else None

    def _profiles(self, X):
        """Resolving power over that wanted, and exponent, of each row and chip."""
        shape = len(X), int(self.chip_[-1]) + 1
        had = X.resolution if self.resolution_in is None else self.resolution_in
        if had is None:
            raise ValueError(
                "the resolution of the input is not known: give Spectra that carry it, "
                "or resolution_in= (inf if it is far higher than resolution=)."
            )
        had = _per_chip(had, shape, "resolution_in", self.resolution_in is not None)
        boxiness, of_all = self.boxiness, True
        if isinstance(boxiness, str):
            known = X.meta is not None and boxiness in X.meta.colnames
            boxiness, of_all = (X.meta[boxiness] if known else 2.0), not known
        boxiness = _per_chip(boxiness, shape, "boxiness", of_all)
        per_chip = max(had.shape[1], boxiness.shape[1]) > 1
        if (had <= 0).any():
            raise ValueError(f"resolving powers must be positive, got {had.min():g}.")
        boxiness = np.where(np.isnan(boxiness), 2.0, boxiness)
        # no such profile: its resolving power says nothing either
        usable = (boxiness >= BOXINESS[0]) & (boxiness <= BOXINESS[1])
        ratio = np.where(usable, had / self.resolution, np.nan)
        return *(np.broadcast_to(a, shape) for a in (ratio, boxiness)), per_chip

    def _kernels_before(self, X):
        """Kernel of the noise of each row and chip of the input, or of any."""
        if X.covariance is None:
            c = self.noise_correlation
            pair = [1.0] if c == 0 else [1.0, (1 - np.sqrt(1 - 4 * c**2)) / (2 * c)]
            return np.tile(pair, (1, len(self._chips), 1))
        if not isinstance(X.covariance, BandedCovariance):
            raise ValueError(
                f"X has a covariance that is {X.covariance.form}, and how matching "
                "would change it is not known: match draws of the spectra instead "
                "(specxfer.sample), or give X.replace(covariance=None) to take their "
                "errors as independent."
            )
        starts = [chip.pixels.start for chip in self._chips]
        return X.covariance.kernel[:, X.covariance.chip[starts]]

    def _report(self, ratio, lost):
        if not lost.any():
            return
        unknown = np.isnan(ratio)
        reasons = []
        if (lost & ~unknown).any():
            lowest = self.resolution * ratio[lost & ~unknown].min()
            rows = int((lost & ~unknown).any(axis=1).sum())
            reasons.append(
                f"{rows} of {len(lost)} spectra are below R = {self.resolution:g} or "
                f"too close to it for their line-spread function (lowest: {lowest:.0f})"
            )
        if (lost & unknown).any():
            rows = int((lost & unknown).any(axis=1).sum())
            reasons.append(
                f"{rows} of {len(lost)} spectra have no known resolving power"
            )
        warnings.warn(
            f"{'; '.join(reasons)}. {int(lost.sum())} of their chips are NaN now, with "
            "ivar 0 and resolution NaN.",
            ResolutionWarning,
            stacklevel=3,
        )


class _Latest:
    """A function that remembers its latest result: rows often share a profile."""

    def __init__(self, function):
        self.function, self.key, self.result = function, None, None

    def __call__(self, *key):
        if key != self.key:
            self.key, self.result = key, self.function(*key)
        return self.result


def _per_chip(values, shape, name, of_all):
    """Values of each row and chip, (n or 1, n_chips or 1)."""
    values = np.asarray(np.ma.filled(np.ma.asarray(values, float), np.nan), float)
    if values.ndim == 1:
        values = values[None] if of_all else values[:, None]
    values = np.atleast_2d(values)
    if values.ndim > 2 or any(a not in (1, b) for a, b in zip(values.shape, shape)):
        raise ValueError(
            f"{name} is of {' × '.join(map(str, values.shape))} values; the spectra "
            f"have {shape[0]} rows and {shape[1]} chips. Give {name}= as one number, "
            "or one a chip."
        )
    return values
