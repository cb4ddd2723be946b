"""Translations that noise does not compress."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from specxfer._compositions import translator_of
from specxfer.linear._pca_ridge import PCARidge
from specxfer.linear._products import leading, spread_of, with_products

__all__ = ["unattenuated"]


def unattenuated(model, X, *, min_information=0.5, resolution=None):
    """Translate without the shrinkage to the mean that noise of the source calls for.

    `translate` gives the best guess of each star: the less its spectrum tells, the
    nearer to the mean star. Over a population these guesses are compressed, and more
    so where the source is noisy, so that a trend with anything that goes with
    signal-to-noise is biased. Here each score is divided by the share of information
    behind it, which makes it unbiased given the star, at any noise: for slopes and
    widths of distributions. For single stars it is worse, as its larger stated errors
    say.

    Parameters
    ----------
    model : estimator
        A fitted `PCARidge`, or a Pipeline, GridSearchCV, TargetWindow, … around one.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
        Source spectra.
    min_information : float, default=0.5
        A direction of a star's scores is stretched in full if the spectrum tells at
        least this share of its variance, and by ``1 / min_information`` at most if it
        tells less: a star without information stays at the mean. 1 gives
        `translate`.
    resolution : float or array-like of shape (n_spectra,) or (n_spectra, n_chips)
        See `specxfer.translate`.

    Returns
    -------
    Spectra
        As from `translate`, with the errors of what is unbiased: never smaller.

    Raises
    ------
    TypeError
        If there is no `PCARidge` inside `model`.
    ValueError
        If `min_information` is not above 0 and at most 1.

    See Also
    --------
    specxfer.translate : The least error for each star.
    specxfer.metrics.slope_table : Both slopes, and the error.

    Notes
    -----
    Scores have the prior N(0, 1) and, given a spectrum, the posterior mean
    ``m = Λ u + noise`` and covariance ``S = 1 − Λ``. In the eigenbasis of Λ each is
    multiplied by ``1 / max(λ, min_information)``, which inverts Λ where that is well
    conditioned; products of scores are corrected alike. The coefficients need no
    correction: they were learnt on posterior means, which is regression calibration
    (Carroll et al. 2006, chapter 4), and are those of the noise-free scores.

    Only what *noise* takes away is given back. Scatter that the source does not know,
    even without noise, cannot be: the slope of predicted on truth tends to the share
    of a line's variance that the source tells, and not to 1.

    A plain pipeline, which knows no noise, is compressed as its *training* noise calls
    for, whatever the noise of the star at hand: too little for noisier stars, too much
    for better ones. No correction of its output mends that star by star; `PCARidge`
    with ivar does, as its posterior takes each star's own noise.

    References
    ----------
    Carroll, Ruppert, Stefanski & Crainiceanu 2006, Measurement Error in Nonlinear
    Models, 2nd ed.; Ting, Y.-S. 2024, arXiv:2412.05806.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer import Spectra, translate
    >>> from specxfer.linear import PCARidge, unattenuated
    >>> rng = np.random.default_rng(0)
    >>> depth = rng.normal(0.3, 0.1, (2000, 1))
    >>> sigma = np.repeat([[0.02], [0.10]], 1000, axis=0)  # good spectra, poor spectra
    >>> flux = 1 - depth * [[0.5, 1.0, 0.5]] + sigma * rng.standard_normal((2000, 3))
    >>> X = Spectra(flux, np.repeat(sigma**-2, 3, axis=1), wave=[1.6e4, 16001, 16002],
    ...             medium="vacuum")
    >>> model = PCARidge(n_components=1, n_products=0).fit(X, 1 - depth)
    >>> for flux in translate(model, X).flux, unattenuated(model, X).flux:
    ...     print([round(float(np.polyfit(depth[rows, 0], 1 - flux[rows, 0], 1)[0]), 1)
    ...            for rows in (slice(1000), slice(1000, None))])
    [1.0, 0.6]
    [1.0, 1.0]
    """
    if not 0 < min_information <= 1:
        raise ValueError(
            f"min_information is {min_information}; expected a share above 0 and at "
            "most 1."
        )
    translator, X = translator_of(model, X, "unattenuated")
    if hasattr(translator, "estimator_"):  # a meta-estimator
        power = translator._crop_resolution(resolution)
        inner = unattenuated(
            translator.estimator_,
            X,
            min_information=min_information,
            resolution=power,
        )
        return translator._expand_spectra(inner)
    if not isinstance(translator, PCARidge):
        raise TypeError(
            f"unattenuated found a {type(translator).__name__}; expected a PCARidge, "
            "whose scores have a known covariance."
        )
    check_is_fitted(translator)
    view = object.__new__(_Unattenuated)
    view.__dict__.update(translator.__dict__, _min_information=min_information)
    return view.translate(X, resolution=resolution)


class _Unattenuated(PCARidge):
    """A fitted `PCARidge` that predicts from scores that are not shrunk."""

    def _features(self, X, with_spread=True):
        scores, covariance = self._source.moments(X)
        return stretched(scores, covariance, self._axes, self._min_information)


def stretched(scores, covariance, multiplied, min_information):
    """Features from scores without their shrinkage, and the covariance of their errors.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        Posterior means under the prior N(0, 1).
    covariance : ndarray of shape (n, k, k)
        Their posterior covariance S = 1 − Λ.
    multiplied : ndarray of shape (k, q)
        The axes of `with_products`.
    min_information : float

    Returns
    -------
    features : ndarray of shape (n, k + q)
    spread : ndarray of shape (n, k + q, k + q)
    """
    missing, axes = np.linalg.eigh(covariance)
    told = np.clip(1 - missing, 0, 1)  # λ
    factor = 1 / np.maximum(told, min_information)
    along = np.matmul(axes.transpose(0, 2, 1), scores[:, :, None])[:, :, 0]
    scores = np.matmul(axes, (factor * along)[:, :, None])[:, :, 0]
    kept = factor * told
    noise = factor**2 * told * (1 - told)
    turned = axes.transpose(0, 2, 1)
    error = np.matmul(axes * (noise + (1 - kept) ** 2)[:, None, :], turned)
    features = with_products(scores, error, multiplied)
    # products of these scores are on average, over stars, what is taken off here; for
    # posterior means it is 1 - S, as in `with_products`
    a, b = np.triu_indices(multiplied.shape[1])
    if len(a):
        mean = np.matmul(axes * (factor * kept)[:, None, :], turned)
        mean = np.matmul(multiplied.T, np.matmul(mean, multiplied))
        m = leading(scores, multiplied)
        features[:, scores.shape[1] :] = m[:, a] * m[:, b] - mean[:, a, b]
    return features, spread_of(scores, error, multiplied)
