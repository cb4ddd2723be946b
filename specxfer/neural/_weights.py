"""Weights as plain arrays, and their moving average."""

import numpy as np
import torch

__all__ = ["MovingAverage", "arrays_of", "decay_groups", "load_arrays"]


def arrays_of(module):
    """The weights and buffers of a module as numpy arrays.

    Parameters
    ----------
    module : torch.nn.Module
        On any device.

    Returns
    -------
    dict of str to ndarray
        Copies, by the names of ``module.state_dict()``; bfloat16 as float32.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural import arrays_of, load_arrays
    >>> arrays = arrays_of(torch.nn.Linear(2, 1))
    >>> {name: array.shape for name, array in arrays.items()}
    {'weight': (1, 2), 'bias': (1,)}
    >>> module = load_arrays(torch.nn.Linear(2, 1), arrays)
    >>> bool((arrays_of(module)["weight"] == arrays["weight"]).all())
    True
    """
    return {name: as_array(value) for name, value in module.state_dict().items()}


def load_arrays(module, arrays):
    """Put the arrays that `arrays_of` made into a module of the same shape.

    Parameters
    ----------
    module : torch.nn.Module
        On any device; it is changed.
    arrays : dict of str to ndarray

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    ValueError
        If names or shapes differ.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural import arrays_of, load_arrays
    >>> trained = torch.nn.Linear(2, 1)
    >>> again = load_arrays(torch.nn.Linear(2, 1), arrays_of(trained))
    >>> bool((again.weight == trained.weight).all())
    True
    """
    there = module.state_dict()
    wrong = sorted(there.keys() ^ arrays.keys())
    if wrong:
        raise ValueError(
            f"the arrays are of another network: only one side has {', '.join(wrong)}. "
            "Build the module with the parameters it was trained with."
        )
    for name, value in there.items():
        if np.shape(arrays[name]) != tuple(value.shape):
            raise ValueError(
                f"the arrays are of another network: {name} has shape "
                f"{np.shape(arrays[name])}, expected {tuple(value.shape)}. Build the "
                "module with the parameters it was trained with."
            )
    with torch.no_grad():
        for name, value in there.items():
            value.copy_(torch.tensor(np.asarray(arrays[name])))
    return module


def as_array(tensor):
    """A copy in memory."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    return np.array(tensor.numpy())


def decay_groups(module, weight_decay):
    """Parameters that learn, those that decay first: biases and norms do not.

    Returns
    -------
    list of dict
        For an optimiser.
    """
    norms = {
        id(p)
        for part in module.modules()
        if "Norm" in type(part).__name__
        for p in part.parameters(recurse=False)
    }
    groups = {True: [], False: []}
    for name, p in module.named_parameters():
        if p.requires_grad:
            bias = name.rpartition(".")[2].startswith("bias")
            groups[p.ndim > 1 and not bias and id(p) not in norms].append(p)
    return [
        {"params": group, "weight_decay": weight_decay if decays else 0.0}
        for decays, group in groups.items()
        if group
    ]


class MovingAverage:
    """Exponential moving average of parameters, corrected for its start.

    After t steps it is Σ dᵗ⁻ⁱ wᵢ / Σ dᵗ⁻ⁱ over i = 1 … t, with d the decay.

    Parameters
    ----------
    parameters : list of Parameter
    decay : float or None
        None keeps no average: the weights stand for it.

    Examples
    --------
    >>> import torch
    >>> from specxfer.neural._weights import MovingAverage
    >>> weight = torch.nn.Parameter(torch.zeros(1))
    >>> average = MovingAverage([weight], decay=0.5)
    >>> for value in (3.0, 6.0):
    ...     weight.data.fill_(value) and average.update()
    >>> average.values
    [tensor([5.])]
    """

    def __init__(self, parameters, decay):
        self.parameters = parameters
        self.decay = decay
        self.n_steps = 0
        self.swapped = False
        self.values = [] if decay is None else [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self):
        """Take in the weights of one more step."""
        self.n_steps += 1
        if self.values:
            share = (1 - self.decay) / (1 - self.decay**self.n_steps)
            torch._foreach_lerp_(self.values, self.parameters, share)

    def swap(self, to):
        """Let the parameters hold the average, or the weights again; nothing moves."""
        if self.swapped != to:
            for p, value in zip(self.parameters, list(self.values)):
                p.data, value.data = value.data, p.data
            self.swapped = to
