"""The contract of a translator, and the functions that see through compositions."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from specxfer._checks import check_same_grid, no_score_said, range_said
from specxfer._compositions import (
    predict_like,
    predict_std,
    sample,
    support,
    translate,
)
from specxfer._denoise import denoise
from specxfer._pixel_sums import PixelSums
from specxfer._plausible import inside_a_fit, warn_if_implausible
from specxfer._resolution import LSF_SHAPE, ResolutionChange
from specxfer._rows import by_index, check_rows, row_hashes
from specxfer._version import __version__
from specxfer.spectra import Spectra, as_plain

__all__ = [
    "Translator",
    "UnpairedWarning",
    "denoise",
    "predict_like",
    "predict_std",
    "sample",
    "support",
    "translate",
]


LEAST_SEEN = 0.01  # share of its pixels, below which nothing is said of a star


class UnpairedWarning(UserWarning):
    """Rows with nothing on one side were left out of a fit."""


class Translator(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Base of all translators: learn the target survey's spectrum from the source's.

    A subclass gives ``_fit(X, y, sample_weight)``, ``_predict_block(X)`` and, where it
    knows its errors, ``_covariance_block(X)`` and ``_support_block(X)``; where flux
    and covariance come of the same work, ``_flux_and_covariance(X, out)`` as well. One
    that learns something from the source alone does so in ``_fit_source(source,
    sample_weight, given)``, which comes before ``_fit``; `given` tells whether these
    are other spectra than X. One that learns from stars that only one survey saw is
    told of all rows before that, in ``_fit_unpaired(X, y, has_source, has_target)``.
    One that can differentiate what it predicts does so in ``_gradient_block(X,
    weights)``: gradients of ``predict(X) @ weights``, with weights of shape
    (n_pixels_out, m), by the flux of X, shape (n, m, n_features_in); 0 where X is
    unknown. What is checked, how rows are blocked, and what the public methods return
    is settled here, once.

    Attributes
    ----------
    n_features_in_ : int
        Pixels of the source.
    wave_in_, medium_in_ : ndarray of shape (n_features_in_,) and str, or None
        Grid of the source; None after a fit on a plain array.
    wave_out_, medium_out_ : ndarray of shape (n_pixels_out_,) and str, or None
        Grid of the target.
    n_pixels_out_ : int
        Pixels of the target.
    seen_ : ndarray of bool of shape (n_pixels_out_,)
        Target pixels that enough training spectra have: five, or half of them if
        there are fewer than ten.
    y_mean_ : ndarray of shape (n_pixels_out_,)
        Weighted mean training spectrum, what `score` compares with.
    noise_known_ : bool
        Whether the training targets came with their noise. Without it the standard
        deviation is that of the *observed* flux.
    resolution_ : ndarray of shape (n_chips_out,) or None
        Resolving power at which the target is predicted unless another is asked for:
        the typical one of the training targets, on each chip. None if the training
        targets did not carry theirs; differences of resolving power then are scatter.
    max_resolution_ : ndarray of shape (n_chips_out,) or None
        1.25 times that; nothing sharper can be asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Translator
    >>> class Scaled(Translator):
    ...     _parameter_constraints = {}
    ...     def _fit(self, X, y, sample_weight):
    ...         self.depth_ = np.nanmean(1 - X.flux)
    ...     def _predict_block(self, X):
    ...         depth = np.nanmean(1 - X.flux, axis=1, keepdims=True)
    ...         return 1 - depth / self.depth_ * (1 - self.y_mean_)
    >>> model = Scaled().fit([[0.9, 0.7], [1.0, 0.8]], [[0.6], [0.8]])
    >>> model.predict([[0.95, 0.75]]).round(3)
    array([[0.7]])
    """

    _block_rows = 512  # rows that are predicted at a time
    _fit_source = None  # learns from the source alone, where a subclass has it
    _fit_unpaired = None  # learns from either side alone, where a subclass has it
    _gradient_block = None  # by the source's flux, where a subclass has it
    _uses_context = False  # whether a fit to a part of the target learns from the rest
    _change = None  # how spectra change with R, once a fit knows the target's

    # ------------------------------------------------------------------ fitting
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        source=None,
        source_weight=None,
        context=None,
    ):
        """Learn from stars that both surveys observed.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra. NaN or zero ivar: no information.
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
            Target spectra of the same stars, in the same order.
        sample_weight : array-like of shape (n_spectra,), optional
            Weight of each pair. A weight of 2 counts as the pair given twice, so
            scale weights to a mean of 1 unless more or less is known than that.
        source : Spectra or array-like of shape (n_source, n_features_in), optional
            Spectra to learn from what there is to learn of the source alone, such as
            its principal components: more stars than have a target, or X before it
            was perturbed. By default X, with the stars that have no target. Of no
            concern to translators that learn nothing from the source alone.
        source_weight : array-like of shape (n_source,), optional
            Weight of each spectrum of `source`.
        context : Spectra or array-like of shape (n_spectra, n_pixels_context), optional
            More of the target spectra than is to be predicted, to learn from what kind
            of star each is. `TargetWindow` hands it the whole spectra. Of no concern to
            translators that learn each pixel apart.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows, stars or grids disagree, or no target pixel is known.
        """
        X = self._check_source(X, reset=True)
        y = self._check_target(y)
        check_rows(X, y)
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        has_source, has_target = _has_pixels(X), _has_pixels(y)
        paired = has_source & has_target
        used = paired & (weight > 0)
        if not used.any():
            raise ValueError(
                f"none of the {len(X)} stars has a weight and a valid pixel on both "
                f"sides: {has_source.sum()} have one in X, {has_target.sum()} in y "
                f"(NaN or ivar 0 is none), {(weight > 0).sum()} a weight."
            )
        kept = paired if self._fit_source is None else has_source
        if self._fit_unpaired is not None:
            kept = has_source | has_target
            self._fit_unpaired(
                X, y, has_source & (weight > 0), has_target & (weight > 0)
            )
        if not kept.all():
            warnings.warn(
                f"{int((~kept).sum())} of {len(X)} stars have nothing on one side; "
                f"{type(self).__name__} leaves them out.",
                UnpairedWarning,
                stacklevel=2,
            )
        warn_if_implausible(X, y)
        if self._fit_source is not None:
            rows = X, weight
            if source is not None:
                rows = self._check_source(source, reset=False), source_weight
            self._fit_source(*_weighted_rows(*rows), given=source is not None)
        if self._uses_context and context is not None:
            context = self._check_target(context)
            check_rows(X, context)
        else:
            context = None
        if not used.all():
            X, y, weight = by_index(X)[used], by_index(y)[used], weight[used]
            context = None if context is None else by_index(context)[used]
        self._context = context
        self._set_target_grid(y)
        sums = PixelSums.of(y, weight)
        self.y_mean_, self.seen_ = sums.mean_spectrum(len(y))
        self._change = ResolutionChange.of(y, weight, self.seen_)
        self.resolution_ = self._change and self._change.reference
        self.max_resolution_ = self._change and self._change.highest
        self.version_ = __version__
        self._sums = sums
        with inside_a_fit():
            self._fit(X, y, weight)
        del self._sums, self._context
        return self

    def _check_source(self, X, reset):
        if isinstance(X, Spectra):
            return self._check_source_grid(X, reset)
        X = validate_data(
            self,
            as_plain(X),
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            ensure_min_samples=1 if not reset else 2,
        )
        if reset:
            self.wave_in_ = self.medium_in_ = None
            self.dtype_ = X.dtype
        return Spectra(
            X,
            wave=None if reset else self.wave_in_,
            medium=None if reset else self.medium_in_,
        )

    def _check_source_grid(self, X, reset):
        if reset:
            if len(X) < 2 or X.shape[1] < 1:
                raise ValueError(
                    f"X holds {len(X)} spectra of {X.shape[1]} pixels; a fit needs at "
                    "least 2 spectra of 1 pixel."
                )
            self.n_features_in_ = X.shape[1]
            self.wave_in_, self.medium_in_ = X.wave, X.medium
            self.dtype_ = X.dtype
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return X
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input: pixels on the training grid"
                f"{range_said(self.wave_in_, self.medium_in_, 'which is')}"
                f"{range_said(X.wave, X.medium, 'X is')}."
            )
        if X.wave is not None and self.wave_in_ is not None:
            check_same_grid(
                X, _bare(self.wave_in_, self.medium_in_), "X", "the training source"
            )
        warn_if_implausible(X, stacklevel=5)
        return X

    def _check_target(self, y):
        return _checked_target(y, type(self).__name__)

    def _check_pairs(self, X, y):
        """Source and target of the same stars, each on its grid of the fit."""
        X, y = self._check_source(X, reset=False), self._check_target(y)
        check_rows(X, y)
        if y.shape[1] != self.n_pixels_out_:
            raise ValueError(
                f"y has {y.shape[1]} pixels, the fit had {self.n_pixels_out_}."
            )
        self._check_target_grid(y)
        return X, y

    def _check_target_grid(self, y):
        if getattr(y, "wave", None) is not None and self.wave_out_ is not None:
            grid = _bare(self.wave_out_, self.medium_out_)
            check_same_grid(y, grid, "y", "the training target")

    def _set_target_grid(self, y):
        self.n_pixels_out_ = y.shape[1]
        self.wave_out_, self.medium_out_ = y.wave, y.medium
        self.chip_out_ = None if y.wave is None else y.chip
        self.noise_known_ = y.has_noise

    # --------------------------------------------------------------- predicting
    def predict(self, X, return_std=False, *, resolution=None):
        """The target spectra of stars that only the source survey saw.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
            Source spectra on the grid of the fit.
        return_std : bool, default=False
            Also return the standard deviation.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            Resolving power λ/FWHM to write each spectrum, or each chip of it, at; NaN
            or None for `resolution_`. Only after a fit on targets that carry theirs.

        Returns
        -------
        flux : ndarray of shape (n_spectra, n_pixels_out)
            Continuum units, in the dtype of the training source; NaN at pixels that
            hardly any training star has (`seen_`).
        std : ndarray of the same shape
            Predictive standard deviation of the *noise-free* flux (of the observed
            flux where `noise_known_` is False). Only if `return_std`. What differs
            between target spectra of equal stars beyond their noise, such as errors of
            velocity and continuum or an unknown resolution, cannot be told from
            differences between stars and is in it.

        Raises
        ------
        ValueError
            If a resolving power is asked for and the training targets had none, or
            it is above `max_resolution_`.
        """
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        power = self._asked_resolution(resolution, len(X))
        flux = np.empty((len(X), self.n_pixels_out_), dtype=self.dtype_)
        if return_std:
            std = np.empty_like(flux)
            blocks = self._with_covariance(X, flux, power, resolution)
            for rows, covariance in blocks:
                std[rows] = np.sqrt(covariance.variance())
            std[:, ~self.seen_] = np.nan
            return flux, std
        more = 4 if power is None else 1  # where blocks of flux alone are held
        for rows, block in X.iter_blocks(self._block_rows * more):
            self._predict_into(block, flux[rows])
            if power is not None:
                flux[rows] = self._change.apply(flux[rows], power[rows])
        if not self.seen_.all():
            flux[:, ~self.seen_] = np.nan
        return flux

    def _with_covariance(self, X, flux, power, resolution):
        """Blocks of rows and their covariance, while `flux` is written."""
        for rows, block in X.iter_blocks(self._block_rows):
            covariance = self._flux_and_covariance(block, flux[rows])
            if power is not None:
                flux[rows] = self._change.apply(flux[rows], power[rows])
                alike = np.ndim(resolution) == 0
                covariance = self._change.covariance(covariance, power[rows], alike)
            if not self.seen_.all():
                flux[rows, ~self.seen_] = np.nan
            yield rows, covariance

    def _asked_resolution(self, resolution, n):
        """Resolving powers of shape (n, n_chips_out), or None for the reference."""
        if resolution is None:
            return None
        if self._change is None:
            raise ValueError(
                f"resolution={resolution!r} is asked for, and this "
                f"{type(self).__name__} does not know that of its training targets: "
                "fit it to y with a `resolution`, or leave resolution= out."
            )
        return self._change.asked(resolution, n)

    def translate(self, X, *, resolution=None):
        """The target spectra as `Spectra`, with noise, covariance and support.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            As in `predict`.

        Returns
        -------
        Spectra
            On the target grid, with ``ivar = 1 / std**2``, the `covariance` of the
            errors, the ids of X, the `resolution` they are written at, and the `meta`
            of X with two more columns: ``support`` (above 1: unlike the training
            stars) and ``supported``. Where the training targets say the shape of
            their line-spread function, so does ``lsf_boxiness``.
        """
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        flux, covariance = self._predicted(X, resolution)
        variance = covariance.variance()
        with np.errstate(divide="ignore"):
            ivar = np.where(variance > 0, 1 / variance, 0).astype(flux.dtype)
        ivar[:, ~self.seen_] = 0
        ivar[~np.isfinite(ivar)] = 0
        out = Spectra(
            flux,
            ivar,
            wave=self.wave_out_,
            medium=self.medium_out_,
            chip=self.chip_out_,
            resolution=self._change and self._change.written(resolution, len(X)),
            ids=X.ids,
            meta=X.meta if X.meta is not None else {"row": np.arange(len(X))},
            covariance=covariance,
        )
        out.meta = out.meta.copy()
        shape = self._change and self._change.boxiness_written(len(X))
        out.meta.remove_columns({LSF_SHAPE} & set(out.meta.colnames))  # of the source
        if shape is not None:
            out.meta[LSF_SHAPE] = shape
        out.meta["support"] = self.support(X)
        out.meta["supported"] = out.meta["support"] <= 1
        return out

    def sample(self, X, n_samples=1, random_state=None, *, resolution=None):
        """Draws of the noise-free target spectra, pixels varying together.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        n_samples : int, default=1
        random_state : int, RandomState instance or None, default=None
            With an int a star's draws depend on the star alone, not on the others
            beside it. None: fresh entropy.
        resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_samples, n_spectra, n_pixels_out)
        """
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        flux, covariance = self._predicted(X, resolution)
        seed = _seed(random_state)
        draws = np.empty((n_samples, *flux.shape), dtype=flux.dtype)
        for i, row in enumerate(row_hashes(X)):
            rng = np.random.default_rng([seed, *row])
            draws[:, i] = flux[i] + covariance.draw(i, n_samples, rng)
        return draws

    def support(self, X):
        """How far each star is from the training stars; above 1 is outside.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)

        Returns
        -------
        ndarray of shape (n_spectra,)
            Distance relative to what 99.9% of the training stars stay within; the
            flag for binaries, emission lines, broken spectra and kinds of star that
            were not in the training set. Infinite where next to nothing was seen.
        """
        check_is_fitted(self)
        X = self._check_source(X, reset=False)
        score = np.empty(len(X))
        for rows, block in X.iter_blocks(self._block_rows):
            score[rows] = self._support_block(block)
            score[rows][block.valid().mean(axis=1) < LEAST_SEEN] = np.inf
        return score

    def score(self, X, y, sample_weight=None):
        """Fraction of variance explained beyond the mean training spectrum.

        ``1 − Σ w (y − prediction)² / Σ w (y − y_mean_)²`` with `w` the inverse
        variance of y (1 where unknown) times `sample_weight`, over the pixels that
        both y and the training stars have. Where y carries its `resolution`, and the
        training targets did, the prediction is at that of each spectrum.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        sample_weight : array-like of shape (n_spectra,), optional

        Returns
        -------
        float
            1 is perfect, 0 no better than the mean spectrum.
        """
        check_is_fitted(self)
        X, y = self._check_pairs(X, y)
        weight = _check_sample_weight(sample_weight, X)
        power = self._resolution_of(y)
        left = total = 0.0
        for rows, block in y.iter_blocks():
            w = block.weights().astype(float) * weight[rows, None] * self.seen_
            flux = np.where(w > 0, block.flux, 0)
            at = None if power is None else power[rows]
            predicted = self.predict(X[rows], resolution=at)
            left += (w * (flux - np.where(w > 0, predicted, 0)) ** 2).sum()
            total += (w * np.where(w > 0, flux - self.y_mean_, 0) ** 2).sum()
        if total == 0:
            raise ValueError(no_score_said(y, weight, self.seen_))
        return float(1 - left / total)

    def _resolution_of(self, y):
        """At which resolving powers to predict what is compared with y, or None."""
        return self._change and self._change.of_spectra(y)

    # ------------------------------------------------------- what subclasses give
    def _fit(self, X, y, sample_weight):
        raise NotImplementedError

    def _predict_block(self, X):
        raise NotImplementedError

    def _predict_into(self, X, out):
        out[:] = self._predict_block(X)

    def _covariance_block(self, X):
        raise NotImplementedError(f"{type(self).__name__} does not know its errors.")

    def _flux_and_covariance(self, X, out):
        self._predict_into(X, out)
        return self._covariance_block(X)

    def _support_block(self, X):
        return np.zeros(len(X))

    # ------------------------------------------------------------------- shared
    def _predicted(self, X, resolution=None):
        """Flux and its covariance, at the resolving powers asked for."""
        if not len(X):
            raise ValueError("X has no rows.")
        power = self._asked_resolution(resolution, len(X))
        flux = np.empty((len(X), self.n_pixels_out_), dtype=self.dtype_)
        blocks = self._with_covariance(X, flux, power, resolution)
        parts = [covariance for _, covariance in blocks]
        return flux, type(parts[0]).concatenate(parts)

    def __setstate__(self, state):
        version = state.get("version_")
        if version is not None and version != __version__:
            warnings.warn(
                f"this {type(self).__name__} was fitted by specxfer {version}, here "
                f"runs {__version__}: refit if results matter.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.single_output = False
        return tags


# ------------------------------------------------------------------------ helpers
def _bare(wave, medium):
    """A grid without spectra on it."""
    return Spectra(np.empty((0, len(wave))), wave=wave, medium=medium)


def _checked_target(y, name):
    """The target of an estimator of that name, as `Spectra`."""
    if isinstance(y, Spectra):
        return y
    if y is None:
        raise ValueError(
            f"{name} requires y to be passed, but the target y is "
            "None: give the target spectra of the same stars."
        )
    y = check_array(
        as_plain(y),
        dtype=[np.float64, np.float32],
        ensure_all_finite="allow-nan",
        ensure_2d=False,
        input_name="y",
    )
    return Spectra(y.reshape(len(y), -1), wave=None, medium=None)


def _has_pixels(spectra):
    """Which rows have any valid pixel."""
    step = max(1, spectra.shape[1] // 64)  # most have one among a few
    found = np.empty(len(spectra), dtype=bool)
    for rows, block in spectra.iter_blocks():
        some = block[:, ::step].valid().any(axis=1)
        if not some.all():
            left = np.flatnonzero(~some)
            some[left] = block[left].valid().any(axis=1)
        found[rows] = some
    return found


def _weighted_rows(source, weight):
    """The rows that have a pixel and a weight, and their weights."""
    weight = _check_sample_weight(weight, source, ensure_non_negative=True)
    rows = _has_pixels(source) & (weight > 0)
    if rows.sum() < 2:
        raise ValueError(
            f"the source has {int(rows.sum())} sample(s) with a valid pixel and a "
            "weight (n_samples = 1 is too few): give two or more."
        )
    return (source, weight) if rows.all() else (by_index(source)[rows], weight[rows])


def _seed(random_state):
    if random_state is None:
        return np.random.SeedSequence().entropy
    if isinstance(random_state, (int, np.integer)):
        if random_state < 0:
            raise ValueError(f"random_state is {random_state}; expected 0 or more.")
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
