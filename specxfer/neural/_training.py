"""`train`: the one training core of all neural translators."""

from numbers import Integral

import torch

from specxfer.base import _seed
from specxfer.neural._checkpoint import Checkpoints
from specxfer.neural._device import repeatable, resolve_device
from specxfer.neural._randomness import OwnRandomness
from specxfer.neural._run import Run
from specxfer.neural._schedule import Schedule

__all__ = ["train"]


def train(
    module,
    criterion,
    batches,
    validation=None,
    *,
    settings=None,
    random_state=0,
    verbose=0,
    checkpoint_dir=None,
    device="cpu",
    autocast=None,
    monitor=None,
):
    """Train a network and give back its best weights.

    AdamW with linear warm-up and cosine decay, gradients clipped, weights averaged
    exponentially; the averaged weights are validated after every epoch, and the best
    of them kept.

    Parameters
    ----------
    module : torch.nn.Module
        Initialised. ``module(**inputs)`` gives the outputs. It is changed: moved to
        `device`, and left with the best weights in evaluation mode.
    criterion : torch.nn.Module or callable
        ``criterion(outputs, targets)`` gives a scalar tensor. It may draw random
        numbers of torch and have parameters of its own, which are trained as well.
    batches : object
        ``len(batches)`` is the number of batches an epoch, at least 1, and
        ``batches.epoch(number)``, from 0, yields them: pairs of dicts ``inputs`` and
        ``targets`` of tensors with a row a star. The same number must give the same.
    validation : object, optional
        The same for the stars that training is judged by; its epoch 0 is read every
        time. Without it, and without ``settings.watch``, the last weights are kept.
    settings : Schedule, optional
        By default ``Schedule()``.
    random_state : int, RandomState or None, default=0
        Seeds dropout and whatever else torch draws. An integer where there is a
        `checkpoint_dir`.
    verbose : int, default=0
        1 shows a progress bar, 0 nothing.
    checkpoint_dir : path-like, optional
        Folder of this training alone: its full state is written there after every
        epoch. A later call with the same settings and data goes on from it and ends
        with the same bits as a training that was never broken off.
    device : str or torch.device, default="cpu"
        See `resolve_device`.
    autocast : {"bfloat16", "float32"}, torch.dtype or None, default=None
        Number format that network and criterion may compute in.
    monitor : callable, optional
        ``monitor(module)`` gives a dict of numbers that go into the history. Called
        after every epoch with the averaged weights in evaluation mode.

    Returns
    -------
    Trained

    Raises
    ------
    TrainingError
        If a loss or a gradient is not finite. The last good weights are in its
        ``trained``, and in the last checkpoint.
    CheckpointError
        If the checkpoints are of other settings or data, or torn.
    ValueError
        If arguments do not fit together.
    KeyboardInterrupt
        Before the first epoch is over. Later, an interruption ends training with the
        best weights so far and a `TrainingWarning`.

    Notes
    -----
    Torch, numpy and Python draw their random numbers after a call as if it had not
    been. The random numbers of an epoch depend on the seed and its number alone.
    Results are the same bits on the same machine with the same number of threads; on
    a GPU, where all operations of the network have deterministic forms.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural import Schedule, train
    >>> class Batches:
    ...     def __len__(self):
    ...         return 1
    ...     def epoch(self, number):
    ...         x = torch.linspace(-1, 1, 8)[:, None]
    ...         yield {"input": x}, {"flux": 3 * x}
    >>> def squares(outputs, targets):
    ...     return ((outputs - targets["flux"]) ** 2).mean()
    >>> slope = torch.nn.Linear(1, 1, bias=False)
    >>> settings = Schedule(max_epochs=80, learning_rate=0.2, ema=None)
    >>> trained = train(slope, squares, Batches(), settings=settings)
    >>> trained.state["weight"].round(2)
    array([[3.]], dtype=float32)
    """
    settings = Schedule() if settings is None else settings
    device = resolve_device(device)
    cast = _number_format(autocast)
    _check(settings, batches, validation, random_state, checkpoint_dir, monitor)
    own = OwnRandomness(_seed(random_state), device)
    with own, repeatable(device):
        run = Run(module, criterion, batches, validation, settings, own, cast, monitor)
        if checkpoint_dir is not None:
            run.resume(Checkpoints(checkpoint_dir))
        return run.go(verbose)


def _check(settings, batches, validation, random_state, checkpoint_dir, monitor):
    """Arguments that fit together."""
    if len(batches) < 1:
        raise ValueError("there are no batches; expected at least 1 an epoch.")
    given = {None, "train_loss", "valid_loss" if validation is not None else None}
    if settings.watch not in given and monitor is None:
        raise ValueError(
            f"settings.watch is {settings.watch!r}, which nothing gives: pass a "
            "validation or a monitor that does."
        )
    if checkpoint_dir is not None and not isinstance(random_state, Integral):
        raise ValueError(
            f"random_state is {random_state!r}; with a checkpoint_dir it must be an "
            "integer, or a training could not be resumed to the same result."
        )


def _number_format(autocast):
    """The dtype to cast to, or None."""
    formats = {
        None: None,
        "float32": None,
        torch.float32: None,
        "bfloat16": torch.bfloat16,
        torch.bfloat16: torch.bfloat16,
    }
    if autocast not in formats:
        raise ValueError(
            f"autocast is {autocast!r}; expected 'bfloat16', 'float32' or None."
        )
    return formats[autocast]
