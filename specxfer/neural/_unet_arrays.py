"""`UNetArrays`: a trained `UNet` as arrays, to draw with."""

from dataclasses import dataclass

import numpy as np

from specxfer._rowwise import rowwise_matmul
from specxfer.neural._denoiser_arrays import silu

__all__ = ["UNetArrays"]

POSITIONS = 8192  # worked on at a time, so that they stay in the cache


@dataclass(frozen=True)
class UNetArrays:
    """The weights of a `networks.UNet`, and its F.

    The formula is that of the network, and no row owes a bit to the rows beside it.

    Parameters
    ----------
    layers : dict of str to (ndarray of shape (n_in, n_out), ndarray of shape (n_out,))
        Weights and biases, by the names of the network.
    place : ndarray of shape (length, width)
        What each pixel has of its own.
    """

    layers: dict
    place: np.ndarray

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
        UNetArrays
        """
        names = [name.removesuffix(".weight") for name in state if "weight" in name]
        found = {}
        for name in names:
            weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            weight = np.ascontiguousarray(weight.T.astype(dtype))
            found[name] = weight, bias.astype(dtype)
        return cls(found, state["place"].astype(dtype))

    @property
    def trained(self):
        """Whether F is anything but 0."""
        return bool(self.layers["outer"][0].any() or self.layers["outer"][1].any())

    def __call__(self, x, angle, conditions, repeats=1):
        """F.

        Parameters
        ----------
        x : ndarray of shape (n * repeats, n_pixels)
        angle : float
            arctan σ.
        conditions : ndarray of shape (n, m)
            Of the stars, each of which has `repeats` rows of x.
        repeats : int, default=1

        Returns
        -------
        ndarray of shape (n * repeats, n_pixels)
        """
        if not self.trained:
            return np.zeros_like(x)
        star = np.repeat(np.arange(len(conditions)), repeats)
        known = self._known(conditions, angle)
        out = np.empty_like(x)
        step = max(1, POSITIONS // len(self.place))
        for start in range(0, len(x), step):
            rows = slice(start, start + step)
            out[rows] = self._found(x[rows], [k[star[rows]] for k in known])
        return out

    def _known(self, conditions, angle):
        """Scale and shift of every block for each star, (n, 1, 2 width) each."""
        order = np.arange(len(self.layers["level"][0]))
        level = self._after("level", np.cos(2 * order * angle)[None])
        known = silu(self._after("star", conditions) + level)
        blocks = [name for name in self.layers if name.startswith("known")]
        return [self._after(name, known)[:, None] for name in blocks]

    def _found(self, x, known):
        n, n_pixels = x.shape
        depth = len([name for name in self.layers if name.startswith("halved")])
        full = np.zeros((n, len(self.place), 1), x.dtype)
        full[:, :n_pixels, 0] = x
        x = self._after("inner", with_neighbours(full)) + self.place
        finer = []
        for i in range(depth):
            x = self._block(i, x, known[i])
            finer.append(x)
            x = self._after(f"halved.{i}", x.reshape(n, x.shape[1] // 2, -1))
        x = self._block(depth, x, known[depth])
        across = self._after("across", silu(x).transpose(0, 2, 1))
        x = x + across.transpose(0, 2, 1)
        for i in range(depth):
            x = self._after(f"doubled.{i}", x).reshape(n, 2 * x.shape[1], -1)
            x = self._block(depth + 1 + i, x + finer.pop(), known[depth + 1 + i])
        return self._after("outer", x)[:, :n_pixels, 0]

    def _block(self, i, x, known):
        scale, shift = np.split(known, 2, axis=2)
        before = self._after(f"first.{i}", with_neighbours(x))
        before *= 1 + scale
        before += shift
        return x + self._after(f"second.{i}", with_neighbours(silu(before)))

    def _after(self, name, x):
        """A layer, of whatever is along the last axis."""
        weight, bias = self.layers[name]
        found = rowwise_matmul(x.reshape(-1, x.shape[-1]), weight)
        found += bias
        return found.reshape(*x.shape[:-1], -1)


def with_neighbours(x):
    """Each position beside the one before and the one after, (n, length, 3 c)."""
    n, length, c = x.shape
    out = np.zeros((n, length, 3, c), x.dtype)
    out[:, 1:, 0] = x[:, :-1]
    out[:, :, 1] = x
    out[:, :-1, 2] = x[:, 1:]
    return out.reshape(n, length, -1)
