"""`MixtureArrays`: a `networks.MixtureScore` as arrays, to draw with."""

from typing import NamedTuple

import numpy as np

from specxfer._rowwise import rowwise_matmul

__all__ = ["MixtureArrays"]


class MixtureArrays(NamedTuple):
    """The Gaussians of a `networks.MixtureScore`, and its F.

    Attributes
    ----------
    log_share : ndarray of shape (k,)
    mean, stretch : ndarray of shape (k, d)
    axes : ndarray of shape (d, k * d)
        Of all Gaussians, side by side.
    """

    log_share: np.ndarray
    mean: np.ndarray
    stretch: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, state, dtype):
        """From the buffers of a network that has a mixture.

        Parameters
        ----------
        state : dict of ndarray
        dtype : dtype

        Returns
        -------
        MixtureArrays or None
        """
        if "mixture.share" not in state:
            return None
        share, *others = (
            state[f"mixture.{name}"].astype(dtype)
            for name in ("share", "mean", "stretch", "axes")
        )
        axes = np.ascontiguousarray(np.concatenate(others.pop(), axis=1))
        return cls(np.log(share), *others, axes)

    def __call__(self, x, angle):
        """F.

        Parameters
        ----------
        x : ndarray of shape (n, d)
        angle : float or ndarray of shape (n, 1)

        Returns
        -------
        ndarray of shape (n, d)
        """
        member, scaled, (sine, cosine) = self._members(x, angle)
        weighted = (member[:, :, None] * self.stretch) * scaled
        back = rowwise_matmul(weighted.reshape(len(x), -1), self.axes.T)
        return sine * (rowwise_matmul(member, self.mean) + cosine * back)

    def jacobian(self, x, angle):
        """F and its derivatives by x.

        Parameters
        ----------
        x, angle
            As above.

        Returns
        -------
        value : ndarray of shape (n, d)
        slopes : ndarray of shape (n, d, d)
            ``slopes[:, i, j]`` is that of the j-th number by the i-th of x.
        """
        member, scaled, (sine, cosine) = self._members(x, angle)
        (k, d), n = self.mean.shape, len(x)
        axes = self.axes.reshape(d, k, d).transpose(1, 0, 2)
        back = axes.transpose(0, 2, 1)
        each = np.matmul((self.stretch * scaled).transpose(1, 0, 2), back)
        each = each.transpose(1, 0, 2)  # of each Gaussian, (n, k, d)
        each = sine[..., None] * (self.mean + cosine[..., None] * each)
        value = (member[:, :, None] * each).sum(axis=1)
        variance = 1 + (cosine**2)[..., None] * self.stretch
        along = (
            member[:, :, None] * self.stretch / variance * (sine * cosine)[..., None]
        )
        pairs = (axes[:, :, None] * axes[:, None]).transpose(0, 3, 1, 2)
        slopes = along.reshape(n, k * d) @ pairs.reshape(k * d, d * d)
        rising = np.matmul(scaled.transpose(1, 0, 2), back).transpose(1, 0, 2)
        rising = member[:, :, None] * (
            rising - (member[:, :, None] * rising).sum(1)[:, None]
        )
        return value, slopes.reshape(n, d, d) - rising.transpose(0, 2, 1) @ each

    def _members(self, x, angle):
        """Share of each Gaussian in each row, A⁻¹Qᵀ(x − m cos a), sine and cosine."""
        k, d = self.mean.shape
        angle = np.reshape(np.asarray(angle, x.dtype), (-1, 1))
        sine, cosine = np.sin(angle), np.cos(angle)
        own = [self.mean[i] @ self.axes[:, i * d : (i + 1) * d] for i in range(k)]
        along = rowwise_matmul(x, self.axes).reshape(-1, k, d)
        along -= cosine[..., None] * np.stack(own)
        variance = 1 + (cosine**2)[..., None] * self.stretch
        scaled = along / variance
        logs = self.log_share - np.log(variance).sum(axis=2) / 2
        logs = logs - (along * scaled).sum(axis=2) / 2
        member = np.exp(logs - logs.max(axis=1, keepdims=True))
        return member / member.sum(axis=1, keepdims=True), scaled, (sine, cosine)
