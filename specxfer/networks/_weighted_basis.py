"""`weighted_basis`: the principal spectra of noisy, gappy residuals."""

import numpy as np

from specxfer.networks._losses import SMALLEST

OVERSAMPLING = 10  # directions followed beyond those wanted, which settle them faster


def weighted_basis(blocks, k, *, floor=0.0, max_iter=50, tol=1e-3, random_state=0):
    """Principal components of spectra with noise and gaps.

    Finds the spectra b and coefficients c that minimise the sum of
    ``weight (residual - c b)²`` with ``weight = 1 / (1/ivar + floor²)``; within a star
    weights above its mean count as the mean. With equal weights these are the leading
    right singular vectors.

    Parameters
    ----------
    blocks : sequence of (residuals, ivar)
        Rows a block at a time, both arrays of shape (n, n_pixels) in continuum units;
        ivar is 0 where the flux is unknown. Gone through `max_iter` times at most, so
        it may read from disk, but may not be a generator.
    k : int
        Components, at most; fewer if the residuals have no more.
    floor : float, default=0.0
        Standard deviation, continuum units, added in quadrature to the noise.
    max_iter : int, default=50
        Passes over the blocks, at most.
    tol : float, default=1e-3
        Relative change of the variance captured that ends them.
    random_state : int, default=0
        Starts the search; the result depends on it by about `tol`.

    Returns
    -------
    ndarray of float32 of shape (k, n_pixels)
        Orthogonal spectra, the strongest first, each times the standard deviation of
        its coefficient about 0, continuum units; the largest number is positive.

    Raises
    ------
    ValueError
        If no pixel is known.

    Notes
    -----
    Every pass fills what is unknown, or known less well than the rest of its star,
    with what the components say, then takes one step of an orthogonal iteration
    on the filled spectra (Kiers 1997, Psychometrika 62, 251; Srebro & Jaakkola 2003,
    ICML, 720).

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.networks import weighted_basis
    >>> rng = np.random.default_rng(0)
    >>> residuals = rng.normal(0, 0.1, (200, 1)) * [[0.6, 0.0, 0.8]]
    >>> ivar = rng.choice([0.0, 1e4], (200, 3), p=[0.2, 0.8])
    >>> basis = weighted_basis([(residuals, ivar)], 1)
    >>> np.abs(basis / np.linalg.norm(basis)).round(3)
    array([[0.6, 0. , 0.8]], dtype=float32)
    """
    n_pixels = np.shape(blocks[0][0])[1]
    rng = np.random.default_rng(random_state)
    rank = min(k + OVERSAMPLING, n_pixels)
    axes = np.linalg.qr(rng.normal(size=(n_pixels, rank)))[0].T.astype("f")
    coefs = [np.zeros((len(residuals), rank), "f") for residuals, _ in blocks]
    modelled, captured = axes, 0.0
    for _ in range(max_iter):
        sums, moments, total = 0.0, 0.0, 0.0
        for (residuals, ivar), coef in zip(blocks, coefs):
            filled, star = _filled(residuals, ivar, floor, coef @ modelled)
            coef[:] = filled @ axes.T
            weighted = (coef * star).T
            sums, moments = sums + weighted @ filled, moments + weighted @ coef
            total += float(star.sum())
        if not total:
            raise ValueError("no pixel is known: every ivar is 0.")
        variance, vectors = np.linalg.eigh(moments.astype(float) / total)
        variance, vectors = variance[::-1][:k], vectors[:, ::-1][:, :k].astype("f")
        spectra = vectors.T @ axes
        before, captured = captured, variance.sum()
        if abs(captured - before) <= tol * captured:
            break
        modelled = (
            vectors @ spectra
        )  # the wanted alone fill gaps, or they would overfit
        axes = np.linalg.qr(sums.T)[0].T
    there = variance > 1e-10 * variance[0]
    there[0] = True
    scale = np.sqrt(np.maximum(variance[there], 0)).astype("f")
    strongest = np.abs(spectra).argmax(axis=1)
    scale *= np.sign(np.take_along_axis(spectra, strongest[:, None], axis=1))[there, 0]
    return scale[:, None] * spectra[there]


def _filled(residuals, ivar, floor, model):
    """Residuals filled with the model where they say less, and weights of the stars."""
    ivar = np.asarray(ivar, dtype=np.float32)
    known = ivar > 0
    weight = known / np.maximum(1 / np.where(known, ivar, 1) + floor**2, SMALLEST)
    star = weight.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    share = np.minimum(weight / np.where(star > 0, star, 1)[:, None], 1)
    filled = model + share * (np.where(known, residuals, 0) - model)
    return filled.astype(np.float32), star[:, None].astype(np.float32)
