"""`PixelErrors` and `Told`: errors of pixels, and what noisy targets tell of them."""

from dataclasses import dataclass, fields

import numpy as np

from specxfer._rowwise import rowwise_matmul
from specxfer.neural._latents import root_of

__all__ = ["PixelErrors", "Told"]

TOLD = 16  # directions that a noisy target is heard in
FAINT = 1e-10  # of the largest: strength of directions that are rounding
TINY = 1e-12  # of flux: pixels that err less are taken to be known


class Rows:
    """A dataclass whose fields have a row a star, but for those that are `alike`."""

    alike = ()

    def __getitem__(self, rows):
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        found = {k: v if k in self.alike else v[rows] for k, v in held.items()}
        return type(self)(**found)

    @classmethod
    def concatenate(cls, parts):
        """Stars one after the other."""
        found = {}
        for f in fields(cls):
            values = [getattr(part, f.name) for part in parts]
            if f.name in cls.alike:
                found[f.name] = values[0]
            elif isinstance(values[0], Rows):
                found[f.name] = values[0].concatenate(values)
            else:
                found[f.name] = np.concatenate(values)
        return cls(**found)


@dataclass(frozen=True)
class PixelErrors(Rows):
    """Gaussian errors of pixels, in units of the standard deviation of each.

    A `LowRankCovariance`, in the form in which it is drawn from.

    Parameters
    ----------
    unit : ndarray of shape (n, p)
        Standard deviation of each pixel, continuum units.
    root : ndarray of shape (n, r, r)
        Of the covariance of coefficients.
    basis : ndarray of shape (r, p)
    scaled : ndarray of bool of shape (r,)
    plain, amplitude : ndarray of shape (n, p)
        What directions are multiplied with; amplitude is for those `scaled`.
    line : ndarray of int of shape (p,)
        The line of each pixel, counted from 0.
    shared : ndarray of shape (n, p)
        Standard deviation of what the pixels of a line share.
    own : ndarray of shape (n, p)
        Standard deviation of what each pixel has alone.
    """

    unit: np.ndarray
    root: np.ndarray
    basis: np.ndarray
    scaled: np.ndarray
    plain: np.ndarray
    amplitude: np.ndarray
    line: np.ndarray
    shared: np.ndarray
    own: np.ndarray

    alike = "basis", "scaled", "line"  # of all stars

    @classmethod
    def of(cls, covariance):
        """From a covariance of n stars.

        Parameters
        ----------
        covariance : LowRankCovariance

        Returns
        -------
        PixelErrors
        """
        unit = np.maximum(np.sqrt(covariance.variance()), TINY).astype("f4")
        r, p = covariance.basis.shape
        scaled, amplitude = np.zeros(r, bool), np.ones_like(unit)
        line, shared = np.zeros(p, int), np.zeros_like(unit)
        if covariance.amplitude is not None:
            scaled, amplitude = covariance.scaled, covariance.amplitude
        if covariance.line is not None:
            line = np.unique(covariance.line, return_inverse=True)[1]
            shared = amplitude * covariance.line_std / unit
        return cls(
            unit,
            np.stack([root_of(core) for core in covariance.core]).astype("f4"),
            covariance.basis.astype("f4"),
            scaled,
            1 / unit,
            (amplitude / unit).astype("f4"),
            line,
            shared.astype("f4"),
            (np.sqrt(covariance.diagonal) / unit).astype("f4"),
        )

    @property
    def n_white(self):
        """Random numbers that a draw is made of."""
        return len(self.basis) + self.line[-1] + 1 + len(self.line)

    def __len__(self):
        return len(self.unit)

    def spread(self, white):
        """Errors made of random numbers.

        Parameters
        ----------
        white : ndarray of shape (n, m, n_white)
            N(0, 1).

        Returns
        -------
        ndarray of float32 of shape (n, m, p)
        """
        n, m, _ = white.shape
        r, n_lines = len(self.basis), self.line[-1] + 1
        white = white.astype("f4", copy=False)
        z = np.matmul(white[:, :, :r], self.root.transpose(0, 2, 1))
        out = white[:, :, r + n_lines :] * self.own[:, None]
        for these, factor in (
            (~self.scaled, self.plain),
            (self.scaled, self.amplitude),
        ):
            if these.any():
                some = z[:, :, these].reshape(n * m, -1)
                sums = rowwise_matmul(some, self.basis[these])
                out += sums.reshape(n, m, -1) * factor[:, None]
        if self.shared.any():
            out += white[:, :, r : r + n_lines][:, :, self.line] * self.shared[:, None]
        return out

    def directions(self, i):
        """What errors of star i run along, beside what pixels have alone, (·, p)."""
        factor = np.where(self.scaled[:, None], self.amplitude[i], self.plain[i])
        lines = np.arange(self.line[-1] + 1)[:, None] == self.line
        found = [self.root[i].T @ (self.basis * factor), lines * self.shared[i]]
        return np.concatenate(found)


@dataclass(frozen=True)
class Told(Rows):
    """What noisy targets tell of their stars' errors, in a few directions.

    A target is heard in the directions that stand out of its noise most, as far as
    errors are Gaussian; there each sum over pixels ``look @ v`` has a variance of its
    own, is independent of the others, and seen with noise of variance 1. What a target
    says in other directions is not used.

    Parameters
    ----------
    errors : PixelErrors of n stars
    seen : ndarray of shape (n, k)
        Sums that were observed.
    look : ndarray of shape (n, k, p)
    strength : ndarray of shape (n, k)
        Variance of the sums without noise.
    gain : ndarray of shape (n, k, p)
        ``look @ R`` with R the correlation of the errors.
    """

    errors: PixelErrors
    seen: np.ndarray
    look: np.ndarray
    strength: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, errors, ivar, left):
        """From the spectra of n stars.

        Parameters
        ----------
        errors : PixelErrors
        ivar : ndarray of shape (n, p)
            Of the target; 0 where it is masked.
        left : ndarray of shape (n, p)
            Observed less predicted flux; anything where ivar is 0.

        Returns
        -------
        Told

        Notes
        -----
        With A the directions of the errors, o² the variance of what pixels have alone
        and W the inverse variance of the noise, all in units of the errors: the leading
        left singular vectors of ``W^½ Aᵀ``, turned so that ``W^½ (AᵀA + o²) W^½`` is
        diagonal among them (Rayleigh and Ritz).
        """
        n, p = ivar.shape
        seen, strength = np.zeros((2, n, TOLD), "f4")
        look, gain = np.zeros((2, n, TOLD, p), "f4")
        for i in range(n):
            root = np.sqrt(ivar[i].astype(float)) * errors.unit[i]
            along = errors.directions(i).astype(float)
            own = errors.own[i].astype(float) ** 2
            heard = along * root
            values, vectors = np.linalg.eigh(heard @ heard.T)
            kept = np.flatnonzero(values > FAINT * (1 + values[-1]))[-TOLD:]
            if not len(kept):
                continue
            some = (vectors[:, kept] / np.sqrt(values[kept])).T @ heard
            sums = some @ heard.T
            values, turn = np.linalg.eigh(
                sums @ sums.T + (some * own * root**2) @ some.T
            )
            looks, k = (turn.T[::-1] @ some) * root, len(kept)
            look[i, :k], strength[i, :k] = looks, values[::-1]
            gain[i, :k] = looks @ along.T @ along + looks * own
            flux = np.where(ivar[i] > 0, left[i], 0) / errors.unit[i]
            seen[i, :k] = looks @ flux
        return cls(errors, seen, look, strength, gain)

    def __len__(self):
        return len(self.seen)

    def heard(self, pixels):
        """Sums of pixels (n, m, p) in the directions heard, (n, m, k)."""
        return np.matmul(pixels, self.look.transpose(0, 2, 1))
