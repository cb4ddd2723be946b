"""`train`: the one training core of all neural translators."""

import warnings
from contextlib import nullcontext
from dataclasses import asdict
from numbers import Integral

import torch
from skorch import NeuralNet

from specxfer.base import _seed
from specxfer.neural._callbacks import (
    TRAIN,
    VALID,
    Epochs,
    NotFinite,
    Progress,
    Steps,
    Stop,
)
from specxfer.neural._checkpoint import Checkpoints, differences, sketch
from specxfer.neural._device import repeatable, resolve_device
from specxfer.neural._errors import CheckpointError, TrainingError, TrainingWarning
from specxfer.neural._randomness import OwnRandomness
from specxfer.neural._schedule import Schedule
from specxfer.neural._trained import Trained
from specxfer.neural._weights import MovingAverage, arrays_of, decay_groups

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
        run = _Run(module, criterion, batches, validation, settings, own, cast, monitor)
        if checkpoint_dir is not None:
            run.resume(Checkpoints(checkpoint_dir))
        return run.go(verbose)


class _Run:
    """One training: the skorch net it is made of, and what it has learnt so far."""

    def __init__(
        self, module, criterion, batches, validation, settings, own, cast, monitor
    ):
        self.batches, self.settings, self.own, self.cast = batches, settings, own, cast
        # both, as a criterion may learn too; a plain function has nothing to learn
        self.whole = torch.nn.ModuleDict({"module": module})
        if isinstance(criterion, torch.nn.Module):
            self.whole["criterion"] = criterion
        self.whole.to(own.device)
        self.names = repr(module), _name(criterion)
        learning = [p for p in self.whole.parameters() if p.requires_grad]
        self.average = MovingAverage(learning, settings.ema)
        self.steps = Steps(settings, len(batches), self.average)
        self.epochs = Epochs(settings, self.average, self.whole, own, monitor)
        self.feeds = {
            "train": _Feed(batches, self._next_epoch),
            "valid": _Feed(validation, self._validation_epoch),
        }
        # of skorch, fit_loop alone is used: split, batches and optimiser are ours
        self.net = NeuralNet(
            _Part(module, own.device, cast),
            _Criterion(criterion, own.device, cast),
            optimizer=lambda groups, lr: torch.optim.AdamW(
                decay_groups(self.whole, settings.weight_decay),
                lr,
                fused=own.device.type in ("cpu", "cuda"),
            ),
            lr=settings.learning_rate,
            dataset=lambda X, y: X,
            train_split=lambda X: (X, validation),
            iterator_train=lambda X, batch_size: self.feeds["train"],
            iterator_valid=lambda X, batch_size: self.feeds["valid"],
            callbacks__print_log=None,
            callbacks__epoch_timer=None,
            device=str(own.device),
            verbose=0,
        )
        self.net.initialize()
        ours = ("steps", self.steps), ("epochs", self.epochs)
        self.net.callbacks_.extend(ours)

    def _next_epoch(self):
        number = len(self.epochs.rows)
        self.own.reseed(TRAIN, number)
        return number

    def _validation_epoch(self):
        self.own.reseed(VALID)
        return 0

    def go(self, verbose):
        """Train to the end, or to whatever comes before it."""
        epochs, bar = self.epochs, None
        try:
            if not epochs.stopped:
                bar = self._bar(verbose)
                left = self.settings.max_epochs - len(epochs.rows)
                self.net.fit_loop(self.batches, epochs=left)
        except Stop:
            pass
        except NotFinite as error:
            trained = self._trained("failed")
            raise TrainingError(
                f"{error} The last good weights, of "
                + (f"epoch {trained.best_epoch}" if epochs.rows else "the last step")
                + ", are in the `trained` of this error.",
                trained,
            ) from None
        except KeyboardInterrupt:
            if not epochs.rows:
                raise
            warnings.warn(
                f"training was interrupted after {len(epochs.rows)} of "
                f"{self.settings.max_epochs} epochs; the weights are those of epoch "
                f"{epochs.best_epoch}, the best so far.",
                TrainingWarning,
                stacklevel=3,
            )
            epochs.stopped = "interrupted"
        finally:
            if bar is not None:
                bar.show()
                bar.close()
            self._release()
        return self._trained(epochs.stopped)

    def _release(self):
        """Let go of data and optimiser: they refer back to us, and would linger."""
        for feed in self.feeds.values():
            feed.close()
        self.net.optimizer_.zero_grad()
        self.feeds.clear()
        self.net = self.epochs.save = None

    def _trained(self, stopped):
        """The best weights, left in the module as well."""
        best = self.epochs.best
        if best is None:
            self.average.swap(self.average.n_steps > 0)
        else:
            self.whole.load_state_dict(best)
        self.whole.eval()
        state = arrays_of(self.whole["module"])
        return Trained.of(state, self.epochs.rows, self.epochs.best_epoch, stopped)

    def _bar(self, verbose):
        """A progress bar, or None."""
        if not verbose:
            return None
        from tqdm.auto import tqdm

        n, done = len(self.batches), len(self.epochs.rows)
        bar = tqdm(total=self.settings.max_epochs * n, initial=done * n, unit="step")
        progress = Progress(bar, self.epochs)
        self.net.callbacks_.append(("progress", progress))
        return progress

    # -------------------------------------------------------------- checkpoints
    def resume(self, checkpoints):
        """Take up the newest checkpoint there is, and write one after every epoch."""
        identity = self._identity()
        state = checkpoints.latest()
        if state is not None:
            found = differences(state["identity"], identity)
            if found:
                raise CheckpointError(
                    f"the checkpoints in {checkpoints.folder} are of another training; "
                    f"what differs is {'; '.join(found)}. Train as before to go on "
                    "from them, or choose another checkpoint_dir to begin anew."
                )
            self._load(state)
        self.epochs.save = lambda: checkpoints.write(
            len(self.epochs.rows), {"identity": identity, **self._state()}
        )

    def _identity(self):
        """What must be the same for two trainings to be one."""
        network, criterion = self.names
        feed = _Feed(self.batches, lambda: 0)
        inputs, targets = next(iter(feed))
        found = {
            **asdict(self.settings),
            "random_state": self.own.seed,
            "autocast": str(self.cast),
            "batches an epoch": len(self.batches),
            "network": network,
            "criterion": criterion,
            "initial weights": sketch(self.whole.state_dict()),
            "inputs of the first batch": sketch(inputs),
            "targets of the first batch": sketch(targets),
        }
        feed.close()
        return found

    def _state(self):
        epochs, average = self.epochs, self.average
        return {
            "weights": self.whole.state_dict(),
            "average": average.values,
            "n_steps": average.n_steps,
            "optimizer": self.net.optimizer_.state_dict(),
            "best": epochs.best,
            "rows": epochs.rows,
            "stopped": epochs.stopped,
        }

    def _load(self, state):
        epochs, average = self.epochs, self.average
        self.whole.load_state_dict(state["weights"])
        for value, saved in zip(average.values, state["average"]):
            value.copy_(saved)
        average.n_steps = state["n_steps"]
        self.net.optimizer_.load_state_dict(state["optimizer"])
        epochs.rows, epochs.best = state["rows"], state["best"]
        epochs.stopped = state["stopped"]


class _Feed:
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


class _Part(torch.nn.Module):
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


class _Criterion(_Part):
    """Keeps the last loss for the callbacks to look at."""

    def forward(self, outputs, targets):
        loss = super().forward(outputs, targets)
        self.last = loss.detach()
        return loss


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


def _name(criterion):
    """Of a criterion, the same in every process."""
    if isinstance(criterion, torch.nn.Module):
        return repr(criterion)
    return getattr(criterion, "__qualname__", type(criterion).__qualname__)
