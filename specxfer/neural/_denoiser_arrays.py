"""`DenoiserArrays`: a trained `Denoiser` as arrays, to draw with."""

from dataclasses import dataclass

import numpy as np

from specxfer._rowwise import rowwise_matmul
from specxfer.neural._gated_arrays import _sigmoid
from specxfer.neural._mixture_arrays import MixtureArrays

__all__ = ["DenoiserArrays"]


@dataclass(frozen=True)
class DenoiserArrays:
    """The weights of a `networks.Denoiser`, and its F.

    The formula is that of the network. What depends on star and noise level alone is
    worked out once for all draws of a star.

    Parameters
    ----------
    layers : dict of str to (ndarray of shape (n_in, n_out), ndarray of shape (n_out,))
        Weights and biases, by the names of the network.
    mixture : MixtureArrays, optional
    """

    layers: dict
    mixture: MixtureArrays | None = None

    @classmethod
    def of(cls, state, dtype=np.float32):
        """From the weights of a network.

        Parameters
        ----------
        state : dict of ndarray
        dtype : dtype, default=float32
            To compute in.

        Returns
        -------
        DenoiserArrays
        """
        names = [name.removesuffix(".weight") for name in state if "weight" in name]
        found = {}
        for name in names:
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            found[name] = (
                np.ascontiguousarray(weight.T.astype(dtype)),
                bias.astype(dtype),
            )
        return cls(found, MixtureArrays.of(state, dtype))

    @property
    def n_latents(self):
        return len(self.layers["inner"][0])

    @property
    def trained(self):
        """Whether F is anything but 0."""
        return self.mixture is not None or self._learnt

    @property
    def _learnt(self):
        """Whether the network adds anything."""
        return bool(self.layers["outer"][0].any() or self.layers["outer"][1].any())

    def _after(self, name, x):
        weight, bias = self.layers[name]
        return rowwise_matmul(x, weight) + bias

    def _known(self, conditions, angle):
        """Scale and shift of every block for each star, (n, 2 width) each."""
        weight, bias = self.layers["level"]
        order = np.arange(len(weight))
        level = np.cos(2 * order * angle).reshape(-1, len(order))
        level = rowwise_matmul(level, weight) + bias
        known = silu(self._after("star", conditions) + level)
        blocks = range(len([name for name in self.layers if name.startswith("up")]))
        return [np.split(self._after(f"known.{i}", known), 2, axis=1) for i in blocks]

    def __call__(self, x, angle, conditions, repeats=1):
        """F.

        Parameters
        ----------
        x : ndarray of shape (n * repeats, d)
        angle : float or ndarray of shape (n, 1)
            arctan σ.
        conditions : ndarray of shape (n, m)
            Of the stars, each of which has `repeats` rows of x.
        repeats : int, default=1

        Returns
        -------
        ndarray of shape (n * repeats, d)
        """
        found = np.zeros_like(x)
        if self.mixture is not None:
            found = self.mixture(x, repeated(angle, repeats))
        if not self._learnt:
            return found
        hidden = self._after("inner", x)
        for i, (scale, shift) in enumerate(self._known(conditions, angle)):
            before = self._after(f"up.{i}", hidden)
            many = before.reshape(len(conditions), repeats, -1)
            many *= 1 + scale[:, None]
            many += shift[:, None]
            hidden += self._after(f"down.{i}", silu(before))
        return found + self._after("outer", hidden)

    def jacobian(self, x, angle, conditions, repeats=1):
        """F and its derivatives by x.

        Parameters
        ----------
        x, angle, conditions, repeats
            As above.

        Returns
        -------
        value : ndarray of shape (n * repeats, d)
        slopes : ndarray of shape (n * repeats, d, d)
            ``slopes[:, i, j]`` is that of the j-th number by the i-th of x.
        """
        n, d = x.shape
        value, slopes = np.zeros_like(x), np.zeros((n, d, d), x.dtype)
        if self.mixture is not None:
            value, slopes = self.mixture.jacobian(x, repeated(angle, repeats))
        if not self._learnt:
            return value, slopes
        hidden = self._after("inner", x)
        by = np.repeat(self.layers["inner"][0][None], n, axis=0)
        for i, (scale, shift) in enumerate(self._known(conditions, angle)):
            scale, shift = (np.repeat(a, repeats, axis=0) for a in (scale, shift))
            before = self._after(f"up.{i}", hidden) * (1 + scale) + shift
            half = _sigmoid(before)
            rising = half * (1 + before * (1 - half)) * (1 + scale)
            through = self._product(by, f"up.{i}") * rising[:, None]
            by = by + self._product(through, f"down.{i}")
            hidden += self._after(f"down.{i}", before * half)
        value = value + self._after("outer", hidden)
        return value, slopes + self._product(by, "outer")

    def _product(self, by, name):
        """Rows of a stack of matrices times the weights of a layer."""
        weight = self.layers[name][0]
        flat = rowwise_matmul(by.reshape(-1, by.shape[2]), weight)
        return flat.reshape(*by.shape[:2], -1)


def repeated(angle, repeats):
    """The noise level of each row, if each star has its own."""
    return angle if np.ndim(angle) == 0 else np.repeat(angle, repeats, axis=0)


def silu(x):
    """x times its sigmoid."""
    return x * _sigmoid(x)
