"""`Trained`: what a training leaves."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Trained"]


@dataclass(frozen=True)
class Trained:
    """What a training leaves: arrays, and nothing of torch.

    Parameters
    ----------
    state : dict of str to ndarray
        The best weights and the module's buffers; `load_arrays` puts them into one.
    history : dict of str to ndarray of shape (n_epochs,)
        ``epoch`` (from 1), ``train_loss``, ``valid_loss`` where there was a
        validation, ``learning_rate`` (of the last step), ``seconds``, and whatever
        was monitored.
    best_epoch : int
        The epoch `state` is from; 0 if no epoch was finished.
    stopped : str
        Why it ended: "max_epochs", "patience", "interrupted" or "failed".

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural import Trained
    >>> rows = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.2}]
    >>> trained = Trained.of({"bias": np.zeros(1)}, rows, 2, "max_epochs")
    >>> trained.history["train_loss"]
    array([0.5, 0.2])
    """

    state: dict
    history: dict
    best_epoch: int
    stopped: str

    @classmethod
    def of(cls, state, rows, best_epoch, stopped):
        """From a record an epoch.

        Parameters
        ----------
        state : dict of str to ndarray
        rows : list of dict
            With the same names in each.
        best_epoch : int
        stopped : str

        Returns
        -------
        Trained
        """
        names = rows[0] if rows else ()
        history = {name: np.array([row[name] for row in rows]) for name in names}
        return cls(state, history, best_epoch, stopped)
