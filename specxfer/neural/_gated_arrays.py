"""`GatedArrays`: a trained `GatedEnsemble` as arrays, to predict with."""

from dataclasses import dataclass

import numpy as np

from specxfer._rowwise import rowwise_matmul
from specxfer._threads import in_parallel

__all__ = ["GatedArrays"]

ROWS = 512  # that a thread works on at a time


@dataclass(frozen=True)
class GatedArrays:
    """The weights of a `networks.GatedEnsemble`, and what it makes of stars.

    The formula is that of the network. Products of torch owe bits to the stars beside
    a star; those here do not, and are as fast.

    Parameters
    ----------
    inner, hidden : ndarray of shape (n_members, n_in, width)
        Of the numbers that come in, and of the leading ones.
    bias_inner, bias_hidden : ndarray of shape (n_members, width)
    gates : ndarray of shape (n_members, gate_width, 2 * width)
    bias_gates : ndarray of shape (n_members, 2 * width)
    outer : ndarray of shape (n_members, width, n_out)
    bias_outer : ndarray of shape (n_members, n_out)
    """

    inner: np.ndarray
    bias_inner: np.ndarray
    hidden: np.ndarray
    bias_hidden: np.ndarray
    gates: np.ndarray
    bias_gates: np.ndarray
    outer: np.ndarray
    bias_outer: np.ndarray

    @classmethod
    def of(cls, state, prefix=""):
        """From the weights of a network.

        Parameters
        ----------
        state : dict of ndarray
        prefix : str, default=""
            Of their names.

        Returns
        -------
        GatedArrays
        """
        state = {k.removeprefix(prefix): v for k, v in state.items()}
        m = len(state["gates"])
        found = {}
        for name in ("inner", "hidden"):
            weight = state[f"{name}.weight"]
            by_member = weight.reshape(m, -1, weight.shape[1]).transpose(0, 2, 1)
            found[name] = np.ascontiguousarray(by_member)
            found[f"bias_{name}"] = state[f"{name}.bias"].reshape(m, -1)
        for name in ("gates", "outer"):
            found[name] = state[name]
            found[f"bias_{name}"] = state[f"bias_{name}"][:, 0]
        return cls(**found)

    def __call__(self, x):
        """What each member makes of each star.

        Parameters
        ----------
        x : ndarray of shape (n, n_in), or (n, n_members, n_in) of each member's own

        Returns
        -------
        ndarray of shape (n, n_members, n_out)
            In the dtype of the weights.
        """
        out = np.empty((len(x), *self.bias_outer.shape), self.outer.dtype)

        def one(start):
            rows = slice(start, start + ROWS)
            for m in range(len(self.outer)):
                h, _, gates = self._before(m, x[rows])
                slope, offset = np.split(gates, 2, axis=1)
                slope += 1
                slope *= h
                slope += offset
                out[rows, m] = rowwise_matmul(slope, self.outer[m])
            out[rows] += self.bias_outer

        in_parallel(one, range(0, len(x), ROWS))
        return out

    def jacobian(self, x):
        """Derivatives of the mean of the members by the input.

        With the activation s of the hidden units, whose weights are H, and the weights
        G of slopes and offsets, ``C [(1 + g) A + (h G_g + G_b) s' H]``.

        Parameters
        ----------
        x : ndarray of shape (n, n_in), or (n, n_members, n_in)

        Returns
        -------
        ndarray of shape (n, n_in, n_out)
            By the input of all members together.
        """
        n_members, k, _ = self.inner.shape
        leading = self.hidden.shape[1]
        out = np.zeros((len(x), k, self.outer.shape[2]), self.outer.dtype)

        def one(start):
            rows = slice(start, start + ROWS)
            for m in range(n_members):
                h, before, gates = self._before(m, x[rows])
                half = _sigmoid(before)
                rising = half * (1 + before * (1 - half))  # the derivative of SiLU
                of_gates = (rising[:, None] * self.hidden[m]) @ self.gates[m]
                by_slope, by_offset = np.split(of_gates, 2, axis=2)
                slope = 1 + gates[:, : h.shape[1]]
                by_h = self.inner[m] * slope[:, None]
                by_h[:, :leading] += by_slope * h[:, None] + by_offset
                out[rows] += by_h @ self.outer[m]

        in_parallel(one, range(0, len(x), ROWS))
        out /= n_members
        return out

    def _before(self, m, x):
        """Of one member: h, the hidden units before their activation, the gates."""
        own = np.ascontiguousarray(x if x.ndim == 2 else x[:, m], self.inner.dtype)
        h = rowwise_matmul(own, self.inner[m]) + self.bias_inner[m]
        leading = own[:, : self.hidden.shape[1]]
        before = rowwise_matmul(leading, self.hidden[m]) + self.bias_hidden[m]
        gates = rowwise_matmul(before * _sigmoid(before), self.gates[m])
        gates += self.bias_gates[m]
        return h, before, gates


def _sigmoid(x):
    """Between 0 and 1; of large negative numbers 0, without overflow."""
    return 1 / (1 + np.exp(-np.maximum(x, -80)))
