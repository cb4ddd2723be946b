"""`Space`: a trained `AlignedSpace` as arrays, ready to embed and to decode."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from specxfer.networks import AlignedSpace
from specxfer.neural._canonical import Canonical
from specxfer.neural._members import ROWS, _filled
from specxfer.neural._randomness import OwnRandomness
from specxfer.neural._weights import load_arrays

__all__ = ["Space"]

CPU = torch.device("cpu")
FIRST_WEIGHTS = 5  # key of the random numbers of initial weights


@dataclass
class Space:
    """Both sides' embeddings, by sizes and weights: nothing of torch is kept.

    Parameters
    ----------
    canonical : Canonical
        Coordinates of the coefficients that come in.
    sizes : dict
        Arguments of `AlignedSpace`.
    state : dict of ndarray, optional
        The weights.
    """

    canonical: Canonical
    sizes: dict
    state: dict | None = None

    def new(self, seed):
        """A space before training: as it would be in a linear, normal world."""
        with OwnRandomness(seed, CPU) as own:
            own.reseed(FIRST_WEIGHTS)
            network = AlignedSpace(**self.sizes)
        size, back = (
            torch.tensor(a) for a in (self.canonical.size, self.canonical.back)
        )
        n = min(len(size), self.sizes["n_embedding"] - 1)
        with torch.no_grad():
            for layer in network.linear.values():
                layer.weight.zero_()
                layer.weight[range(n), range(n)] = size[:n].float()
            decoder = network.decoder["target"]
            decoder.weight.zero_()
            decoder.weight[:, :n] = (back[:n] / size[:n, None]).T.float()
            decoder.bias.copy_(torch.tensor(self.canonical.mean))
            for values in network.decoder["source"].parameters():
                values.zero_()
        return network

    @cached_property
    def _network(self):
        with OwnRandomness(0, CPU):
            network = AlignedSpace(**self.sizes)
        return load_arrays(network, self.state).double().eval().requires_grad_(False)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_network"}

    @property
    def temperature(self):
        """Of the contrastive loss."""
        return float(np.exp(-self.state["log_scale"]))

    def embedding(self, coefficients, side):
        """Embeddings of one side, and its private latents.

        Parameters
        ----------
        coefficients : ndarray of shape (n, k)
            Of the target: predicted from the source, or observed.
        side : {"source", "target"}

        Returns
        -------
        embedding : ndarray of shape (n, n_embedding)
        private : ndarray of shape (n, n_private)
        """
        network = self._network

        def of(x):
            latents = [network.private[side](x)] if side in network.private else []
            return torch.cat([network.lifted(network.encoded(x, side)), *latents], 1)

        found = self._in_blocks(of, coefficients)
        return np.split(found, [self.sizes["n_embedding"]], axis=1)

    def passed(self, coefficients, spread=None):
        """Coefficients as they are read from the source's embedding.

        Parameters
        ----------
        coefficients : ndarray of shape (n, k)
        spread : ndarray of shape (n, k, k), optional
            Their covariance.

        Returns
        -------
        coefficients : ndarray of shape (n, k)
        spread : ndarray of shape (n, k, k) or None
        """
        network, decoder = self._network, self._network.decoder["target"]
        mean = self._in_blocks(
            lambda x: decoder(network.encoded(x, "source")), coefficients
        )
        if spread is None:
            return mean, None

        def of(x):
            by = decoder.weight @ network.slopes(x, "source")
            return by @ torch.tensor(self.canonical.turn).T

        slopes = self._in_blocks(of, coefficients)
        return mean, slopes @ spread @ slopes.transpose(0, 2, 1)

    def _in_blocks(self, function, coefficients):
        """Of blocks of one size, so that a star owes nothing to its company."""
        found = []
        for start in range(0, len(coefficients), ROWS):
            part = _filled(coefficients[start : start + ROWS]).numpy()
            with torch.no_grad():
                x = torch.from_numpy(self.canonical.coordinates(part))
                found.append(function(x).numpy())
        return np.concatenate(found)[: len(coefficients)]
