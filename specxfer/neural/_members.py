"""`Members`: the trained networks of an ensemble, ready to predict."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from specxfer.networks import GatedEnsemble, MemberNetworks, SpectrumEncoder
from specxfer.neural._gated_arrays import GatedArrays
from specxfer.neural._randomness import OwnRandomness
from specxfer.neural._weights import load_arrays

__all__ = ["Members", "left_out_mean"]

ROWS = 512  # of every pass, so that a star's bits do not depend on how many come
CPU = torch.device("cpu")
FIRST_WEIGHTS = 3  # key of the random numbers of initial weights


@dataclass
class Members:
    """The networks of an ensemble by their sizes and weights: nothing of torch is kept.

    Parameters
    ----------
    sizes : dict
        Arguments of `GatedEnsemble`.
    conv : dict or None
        Arguments of `SpectrumEncoder`, if the spectra themselves go in.
    beside : bool
        Whether scores go in as well; without `conv` only they do.
    mean_in : ndarray of shape (n_pixels,) or None
        Mean source spectrum, 0 where there is none, for `conv`.
    state : dict of ndarray, optional
        The weights.
    """

    sizes: dict
    conv: dict | None = None
    beside: bool = True
    mean_in: np.ndarray | None = None
    state: dict | None = None

    def new(self, seed):
        """Networks before training, with weights drawn from a seed."""
        with OwnRandomness(seed, CPU) as own:
            own.reseed(FIRST_WEIGHTS)
            return self._build()

    def _build(self):
        encoders = []
        if self.conv is not None:
            n_members = self.sizes["n_members"]
            encoders = [SpectrumEncoder(**self.conv) for _ in range(n_members)]
        return MemberNetworks(GatedEnsemble(**self.sizes), encoders)

    @cached_property
    def _network(self):
        with OwnRandomness(0, CPU):
            network = self._build()
        return load_arrays(network, self.state).double().eval().requires_grad_(False)

    @cached_property
    def _ensemble(self):
        return GatedArrays.of(self.state, "ensemble.")

    def __getstate__(self):
        cached = "_network", "_ensemble"
        return {k: v for k, v in self.__dict__.items() if k not in cached}

    def outputs(self, scores, X=None):
        """What every member makes of every star.

        Parameters
        ----------
        scores : ndarray of shape (n, k)
        X : Spectra in memory, shape (n, n_pixels), optional
            Needed with `conv`.

        Returns
        -------
        ndarray of float32 of shape (n, n_members, n_out)
        """
        return self._ensemble(self._inputs(scores, X))

    def spread(self, scores, covariance, X=None):
        """Covariance of the mean of the members, from scores and between members.

        Parameters
        ----------
        scores : ndarray of shape (n, k)
        covariance : ndarray of shape (n, k, k)
            Of the scores: carried through by the derivatives.
        X : Spectra in memory, shape (n, n_pixels), optional

        Returns
        -------
        ndarray of shape (n, n_out, n_out)
        """
        inputs = self._inputs(scores, X)
        out = self._ensemble(inputs).astype(float)
        out -= out.mean(axis=1, keepdims=True)
        between = out.transpose(0, 2, 1) @ out / (out.shape[1] - 1)
        if self.beside:
            slopes = self._ensemble.jacobian(inputs)[:, : scores.shape[1]]
            slopes = slopes.astype(float)
            between += slopes.transpose(0, 2, 1) @ (covariance @ slopes)
        return between

    def _inputs(self, scores, X):
        """What the ensemble is given, shape (n, k) or (n, n_members, k)."""
        if self.conv is None:
            return scores
        found = []
        for start in range(0, len(scores), ROWS):
            rows = slice(start, start + ROWS)
            ivar = X[rows].weights()
            flux = np.where(ivar > 0, X[rows].flux - self.mean_in, 0)
            given = [_filled(flux), _filled(ivar)]
            if self.beside:
                given.append(_filled(scores[rows]))
            with torch.no_grad():
                found.append(self._network.inputs(*given)[: len(flux)].numpy())
        return np.concatenate(found) if found else np.empty((0, 1, 1))


def _filled(a):
    """Rows as a tensor of `ROWS` rows."""
    full = np.zeros((ROWS, *a.shape[1:]))
    full[: len(a)] = a
    return torch.from_numpy(full)


def left_out_mean(outputs, left_out):
    """Outputs of the members that have not seen a star, and how the others differ.

    Parameters
    ----------
    outputs : ndarray of shape (n, n_members, k)
    left_out : ndarray of bool of shape (n, n_members)

    Returns
    -------
    mean : ndarray of shape (n, k)
    variance : ndarray of shape (n, k)
        Between members that have seen the star; 0 where there is but one.
    """
    outputs, count = outputs.astype(float), left_out.sum(axis=1)[:, None]
    mean = np.einsum("nmk,nm->nk", outputs, left_out) / count
    others = left_out.shape[1] - count
    middle = np.einsum("nmk,nm->nk", outputs, ~left_out) / np.maximum(others, 1)
    left = outputs - middle[:, None]
    square = np.einsum("nmk,nmk,nm->nk", left, left, ~left_out)
    return mean, square / np.maximum(others - 1, 1)
