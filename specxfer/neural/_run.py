"""`Run`: one training, from its first step or from a checkpoint."""

import warnings
from dataclasses import asdict

import torch
from skorch import NeuralNet

from specxfer.neural._callbacks import (
    TRAIN,
    VALID,
    Epochs,
    NotFinite,
    Progress,
    Steps,
    Stop,
)
from specxfer.neural._checkpoint import differences, sketch
from specxfer.neural._errors import CheckpointError, TrainingError, TrainingWarning
from specxfer.neural._parts import Criterion, Feed, Part
from specxfer.neural._trained import Trained
from specxfer.neural._weights import MovingAverage, arrays_of, decay_groups

__all__ = ["Run"]


class Run:
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
            "train": Feed(batches, self._next_epoch),
            "valid": Feed(validation, self._validation_epoch),
        }
        # of skorch, fit_loop alone is used: split, batches and optimiser are ours
        self.net = NeuralNet(
            Part(module, own.device, cast),
            Criterion(criterion, own.device, cast),
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
        feed = Feed(self.batches, lambda: 0)
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


def _name(criterion):
    """Of a criterion, the same in every process."""
    if isinstance(criterion, torch.nn.Module):
        return repr(criterion)
    return getattr(criterion, "__qualname__", type(criterion).__qualname__)
