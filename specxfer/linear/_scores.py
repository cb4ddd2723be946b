"""Principal components of gappy, noisy spectra, and a star's scores on them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from specxfer._noise_profile import NoiseProfile
from specxfer._rowwise import rowwise_matmul
from specxfer._threads import in_parallel
from specxfer.linear._components import (
    CHUNK,
)
from specxfer.linear._grams import SmoothGrams, packed_products, taken_off, unpacked

BLOCK = 2048  # rows whose scores are found at a time
RUN = 4  # pixels side by side that are to fit: what a sharp line takes
N_PRODUCTS = 2**23  # products of loadings that are held at a time
RANGE = 1e3  # times fainter or brighter than the training stars, for shared sums


@dataclass(frozen=True)
class ScoreModel:
    """A factor model of the source: ``flux = mean + u @ loadings + misfit + noise``.

    The scores `u` of a star have unit variance over the training stars. Given a
    spectrum with inverse variances they have the posterior
    ``u ~ N(S Lᵀ W (x − mean), S)`` with ``S = (Lᵀ W L + 1)⁻¹``: masked pixels carry no
    weight, noisy ones little, and a star without a valid pixel gets the mean.

    Parameters
    ----------
    mean : ndarray of shape (n_pixels,)
    loadings : ndarray of shape (n_components, n_pixels)
        Components times the square root of their noise-free variance.
    misfit : ndarray of shape (n_pixels,)
        Variance of the noise-free flux that the components leave.
    noise : ndarray of shape (n_pixels,)
        Mean noise variance of training; what spectra without ivar are taken to have.
    used : ndarray of bool of shape (n_pixels,)
        Pixels that some training star has.
    profile : ndarray of shape (n_pixels,) or None
        The pixels' share of an inverse variance that is star × pixel × mask, if that
        of the training stars is.

    References
    ----------
    Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611 (probabilistic PCA); Roweis &
    Ghahramani 1999, Neural Computation 11, 305 (the posterior for unequal noise).
    """

    mean: np.ndarray
    loadings: np.ndarray
    misfit: np.ndarray
    noise: np.ndarray
    used: np.ndarray
    profile: np.ndarray | None = None
    brightness: tuple = (1.0, 1.0)  # range of the training stars' share of the ivar
    signal: np.ndarray | None = None  # variance of the noise-free flux, as measured
    floor: float = 0.0  # that no misfit is below

    def posterior(self, X):
        """Scores, their covariance, and how well they describe the spectra.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        scores : ndarray of shape (n, n_components)
        covariance : ndarray of shape (n, n_components, n_components)
        chi2 : ndarray of shape (n,)
            Mean squared residual of the source in units of its expected variance.
        """
        find = self._with_noise if X.has_noise else self._without_noise
        return find(X.flux, X.ivar)

    def moments(self, X):
        """Scores and their covariance; without noise at half the cost of `posterior`.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        scores : ndarray of shape (n, n_components)
        covariance : ndarray of shape (n, n_components, n_components)
        """
        if X.has_noise:
            return self._with_noise(X.flux, X.ivar)[:2]
        return self._without_noise(X.flux, None, with_misfit=False)

    def scores(self, X):
        """The scores alone, shape (n, n_components)."""
        return self.moments(X)[0]

    def gradient(self, X, by_scores):
        """Gradients by the flux of what depends on it through the scores.

        Scores are linear in the flux: ``u = S Lᵀ W (x − mean)``.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)
        by_scores : ndarray of shape (n, m, n_components)
            Gradients by the scores.

        Returns
        -------
        ndarray of shape (n, m, n_pixels)
            0 at unknown pixels.
        """
        _, covariance = self.moments(X)
        known = self._columns(X.weights()).astype(float)
        misfit, loadings = self._columns(self.misfit), self._columns(self.loadings)
        if X.has_noise:
            weight = known / (1 + misfit * known)
        else:
            weight = known / (misfit + self._columns(self.noise)).astype(float)
        out = np.zeros((*by_scores.shape[:2], X.shape[1]))
        by_residual = np.matmul(by_scores, covariance) @ loadings.astype(float)
        out[:, :, self.used] = by_residual * weight[:, None]
        return out

    def worst_run(self, X, scores):
        """The largest misfit of each spectrum in a few pixels side by side.

        A mean over all pixels hardly changes with an emission line or a cosmic ray.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)
        scores : ndarray of shape (n, n_components)
            Theirs.

        Returns
        -------
        ndarray of shape (n,)
            The largest mean, over a run of four pixels, of squared residuals in units
            of their expected variance. Masked pixels count as fitted.
        """
        residual, loadings = self._residual(X.flux), self._columns(self.loadings)
        fitted = rowwise_matmul(scores.astype(loadings.dtype), loadings)
        misfit, noise = self._columns(self.misfit), self._columns(self.noise)
        ivar = self._columns(X.ivar) if X.has_noise else None
        worst = np.empty(len(residual))

        def one(start):
            rows = slice(start, start + CHUNK)
            weight = 1 / (misfit + noise) if ivar is None else ivar[rows]
            if ivar is not None:
                weight = weight / (1 + misfit * weight)
            square = (residual[rows] - fitted[rows]) ** 2 * weight
            np.copyto(square, 0, where=~np.isfinite(square))
            n = min(RUN, square.shape[1])
            runs = sum(square[:, i : square.shape[1] - n + 1 + i] for i in range(n))
            worst[rows] = runs.max(axis=1) / n

        in_parallel(one, range(0, len(residual), CHUNK))
        return worst

    def misfit_share(self, X):
        """Share of the misfit in the variance that a spectrum is expected to have.

        Parameters
        ----------
        X : Spectra in memory, shape (n, n_pixels)

        Returns
        -------
        ndarray of shape (n,)
            The mean over its pixels; 0 without noise, where all have the same.
        """
        share = np.zeros(len(X))
        if not X.has_noise:
            return share
        ivar, misfit = self._columns(X.weights()), self._columns(self.misfit)

        def one(start):
            rows = slice(start, start + CHUNK)
            expected = misfit * ivar[rows]
            known = np.count_nonzero(expected, axis=1)
            share[rows] = (expected / (1 + expected)).sum(axis=1) / np.maximum(known, 1)

        in_parallel(one, range(0, len(share), CHUNK))
        return share

    def truncated(self, n_components):
        """The model of the leading components: the others' variance is misfit.

        Parameters
        ----------
        n_components : int

        Returns
        -------
        ScoreModel
        """
        kept, left = np.split(self.loadings, [n_components])
        if self.signal is None:
            misfit = self.misfit + (left**2).sum(axis=0)
        else:  # as in a fit of these components alone
            misfit = self.signal - (kept.astype(float) ** 2).sum(axis=0)
            misfit = misfit_of(misfit, self.noise, self.floor).astype(kept.dtype)
        return replace(self, loadings=kept, misfit=misfit)

    def with_noise_of(self, X, star_weight):
        """The same components, for spectra with another noise and other misfits.

        Parameters
        ----------
        X : Spectra of shape (n, n_pixels)
            Spectra that differ from those the components were learnt from by more
            than their noise.
        star_weight : ndarray of shape (n,)

        Returns
        -------
        ScoreModel
        """
        count, square, noise = np.zeros((3, X.shape[1]))
        for rows, block in X.iter_blocks(BLOCK):
            scores = self.scores(block)
            valid = block.valid() & self.used
            left = block.flux - self.mean - scores.astype(X.dtype) @ self.loadings
            weight = valid * star_weight[rows, None]
            count += weight.sum(axis=0)
            square += (weight * np.where(valid, left, 0) ** 2).sum(axis=0)
            if block.has_noise:
                ivar = np.where(valid, block.ivar, 1)
                noise += (weight / ivar).sum(axis=0)
        count = np.maximum(count, np.finfo(float).tiny)
        noise = noise / count
        misfit = np.maximum(square / count - noise, self.misfit)
        as_data = [a.astype(self.mean.dtype) for a in (misfit, noise)]
        profile = NoiseProfile.of(X)
        return ScoreModel(
            self.mean,
            self.loadings,
            *as_data,
            self.used,
            profile and profile.pixel,
            self.brightness if profile is None else _brightness(X, profile),
        )

    # ------------------------------------------------------------------ posterior
    def _without_noise(self, flux, _, with_misfit=True):
        """All stars have the mean noise: only masks make a difference."""
        k = len(self.loadings)
        weighted, weight, whole, inverse, to_scores, offset = self._everything
        loadings = self._columns(self.loadings)
        scores = rowwise_matmul(self._columns(flux), to_scores) - offset
        gaps = np.flatnonzero(~np.isfinite(scores[:, 0]))
        covariance = np.broadcast_to(inverse, (len(flux), k, k))
        if not (with_misfit or len(gaps)):
            return scores, covariance
        flux = self._residual(flux)
        n_valid = np.full(len(flux), flux.shape[1])
        if len(gaps):
            part = flux[gaps]
            valid = np.isfinite(part)
            flux[gaps] = np.where(valid, part, 0)
            n_valid[gaps] = valid.sum(axis=1)
            packed = np.repeat(whole[None], len(gaps), axis=0)
            taken_off(
                packed,
                lambda i: ~valid[i],
                loadings.T,
                lambda i, pixels: weight[pixels],
            )
            covariance = covariance.copy()
            right = rowwise_matmul(flux[gaps], weighted)
            scores[gaps], covariance[gaps] = _solved(packed, right)
        if not with_misfit:
            return scores, covariance
        right = rowwise_matmul(flux, weighted).astype(float)
        chi2 = _row_sums(lambda rows: flux[rows] ** 2 * weight, len(flux))
        fitted = (scores * right).sum(axis=1) + (scores**2).sum(axis=1)
        return scores, covariance, (chi2 - fitted) / np.maximum(n_valid, 1)

    def _with_noise(self, flux, ivar):
        residual, loadings = self._residual(flux), self._columns(self.loadings)
        ivar = self._columns(ivar)
        misfit = self._columns(self.misfit)
        n = len(flux)
        weight, product = np.empty_like(residual), np.empty_like(residual)
        chi2, n_valid = np.empty(n), np.empty(n, int)
        amplitude = np.zeros(n)
        profile = None
        if self.profile is not None:
            profile = NoiseProfile(self._columns(self.profile))

        def one(start):
            rows = slice(start, start + CHUNK)
            r, w = residual[rows], weight[rows]
            known = np.isfinite(r)
            np.copyto(w, ivar[rows])
            if not known.all():
                np.copyto(r, 0, where=~known)
                np.copyto(w, 0, where=~known)
            if profile is not None:
                amplitude[rows] = profile.amplitude_of(w)
            n_valid[rows] = np.count_nonzero(w, axis=1)
            w /= 1 + misfit * w
            np.multiply(r, w, out=product[rows])
            chi2[rows] = np.einsum("ij,ij->i", r, product[rows])

        in_parallel(one, range(0, n, CHUNK))
        right = rowwise_matmul(product, loadings.T)
        packed = self._packed_grams(weight, amplitude)
        scores, covariance = _solved(packed, right)
        fitted = (scores * right).sum(axis=1) + (scores**2).sum(axis=1)
        return scores, covariance, (chi2 - fitted) / np.maximum(n_valid, 1)

    def _packed_grams(self, weight, amplitude):
        """``Lᵀ W L`` of every star; shared sums where its noise has the usual form."""
        loadings = self._columns(self.loadings)
        k = len(loadings)
        low, high = self.brightness
        shared = (amplitude >= low / RANGE) & (amplitude <= high * RANGE)
        packed = np.empty((len(weight), k * (k + 1) // 2), weight.dtype)
        if shared.any():
            rows, a = np.flatnonzero(shared), amplitude[shared]
            some = _scaled(self._smooth.packed(a), a)
            misfit, profile = self._columns(self.misfit), self._columns(self.profile)

            def of_masked(i, pixels):
                ivar = a[i] * profile[pixels]
                return ivar / (1 + misfit[pixels] * ivar)

            taken_off(some, lambda i: weight[rows[i]] == 0, loadings.T, of_masked)
            packed[rows] = some
        if not shared.all():
            rows = np.flatnonzero(~shared)
            some = np.zeros((len(rows), packed.shape[1]), weight.dtype)
            step = max(1, N_PRODUCTS // packed.shape[1])
            for at in range(0, weight.shape[1], step):
                products = packed_products(
                    np.ascontiguousarray(loadings[:, at : at + step].T)
                )
                some += rowwise_matmul(weight[rows, at : at + step], products)
            packed[rows] = some
        return packed

    @cached_property
    def _smooth(self):
        """``Lᵀ W L / a`` of an unmasked star, as a function of its factor a."""
        misfit = self._columns(self.misfit).astype(float)
        profile = self._columns(self.profile).astype(float)
        low, high = self.brightness
        return SmoothGrams(
            np.ascontiguousarray(self._columns(self.loadings).T),
            misfit * profile,
            1 / misfit,
            [low / RANGE, high * RANGE],
        )

    @cached_property
    def _everything(self):
        """For spectra of the mean noise, and without masks.

        Weighted loadings (n_pixels, k), the weights, ``Lᵀ W L`` (packed), S, what
        flux is multiplied with for its scores, and those of the mean.
        """
        loadings = self._columns(self.loadings)
        weight = 1 / (self._columns(self.misfit) + self._columns(self.noise))
        weighted = np.ascontiguousarray((loadings * weight).T)
        gram = loadings @ weighted
        packed = gram[np.triu_indices(len(gram))]
        inverse = np.linalg.inv(gram.astype(float) + np.eye(len(gram)))
        to_scores = (weighted.astype(float) @ inverse).astype(loadings.dtype)
        offset = self._columns(self.mean).astype(float) @ to_scores
        return weighted, weight, packed, inverse, to_scores, offset

    @property
    def filter(self):
        """What residuals without noise or gaps are multiplied with for their scores."""
        return self._everything[-2]

    def _residual(self, flux):
        """Residuals from the mean, of the pixels that are used."""
        mean, flux = self._columns(self.mean), self._columns(flux)
        residual = np.empty(flux.shape, mean.dtype)

        def one(start):
            rows = slice(start, start + CHUNK)
            np.subtract(flux[rows], mean, out=residual[rows], casting="unsafe")

        in_parallel(one, range(0, len(flux), CHUNK))
        return residual

    def _columns(self, a):
        return a if self.used.all() else a[..., self.used]

    def __getstate__(self):
        cached = "_smooth", "_everything"
        return {k: v for k, v in self.__dict__.items() if k not in cached}


def _scaled(a, factor):
    """Rows of `a` times a number each, in place."""
    a *= factor[:, None].astype(a.dtype)
    return a


def _row_sums(values, n):
    """Sums over the pixels of ``values(rows)``, in float64."""
    out = np.empty(n)

    def one(start):
        rows = slice(start, start + CHUNK)
        out[rows] = values(rows).sum(axis=1, dtype=float)

    in_parallel(one, range(0, n, CHUNK))
    return out


def _solved(packed, right):
    """Scores and their covariance from the packed normal equations."""
    n, k = right.shape
    scores, covariance = np.empty((n, k)), np.empty((n, k, k))

    def one(start):
        rows = slice(start, start + CHUNK)
        full = unpacked(packed[rows], k)
        full[:, np.arange(k), np.arange(k)] += 1
        covariance[rows] = np.linalg.inv(full)
        target = right[rows, :, None].astype(float)
        scores[rows] = np.matmul(covariance[rows], target)[:, :, 0]

    in_parallel(one, range(0, n, CHUNK))
    return scores, covariance


def misfit_of(misfit, noise, floor):
    return np.maximum(misfit, np.maximum(1e-3 * noise, floor))


def _brightness(X, profile):
    given = np.concatenate(
        [profile.amplitude(block) for _, block in X.iter_blocks(BLOCK)]
    )
    given = given[given > 0]
    return (given.min(), given.max()) if len(given) else (1.0, 1.0)
