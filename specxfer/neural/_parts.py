"""What skorch is given: batches, network and criterion as they are, thinly wrapped."""

from contextlib import nullcontext

import torch

__all__ = ["Criterion", "Feed", "Part"]


class Feed:
    """Hands our batches to skorch as they are, an epoch each time it is gone through.

    Holds the epoch that is open, so that it can be closed when training breaks off.
    """

    def __init__(self, batches, begin):
        self.batches = batches
        self.begin = begin
        self.opened = None

    def __iter__(self):
        self.opened = self.batches.epoch(self.begin())
        return iter(self.opened)

    def close(self):
        """End the epoch; whatever reads ahead for it stops."""
        if hasattr(self.opened, "close"):
            self.opened.close()


class Part(torch.nn.Module):
    """A network or criterion that computes in the number format asked for.

    skorch tells it to train at every step, which takes longer than a step of a small
    network if every layer is told: it passes on only what is news.
    """

    def __init__(self, inner, device, cast):
        super().__init__()
        self.inner = inner
        off = cast is None
        self.format = nullcontext() if off else torch.autocast(device.type, cast)

    def train(self, mode=True):
        if {self.training, getattr(self.inner, "training", mode)} != {mode}:
            super().train(mode)
        return self

    def forward(self, *args, **inputs):
        with self.format:
            return self.inner(*args, **inputs)


class Criterion(Part):
    """Keeps the last loss for the callbacks to look at."""

    def forward(self, outputs, targets):
        loss = super().forward(outputs, targets)
        self.last = loss.detach()
        return loss
