"""Augmented: train with the differences that there are between surveys."""

from numbers import Integral

import numpy as np
from sklearn.base import _fit_context, clone
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import (
    _check_method_params,
    check_array,
    check_consistent_length,
)

from specxfer.base import _seed
from specxfer.compose._meta_translator import MetaTranslator
from specxfer.compose._source_fit import fit_with_source
from specxfer.preprocessing._augment import SIZES, augment
from specxfer.preprocessing._transformer import as_plain
from specxfer.spectra import Spectra


class Augmented(MetaTranslator):
    """Train with the differences that there are between surveys.

    The estimator inside sees, in place of each source spectrum, `n_copies` copies
    with random errors of velocity, resolution, line strengths, continuum, … as
    `specxfer.preprocessing.augment` makes them, each with the target of its star.
    What can be learnt without the target (continuum pixels, principal components) is
    learnt from the spectra as they are, where no such errors hide it. Predictions are
    the estimator's own, for spectra as they are.

    Parameters
    ----------
    estimator : estimator
        A translator or any regressor of many outputs; also a Pipeline (of a
        `ContinuumNormalizer` and a translator, say) or a search.
    n_copies : int, default=3
        Perturbed copies of each source spectrum. The original is not among them.
    velocity : float, default=0.5
        Standard deviation of the error of the radial velocity, km/s.
    resolution : float, default=0.05
        Relative standard deviation of the error of the resolving power.
    line_strength : float, default=0.1
        Relative standard deviation of line depths.
    missing_lines : float, default=0.01
        Standard deviation, in continuum units, of features as wide as the line-spread
        function that are added to the flux.
    continuum : float, default=0.01
        Relative standard deviation of the continuum, a smooth curve on each chip.
    continuum_length : float, default=0.07
        Length over which that curve varies, as a fraction of the chip.
    snr : float, optional
        Signal-to-noise ratio, per pixel, of white noise that is added. Give that of
        the spectra to be translated if the training spectra are free of noise.
    bad_pixels : float, default=0.0
        Fraction of pixels to mask.
    resolving_power : float, optional
        λ/FWHM of source spectra that do not carry their own.
    wave : array-like of shape (n_features_in_,), optional
        Wavelengths in Å of a plain source; `Spectra` have their own.
    medium : {"air", "vacuum"}, optional
        The medium of `wave`.
    random_state : int, RandomState instance or None, default=0
        Draws the differences. None: fresh entropy.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    n_features_in_ : int
        Pixels of the source. Only if the estimator has it.

    See Also
    --------
    specxfer.preprocessing.augment : What each difference is; for validation stars too.

    Notes
    -----
    0 or None switches a difference off. Those of lines need the resolving power of
    the source, and with the velocity its wavelengths; it is an error to leave them on
    without.

    Errors that a translator has seen at random it learns to ignore: a direction of the
    source that velocity or continuum errors swamp gets a small coefficient, as in a
    ridge regression whose penalty is the covariance of these errors. This costs
    accuracy on spectra without them. So choose sizes with a search, and score it on
    spectra that have such errors: real ones, or perturbed by `augment` with another
    `random_state`.

    The steps of a Pipeline before the last are fitted to the spectra as they are, and
    so are the components of a translator that has some (`source` of its ``fit``). A
    search inside fits everything to copies.

    `bad_pixels`, and a `velocity` of pixels, mask pixels with NaN: an estimator that
    takes none needs a `GapMasker` before it, inside.

    Copies are made within `fit`, so cross-validation *around* `Augmented` cannot put
    copies of a star on both sides of a split. A search *inside* can, unless its
    splitter goes by the ids, which the copies share (`StarKFold`).

    All copies, and as many of the target, are in memory during `fit`.

    References
    ----------
    Bishop 1995, Neural Computation 7, 108: training with noise is regularisation.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.compose import Augmented
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> X = 1 - rng.uniform(0, 0.5, (40, 1)) * [0.2, 0.9, 0.4, 0.0, 0.7]
    >>> y = 1 - 0.3 * (1 - X[:, :2])
    >>> model = Augmented(
    ...     PCARidge(n_components=1), velocity=0, resolution=0, line_strength=0,
    ...     missing_lines=0, continuum=0.02,
    ... ).fit(X, y)
    >>> bool(np.abs(model.predict(X) - y).max() < 0.02)
    True
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"])],
        "n_copies": [Interval(Integral, 1, None, closed="left")],
        **SIZES,
    }

    def __init__(
        self,
        estimator,
        *,
        n_copies=3,
        velocity=0.5,
        resolution=0.05,
        line_strength=0.1,
        missing_lines=0.01,
        continuum=0.01,
        continuum_length=0.07,
        snr=None,
        bad_pixels=0.0,
        resolving_power=None,
        wave=None,
        medium=None,
        random_state=0,
    ):
        self.estimator = estimator
        self.n_copies = n_copies
        self.velocity = velocity
        self.resolution = resolution
        self.line_strength = line_strength
        self.missing_lines = missing_lines
        self.continuum = continuum
        self.continuum_length = continuum_length
        self.snr = snr
        self.bad_pixels = bad_pixels
        self.resolving_power = resolving_power
        self.wave = wave
        self.medium = medium
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, **fit_params):
        """Fit a clone of the estimator to perturbed copies of the source.

        Parameters
        ----------
        X : Spectra or array-like of shape (n_spectra, n_features_in)
        y : Spectra or array-like of shape (n_spectra, n_pixels_out)
        sample_weight : array-like of shape (n_spectra,), optional
            Handed to the estimator, if given, once for each copy; to the last step of
            a Pipeline.
        **fit_params
            Handed to the ``fit`` of the estimator; what has one value per spectrum,
            once for each copy.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a difference needs wavelengths or a resolving power that X lacks.
        """
        if y is None:
            raise ValueError(
                "Augmented requires y to be passed, but the target y is None: it "
                "holds the target spectra."
            )
        if not isinstance(X, Spectra):
            X = _checked(X)
        if not isinstance(y, Spectra) and not hasattr(y, "iloc"):
            y = check_array(
                as_plain(y), dtype=None, ensure_all_finite=False, ensure_2d=False
            )
        check_consistent_length(X, y)
        copies = np.tile(np.arange(len(X)), self.n_copies)
        params = self._route("fit", sample_weight, fit_params)
        params = _check_method_params(X, params, indices=copies)
        many_y = y[copies] if isinstance(y, Spectra) else _safe_indexing(y, copies)
        self.estimator_ = fit_with_source(
            clone(self.estimator), X, y, sample_weight, self._copies(X), many_y, params
        )
        self._take_features()
        return self

    def _copies(self, X):
        """The perturbed copies of the source, as what it came as."""
        draws = list(self._draws(X))
        if isinstance(X, Spectra):
            return Spectra.concatenate(draws)
        copies = np.concatenate(draws)
        return type(X)(copies, columns=X.columns) if hasattr(X, "iloc") else copies

    def _draws(self, X):
        options = {name: getattr(self, name) for name in SIZES}
        seeds = np.random.SeedSequence(_seed(self.random_state))
        for seed in seeds.generate_state(self.n_copies):
            yield augment(X, **{**options, "random_state": int(seed)})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def _checked(X):
    """X as numbers; a data frame keeps its names."""
    values = check_array(
        as_plain(X), dtype=[np.float64, np.float32], ensure_all_finite="allow-nan"
    )
    return type(X)(values, columns=X.columns) if hasattr(X, "iloc") else values
