"""`choose_format`: in which number format a network trains fastest here."""

import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch

__all__ = ["NumberFormat", "choose_format"]

FORMATS = {"float32": None, "bfloat16": torch.bfloat16}
LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}
GAIN = 1.05  # times as fast, or the simpler format is kept
FEWEST = 3  # rounds


@dataclass(frozen=True)
class NumberFormat:
    """Number format and memory layout of a network, and what they were chosen by.

    Parameters
    ----------
    name : {"float32", "bfloat16"}, default="float32"
        What products are computed in; "bfloat16" by torch's autocast.
    layout : {"contiguous", "channels_last"} or None, default=None
        Order of the weights of two-dimensional convolutions in memory; None leaves it
        as the network was made.
    seconds : dict, optional
        Median time of a step by (format, layout).
    refused : dict, optional
        Why formats that were tried were not taken, by format.

    Examples
    --------
    >>> from specxfer.neural import NumberFormat
    >>> NumberFormat("bfloat16").dtype
    torch.bfloat16
    """

    name: str = "float32"
    layout: str | None = None
    seconds: dict = field(default_factory=dict, compare=False)
    refused: dict = field(default_factory=dict, compare=False)

    @property
    def dtype(self):
        """What autocast is told, or None for none."""
        return FORMATS[self.name]

    def autocast(self, device):
        """A context in which a network computes in this format.

        Parameters
        ----------
        device : torch.device

        Returns
        -------
        context manager
        """
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(torch.device(device).type, self.dtype)

    def arrange(self, module):
        """Bring the weights of a network into this layout.

        Parameters
        ----------
        module : torch.nn.Module
            Changed, though not in its values.

        Returns
        -------
        torch.nn.Module
            The same.
        """
        if self.layout is None:
            return module
        return module.to(memory_format=LAYOUTS[self.layout])


def choose_format(
    module,
    criterion,
    batch,
    *,
    formats=("float32", "bfloat16"),
    seconds=1.0,
    tolerance=1e-2,
    gradient_tolerance=0.1,
):
    """Time a few training steps in several number formats, and name the fastest.

    Which is faster depends on network and machine, either way by a factor of several.
    Copies of the network and the criterion are timed on one batch, formats in turn;
    the first step of each does not count. Where weights of two-dimensional
    convolutions are there, both memory layouts are tried.

    Parameters
    ----------
    module : torch.nn.Module
        On the device where it is to be trained.
    criterion : torch.nn.Module or callable
    batch : tuple of dict of Tensor
        Inputs and targets, on that device.
    formats : sequence of {"float32", "bfloat16"}
        What may be chosen; one that is later must be 5% faster.
    seconds : float, default=1.0
        Time that all steps together may take, though three rounds are made.
    tolerance : float, default=1e-2
        By how much the loss in another format may differ from that in float32,
        relatively, without dropout; beyond, the format is refused.
    gradient_tolerance : float, default=0.1
        The same for the gradient: norm of the difference over the norm.

    Returns
    -------
    NumberFormat

    Raises
    ------
    ValueError
        If a format is unknown or none is left.

    Notes
    -----
    As times vary, so may the choice, and results then differ beyond rounding between
    two trainings: where they must not, name the format. Module, criterion and batch,
    the state of random numbers and torch's settings are as before.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural import choose_format
    >>> def squares(outputs, targets):
    ...     return ((outputs - targets["flux"]) ** 2).mean()
    >>> batch = {"input": torch.ones(4, 3)}, {"flux": torch.zeros(4, 2)}
    >>> found = choose_format(torch.nn.Linear(3, 2), squares, batch, seconds=0.01)
    >>> found.name in ("float32", "bfloat16")
    True
    """
    unknown = set(formats) - set(FORMATS)
    if unknown or not formats:
        raise ValueError(
            f"formats is {formats!r}; expected one or more of {', '.join(FORMATS)}."
        )
    device = next(iter(batch[0].values())).device
    images = any(p.ndim == 4 for p in module.parameters())
    layouts = ["contiguous", "channels_last"] if images else [None]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        refused = _refused(
            module, criterion, batch, formats, tolerance, gradient_tolerance
        )
        candidates = [
            NumberFormat(name, layout)
            for name in formats
            if name not in refused
            for layout in layouts
        ]
        if not candidates:
            raise ValueError(
                f"no number format is left: {refused}. Allow 'float32' as well."
            )
        times = _times(module, criterion, batch, candidates, seconds)
    best = candidates[0]
    for one in candidates[1:]:
        if times[one.name, one.layout] * GAIN < times[best.name, best.layout]:
            best = one
    return NumberFormat(best.name, best.layout, times, refused)


def _refused(module, criterion, batch, formats, tolerance, gradient_tolerance):
    """Why formats disagree with float32, by name."""
    others = [name for name in formats if name != "float32"]
    if not others:
        return {}
    exact_loss, exact = _gradient(module, criterion, batch, NumberFormat())
    refused = {}
    for name in others:
        loss, gradient = _gradient(module, criterion, batch, NumberFormat(name))
        off = abs(loss - exact_loss) / max(abs(exact_loss), 1e-30)
        far = float((gradient - exact).norm() / exact.norm().clamp(min=1e-30))
        if not (np.isfinite(loss) and bool(gradient.isfinite().all())):
            refused[name] = "loss or gradient not finite"
        elif off > tolerance:
            refused[name] = f"loss differs by {off:.2g} of it"
        elif far > gradient_tolerance:
            refused[name] = f"gradient differs by {far:.2g} of it"
    return refused


def _gradient(module, criterion, batch, number_format):
    """Loss and gradient without dropout."""
    step = _Step(module, criterion, batch, number_format, training=False)
    loss = step()
    found = [p.grad.flatten().float() for p in step.parameters if p.grad is not None]
    return float(loss), torch.cat(found)


def _times(module, criterion, batch, candidates, seconds):
    """Median time of a step, by format and layout."""
    steps = [_Step(module, criterion, batch, one) for one in candidates]
    for step in steps:
        step()
    times = [[] for _ in steps]
    end = time.perf_counter() + seconds
    while len(times[0]) < FEWEST or time.perf_counter() < end:
        for step, found in zip(steps, times):
            start = time.perf_counter()
            step()
            found.append(time.perf_counter() - start)
    return {
        (one.name, one.layout): float(np.median(found))
        for one, found in zip(candidates, times)
    }


class _Step:
    """A training step of copies, up to the gradient."""

    def __init__(self, module, criterion, batch, number_format, training=True):
        self.device = next(iter(batch[0].values())).device
        # the criterion may share weights with the network
        self.module, self.criterion = deepcopy((module, criterion))
        number_format.arrange(self.module.train(training))
        self.number_format, self.batch = number_format, batch
        self.parameters = list(self.module.parameters())

    def __call__(self):
        inputs, targets = self.batch
        for parameter in self.parameters:
            parameter.grad = None
        with self.number_format.autocast(self.device):
            loss = self.criterion(self.module(**inputs), targets)
        loss.backward()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return loss.detach()
