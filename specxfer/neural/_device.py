"""The device to compute on."""

from contextlib import contextmanager

import torch

__all__ = ["repeatable", "resolve_device"]


def resolve_device(device="auto"):
    """The torch device that is meant, if this machine has it.

    Parameters
    ----------
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one, else the CPU. "mps" is taken only
        when asked for, as it has no float64.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If there is no such device.

    Examples
    --------
    >>> from specxfer.neural import resolve_device
    >>> resolve_device("cpu")
    device(type='cpu')
    """
    there = _devices()
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if "cuda:0" in there else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        found = None
    if found is None or _full_name(found) not in there:
        raise ValueError(
            f"device={str(device)!r} was asked for, but this machine has "
            f"{', '.join(there)}; take one of these or 'auto'."
        )
    return found


def _full_name(device):
    """With its number, unless it is the processor."""
    return "cpu" if device.type == "cpu" else f"{device.type}:{device.index or 0}"


def _devices():
    """Names of the devices of this machine."""
    there = ["cpu"]
    if torch.cuda.is_available():
        there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        there.append("mps:0")
    return there


@contextmanager
def repeatable(device):
    """cuDNN takes algorithms that give the same bits again; afterwards as before."""
    if device.type != "cuda":
        yield
        return
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
