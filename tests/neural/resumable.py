"""A training with every kind of randomness, that may kill itself on the way.

``python resumable.py CHECKPOINT_DIR RESULT.npz [EPOCH BATCH]`` kills at that batch.
"""

import os
import signal
import sys

import numpy as np
import torch

from specxfer.neural import Schedule, train


class Stars:
    """Twenty stars, shuffled by epoch; the process dies at one batch, if told so."""

    def __init__(self, die_at=None, shuffle=True):
        rng = np.random.default_rng(0)
        self.x = torch.tensor(rng.normal(size=(20, 6)), dtype=torch.float32)
        self.y = self.x @ torch.tensor(rng.normal(size=(6, 3)), dtype=torch.float32)
        self.die_at, self.shuffle = die_at, shuffle

    def __len__(self):
        return 4

    def epoch(self, number):
        order = np.arange(20)
        if self.shuffle:
            order = np.random.default_rng([7, number]).permutation(20)
        for i, rows in enumerate(np.split(order, 4)):
            if self.die_at == (number, i):
                os.kill(os.getpid(), signal.SIGKILL)
            yield {"flux": self.x[rows]}, {"flux": self.y[rows]}


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(6, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.GELU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(16, 3),
        )

    def forward(self, flux):
        return {"flux": self.layers(flux)}


class NoisyLoss(torch.nn.Module):
    """Draws random numbers, in validation as well, and has a weight of its own."""

    def __init__(self):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def forward(self, outputs, targets):
        noise = 0.1 * torch.randn_like(targets["flux"])
        scatter = (outputs["flux"] - targets["flux"] - noise).square().mean()
        return scatter * torch.exp(-self.log_scale) + self.log_scale


def run(checkpoint_dir=None, die_at=None, **changes):
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(3)
        network = Network()
    settings = {"max_epochs": 6, "learning_rate": 0.01, "ema": 0.8} | changes
    return train(
        network,
        NoisyLoss(),
        Stars(die_at),
        Stars(shuffle=False),
        settings=Schedule(**settings),
        random_state=5,
        checkpoint_dir=checkpoint_dir,
        monitor=lambda module: {"norm": float(module.layers[0].weight.norm())},
    )


if __name__ == "__main__":
    folder, result, *die_at = sys.argv[1:]
    trained = run(folder, tuple(map(int, die_at)) or None)
    np.savez(result, **trained.state, **trained.history)
