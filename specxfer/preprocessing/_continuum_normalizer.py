"""ContinuumNormalizer: one treatment of the continuum for every spectrum."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.polynomial.legendre import legval, legvander
from sklearn.base import OneToOneFeatureMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from specxfer.continuum import (
    FLOOR,
    MIN_SPAN,
    checked_clip,
    chip_continua,
    chip_pixels,
    clipped,
    products_of,
    rowwise,
    scaled,
    solve,
)
from specxfer.lines import Line, window_pixels
from specxfer.preprocessing._moments import BLOCK_ROWS, moments
from specxfer.preprocessing._transformer import SpectraTransformer
from specxfer.preprocessing._windows import pixel_mask
from specxfer.spectra import Spectra

N_CLIPS = 4


class ContinuumNormalizer(OneToOneFeatureMixin, SpectraTransformer):
    """Treat the continuum of training and observed spectra alike.

    Two surveys, and a synthetic spectrum and an observed one, put the continuum in
    different places. Here the continuum pixels of each chip are learned from the
    training spectra; any spectrum, whatever normalised it before, is divided there by
    the training mean, and a low polynomial through these ratios is divided out. Or,
    for spectra of other stars than those of the training set or in counts, each
    spectrum gets the continuum that `specxfer.continuum.fit_continuum` finds in it
    alone. Either rule serves any survey.

    Parameters
    ----------
    degree : int, default=2
        Degree of the Legendre polynomial in wavelength of each chip, at most: on a
        chip with fewer than ``degree + 2`` continuum pixels it is lower.
    fraction : float, default=0.2
        Fraction of the pixels of each segment taken as continuum: those with the
        highest mean less standard deviation over the training spectra, which are high
        and quiet. Not used if `reference` is None or `continuum` is given.
    n_segments : int, default=8
        Segments of each chip, so that continuum pixels lie all along it.
    clip : float or (low, high), optional
        Pixels further below or above the polynomial than this many robust standard
        deviations (0.003 at least) are left out, time and again; a float holds for both
        sides. By default 3.0; (1.0, 3.0) for a spectrum by itself without `continuum`,
        since lines are below.
    exclude : Line, (lo, hi) or list of these, optional
        Wavelength intervals in Å without continuum pixels: telluric bands, wide wings.
        Pairs are in the medium of the spectra; lines are converted to it. What lies
        outside the grid is ignored. The pixels are normalised like the others.
    continuum : slice, array-like of bool or int, Line or list of windows, optional
        Fixed continuum pixels, in place of those learned from the training set: a
        slice, a mask, pixel numbers, or windows like those of `exclude` (a lone pair
        of ints counts as pixel numbers).
    reference : {"mean"} or None, default="mean"
        What the spectrum is divided by before the polynomial is fitted: the mean of the
        training spectra, or nothing.
    wave : array-like of shape (n_pixels,), optional
        Wavelengths in Å of plain arrays, which tell the chips apart; without them an
        array is one chip. `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.

    Attributes
    ----------
    continuum_ : ndarray of bool of shape (n_features_in_,)
        The continuum pixels; with ``reference=None`` those among which each spectrum's
        own are found.
    mean_ : ndarray of shape (n_features_in_,)
        Mean training spectrum; NaN at pixels that no star has.
    wave_, medium_ : ndarray of shape (n_features_in_,) and str, or None
        The grid of the fit.
    n_features_in_ : int
        Number of pixels of the input.

    Notes
    -----
    A chip becomes NaN, with ivar 0, where its continuum is unknown: fewer than
    ``degree + 2`` good continuum pixels, or these on less than three quarters of
    the range of the chip's continuum pixels, or a polynomial that is not positive all
    along the chip. A wrong continuum would look like abundances.

    By default clipping is symmetric, and the pixels are chosen from the training set,
    not from the spectrum itself: a rule such as "the highest pixels" would find a
    higher continuum in a noisier spectrum. A spectrum by itself gets a
    pseudo-continuum, whose level depends on its lines and its noise: see
    `specxfer.continuum.fit_continuum` for how much. A higher `degree`, such as 4, suits
    spectra in counts.

    Where noise is known a pixel's weight is 1 / (variance + 0.01²), since no star's
    continuum pixels are quite those of the mean star. The ivar of the output is that
    of the input times the continuum squared; the small error of the polynomial, which
    all pixels of a chip share, is not in it.

    References
    ----------
    Ness, Hogg, Rix, Ho & Zasowski 2015, ApJ 808, 16, section 2.3: continuum pixels
    learned from training spectra, and why the signal-to-noise ratio must not matter.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.preprocessing import ContinuumNormalizer
    >>> stars = 1 - np.outer([0.1, 0.2, 0.3], np.arange(60) % 4 == 0)
    >>> normalizer = ContinuumNormalizer(degree=1).fit(stars)
    >>> tilted = stars[:1] * np.linspace(1.1, 0.8, 60)
    >>> normalizer.transform(tilted)[0, :4].round(3)
    array([0.9, 1. , 1. , 1. ])
    """

    _parameter_constraints: dict = {
        **SpectraTransformer._parameter_constraints,
        "degree": [Interval(Integral, 0, None, closed="left")],
        "fraction": [Interval(Real, 0, 1, closed="right")],
        "n_segments": [Interval(Integral, 1, None, closed="left")],
        "clip": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "exclude": ["array-like", Line, None],
        "continuum": ["array-like", slice, Line, None],
        "reference": [StrOptions({"mean"}), None],
    }

    def __init__(
        self,
        degree=2,
        *,
        fraction=0.2,
        n_segments=8,
        clip=None,
        exclude=None,
        continuum=None,
        reference="mean",
        wave=None,
        medium=None,
    ):
        self.degree = degree
        self.fraction = fraction
        self.n_segments = n_segments
        self.clip = clip
        self.exclude = exclude
        self.continuum = continuum
        self.reference = reference
        self.wave = wave
        self.medium = medium

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the continuum pixels and the mean spectrum.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_pixels)
            Memory-mapped `Spectra` are read once, a block of rows at a time.
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If no chip has two continuum pixels, or `exclude` is given and there are
            no wavelengths.
        """
        X = self._check_X(X, reset=True)
        alone = self.reference is None
        by_itself = (1.0, 3.0) if alone and self.continuum is None else (3.0, 3.0)
        self._limits = checked_clip(self.clip, by_itself)
        self.mean_, scatter = moments(X)
        usable = self.mean_ > 0  # and so seen
        if self.exclude is not None:
            usable &= ~window_pixels(self.exclude, X.wave, X.medium, outside="ignore")
        if self.continuum is not None:
            self.continuum_ = usable & self._fixed_pixels(X)
        elif alone:
            self.continuum_ = usable
        else:
            self.continuum_ = self._high_and_quiet(usable, self.mean_ - scatter)
        if alone:
            self._fits = chip_continua(
                self.wave_,
                self.chip_,
                self.degree,
                self.continuum_,
                fixed=self.continuum is not None,
            )
        else:
            self._fits = [self._chip_fit(pixels) for pixels in chip_pixels(self.chip_)]
        if not any(self._fits):
            raise ValueError(
                f"no chip has {f'degree + 2 = {self.degree + 2}' if alone else 'two'} "
                f"continuum pixels: X has {X.shape[1]} feature(s), {int(usable.sum())} "
                "of them with a positive mean and outside exclude=. Check the masks, "
                "the units (Å) of exclude and continuum, and that the spectra are flux "
                "and not residuals."
            )
        return self

    def transform(self, X):
        """Divide the continuum out.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in_)

        Returns
        -------
        Spectra or ndarray of shape (n_spectra, n_features_in_)
            `Spectra` if X is, otherwise an array; in memory.
        """
        check_is_fitted(self)
        spectra = self._check_X(X, reset=False)
        flux = np.full(spectra.shape, np.nan, spectra.dtype)
        ivar = np.zeros(spectra.shape, spectra.dtype) if spectra.has_noise else None
        for rows, block in spectra.iter_blocks(BLOCK_ROWS):
            for fit in filter(None, self._fits):
                continuum = fit.continuum(block, self._limits)
                flux[rows, fit.pixels] = block.flux[:, fit.pixels] / continuum
                if ivar is not None:
                    weight = block.weights()[:, fit.pixels] * continuum**2
                    ivar[rows, fit.pixels] = np.where(np.isnan(weight), 0, weight)
        if not isinstance(X, Spectra):
            return flux
        return spectra.replace(flux=flux, ivar=ivar, covariance=None)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True  # on average: noise may go below 0
        return tags

    def _fixed_pixels(self, X):
        given = self.continuum
        numbers = isinstance(given, slice) or (
            not isinstance(given, Line)
            and all(isinstance(i, Integral | np.bool_) for i in given)
        )
        if numbers:
            return pixel_mask(given, X.shape[1])
        return window_pixels(given, X.wave, X.medium, outside="ignore")

    def _high_and_quiet(self, usable, quality):
        chosen = np.zeros(len(usable), dtype=bool)
        for pixels in chip_pixels(self.chip_):
            for segment in np.array_split(pixels[usable[pixels]], self.n_segments):
                best = np.argsort(-quality[segment], kind="stable")
                n_best = max(1, round(self.fraction * len(segment)))
                chosen[segment[best[:n_best]]] = True
        return chosen

    def _chip_fit(self, pixels):
        chosen = np.flatnonzero(self.continuum_[pixels])
        if len(chosen) < 2:
            return None
        at = scaled(self.wave_, pixels)
        degree = min(self.degree, len(chosen) - 2)
        return _ChipFit(pixels, at, chosen, self.mean_[pixels[chosen]], degree)


@dataclass(frozen=True)
class _ChipFit:
    """The continuum of one chip.

    Parameters
    ----------
    pixels : ndarray of int of shape (n_pixels,)
    at : ndarray of shape (n_pixels,)
        Where they are on the chip, from -1 to 1.
    chosen : ndarray of int of shape (n_chosen,)
        The continuum pixels among them.
    mean : ndarray of shape (n_chosen,)
        Mean training flux there.
    degree : int
    """

    pixels: np.ndarray
    at: np.ndarray
    chosen: np.ndarray
    mean: np.ndarray
    degree: int

    def continuum(self, X, clip):
        """Continuum of each row of a block, (n, n_pixels); NaN where unknown."""
        at = self.at[self.chosen]
        X = X[:, self.pixels[self.chosen]]
        weight = X.weights().astype(float)
        good = weight > 0
        ratio = np.where(good, X.flux, 0) / self.mean
        if X.has_noise:
            weight *= self.mean**2
            weight /= 1 + weight * FLOOR**2
        basis = legvander(at, self.degree)
        products = products_of(basis)
        keep = good
        for _ in range(N_CLIPS):
            coef = solve(np.where(keep, weight, 0), ratio, basis, products)
            residual = ratio - rowwise(coef, basis.T)
            before, keep = keep, clipped(residual, good, clip)
            if (keep == before).all():
                break
        else:
            coef = solve(np.where(keep, weight, 0), ratio, basis, products)
        coef[~self._is_known(keep)] = np.nan
        continuum = legval(self.at, coef.T[:, :, None], tensor=False)
        continuum[~(continuum > 0).all(axis=1)] = np.nan
        return continuum

    def _is_known(self, keep):
        """Rows with enough continuum pixels, over enough of the chip."""
        at = self.at[self.chosen]
        span = np.where(keep, at, -np.inf).max(1) - np.where(keep, at, np.inf).min(1)
        enough = keep.sum(axis=1) >= self.degree + 2
        return enough & (span >= MIN_SPAN * (at[-1] - at[0]))
