"""Random numbers of torch that are a training's own."""

from threading import RLock

import numpy as np
import torch

__all__ = ["OwnRandomness"]

# torch has one state a process: trainings on several threads take turns
_turn = RLock()


class OwnRandomness:
    """Torch's random numbers by seed and epoch; the user's are as before afterwards.

    What a seed is drawn for has a name of its own, so that the random numbers of an
    epoch depend neither on what was drawn before it, nor on whether training was
    interrupted before it.

    Parameters
    ----------
    seed : int
    device : torch.device

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural._randomness import OwnRandomness
    >>> def draw(epoch):
    ...     with OwnRandomness(0, torch.device("cpu")) as own:
    ...         own.reseed(epoch)
    ...         return torch.rand(1).item()
    >>> draw(1) == draw(1), draw(1) == draw(2)
    (True, False)
    """

    def __init__(self, seed, device):
        self.seed = seed
        self.device = device

    def reseed(self, *key):
        """Begin the random numbers that belong to some integers."""
        words = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)
        seed = int(words[0] >> np.uint64(1))
        for generator in self._generators:
            generator.manual_seed(seed)

    def __enter__(self):
        _turn.acquire()
        self._generators = [torch.default_generator]
        if self.device.type == "cuda":
            torch.cuda.init()
            index = self.device.index
            index = torch.cuda.current_device() if index is None else index
            self._generators.append(torch.cuda.default_generators[index])
        elif self.device.type == "mps":
            self._generators.append(torch.mps._get_default_mps_generator())
        self._before = [g.get_state() for g in self._generators]
        return self

    def __exit__(self, *error):
        for generator, state in zip(self._generators, self._before):
            generator.set_state(state)
        _turn.release()
