"""`Batches`: stars handed to a network in whole batches."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from itertools import cycle
from threading import Event

import numpy as np
import torch

from specxfer.base import _seed
from specxfer.neural._sources import RUN, ArraySource, SpectraSource
from specxfer.spectra import as_spectra

__all__ = ["Batches"]


class Batches:
    """Pairs of spectra in whole batches, in an order of its own every epoch.

    Arrays in memory are shared where their rows can be handed out as they are: float32
    in C order, with flux `mean_in` (of the target: 0) and ivar 0 wherever a pixel is
    unknown. What else there is, memory maps for one, is copied once if all of it fits
    in `memory`. If not, it is read every epoch: runs of consecutive rows in random
    order fill a pool of half of `memory`, the stars of a pool are shuffled, and a
    thread reads the next pool meanwhile.

    Parameters
    ----------
    X : Spectra or array-like of shape (n, n_pixels_in)
        Source spectra. NaN flux, ivar 0, and pixels where `mean_in` is NaN are unknown.
    y : Spectra or array-like of shape (n, n_pixels_out), or None
        Target spectra of the same stars; None for none.
    mean_in : array-like of shape (n_pixels_in,)
        Mean source spectrum, continuum units.
    rows : array-like of int or bool, optional
        Stars to hand out, each once; all by default.
    weight : array-like of shape (n,), optional
        Weights of the stars: "weight" of the targets.
    inputs, targets : dict of array-like of shape (n, ...), optional
        Further arrays by name, a row a star of X.
    batch_size : int, default=128
        Stars of a batch, at most. Batches differ by one star at most, so none is small.
    random_state : int, RandomState or None, default=0
        Seeds order and augmentation. What an epoch is depends on this and its number
        alone (and on `memory`, if it is exceeded), not on epochs before.
    memory : int, default=2**30
        Bytes that copies may take.
    shuffle : bool, default=True
        False hands stars out in the order of `rows`.
    augmentation : Augmentation or callable, optional
        ``augmentation(inputs, generator)`` changes the inputs of a batch in place,
        with a `torch.Generator` of its own for every batch. It is called in a thread,
        beside whatever the last batch is used for.
    device : str or torch.device, default="cpu"
        Where batches are handed out.

    Raises
    ------
    ValueError
        If arrays do not have a row a star, or a parameter is not as described; while
        going through an epoch, if what is read from disk is infinite.

    Notes
    -----
    While a batch is in use, a thread makes the next; it ends with the epoch, or when
    the epoch is left early. Three sets of buffers are filled in turn: a batch stays as
    it is until the next but one is asked for, longer only as a copy. A batch may be
    changed; the user's arrays never are.

    Reading row by row, as torch's default loader does, would cost more than a step of
    a small network.

    Examples
    --------
    >>> import numpy as np
    >>> from specxfer.neural import Batches
    >>> X = np.array([[1.0, 0.9], [0.8, np.nan], [1.0, 0.7]])
    >>> batches = Batches(X, X, mean_in=[0.9, 0.8], batch_size=2, shuffle=False)
    >>> len(batches)
    2
    >>> inputs, targets = next(batches.epoch(0))
    >>> inputs["flux"]
    tensor([[ 0.1000,  0.1000], [-0.1000,  0.0000]])
    >>> inputs["ivar"]
    tensor([[1., 1.], [1., 0.]])
    >>> targets["flux"]
    tensor([[1.0000, 0.9000], [0.8000, 0.0000]])
    """

    def __init__(
        self,
        X,
        y,
        *,
        mean_in,
        rows=None,
        weight=None,
        inputs=None,
        targets=None,
        batch_size=128,
        random_state=0,
        memory=2**30,
        shuffle=True,
        augmentation=None,
        device="cpu",
    ):
        X = as_spectra(X)
        mean_in = np.asarray(mean_in, dtype=np.float64)
        if mean_in.shape != X.shape[1:]:
            raise ValueError(
                f"mean_in has shape {mean_in.shape}; expected {X.shape[1:]}, one "
                "number per source pixel."
            )
        for name, value in (("batch_size", batch_size), ("memory", memory)):
            if value < 1:
                raise ValueError(f"{name} is {value}; expected 1 or more.")
        self.rows = _checked_rows(rows, len(X))
        self.seed = _seed(random_state)
        self.shuffle, self.augmentation = shuffle, augmentation
        self.device = torch.device(device)
        sides = {"inputs": {"spectra": SpectraSource(X, self.rows, mean_in)}}
        sides["targets"] = {}
        self._mean_in = sides["inputs"]["spectra"].fill
        if y is not None:
            y = as_spectra(y, name="y")
            _check_length(y, len(X), "y")
            sides["targets"]["spectra"] = SpectraSource(y, self.rows)
        extra = {"inputs": dict(inputs or {}), "targets": dict(targets or {})}
        if weight is not None:
            extra["targets"]["weight"] = np.asarray(weight, dtype=np.float32)
        for side, arrays in extra.items():
            for name, values in arrays.items():
                if name in ("flux", "ivar"):
                    raise ValueError(
                        f"{side} has an array named {name!r}, which is that of the "
                        "spectra: give it another name."
                    )
                _check_length(values, len(X), f"{side}[{name!r}]")
                sides[side][name] = ArraySource(values, name)
        self._sources = [(s, source) for s in sides for source in sides[s].values()]
        n = len(self.rows)
        n_batches = -(-n // batch_size)
        self._bounds = -(-np.arange(n_batches + 1) * n // n_batches)
        self._largest = -(-n // n_batches)
        row_bytes = sum(source.row_bytes for _, source in self._sources)
        self._resident = None
        if row_bytes * n <= memory:
            arrays = self._allocate(n)
            self._resident = self._read(self.rows, arrays)
        else:
            # two pools are held at a time
            self._per_pool = max(1, memory // (2 * row_bytes * self._largest))

    def __len__(self):
        return len(self._bounds) - 1

    def epoch(self, number):
        """Go through all stars once.

        Parameters
        ----------
        number : int
            Which epoch, from 0.

        Yields
        ------
        inputs : dict of Tensor
            "flux", deviation from the mean source spectrum, 0 where unknown, and
            "ivar", 0 where unknown and 1 where only the noise is, both of shape
            (n_batch, n_pixels_in) and float32; then the further arrays.
        targets : dict of Tensor
            "flux" itself, 0 where unknown, and "ivar", of shape
            (n_batch, n_pixels_out); then "weight", of shape (n_batch,), and the
            further arrays.
        """
        left = Event()
        made = self._made(int(number), left)
        if len(self) == 1:  # nothing to do meanwhile
            yield from made
            return
        as_here = _as_here(self.device)

        def make():
            with as_here():
                return next(made, None)

        with closing(made), ThreadPoolExecutor(1, "specxfer-batches") as maker:
            try:
                coming = maker.submit(make)
                while (batch := coming.result()) is not None:
                    coming = maker.submit(make)
                    yield batch
            finally:
                left.set()

    def _made(self, number, left):
        """The batches of an epoch, each made when it is asked for."""
        key = [self.seed, number]
        rng = np.random.default_rng(key)
        # one with the caller, the one before it, which stays, and one in the making
        buffers = cycle([self._buffers() for _ in range(3)])
        resident = self._resident is not None
        with closing(
            self._whole(rng) if resident else self._pooled(rng, left)
        ) as parts:
            for i, (held, stars) in enumerate(parts):
                inputs, targets = self._filled(next(buffers), held, stars)
                if self.augmentation is not None:
                    self.augmentation(inputs, self._generator([*key, i]))
                yield inputs, targets

    # -------------------------------------------------------- which stars, from where
    def _whole(self, rng):
        """Batches of stars, by their place in what is held."""
        n = len(self.rows)
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        for start, stop in zip(self._bounds, self._bounds[1:]):
            yield self._resident, order[start:stop]

    def _pooled(self, rng, left):
        """Batches of stars from pools, of which the next is read meanwhile."""
        order = self._run_order(rng)
        pools = self._pools()
        size = max(pool[-1] - pool[0] for pool in pools)
        spaces = cycle([self._allocate(size), self._allocate(size)])

        def read(pool):
            return reader.submit(
                self._read, order[pool[0] : pool[-1]], next(spaces), left.is_set
            )

        with ThreadPoolExecutor(1, "specxfer-pools") as reader:
            try:
                coming = read(pools[0])
                for pool, following in zip(pools, [*pools[1:], None]):
                    held = coming.result()
                    if following is not None:
                        coming = read(following)
                    n = pool[-1] - pool[0]
                    stars = rng.permutation(n) if self.shuffle else np.arange(n)
                    for start, end in zip(pool - pool[0], pool[1:] - pool[0]):
                        yield held, stars[start:end]
            finally:
                left.set()

    def _pools(self):
        """Bounds of the batches of each pool; the first are smaller, to start early."""
        pools, done, size = [], 0, -(-self._per_pool // 4)
        while done < len(self):
            pools.append(self._bounds[done : done + size + 1])
            done, size = done + size, min(2 * size, self._per_pool)
        return pools

    def _run_order(self, rng):
        """Rows in the order they are read, neighbours on disk in runs."""
        if not self.shuffle:
            return self.rows
        rows = np.sort(self.rows)
        runs = [rows[i : i + RUN] for i in range(0, len(rows), RUN)]
        return np.concatenate([runs[i] for i in rng.permutation(len(runs))])

    def _allocate(self, n):
        return [source.allocate(n) for _, source in self._sources]

    def _read(self, rows, arrays, stopped=lambda: False):
        """Held arrays of some rows, a dict for every source."""
        for (_, source), space in zip(self._sources, arrays):
            source.read(rows, space, stopped)
        return [
            source.held(rows, space)
            for (_, source), space in zip(self._sources, arrays)
        ]

    # ------------------------------------------------------------ a batch as tensors
    def _buffers(self):
        """Tensors in host memory for one batch, by side and name, and those handed out.

        Where they are not the same, an event tells that the copy between them is over.
        """
        cuda = self.device.type == "cuda"
        host = {"inputs": {}, "targets": {}}
        for side, source in self._sources:
            for name, (shape, dtype) in source.forms.items():
                dtype = torch.from_numpy(np.empty(0, dtype)).dtype
                shape = (self._largest, *shape)
                host[side][name] = torch.empty(shape, dtype=dtype, pin_memory=cuda)
        if self.device.type == "cpu":
            return host, host, None
        there = {
            side: {n: torch.empty_like(t, device=self.device) for n, t in named.items()}
            for side, named in host.items()
        }
        return host, there, torch.cuda.Event() if cuda else None

    def _filled(self, buffers, held, stars):
        """Inputs and targets of some stars."""
        host, there, copied = buffers
        if copied is not None:
            copied.synchronize()
        n = len(stars)
        for (side, _), named in zip(self._sources, held):
            for name, values in named.items():
                values.fill(host[side][name][:n].numpy(), stars)
        flux = host["inputs"]["flux"][:n].numpy()
        flux -= self._mean_in
        if there is not host:
            for side, named in there.items():
                for name, tensor in named.items():
                    tensor[:n].copy_(
                        host[side][name][:n], non_blocking=copied is not None
                    )
            if copied is not None:
                copied.record(torch.cuda.current_stream(self.device))
        return tuple(
            {name: tensor[:n] for name, tensor in there[side].items()}
            for side in ("inputs", "targets")
        )

    def _generator(self, key):
        seed = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(seed >> np.uint64(1)))


def _as_here(device):
    """A context in which another thread uses torch as this one does now."""
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None

    @contextmanager
    def as_here():
        with (
            nullcontext() if stream is None else torch.cuda.stream(stream),
            torch.inference_mode(inference),
            torch.set_grad_enabled(grad),
        ):
            yield

    return as_here


def _checked_rows(rows, n):
    """Indices of the stars that are asked for."""
    if rows is None:
        rows = np.arange(n)
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(
            f"rows is of {rows.dtype} and shape {rows.shape}; expected indices of one "
            f"or more stars, or a mask of shape ({n},)."
        )
    rows = rows.astype(np.intp)
    if rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) < len(rows):
        raise ValueError(
            f"rows go from {rows.min()} to {rows.max()}, {len(np.unique(rows))} "
            f"different of {len(rows)}; expected each once, from 0 to {n - 1}."
        )
    return rows


def _check_length(values, n, name):
    found = np.shape(values)[:1]
    if found != (n,):
        raise ValueError(
            f"{name} has {found[0] if found else 'no'} rows; expected {n}, one for "
            "every star of X."
        )
