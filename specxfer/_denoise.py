"""What both spectra of a star say of its noise-free target spectrum."""

import numpy as np
from astropy.table import Table
from sklearn.utils import _safe_indexing

from specxfer._checks import check_same_grid
from specxfer._compositions import resolution_of, translate, translator_of
from specxfer._rowwise import rowwise_matmul
from specxfer.covariance import LowRankCovariance
from specxfer.spectra import Spectra

__all__ = ["denoise"]

BLOCK_ROWS = 256
PIXELS = 2048  # summed at a time, so that their products stay in the cache


def denoise(model, X, y_obs):
    """Posterior of the noise-free target spectra given both spectra of a star.

    What a star gains that both surveys observed. Its translation says what to expect
    of its target spectrum and how errors run together along lines; its own noisy
    target spectrum is weighed against that. Where the observation is good it is
    kept, where it is poor or masked the translation takes over, and what the
    observed pixels say of their neighbours goes into all of them.

    Parameters
    ----------
    model : estimator
        A fitted `Translator`, or a Pipeline, GridSearchCV, TargetWindow, … around one;
        fitted to targets with their noise.
    X : Spectra or array-like of shape (n_spectra, n_features_in)
        Source spectra. A star without a valid pixel there is expected to be like the
        mean training star.
    y_obs : Spectra of shape (n_spectra, n_pixels_out)
        Observed target spectra of the same stars, with ivar. Pixels that are NaN or
        have ivar 0 have no weight; a star without any other gets its translation.
        Where they carry their `resolution`, and `model` knows that of its training
        targets, each is denoised at its own resolving power.

    Returns
    -------
    Spectra
        The posterior mean on the grid of `y_obs`, with ``ivar = 1 / variance`` of the
        noise-free flux and the `covariance` of its errors; ids, resolution and
        `meta` are those of `y_obs`, the latter with ``support`` and ``supported`` as
        in `translate`. Pixels that the model does not predict are as observed.

    Raises
    ------
    ValueError
        If `y_obs` has no ivar, is of other stars, or is on another grid; if the model
        was fitted to targets without ivar.
    TypeError
        If the errors of the model are not a `LowRankCovariance`, or those of `y_obs`
        are.

    See Also
    --------
    specxfer.translate : For stars that only the source survey observed.

    Notes
    -----
    The translation of a star is ``f ~ N(m, BᵀCB + D)`` with diagonal D, the observation
    ``y ~ N(f, N)``. With ``P = (D + N)⁻¹`` and ``s = N P`` per pixel, the coefficients
    of B have the posterior covariance ``C' = (C⁻¹ + BPBᵀ)⁻¹``, and

    - mean: ``m + s BᵀC'BP(y − m) + (1 − s)(y − m)``;
    - covariance: ``s BᵀC'B s + D s``, where s multiplies pixels,

    by the identity of Woodbury (1950); matrices of pixels × pixels are never made. A
    singular C is right, too.

    The noise is taken as independent from pixel to pixel. That of resampled
    spectra is not: :func:`specxfer.metrics.noise_scale` finds by how much, and ivar
    divided by ``1 + 2 ρ`` (ρ the correlation of neighbours) is then on the safe side
    along lines. Where `y_obs` has a `BandedCovariance`, as from
    `ResolutionMatcher`, this is done with its correlations.

    A star that the model was trained on has been used already: its translation has
    a little of its own noise in it, and the variance is somewhat too small. Denoise
    it by a model that did not see it (cross-fitting) where that matters.

    A pixel that the model cannot predict within its noise, such as one with a cosmic
    ray that is not masked, is kept as observed: mask first.

    References
    ----------
    Woodbury, M. A. 1950, Inverting Modified Matrices, Statistical Research Group,
    Princeton; Rasmussen & Williams 2006, Gaussian Processes for Machine Learning,
    eq. 2.23 to 2.26.

    Examples
    --------
    >>> import numpy as np, specxfer
    >>> from specxfer import Spectra
    >>> from specxfer.linear import PCARidge
    >>> rng = np.random.default_rng(0)
    >>> depth = rng.uniform(0.1, 0.5, (300, 1))
    >>> X = 1 - depth * [[0.2, 1.0, 0.2]] + rng.normal(0, 0.1, (300, 3))
    >>> truth = 1 - depth * [[0.0, 0.5, 0.5]]
    >>> y = Spectra(truth + rng.normal(0, 0.05, (300, 3)), np.full((300, 3), 400.0),
    ...             wave=[6496.8, 6496.9, 6497.0], medium="air")
    >>> model = PCARidge(n_components=1).fit(X[100:], y[100:])
    >>> both = specxfer.denoise(model, X[:100], y[:100])
    >>> spectra = both.flux, model.predict(X[:100]), y[:100].flux
    >>> [round(float(np.std(flux - truth[:100])), 2) for flux in spectra]
    [0.02, 0.03, 0.05]
    """
    _check_observed(model, X, y_obs)
    translator, X = translator_of(model, X, "denoise")
    power = resolution_of(translator, y_obs)
    flux, ivar, parts, support = [], [], [], []
    for rows, observed in y_obs.iter_blocks(BLOCK_ROWS):
        at = None if power is None else power[rows]
        prior = translate(translator, _safe_indexing(X, rows), resolution=at)
        if not parts:
            check_same_grid(y_obs, prior, "y_obs", "the translation")
        mean, covariance = _posterior(prior, observed)
        flux.append(mean)
        ivar.append(_inverse(covariance.variance()))
        parts.append(covariance)
        support.append(prior.meta["support", "supported"])
    meta = y_obs.meta if y_obs.meta is not None else getattr(X, "meta", None)
    meta = Table() if meta is None else meta.copy()
    for name in ("support", "supported"):
        meta[name] = np.concatenate([np.asarray(part[name]) for part in support])
    return y_obs.replace(
        flux=_joined(flux),
        ivar=_joined(ivar),
        ids=getattr(X, "ids", None) if y_obs.ids is None else y_obs.ids,
        meta=meta,
        covariance=LowRankCovariance.concatenate(parts),
    )


def _excess(observed):
    """By how much the variance of wide sums exceeds that of white noise.

    Shape (n, n_pixels), or 1; noise that was convolved has most power at the lowest
    frequencies, so that white noise of so much more variance is an upper limit.
    """
    covariance = observed.covariance
    if covariance is None:
        return observed.dtype.type(1)
    correlation = np.nan_to_num(covariance.correlation())
    excess = np.maximum(1 + 2 * correlation[:, :, 1:].sum(axis=2), 1)
    return excess[:, covariance.chip].astype(observed.dtype)


def _check_observed(model, X, y_obs):
    if not isinstance(y_obs, Spectra) or not y_obs.has_noise:
        raise ValueError(
            "y_obs has no ivar, so how far it is to be believed is unknown: give "
            "Spectra(flux, ivar, wave=..., medium=...)."
        )
    if isinstance(y_obs.covariance, LowRankCovariance):
        raise TypeError(
            "the errors of y_obs run together (LowRankCovariance), as in translated or "
            "denoised spectra: give the observed ones."
        )
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    if n != len(y_obs):
        raise ValueError(
            f"X has {n} rows and y_obs has {len(y_obs)}: give both spectra of the same "
            "stars, in the same order."
        )
    if n == 0:
        raise ValueError("X and y_obs have no rows.")
    ids = getattr(X, "ids", None)
    if ids is not None and y_obs.ids is not None and (ids != y_obs.ids).any():
        row = int(np.argmax(ids != y_obs.ids))
        raise ValueError(
            f"X and y_obs name different stars, first in row {row} ({ids[row]} and "
            f"{y_obs.ids[row]}): bring them into the same order."
        )
    inner, _ = translator_of(model, None, "denoise", transform=False)
    while hasattr(inner, "estimator_"):  # a meta-estimator
        inner, _ = translator_of(inner.estimator_, None, "denoise", transform=False)
    if not getattr(inner, "noise_known_", True):
        raise ValueError(
            f"this {type(inner).__name__} was fitted to targets without ivar, so its "
            "errors have their noise in them, and an observation would count for too "
            "much: fit it to y with ivar."
        )


def _posterior(prior, observed):
    """Posterior mean and covariance of a block of spectra.

    Parameters
    ----------
    prior : Spectra of shape (n, n_pixels)
        With a `covariance`; NaN where nothing is expected.
    observed : Spectra of shape (n, n_pixels)
        With ivar.

    Returns
    -------
    flux : ndarray of shape (n, n_pixels)
    covariance : LowRankCovariance
        With a `scale`.
    """
    covariance, dtype = prior.covariance, prior.dtype
    if not isinstance(covariance, LowRankCovariance):
        seen = "unknown" if covariance is None else covariance.form
        raise TypeError(
            f"the covariance of the translation is {seen}; expected a "
            "LowRankCovariance, low rank + diagonal."
        )
    # in units of the scale, if there is one, spectra share the basis
    unit = dtype.type(1) if covariance.scale is None else covariance.scale.astype(dtype)
    expected = np.isfinite(prior.flux) & np.isfinite(covariance.diagonal)
    expected &= np.isfinite(covariance.basis).all(axis=0)
    variance = covariance.diagonal / unit**2
    if covariance.line is not None:  # what the pixels of a line share counts as theirs
        variance = variance + (covariance.amplitude * covariance.line_std) ** 2
    variance = np.where(expected, variance, 0).astype(dtype)
    basis = np.where(np.isfinite(covariance.basis), covariance.basis, 0)
    weights = observed.weights() / _excess(observed)
    seen = expected & (weights > 0)
    weights = np.where(seen, weights * unit**2, 0)
    difference = np.where(seen, (observed.flux - prior.flux) / unit, 0)
    kept = 1 / (1 + variance * weights)  # s: the share of the translation
    own = covariance.amplitude, covariance.scaled
    coefficients, core = _condition(
        basis, covariance.core, weights * kept, difference, *own
    )
    along = _along(coefficients, basis.astype(dtype), *own)
    flux = prior.flux + unit * (kept * along + (1 - kept) * difference)
    with np.errstate(divide="ignore"):
        noise = np.where(observed.valid(), 1 / observed.weights(), np.nan)
    flux = np.where(expected, flux, np.where(np.isnan(noise), np.nan, observed.flux))
    diagonal = np.where(expected, variance * kept * unit**2, noise)
    kept = np.where(expected, kept * unit, 0)
    return flux.astype(dtype), LowRankCovariance(
        core.astype(covariance.core.dtype),
        basis,
        diagonal.astype(dtype),
        covariance.amplitude,
        covariance.scaled,
        scale=kept.astype(dtype),
    )


def _along(coefficients, basis, amplitude, scaled):
    """Sums of the basis, (n, n_pixels)."""
    if amplitude is None:
        return rowwise_matmul(coefficients, basis)
    strong = rowwise_matmul(coefficients[:, scaled], basis[scaled])
    return rowwise_matmul(coefficients[:, ~scaled], basis[~scaled]) + amplitude * strong


def _condition(basis, core, weights, difference, amplitude=None, scaled=None):
    """Mean and covariance of the basis' coefficients, given noisy sums of them.

    Parameters
    ----------
    basis : ndarray of shape (r, n_pixels)
    core : ndarray of shape (n, r, r)
        Covariance of the coefficients before; they have mean 0.
    weights : ndarray of shape (n, n_pixels)
        Inverse variances of what is seen beside the basis.
    difference : ndarray of shape (n, n_pixels)
        What is seen.
    amplitude : ndarray of shape (n, n_pixels), optional
    scaled : ndarray of bool of shape (r,), optional
        See `LowRankCovariance`.

    Returns
    -------
    mean : ndarray of shape (n, r)
    core : ndarray of shape (n, r, r)
    """
    n, r = len(core), len(basis)
    gram, target = np.zeros((n, r, r)), np.zeros((n, r, 1))
    step = max(1, 2**22 // (r * PIXELS))  # products of 32 MiB at a time
    root_weights = np.sqrt(weights)
    for a in range(0, basis.shape[1], PIXELS):
        part = basis[:, a : a + PIXELS].astype(float)
        for rows in (slice(i, i + step) for i in range(0, n, step)):
            root = root_weights[rows, None, a : a + PIXELS].astype(float)
            heard = part * root
            if amplitude is not None:
                heard[:, scaled] *= amplitude[rows, None, a : a + PIXELS]
            gram[rows] += np.matmul(heard, heard.transpose(0, 2, 1))
            seen = root * difference[rows, None, a : a + PIXELS]
            target[rows] += np.matmul(heard, seen.transpose(0, 2, 1))
    # with C = R Rᵀ the posterior is R (1 + Rᵀ G R)⁻¹ Rᵀ, whatever the rank of C
    values, vectors = np.linalg.eigh(core.astype(float))
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
    turned = root.transpose(0, 2, 1)
    inner = np.matmul(np.matmul(turned, gram), root)
    inner[:, np.arange(r), np.arange(r)] += 1
    half = np.linalg.solve(inner, turned)
    core = np.matmul(root, half)
    core = (core + core.transpose(0, 2, 1)) / 2
    return np.matmul(root, np.matmul(half, target))[:, :, 0], core


def _inverse(variance):
    """Inverse variance, 0 where it is unknown or nothing."""
    known = np.isfinite(variance) & (variance > 0)
    return np.divide(1, variance, out=np.zeros_like(variance), where=known)


def _joined(parts):
    """The blocks in one array; each is let go as it is copied."""
    if len(parts) == 1:
        return parts[0]
    n = sum(len(part) for part in parts)
    out = np.empty((n, *parts[0].shape[1:]), parts[0].dtype)
    at = 0
    while parts:
        part = parts.pop(0)
        out[at : at + len(part)] = part
        at += len(part)
    return out
