"""The leading principal components of gappy, noisy spectra."""

import numpy as np
from scipy import linalg

from specxfer._threads import in_parallel
from specxfer.linear._algebra import CPU
from specxfer.linear._grams import packed_products, taken_off, unpacked

SMALL = 600  # pixels up to which the covariance is decomposed whole
IMPUTERS = 20  # components that fill masked pixels while the basis is sought
OVERSAMPLE = 10
FIRST_STARS = 2400  # that the search starts with, and the passes over them
FIRST_PASSES = 8
CHUNK = 64  # rows that a thread works on at a time


def leading_components(source, k, max_iter, tol, rng, start=None):
    """Eigenvectors of the weighted covariance of `source`, largest first.

    A block Krylov method (Musco & Musco 2015, NIPS 28, 1396): each pass over the data
    multiplies the covariance with the residuals of the components so far, and the
    best components in the span of all blocks are taken. It starts on a sample of the
    stars. Where pixels are masked every pass fills them from the components of the
    pass before, which is expectation-maximisation (Roweis 1998, NIPS 10, 626); the
    covariance then changes from pass to pass, and only the last block is of use.

    Parameters
    ----------
    source : Residuals
    k : int
    max_iter : int
        Passes over all the data at most.
    tol : float
        Relative change of the variance captured by k components at which to stop.
    rng : numpy.random.RandomState
    start : ndarray of shape (m, n_pixels), optional
        Loadings of much the same spectra, to start from instead of a sample.

    Returns
    -------
    basis : ndarray of shape (n_pixels, k)
    values : ndarray of shape (k,)
        Their variances.
    n_iter : int
        Passes over all the data.
    gaps : bool
        Whether any pixel had to be filled.
    """
    p = source.n_pixels
    if p <= SMALL:
        basis, values = np.eye(p), np.zeros(p)
        first = 0
    else:
        size = min(p, k + OVERSAMPLE)
        basis = orthonormal(rng.standard_normal((p, size)))
        values = np.zeros(size)
        first = FIRST_PASSES
        if start is not None:
            known = start[:size].T
            basis = orthonormal(np.hstack([known, basis[:, known.shape[1] :]]))
            values[: known.shape[1]] = (known**2).sum(axis=0)
            first = 0
    sample = source.sample(FIRST_STARS)
    if first and len(sample) > 2 * size and len(sample) < len(source):
        basis, values, *_ = _search(sample, k, first, tol, basis, values)
    basis, values, n_iter, gaps = _search(source, k, max_iter, tol, basis, values)
    return basis[:, :k], values[:k], n_iter, gaps


def _search(source, k, max_iter, tol, basis, values):
    size = basis.shape[1]
    tol = max(tol, 4 * np.finfo(source.dtype).eps)
    p = len(basis)
    span = images = np.zeros((p, 0))
    block, captured, n_iter = basis, 0.0, 0
    while n_iter < max_iter:
        n_iter += 1
        image, gaps = source.covariance_times(block, basis, values)
        if gaps or span.shape[1] + size > min(p, 6 * size):
            span = images = np.zeros((p, 0))
        span, images = np.hstack([span, block]), np.hstack([images, image])
        values, rotation = _eigh(span.T @ images)
        values, rotation = values[:size], rotation[:, :size]
        basis, image = span @ rotation, images @ rotation
        before, captured = captured, values[:k].sum()
        complete = size == p and not gaps
        if complete or abs(captured - before) <= tol * captured:
            break
        if gaps:
            block = basis if size == p else orthonormal(image)
            continue
        if span.shape[1] + size > min(p, 6 * size):  # start over from here
            span, images = basis, image
        block = image - basis * values
        block -= span @ (span.T @ block)
        block = orthonormal(block)
        block -= span @ (span.T @ block)
        block = orthonormal(block)
    return basis, values, n_iter, gaps


def _eigh(a):
    """Eigenvalues and vectors, largest first; on one core, as they are small."""
    (found,) = in_parallel(np.linalg.eigh, [(a + a.T) / 2])
    return found[0][::-1], found[1][:, ::-1]


class Residuals:
    """Source spectra less their mean, stars weighted, a block at a time.

    Parameters
    ----------
    X : Spectra of shape (n, n_pixels_all)
    star_weight : ndarray of shape (n,)
    limit : ndarray of shape (n,)
        Inverse variance below which a pixel of a star is not trusted.
    mean : ndarray of shape (n_pixels_all,)
    noise : ndarray of shape (n_pixels_all,)
    used : ndarray of bool of shape (n_pixels_all,)
        Which pixels any star has: the n_pixels that count.
    algebra : Algebra
    """

    def __init__(self, X, star_weight, limit, mean, noise, used, algebra=CPU):
        self._algebra = algebra
        self._X, self._star_weight, self._limit = X, star_weight, limit
        self.mean, self._noise, self._used = mean.astype(X.dtype), noise, used
        self.n_pixels, self.dtype = int(used.sum()), X.dtype

    def __len__(self):
        return len(self._X)

    def sample(self, n):
        """The same for every m-th spectrum, about n of them."""
        some = slice(None, None, max(1, len(self) // n))
        same = self.mean, self._noise, self._used, self._algebra
        return Residuals(
            self._X[some], self._star_weight[some], self._limit[some], *same
        )

    def covariance_times(self, block, basis, values):
        """The covariance times a block, and whether any pixel had to be filled.

        If so the mean moves to that of the filled spectra, which is what they are
        filled about the next time.
        """
        image, shift = np.zeros(block.shape), np.zeros(len(block))
        total, gaps = 0.0, False
        block = block.astype(self.dtype)
        fill = self._filler(basis, values)
        for rows, spectra in self._X.iter_blocks(2048):
            residual, masked = self._of(spectra, rows, fill)
            gaps |= masked
            weight = self._star_weight[rows].astype(self.dtype)
            image += self._algebra.gram_times(residual, weight, block)
            total += weight.sum(dtype=float)
            shift += weight @ residual
        image /= total
        if gaps:
            shift /= total
            image -= np.outer(shift, shift @ block)
            self.mean = self.mean.copy()
            self.mean[self._used] += shift.astype(self.dtype)
        return image, gaps

    def left_over(self, basis, values):
        """Mean square of what components leave of each pixel, where it is observed."""
        square, count = np.zeros((2, self.n_pixels))
        fill = self._filler(basis, values)
        basis = basis.astype(self.dtype)
        for rows, spectra in self._X.iter_blocks(2048):
            residual, _ = self._of(spectra, rows, fill)
            left = residual - (residual @ basis) @ basis.T
            np.multiply(left, left, out=left)
            weight = self._star_weight[rows].astype(self.dtype)
            flux, ivar = self._columns(spectra.flux), self._columns(spectra.ivar)
            good = trusted(flux, ivar, self._limit[rows])
            if good is None:
                count += weight.sum(dtype=float)
            else:
                np.copyto(left, 0, where=~good)
                count += weight @ good.astype(self.dtype)
            square += weight @ left
        return square / np.where(count > 0, count, 1)

    def _columns(self, a):
        if a is None or self.n_pixels == len(self._used):
            return a
        return a[:, self._used]

    def _of(self, spectra, rows, fill):
        flux, ivar = self._columns(spectra.flux), self._columns(spectra.ivar)
        mean = self.mean[self._used]
        limit = self._limit[rows]
        residual = np.empty(flux.shape, flux.dtype)

        def one(start):
            part = slice(start, start + CHUNK)
            np.subtract(flux[part], mean, out=residual[part])
            good = trusted(
                flux[part], None if ivar is None else ivar[part], limit[part]
            )
            if good is None:
                return False
            np.copyto(residual[part], 0, where=~good)
            fill(residual[part], good)
            return True

        return residual, any(in_parallel(one, range(0, len(flux), CHUNK)))

    def _filler(self, basis, values):
        """A function that fills untrusted pixels of residuals by leading components."""
        lead = min(IMPUTERS, np.count_nonzero(values > 0))
        if not lead:
            return lambda residual, good: None
        loadings = (basis[:, :lead] * np.sqrt(values[:lead])).astype(self.dtype)
        noise = self._noise[self._used]
        rest = max(values[lead:].sum() / len(noise), noise.mean(), 1e-6 * values[0])
        whole = packed_products(loadings).sum(axis=0, dtype=float)

        def fill(residual, good):
            grams = np.repeat(whole[None].astype(self.dtype), len(good), axis=0)
            one = np.ones(1, self.dtype)
            taken_off(grams, lambda i: ~good[i], loadings, lambda i, pixels: one)
            full = unpacked(grams, lead) / rest + np.eye(lead)
            right = (residual @ loadings).astype(float) / rest
            scores = np.linalg.solve(full, right[:, :, None])[:, :, 0]
            np.copyto(residual, scores.astype(self.dtype) @ loadings.T, where=~good)

        return fill


def trusted(flux, ivar, limit):
    """Valid pixels that are not far noisier than the rest of their star.

    None if that is all of them.
    """
    if ivar is None:
        if np.isfinite(flux.sum(dtype=float)):
            return None
        return np.isfinite(flux)
    good = ivar >= limit[:, None]
    good &= np.isfinite(flux)
    return None if good.all() else good


def orthonormal(a):
    """An orthonormal basis of the columns of a tall matrix, in order.

    Cholesky QR, twice (Yamamoto et al. 2015, ETNA 44, 306): products instead of
    reflections, many times faster for a few tall columns.
    """
    (basis,) = in_parallel(_orthonormal, [a])  # the matrices are small
    return basis


def _orthonormal(a):
    for _ in range(2):
        a = a / np.maximum(np.linalg.norm(a, axis=0), np.finfo(float).tiny)
        gram = a.T @ a
        gram[np.diag_indices_from(gram)] += 1e-14 * len(gram)
        a = linalg.solve_triangular(np.linalg.cholesky(gram), a.T, lower=True).T
    return a
