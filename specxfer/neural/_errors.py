"""What can go wrong in training."""

__all__ = ["CheckpointError", "TrainingError", "TrainingWarning"]


class TrainingError(RuntimeError):
    """Training that cannot go on: its loss or gradient is not finite.

    Parameters
    ----------
    reason : str
        What was seen, where, and what to do about it.
    trained : Trained, optional
        The last good weights, with the history up to them.

    Attributes
    ----------
    trained : Trained or None
    """

    def __init__(self, reason, trained=None):
        super().__init__(reason, trained)  # both, so that it pickles
        self.trained = trained

    def __str__(self):
        return self.args[0]


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be resumed: it is torn, or of another training."""


class TrainingWarning(UserWarning):
    """Training that ended, or was resumed, otherwise than planned."""
