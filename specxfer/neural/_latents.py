"""`Latents`: a few numbers of each star's residual, of unit variance."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

__all__ = ["Information", "Latents", "Whitening"]

PIXELS = 2048  # summed at a time, so that their products stay in the cache
FAINT = 1e-6  # of the largest variance: directions of less are rounding


class Whitening(NamedTuple):
    """How a star's latents and the coefficients of its covariance hang together.

    Attributes
    ----------
    read : ndarray of shape (n, d, r)
        ``read @ z`` are the latents of coefficients z.
    gain : ndarray of shape (n, r, d)
        ``gain @ u`` are the coefficients to be expected of latents u.
    """

    read: np.ndarray
    gain: np.ndarray


class Information(NamedTuple):
    """What observed spectra say of latents: ``exp(ηᵀu − uᵀΛu / 2)``.

    Attributes
    ----------
    eta : ndarray of shape (n, d)
    precision : ndarray of shape (n, d, d)
        Λ: 0 where nothing is observed.
    """

    eta: np.ndarray
    precision: np.ndarray

    def __getitem__(self, rows):
        return Information(self.eta[rows], self.precision[rows])


@dataclass(frozen=True)
class Latents:
    """Sums over the pixels of a star's error, in units of what is to be expected.

    A predictive covariance is ``AᵀCA`` and what pixels have alone. The latents of an
    error ``Aᵀz`` are its sums over pixels by d filters, in units of what this star's C
    leads one to expect: where the errors are Gaussian latents are N(0, 1), in giants
    and dwarfs, of good and of poor source spectra. All else in z follows the latents
    linearly, with a Gaussian rest.

    Parameters
    ----------
    filters : ndarray of shape (d, n_pixels)
    own : ndarray of int of shape (m,)
        Lines of the covariance whose shared errors are coefficients too: by them lines
        of one element may err together.
    """

    filters: np.ndarray
    own: np.ndarray

    @classmethod
    def of(cls, covariance, ivar, n_latents, pixels=None):
        """The directions that stand out of the targets' noise, and some lines.

        Parameters
        ----------
        covariance : LowRankCovariance of n spectra
            Of a sample of the training stars.
        ivar : ndarray of shape (n, n_pixels)
            Of their target spectra; infinite where those are free of noise.
        n_latents : int
            Directions, at most.
        pixels : list of ndarray of int, optional
            The pixels of each line that has a latent of its own.

        Returns
        -------
        Latents
        """
        weights = weights_of(covariance, ivar)
        gram = np.mean(grams(covariance, weights), axis=0)
        root = root_of(covariance.core.mean(axis=0))
        values, vectors = np.linalg.eigh(root.T @ gram @ root)
        kept = np.flatnonzero(values > FAINT * values[-1])[::-1][:n_latents]
        along = (root @ vectors[:, kept]).T
        basis, mean_weight = covariance.basis.astype(float), weights.mean(axis=0)
        usual = None
        if covariance.amplitude is not None:
            usual = np.sqrt(np.mean(covariance.amplitude.astype(float) ** 2, axis=0))
            basis = np.where(covariance.scaled[:, None], basis * usual, basis)
        filters, own = [along @ basis], []
        if covariance.line is not None:
            shared = usual * covariance.line_std
            for held in pixels or ():
                line = covariance.line[held[np.argmax(shared[held])]]
                template = np.where(covariance.line == line, shared, 0)
                if line not in own and (mean_weight * template).any():
                    own.append(line)
                    filters.append(template[None])
        filters = np.concatenate(filters) * mean_weight
        filters /= np.linalg.norm(filters, axis=1, keepdims=True)
        return cls(filters.astype(covariance.basis.dtype), np.array(own, int))

    def extended(self, covariance):
        """The same errors, in which those of some lines are coefficients.

        Parameters
        ----------
        covariance : LowRankCovariance
            Of the model.

        Returns
        -------
        LowRankCovariance
        """
        if not len(self.own):
            return covariance
        member = covariance.line == self.own[:, None]
        rows = np.where(member, covariance.line_std, 0).astype(covariance.basis.dtype)
        (n, r, _), m = covariance.core.shape, len(rows)
        core = np.zeros((n, r + m, r + m), covariance.core.dtype)
        core[:, :r, :r] = covariance.core
        core[:, range(r, r + m), range(r, r + m)] = 1
        return replace(
            covariance,
            core=core,
            basis=np.concatenate([covariance.basis, rows]),
            scaled=np.r_[covariance.scaled, np.ones(m, bool)],
            line_std=np.where(member.any(axis=0), 0, covariance.line_std),
        )

    def whitening(self, covariance):
        """Of each star.

        Parameters
        ----------
        covariance : LowRankCovariance
            `extended`.

        Returns
        -------
        Whitening
        """
        basis, scaled, d = covariance.basis, covariance.scaled, len(self.filters)
        n, r = covariance.core.shape[:2]
        sums = np.empty((n, d, r))
        fixed = np.ones(r, bool) if scaled is None else ~scaled
        sums[:, :, fixed] = self.filters.astype(float) @ basis[fixed].T.astype(float)
        if not fixed.all():
            own = np.arange(r) >= r - len(self.own)
            few = np.flatnonzero(basis[own].any(axis=0))  # pixels of single lines
            for these, pixels in ((scaled & ~own, slice(None)), (own, few)):
                filters = self.filters[:, pixels]
                along = np.ascontiguousarray(basis[these][:, pixels].T)
                for i, amplitude in enumerate(covariance.amplitude[:, pixels]):
                    sums[i][:, these] = (filters * amplitude) @ along
        core = covariance.core.astype(float)
        diagonal = core[:, range(r), range(r)]  # rounded, a core can be indefinite
        rounding = np.finfo(covariance.core.dtype).eps * diagonal.max(axis=1)
        core[:, range(r), range(r)] += rounding[:, None]
        to = core @ sums.transpose(0, 2, 1)
        variance = sums @ to
        usual = np.sqrt(variance[:, range(d), range(d)]) + np.finfo(float).tiny
        variance /= usual[:, :, None] * usual[:, None]
        variance[:, range(d), range(d)] += FAINT
        half = np.linalg.inv(np.linalg.cholesky(variance)) / usual[:, None]
        return Whitening(half @ sums, to @ half.transpose(0, 2, 1))

    def information(self, covariance, ivar, left):
        """What observed spectra say of their stars' latents.

        Parameters
        ----------
        covariance : LowRankCovariance of n spectra
            `extended`.
        ivar : ndarray of shape (n, n_pixels)
            Infinite where the spectra are free of noise.
        left : ndarray of shape (n, n_pixels)
            Observed less predicted flux; anything where ivar is 0.

        Returns
        -------
        Information

        Notes
        -----
        With ``P = (C⁻¹ + AWAᵀ)⁻¹``, the coefficients' posterior covariance under their
        Gaussian prior (Woodbury 1950), the latents' is ``V = B P Bᵀ`` and their mean
        ``m = B P A W left``; what the spectrum alone says is that less the prior
        N(0, 1): ``Λ = V⁻¹ − 1``, ``η = V⁻¹ m``.
        """
        weights = weights_of(covariance, ivar)
        gram = grams(covariance, weights, len(self.own))
        heard = np.where(weights > 0, left, 0) * weights
        target = heard @ covariance.basis.T
        if covariance.amplitude is not None:
            some = covariance.scaled
            target[:, some] = (heard * covariance.amplitude) @ covariance.basis[some].T
        n, d = len(gram), len(self.filters)
        eta, precision = np.empty((n, d)), np.empty((n, d, d), np.float32)
        read = self.whitening(covariance).read
        for i in range(n):
            root = root_of(covariance.core[i])
            inner = root.T @ gram[i] @ root + np.eye(len(root))
            right = root.T @ np.column_stack([read[i].T, target[i]])
            prior = read[i] @ root
            posterior = prior @ np.linalg.solve(inner, right)
            # where latents depend on each other, nothing is seen of what is missing
            posterior[:, :-1] += np.eye(d) - prior @ prior.T
            inverse = np.linalg.inv(posterior[:, :-1])
            eta[i] = inverse @ posterior[:, -1]
            precision[i] = (inverse + inverse.T) / 2 - np.eye(d)
        return Information(eta, precision)


def weights_of(covariance, ivar):
    """Inverse variance of what a pixel shows beside the basis, (n, n_pixels)."""
    alone = np.broadcast_to(covariance.diagonal, ivar.shape)
    if covariance.line is not None:
        alone = alone + (covariance.amplitude * covariance.line_std) ** 2
    variance = np.full(ivar.shape, np.inf, alone.dtype)
    np.divide(1, ivar, out=variance, where=ivar > 0)
    variance += alone + FAINT * np.mean(alone) + np.finfo(alone.dtype).tiny
    return 1 / variance


def grams(covariance, weights, n_own=0):
    """``A W Aᵀ`` of each star, (n, r, r), products in single precision.

    The last `n_own` directions have few pixels.
    """
    basis = covariance.basis.astype("f4")
    n, (r, p) = len(weights), basis.shape
    first, few = r - n_own, np.flatnonzero(basis[r - n_own :].any(axis=0))
    parts = [(slice(a, a + PIXELS), first) for a in range(0, p, PIXELS)]
    parts += [(few, r)] if n_own else []
    found = np.zeros((n, r, r))
    root = np.sqrt(weights).astype("f4")
    for i in range(n):
        for pixels, size in parts:
            heard = basis[:size, pixels] * root[i, pixels]
            if covariance.amplitude is not None:
                heard[covariance.scaled[:size]] *= covariance.amplitude[i, pixels]
            product = heard @ heard.T
            if size > first:
                product[:first, :first] = 0
            found[i, :size, :size] += product
    return found


def root_of(covariance):
    """R, of which R Rᵀ is the covariance, whatever its rank."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, float))
    return vectors * np.sqrt(np.maximum(values, 0))
