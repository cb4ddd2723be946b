"""HistoryDisplay: how a network was trained."""

from collections.abc import Mapping

import numpy as np

from specxfer._compositions import translator_of
from specxfer.plotting._style import (
    BLUE,
    GREY,
    LABEL,
    ORANGE,
    TICK,
    legend_over,
    one_axes,
    style_axes,
)

__all__ = ["HistoryDisplay", "plot_history"]

LOSSES = {"train_loss": ("training", ORANGE), "valid_loss": ("validation", BLUE)}
PALE = "0.75"


class HistoryDisplay:
    """Loss by epoch, in training and in validation, and which epoch was kept.

    The learning rate is a faint curve behind them. Members of an ensemble lie over
    each other, thinner.

    Parameters
    ----------
    histories : list of dict of str to array of shape (n_epochs,)
        ``epoch`` and ``train_loss``, and where they are there ``valid_loss``,
        ``learning_rate`` and what was monitored; a history for each member.
    best_epochs : list of int
        The epoch kept of each member.

    Attributes
    ----------
    ax_ : matplotlib axes
        Set by `plot`, like the following.
    rate_ax_ : matplotlib axes or None
        That of the learning rate.
    figure_ : matplotlib Figure or SubFigure

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from specxfer.plotting import HistoryDisplay
    >>> history = {"epoch": [1, 2, 3], "train_loss": [0.9, 0.4, 0.2],
    ...            "valid_loss": [0.8, 0.5, 0.6]}
    >>> display = HistoryDisplay.from_history(history).plot()
    >>> display.best_epochs
    [2]
    >>> plt.close(display.figure_)
    """

    def __init__(self, histories, best_epochs):
        self.histories = histories
        self.best_epochs = best_epochs

    @classmethod
    def from_history(cls, history, best_epoch=None):
        """Take the history of a training, or those of several.

        Parameters
        ----------
        history : dict of str to array-like of shape (n_epochs,), or list of such
            As in `specxfer.neural.Trained`.
        best_epoch : int or list of int, optional
            The epoch kept, from 1. By default that of the lowest validation loss, the
            last where there was no validation.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        ValueError
            If a history has no epoch or lacks its losses, or the numbers of histories
            and of epochs kept differ.
        """
        members = [history] if isinstance(history, Mapping) else list(history)
        members = [_checked(member) for member in members]
        if best_epoch is None:
            best = [_lowest(member) for member in members]
        else:
            best = [int(epoch) for epoch in np.atleast_1d(best_epoch)]
        if not members or len(best) != len(members):
            raise ValueError(
                f"there are {len(members)} histories and {len(best)} best epochs; "
                "expected one of each for every member, and at least one."
            )
        return cls(members, best)

    @classmethod
    def from_estimator(cls, estimator):
        """Take the history of a fitted translator.

        Parameters
        ----------
        estimator : estimator
            With ``history_``, and ``best_epoch_`` if another than the validation loss
            decided; it may be the last step of a pipeline or the best of a search.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        TypeError
            If it has no history.
        """
        inner = estimator
        if not hasattr(inner, "history_"):
            inner, _ = translator_of(inner, None, "a history", transform=False)
        if not hasattr(inner, "history_"):
            raise TypeError(
                f"{type(inner).__name__} has no history_; expected a fitted neural "
                "translator."
            )
        return cls.from_history(inner.history_, getattr(inner, "best_epoch_", None))

    def plot(self, ax=None, *, name=None):
        """Draw it.

        Parameters
        ----------
        ax : matplotlib axes, optional
            Made when not given.
        name : str, optional
            Of a monitored value, which is drawn instead of the losses.

        Returns
        -------
        HistoryDisplay
            Itself.

        Raises
        ------
        ValueError
            If nothing of that name was monitored.

        Notes
        -----
        The axis spans what comes after the first tenth of the epochs; losses of the
        first epochs may lie above it.
        """
        title = "loss" if name is None else name.replace("_", " ")
        drawn = LOSSES if name is None else {name: (title, BLUE)}
        if name is not None and name not in self.histories[0]:
            raise ValueError(
                f"there is no {name!r} in the history; it has "
                f"{', '.join(self.histories[0])}."
            )
        ax = one_axes(ax, 2.9)
        self.rate_ax_ = self._draw_rate(ax)
        for key, (label, color) in drawn.items():
            self._draw(ax, key, label, color)
        judged = "valid_loss" if "valid_loss" in self.histories[0] else "train_loss"
        self._mark_best(ax, name or judged)
        ax.set_ylim(*self._limits(drawn))
        ax.locator_params(axis="x", integer=True)
        style_axes(ax, xlabel="epoch", ylabel=title)
        handles, labels = ax.get_legend_handles_labels()
        if self.rate_ax_ is not None:
            more = self.rate_ax_.get_legend_handles_labels()
            handles, labels = handles + more[0], labels + more[1]
        legend_over(ax, handles, labels)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw(self, ax, key, label, color):
        """One quantity, of all members that have it."""
        thin = len(self.histories) > 1
        for member in self.histories:
            if key in member:
                ax.plot(
                    member["epoch"],
                    member[key],
                    color=color,
                    lw=0.7 if thin else 1.2,
                    alpha=0.6 if thin else 1,
                    label=label,
                    zorder=3,
                )
                label = None

    def _draw_rate(self, ax):
        """The learning rate on axes of its own, behind; None if it is not known."""
        if "learning_rate" not in self.histories[0]:
            return None
        rates = ax.twinx()
        longest = max(self.histories, key=lambda member: len(member["epoch"]))
        rates.plot(
            longest["epoch"],
            longest["learning_rate"],
            color=PALE,
            lw=1,
            ls="--",
            label="learning rate",
        )
        rates.set_ylim(0, 1.05 * max(longest["learning_rate"]) or 1)
        rates.tick_params(labelsize=TICK, colors=GREY)
        rates.set_ylabel("learning rate", fontsize=LABEL, color=GREY)
        rates.locator_params(axis="y", nbins=5)
        ax.set_zorder(rates.get_zorder() + 1)
        ax.patch.set_visible(False)
        return rates

    def _mark_best(self, ax, key):
        """A ring where each member's weights are from."""
        points = [
            (member["epoch"][at[0]], member[key][at[0]])
            for member, best in zip(self.histories, self.best_epochs)
            if len(at := np.flatnonzero(member["epoch"] == best)) and key in member
        ]
        if points:
            ax.plot(
                *zip(*points), "o", mfc="w", mec="k", ms=4.5, label="kept", zorder=4
            )

    def _limits(self, drawn):
        """Lowest and highest, the first tenth of the epochs left out, and room."""
        late = [
            member[key][len(member["epoch"]) // 10 :]
            for member in self.histories
            for key in drawn
            if key in member
        ]
        late = np.concatenate(late)
        late = late[np.isfinite(late)]
        if not len(late):
            return 0, 1
        lo, hi = late.min(), late.max()
        room = 0.05 * (hi - lo) or 0.05 * abs(hi) or 0.05
        return lo - room, hi + room


def plot_history(history, ax=None):
    """Draw how a network was trained.

    Parameters
    ----------
    history : dict, list of dict, or fitted estimator with ``history_``
        See `HistoryDisplay`.
    ax : matplotlib axes, optional
        Made when not given.

    Returns
    -------
    HistoryDisplay
        Drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from specxfer.plotting import plot_history
    >>> display = plot_history({"epoch": [1, 2], "train_loss": [0.9, 0.4]})
    >>> display.ax_.get_ylabel()
    'loss'
    >>> plt.close(display.figure_)
    """
    plain = isinstance(history, Mapping | list | tuple)
    make = HistoryDisplay.from_history if plain else HistoryDisplay.from_estimator
    return make(history).plot(ax)


def _checked(history):
    """As arrays, with an epoch at least."""
    missing = [name for name in ("epoch", "train_loss") if name not in history]
    if missing:
        raise ValueError(
            f"the history has no {' and no '.join(missing)} but {sorted(history)}; "
            "expected that of a training, as in specxfer.neural.Trained."
        )
    history = {name: np.asarray(values) for name, values in history.items()}
    if not len(history["epoch"]):
        raise ValueError("the history has no epochs: training broke off in the first.")
    return history


def _lowest(history):
    if "valid_loss" not in history or np.isnan(history["valid_loss"]).all():
        return int(history["epoch"][-1])
    return int(history["epoch"][np.nanargmin(history["valid_loss"])])
