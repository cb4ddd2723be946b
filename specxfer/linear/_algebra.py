"""Where the large products and the many inverses of a fit are computed."""

import numpy as np


class Algebra:
    """Products and inverses, by numpy, or by torch on a device.

    Arrays come and go as numpy's: only what is computed from them is elsewhere.

    Parameters
    ----------
    device : str or torch.device, default="cpu"
        "cpu" is numpy; anything else, and any ``torch.device``, is torch's.

    Raises
    ------
    ValueError
        If torch does not know the device, or it is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.linear._algebra import Algebra
    >>> Algebra("cpu").matmul(np.eye(2), np.ones((2, 1)))
    array([[1.],
           [1.]])
    """

    def __init__(self, device="cpu"):
        self._torch = None
        if isinstance(device, str) and device == "cpu":
            return
        import torch

        try:
            self._device = torch.device(device)
            torch.empty(1, device=self._device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ValueError(
                f"device={device!r} is not to be had here: {error}. Give 'cpu', or "
                "'cuda' where torch.cuda.is_available()."
            ) from error
        self._torch = torch

    def matmul(self, a, b):
        """``a @ b``."""
        if self._torch is None:
            return a @ b
        return self._back(self._there(a) @ self._there(b))

    def inv(self, a):
        """Inverses of a stack of matrices."""
        if self._torch is None:
            return np.linalg.inv(a)
        return self._back(self._torch.linalg.inv(self._there(a)))

    def gram_times(self, a, weight, b):
        """``aᵀ diag(weight) a b``."""
        if self._torch is None:
            return a.T @ ((a @ b) * weight[:, None])
        a, weight, b = self._there(a), self._there(weight), self._there(b)
        return self._back(a.T @ ((a @ b) * weight[:, None]))

    def _there(self, a):
        # torch would warn of arrays that are not to be written to
        a = np.require(a, requirements=["C", "W"])
        return self._torch.from_numpy(a).to(self._device)

    def _back(self, a):
        return a.cpu().numpy()


CPU = Algebra()
