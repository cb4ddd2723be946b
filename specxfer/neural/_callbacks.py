"""What happens between the steps and epochs of a training."""

import math
import time

import torch
from skorch.callbacks import Callback

__all__ = ["Epochs", "NotFinite", "Progress", "Steps", "Stop"]

# keys of what random numbers are drawn for; see OwnRandomness
TRAIN, VALID, MONITOR = 0, 1, 2


class Stop(Exception):
    """Enough epochs."""


class NotFinite(Exception):
    """A loss or gradient is NaN or infinite."""


class Steps(Callback):
    """Learning rate, clipping and moving average, step by step.

    Weights are never moved by a gradient that is not finite.
    """

    def __init__(self, settings, n_batches, average):
        self.settings = settings
        self.n_batches = n_batches
        self.average = average

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.average.swap(not training)
        if training:
            n_steps = self.settings.max_epochs * self.n_batches
            rate = self.settings.rate(self.average.n_steps, n_steps)
            for group in net.optimizer_.param_groups:
                group["lr"] = rate

    def on_grad_computed(self, net, named_parameters, batch=None, **kwargs):
        clip = self.settings.clip
        norm = torch.nn.utils.clip_grad_norm_(
            self.average.parameters, math.inf if clip is None else clip
        )
        loss = net.criterion_.last
        if not math.isfinite(norm + loss):  # one look at the device for both
            step = self.average.n_steps
            epoch, i = divmod(step, self.n_batches)
            raise NotFinite(
                f"epoch {epoch + 1}, step {i + 1} of {self.n_batches}: the loss is "
                f"{float(loss):.4g} and the norm of its gradient {float(norm):.4g}. "
                f"{_reason(batch, self.settings.learning_rate)}"
            )

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if training:
            self.average.update()


class Epochs(Callback):
    """Judge each epoch, keep the best weights, and say when it is enough.

    Everything it needs to go on is in `rows`, `best` and `stopped`, which change
    together once an epoch is over: an interruption finds them whole.
    """

    def __init__(self, settings, average, whole, own, monitor):
        self.settings = settings
        self.average = average
        self.whole = whole
        self.own = own
        self.monitor = monitor
        self.save = None
        self.rows, self.best, self.stopped = [], None, None

    @property
    def best_epoch(self):
        """From 1; 0 before there is one."""
        return 1 + self._judged(self.rows)[0] if self.rows else 0

    def _judged(self, rows):
        """Index of the best epoch, and epochs since the last improvement."""
        name = self.settings.watch or "valid_loss"
        if name not in rows[0]:
            return len(rows) - 1, 0
        return self.settings.best([row[name] for row in rows])

    def on_epoch_begin(self, net, **kwargs):
        self._start = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        row = self._row(net)
        net.history[-1]["batches"].clear()  # or they pile up, in every checkpoint
        rows, best, stopped = [*self.rows, row], self.best, None
        index, waited = self._judged(rows)
        if index == len(rows) - 1:
            best = {k: v.clone() for k, v in self.whole.state_dict().items()}
        if len(rows) >= self.settings.max_epochs:
            stopped = "max_epochs"
        elif self.settings.patience is not None and waited >= self.settings.patience:
            stopped = "patience"
        self.average.swap(False)
        self.rows, self.best, self.stopped = rows, best, stopped
        if self.save is not None:
            self.save()
        if stopped:
            raise Stop

    def _row(self, net):
        """The record of the epoch; the average is in place from here on."""
        self.average.swap(True)
        now = net.history[-1]
        row = {"epoch": len(self.rows) + 1, "train_loss": float(now["train_loss"])}
        if "valid_loss" in now:
            row["valid_loss"] = float(now["valid_loss"])
        row["learning_rate"] = net.optimizer_.param_groups[0]["lr"]
        if self.monitor is not None:
            row |= self._monitored(net, row)
        row["seconds"] = time.perf_counter() - self._start
        watched = self.settings.watch or "valid_loss"
        if not math.isfinite(row.get(watched, 0.0)):
            raise NotFinite(
                f"epoch {row['epoch']}: {watched} is {row[watched]} while the training "
                f"loss is {row['train_loss']:.4g}. Look for values in the validation "
                "stars that are not finite, or far from those of the training stars."
            )
        return row

    def _monitored(self, net, row):
        self.whole.eval()
        self.own.reseed(MONITOR)
        with torch.no_grad():
            found = self.monitor(self.whole["module"])
        found = {name: float(value) for name, value in found.items()}
        first = self.rows[0] if self.rows else {**row, **found, "seconds": 0}
        names = [n for n in first if n not in row and n != "seconds"]
        watch = self.settings.watch or next(iter(row))
        if sorted(found) != sorted(names) or watch not in first:
            raise ValueError(
                f"the monitor gave {sorted(found)} in epoch {row['epoch']}; expected "
                f"the same names in every epoch, none of {[*row, 'seconds']}, and "
                f"settings.watch={self.settings.watch!r} among them."
            )
        return found


class Progress(Callback):
    """One bar over all steps, with the last epoch's record beside it."""

    def __init__(self, bar, epochs):
        self.bar = bar
        self.epochs = epochs

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if training:
            self.bar.update()

    def on_epoch_begin(self, net, **kwargs):
        done, total = len(self.epochs.rows), self.epochs.settings.max_epochs
        self.bar.set_description(f"epoch {done + 1}/{total}", refresh=False)
        self.show()

    def show(self):
        """The record of the last epoch."""
        if self.epochs.rows:
            hidden = ("epoch", "learning_rate", "seconds")
            row = self.epochs.rows[-1]
            shown = {k: f"{v:.4g}" for k, v in row.items() if k not in hidden}
            self.bar.set_postfix(shown)

    def close(self):
        """Leave the bar as it stands."""
        self.bar.close()


def _reason(batch, rate):
    """What is likely behind a loss that is not finite, and what to try."""
    inputs, targets = batch
    bad = [
        f"{side}[{name!r}] has {n} values"
        for side, values in (("inputs", inputs), ("targets", targets))
        for name, value in values.items()
        if (n := int((~torch.isfinite(value)).sum()))
    ]
    if bad:
        return (
            f"In this batch {', '.join(bad)} that are not finite: mask them (flux and "
            "ivar 0) before training."
        )
    return (
        f"All data of this batch are finite, so the weights have grown too large: try "
        f"a learning_rate below {rate:.3g}, a longer warmup, a smaller clip, float32 "
        "instead of autocast, or an error floor in the criterion."
    )
