"""`Schedule`: how long and how fast a network is trained."""

import math
from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained, and which of its weights are kept.

    Parameters
    ----------
    max_epochs : int, default=60
        Passes over the training stars, at most.
    learning_rate : float, default=1e-3
        Its peak: it rises linearly to it, then falls as a cosine to 0 after
        `max_epochs`.
    weight_decay : float, default=1e-2
        Decoupled decay of weight matrices; biases, norms and other one-dimensional
        parameters do not decay.
    warmup : float, default=0.05
        Share of the steps in which the learning rate rises.
    clip : float or None, default=1.0
        Longest gradient, over all parameters together; longer ones are shortened.
    ema : float or None, default=0.99
        Decay per step of the exponential moving average of the weights, which is what
        is validated and kept. It is corrected for its start: after t steps, weights i
        steps old count as ``ema**i``, i < t, and the initial weights not at all. None
        keeps the weights themselves.
    patience : int or None, default=10
        Epochs without improvement after which training stops; None never stops.
    min_delta : float, default=0.0
        What `patience` takes for an improvement must be larger than this.
    watch : str or None, default=None
        Name of the monitored value that decides what is best, lower being better. By
        default it is the validation loss.
    keep : {"best", "last"}, default="best"
        Whose weights are kept: those of the best epoch, or of the last, where what is
        watched says little of what is sought.

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    Loshchilov & Hutter 2019, ICLR (decoupled weight decay; cosine: 2017); Polyak &
    Juditsky 1992, SIAM J. Control Optim. 30, 838 (averaging), with the correction of
    Kingma & Ba 2015, ICLR.

    Examples
    --------
    >>> from specxfer.neural import Schedule
    >>> settings = Schedule(max_epochs=10, learning_rate=0.1, warmup=0.2)
    >>> [round(settings.rate(step, 100), 3) for step in (0, 19, 20, 60, 100)]
    [0.005, 0.1, 0.1, 0.05, 0.0]
    """

    max_epochs: int = 60
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.05
    clip: float | None = 1.0
    ema: float | None = 0.99
    patience: int | None = 10
    min_delta: float = 0.0
    watch: str | None = None
    keep: str = "best"

    def __post_init__(self):
        for name, rule, holds in (
            ("max_epochs", "at least 1", lambda v: v >= 1),
            ("learning_rate", "0 or more", lambda v: 0 <= v < math.inf),
            ("weight_decay", "0 or more", lambda v: 0 <= v < math.inf),
            ("warmup", "from 0 to 1", lambda v: 0 <= v <= 1),
            ("clip", "above 0, or None", lambda v: v is None or v > 0),
            ("ema", "from 0 to below 1, or None", lambda v: v is None or 0 <= v < 1),
            ("patience", "at least 1, or None", lambda v: v is None or v >= 1),
            ("min_delta", "0 or more", lambda v: v >= 0),
        ):
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"{name} is {value}; expected a number {rule}.")
        if self.keep not in ("best", "last"):
            raise ValueError(f"keep is {self.keep!r}; expected 'best' or 'last'.")

    def rate(self, step, n_steps):
        """The learning rate of a step.

        Parameters
        ----------
        step : int
            Steps done before it.
        n_steps : int
            Steps in all.

        Returns
        -------
        float
        """
        rising = math.ceil(self.warmup * n_steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        share = (step - rising) / max(n_steps - rising, 1)
        return self.learning_rate * (1 + math.cos(math.pi * min(share, 1))) / 2

    def best(self, values):
        """The best of the values watched so far, and for how long there was no better.

        Parameters
        ----------
        values : list of float
            One an epoch.

        Returns
        -------
        best : int
            Index of the lowest; of the last with ``keep="last"``.
        waited : int
            Epochs since the last one that was lower by more than `min_delta`.
        """
        reference, since = values[0], 0
        for i, value in enumerate(values):
            if value < reference - self.min_delta:
                reference, since = value, i
        last = len(values) - 1
        lowest = min(range(len(values)), key=values.__getitem__)
        return last if self.keep == "last" else lowest, last - since
