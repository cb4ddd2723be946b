"""ConformalTranslator: errors and intervals that held-out stars have confirmed."""

from numbers import Integral, Real

import numpy as np
from scipy.special import ndtri
from sklearn.base import _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import (
    _check_method_params,
    _check_sample_weight,
    check_is_fitted,
)

from specxfer._compositions import predict_std, translate
from specxfer.compose._augmented import _checked
from specxfer.compose._calibrated import BLOCK, CalibratedTranslator
from specxfer.compose._conformal_scores import (
    checked_rows,
    rows_of,
)
from specxfer.lines import Line, each_window
from specxfer.metrics import equivalent_width
from specxfer.model_selection import StarShuffleSplit
from specxfer.spectra import Spectra

KINDS = ("observed", "noise-free")


class ConformalTranslator(CalibratedTranslator):
    """Errors and intervals that held-out stars have confirmed.

    Some of the stars are kept from the estimator inside and tell how far it errs, in
    giants and in dwarfs apart. Two products come of it and are kept apart.

    *Intervals of the observed flux*, by `predict_interval`: of a new star, of the same
    population, observed with the noise that is stated, each pixel lies inside with at
    least the probability asked for. This is guaranteed for any number of stars and any
    estimator, good or bad.

    *Errors of the noise-free flux*, in ``predict(return_std=True)``, `translate` and
    `sample`: the stated ones times a factor for each run of neighbouring pixels, so
    that with the known noise they make up the scatter that is seen. There is no
    guarantee in these: nobody observes the noise-free flux. The factor sets the size
    of errors, not the shape of their distribution.

    Parameters
    ----------
    estimator : estimator
        A translator that knows its errors; also a Pipeline or a search.
    levels : float or sequence of float, default=(0.6827, 0.9545)
        What share of observations an interval is to hold; those that can be asked for.
    per : {"pixel", "line"}, default="pixel"
        Calibrate the flux of every pixel, or the equivalent width of every line. With
        "line", `predict_width_interval` has the guarantee, and one factor for each
        line, from its equivalent widths, scales the errors within its window.
    lines : Line, (lo, hi) in Å, or list of these, optional
        Needed by "line". With "pixel", runs of pixels end at the edges of windows.
    calibration_size : float or int, default=0.25
        Share, or number, of stars to calibrate with.
    domains : callable, optional
        ``domains(X)`` gives a dict of a bool array for each domain; stars of each are
        calibrated apart. By default giants and dwarfs where ``X.meta`` tells them
        apart, else all stars as one. A star of no or unknown domain gets the largest
        of the domains' factors. Must be picklable for the estimator to be.
    noise_correlation : float, default=0.0
        Of neighbouring pixels of the target, for equivalent widths; see
        `specxfer.metrics.equivalent_width`. A covariance that the target carries
        goes before it.
    random_state : int, RandomState instance or None, default=0
        Which stars, and which spectrum of each.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    domains_ : list of str
        The domains.
    n_calibration_ : ndarray of int of shape (n_domains,)
        Stars that each was calibrated with.
    quantiles_ : ndarray of shape (n_domains, n_levels, n_pixels_out_) or None
        Half-widths of the intervals of observed flux, in units of its stated standard
        deviation, noise included. Infinite where too few stars have the pixel.
    width_quantiles_ : ndarray of shape (n_domains, n_levels, n_lines) or None
        As `quantiles_`, of equivalent widths.
    scale_ : ndarray of shape (n_domains, n_pixels_out_)
        Factor of the errors of the noise-free flux.
    width_scale_ : ndarray of shape (n_domains, n_lines) or None
        Factor of those of equivalent widths.
    typical_ivar_ : ndarray of shape (n_pixels_out_,) or None
        Geometric mean of the target's inverse variance; 0 where no star has the pixel.
    n_pixels_out_ : int
        Pixels of the target.
    n_features_in_ : int
        Pixels of the source. Only if the estimator has it.

    See Also
    --------
    specxfer.metrics.interval_coverage : Test the intervals on further stars.

    Notes
    -----
    A star's score in a pixel is \\|observed − predicted\\| / (std² + 1/ivar)^½. A new
    star's score is equally likely to have any rank among those of n calibration stars
    if all are exchangeable: drawn from one population, observed alike, and chosen
    without regard to how well they are predicted. So the ⌈(n + 1) level⌉-th smallest
    score bounds it with probability `level` at least, and with no more than
    1 / (n + 1) beyond (Vovk et al. 2005; Lei et al. 2018); within each domain
    (Mondrian). If that is more than n the interval is infinite: 95.45% takes 21 stars.

    Not promised are: that all pixels of a spectrum are inside at once; that the share
    holds for every kind of star in a domain, such as the metal-poor; that it holds for
    stars of another population, which `support` is to tell; nor exactly the share
    asked for with the n stars at hand, which scatters from one calibration set to the
    next by [level (1 − level) / n]^½.

    Repeats of a star are not exchangeable with other stars: one spectrum of each is
    taken, and no star is on both sides. What the target's `resolution` does is
    predicted as `specxfer.predict_like` does.

    Where the target came without noise, the stated errors and all intervals are of the
    observed flux, and there is no noise-free product.

    The factor of the noise-free errors is c, with c² the weighted mean of
    (observed − predicted)² − 1/ivar over that of std², in runs of up to 16 pixels,
    drawn to its mean over all as far as it is uncertain. It is as good as ivar is: see
    `specxfer.metrics.noise_scale`.

    Calibration holds one float32 per calibration star and pixel besides a block of
    predictions: 1 GiB for 16,000 stars and pixels.

    References
    ----------
    Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, Springer;
    Lei, J., G'Sell, M., Rinaldo, A., Tibshirani, R. J. & Wasserman, L. 2018, JASA 113,
    1094.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.compose import ConformalTranslator
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> depth = rng.uniform(0.1, 0.5, (600, 1))
    >>> X = 1 - depth * [[0.2, 1.0, 0.2]] + rng.normal(0, 0.01, (600, 3))
    >>> y = 1 - depth * [[0.1, 0.5]] + 0.02 * rng.standard_t(3, (600, 2))
    >>> model = ConformalTranslator(PCARidge(n_components=1), levels=0.9)
    >>> lo, hi = model.fit(X[:400], y[:400]).predict_interval(X[400:])
    >>> bool(abs(((lo <= y[400:]) & (y[400:] <= hi)).mean() - 0.9) < 0.05)
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "levels": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "per": [StrOptions({"pixel", "line"})],
        "lines": ["array-like", Line, None],
        "calibration_size": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "domains": [callable, None],
        "noise_correlation": [Interval(Real, -1, 1, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        levels=(0.6827, 0.9545),
        per="pixel",
        lines=None,
        calibration_size=0.25,
        domains=None,
        noise_correlation=0.0,
        random_state=0,
    ):
        self.estimator = estimator
        self.levels = levels
        self.per = per
        self.lines = lines
        self.calibration_size = calibration_size
        self.domains = domains
        self.noise_correlation = noise_correlation
        self.random_state = random_state

    # ------------------------------------------------------------------ fitting
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit a clone of the estimator to some of the stars, calibrate with the others.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        sample_weight : array-like of shape (n_spectra,), optional
            Handed to the estimator, if given; to the last step of a Pipeline. In the
            calibration all stars count alike but those of weight 0, which do not.
        **fit_params
            Handed to the ``fit`` of the estimator.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there are too few stars to train and calibrate with, or ``per="line"``
            comes without lines.
        """
        if y is None:
            raise ValueError(
                "ConformalTranslator requires y to be passed, but the target y is "
                "None: it holds the target spectra."
            )
        self._check_lines()
        X, y = checked_rows(X, y)
        if len(X) < 4:
            raise ValueError(
                f"X has {len(X)} sample(s) (n_samples = 1 is too few): give 4 or more, "
                "to train and to calibrate with."
            )
        random = check_random_state(self.random_state)
        splitter = StarShuffleSplit(
            1, test_size=self.calibration_size, random_state=random
        )
        train, held_out = next(splitter.split(X, y))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            held_out = held_out[sample_weight[held_out] > 0]
        params = self._route("fit", sample_weight, fit_params)
        params = _check_method_params(X, params, indices=train)
        self.estimator_ = clone(self.estimator).fit(
            rows_of(X, train), rows_of(y, train), **params
        )
        self._take_features()
        return self._calibrate(rows_of(X, held_out), rows_of(y, held_out), random)

    def calibrate(self, X, y):
        """Calibrate with other stars, such as those of a new release or population.

        Before any `fit`, the estimator given must be fitted, and is taken as it is.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Stars that the estimator was *not* trained on.
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)

        Returns
        -------
        self
        """
        self._validate_params()
        self._check_lines()
        if not hasattr(self, "estimator_"):
            check_is_fitted(self.estimator)
            self.estimator_ = self.estimator
            self._take_features()
        X, y = checked_rows(X, y)
        return self._calibrate(X, y, check_random_state(self.random_state))

    def _check_lines(self):
        if self.per == "line" and self.lines is None:
            raise ValueError('per="line" needs lines=: those to calibrate.')
        levels = np.atleast_1d(np.asarray(self.levels, dtype=float))
        inside = (levels > 0) & (levels < 1)
        if levels.ndim != 1 or not len(levels) or not inside.all():
            raise ValueError(
                f"levels are {self.levels}; expected shares between 0 and 1."
            )
        self._levels = tuple(levels.tolist())

    # --------------------------------------------------------------- predicting
    def predict(self, X, return_std=False, *, resolution=None):
        """Predict with the estimator; the standard deviation is calibrated.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        return_std : bool, default=False
            Also return the standard deviation of the noise-free flux.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            See `specxfer.Translator.predict`.

        Returns
        -------
        flux : ndarray of shape (n_spectra, n_pixels_out)
        std : ndarray of the same shape
            Only if `return_std`: that of the estimator times `scale_`.
        """
        found = super().predict(X, return_std, resolution=resolution)
        if not return_std:
            return found
        flux, std = found
        std *= self._of_stars(self.scale_, X)
        return flux, std

    def translate(self, X, *, resolution=None):
        """Translate with the estimator; noise and covariance are calibrated.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            See `specxfer.Translator.predict`.

        Returns
        -------
        Spectra
            See `specxfer.Translator.translate`.
        """
        found = super().translate(X, resolution=resolution)
        factor = self._of_stars(self.scale_, X)
        covariance = found.covariance
        return found.replace(
            ivar=found.ivar / factor**2,
            covariance=None if covariance is None else covariance.times(factor),
        )

    def sample(self, X, n_samples=1, random_state=None, *, resolution=None):
        """Draw target spectra, as far from the prediction as is calibrated.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            See `specxfer.Translator.predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_spectra, n_pixels_out)
        """
        flux = self.predict(X, resolution=resolution)
        draws = super().sample(X, n_samples, random_state, resolution=resolution)
        draws -= flux
        draws *= self._of_stars(self.scale_, X)
        draws += flux
        return draws

    def predict_interval(
        self, X, level=None, *, kind="observed", ivar=None, resolution=None
    ):
        """Intervals of the flux.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        level : float, optional
            For "observed" one of `levels`; by default the first of these.
        kind : {"observed", "noise-free"}, default="observed"
            Of the flux as it would be observed, which is guaranteed; or of the flux
            without noise, Gaussian with the calibrated error, which is not.
        ivar : float or array-like of shape (p,) or (n_spectra, p), optional
            Inverse variance of the observation to be; by default `typical_ivar_`. 0:
            not observed, and the interval is infinite.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            See `specxfer.Translator.predict`.

        Returns
        -------
        lo, hi : ndarray of shape (n_spectra, n_pixels_out)
            NaN at pixels that are not predicted.

        Raises
        ------
        ValueError
            If the level was not calibrated, or the flux was not (``per="line"``).
        """
        check_is_fitted(self)
        level, quantile = self._asked(level, kind, self.quantiles_, "pixel")
        X = X if isinstance(X, Spectra) else _checked(X)
        noise = self._noise(ivar, len(X)) if kind == "observed" else None
        power = self._by_row(resolution, len(X))
        lo = hi = None
        for start in range(0, len(X), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(X)))
            x, at = rows_of(X, rows), None if power is None else power[rows]
            flux, half = predict_std(self.estimator_, x, resolution=at)
            if kind == "observed":
                half = np.sqrt(half.astype(float) ** 2 + noise[rows])
                half *= self._of_stars(self.quantiles_[:, quantile], x)
            else:
                half = half * self._of_stars(self.scale_, x) * ndtri(0.5 + level / 2)
            if lo is None:
                lo, hi = np.empty((2, len(X), self.n_pixels_out_), flux.dtype)
            lo[rows], hi[rows] = flux - half, flux + half
        return lo, hi

    def predict_width_interval(
        self, X, level=None, *, kind="observed", ivar=None, resolution=None
    ):
        """Intervals of the equivalent widths of `lines`, in mÅ.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        level, kind, ivar, resolution
            As in `predict_interval`; of widths as they would be observed, or without
            noise.

        Returns
        -------
        lo, hi : ndarray of shape (n_spectra, n_lines)

        Raises
        ------
        ValueError
            If the level was not calibrated, or widths were not (``per="pixel"``).
        """
        check_is_fitted(self)
        if self.width_quantiles_ is None:
            raise ValueError('widths were not calibrated: fit with per="line".')
        level, quantile = self._asked(level, kind, self.width_quantiles_, "line")
        X = X if isinstance(X, Spectra) else _checked(X)
        noise = self._noise(ivar, len(X)) if kind == "observed" else None
        power = self._by_row(resolution, len(X))
        lo, hi = np.empty((2, len(X), len(each_window(self.lines))))
        for start in range(0, len(X), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(X)))
            x, at = rows_of(X, rows), None if power is None else power[rows]
            found = translate(self.estimator_, x, resolution=at)
            width, half = equivalent_width(found, self.lines)
            if kind == "observed":
                half = np.hypot(half, self._width_noise(found, noise[rows]))
                half *= self._of_stars(self.width_quantiles_[:, quantile], x)
            else:
                half *= self._of_stars(self.width_scale_, x) * ndtri(0.5 + level / 2)
            lo[rows], hi[rows] = width - half, width + half
        return lo, hi

    def _width_noise(self, found, noise):
        """Error of observed widths from the noise of the flux, mÅ."""
        if not noise.any():
            return 0.0
        ivar = 1 / noise  # 0 where not observed
        bare = found.replace(ivar=ivar.astype(found.dtype), covariance=None)
        error = equivalent_width(
            bare, self.lines, noise_correlation=self.noise_correlation
        )[1]
        return np.where(np.isfinite(error), error, np.inf)

    def _asked(self, level, kind, quantiles, per):
        """The level asked for, and which of those calibrated it is."""
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {KINDS}.")
        level = self._levels[0] if level is None else float(level)
        if kind == "noise-free":
            if not self._noise_known:
                raise ValueError(
                    "the target came without noise, so what is noise and what error "
                    'is unknown: ask for kind="observed", or fit to y with ivar.'
                )
            if not 0 < level < 1:
                raise ValueError(f"level is {level}; expected a share within 0 to 1.")
            return level, None
        if quantiles is None:
            raise ValueError(
                f'intervals of this kind were not calibrated: fit with per="{per}", or '
                "ask predict_width_interval for those of widths."
            )
        near = np.isclose(self._levels, level, rtol=0, atol=1e-9)
        if not near.any():
            raise ValueError(
                f"level {level} was not calibrated, {self._levels} were: fit, or "
                "calibrate, with levels= that have it."
            )
        return level, int(np.argmax(near))

    def _noise(self, ivar, n):
        """Variance of the observation to be, (n, p)."""
        if ivar is not None and not self._noise_known:
            raise ValueError(
                "ivar= is given and the target came without noise: its scatter, noise "
                "included, is in the stated errors already. Leave ivar= out."
            )
        if ivar is None:
            ivar = 0 if self.typical_ivar_ is None else self.typical_ivar_
            if not self._noise_known:
                return np.zeros((n, 1))
        ivar = np.asarray(ivar, dtype=float)
        if (ivar < 0).any():
            raise ValueError("ivar is negative: expected inverse variances >= 0.")
        with np.errstate(divide="ignore"):
            return np.broadcast_to(1 / ivar, (n, self.n_pixels_out_))

    def _by_row(self, resolution, n):
        if resolution is None:
            return None
        resolution = np.asarray(resolution, dtype=float)
        return np.full(n, resolution) if resolution.ndim == 0 else resolution
