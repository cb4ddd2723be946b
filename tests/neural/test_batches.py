"""Every star once an epoch, aligned, as it was observed, in an order of its own."""

import subprocess
import sys
import threading
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from specxfer import Spectra
from specxfer.neural import Augmentation, Batches

N, P, Q = 1003, 6, 9
ROW = 8 * (P + Q)  # bytes of a star's flux and ivar, both sides
SMALL = 2 * 200 * ROW  # memory for pools of 200 stars


def made(n=N, m=P, offset=0.0):
    """Flux that tells star and pixel, with NaN, fill-ins and an ivar of its own."""
    flux = offset + np.arange(n)[:, None] + np.arange(m) / 100
    flux = flux.astype(np.float32)
    ivar = (1 + np.arange(n)[:, None] % 7 + np.arange(m)).astype(np.float32)
    flux[3::10, 1] = np.nan
    ivar[5::10, 2] = 0
    return flux, ivar


def clean(flux, ivar, mean=0.0):
    """What a batch has to hold of these."""
    known = np.isfinite(flux) & (ivar > 0)
    return np.where(known, flux - mean, 0), np.where(known, ivar, 0)


def on_disk(array, path):
    """A read-only memory map of an array."""
    stored = np.memmap(path, array.dtype, "w+", shape=array.shape)
    stored[:] = array
    stored.flush()
    return np.memmap(path, array.dtype, "r", shape=array.shape)


@pytest.fixture(params=["memory", "float64", "fortran", "map", "pools"])
def kept(request, tmp_path):
    """How spectra are kept: a function of their arrays, and options of Batches."""

    def keep(values, name):
        if request.param == "float64":
            return values.astype(float)
        if request.param == "fortran":
            return np.asfortranarray(values)
        if request.param in ("map", "pools"):
            return on_disk(values, tmp_path / name)
        return values

    return keep, {"memory": SMALL} if request.param == "pools" else {}


def pair(keep):
    sides = []
    for name, m in (("X", P), ("y", Q)):
        flux, ivar = made(m=m, offset=0.5 * (name == "y"))
        flux, ivar = keep(flux, f"{name}_flux"), keep(ivar, f"{name}_ivar")
        wave = 5000.0 + np.arange(m)
        sides.append(Spectra(flux, ivar, wave=wave, medium="air"))
    return sides


def whole(batches, number=0):
    """An epoch in one piece: a copy of what is handed out."""
    parts = [
        [{name: t.clone() for name, t in side.items()} for side in batch]
        for batch in batches.epoch(number)
    ]
    return [
        {name: torch.cat([part[i][name] for part in parts]).numpy() for name in side}
        for i, side in enumerate(parts[0])
    ]


def order(batches, number=0):
    return whole(batches, number)[0]["star"]


def numbered(n=N, **options):
    """Batches of stars that tell their number."""
    flux = np.ones((n, P), np.float32)
    inputs = {"star": np.arange(n)}
    return Batches(flux, flux, mean_in=np.ones(P), inputs=inputs, **options)


def test_every_star_once_with_all_that_is_its_own(kept):
    keep, options = kept
    X, y = pair(keep)
    mean = np.linspace(0, 1, P).astype(np.float32)
    weight = np.arange(N) / 10
    features = np.random.default_rng(0).normal(size=(N, 2, 3))
    rows = np.random.default_rng(1).permutation(N)[:800]
    batches = Batches(
        X, y, mean_in=mean, rows=rows, weight=weight, batch_size=64,
        inputs={"features": features, "star": np.arange(N)},
        targets={"twice": 2 * features}, **options,
    )  # fmt: skip
    inputs, targets = whole(batches, 3)
    star = inputs["star"]
    np.testing.assert_array_equal(np.sort(star), np.sort(rows))
    for side, found, center in (("X", inputs, mean), ("y", targets, np.float32(0))):
        flux, ivar = made(m=P if side == "X" else Q, offset=0.5 * (side == "y"))
        flux, ivar = clean(flux[star], ivar[star], center)
        assert found["flux"].dtype == found["ivar"].dtype == np.float32
        np.testing.assert_array_equal(found["flux"], flux)
        np.testing.assert_array_equal(found["ivar"], ivar)
    np.testing.assert_array_equal(inputs["features"], features[star].astype("f4"))
    np.testing.assert_array_equal(targets["twice"], 2 * features[star].astype("f4"))
    np.testing.assert_array_equal(targets["weight"], weight[star].astype("f4"))


@pytest.mark.parametrize("place", ["memory", "map", "pools"])
@pytest.mark.parametrize("gaps", [True, False])
def test_unknown_noise_is_one_where_the_flux_is_known(place, gaps, tmp_path):
    flux = made()[0] if gaps else np.ones((N, P), np.float32)
    X = flux if place == "memory" else on_disk(flux, tmp_path / "flux")
    memory = 200 * 5 * P if place == "pools" else 2**30
    batches = Batches(
        X, None, mean_in=np.zeros(P), shuffle=False, batch_size=50, memory=memory
    )
    assert (batches._resident is None) == (place == "pools")
    inputs, targets = whole(batches)
    np.testing.assert_array_equal(inputs["ivar"], np.isfinite(flux))
    np.testing.assert_array_equal(inputs["flux"], np.nan_to_num(flux))
    assert targets == {}


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("gaps", [True, False])
def test_a_broadcast_ivar_stays_small(axis, gaps):
    flux, ivar = made()
    if not gaps:
        flux = np.nan_to_num(flux, nan=1.0)
    ivar = 1 + ivar
    thin = ivar[:1, :1] if axis is None else ivar.take([0], axis=axis)
    ivar = np.broadcast_to(thin, flux.shape)
    X = Spectra(flux, ivar, wave=5000.0 + np.arange(P), medium="air")
    batches = Batches(X, None, mean_in=np.zeros(P), shuffle=False)
    inputs, _ = whole(batches)
    np.testing.assert_array_equal(inputs["ivar"], clean(flux, ivar)[1])
    held = batches._resident[0]["ivar"]
    assert held.values.size == thin.size
    assert (held.known is not None) == gaps


def test_pixels_that_no_training_star_has_are_unknown():
    flux, ivar = np.ones((4, 3), np.float32), np.ones((4, 3), np.float32)
    X = Spectra(flux, ivar, wave=[1.0, 2.0, 3.0], medium="air")
    inputs, _ = whole(Batches(X, X, mean_in=[0.5, np.nan, 1.0]))
    np.testing.assert_array_equal(inputs["flux"], [[0.5, 0, 0]] * 4)
    np.testing.assert_array_equal(inputs["ivar"], [[1, 0, 1]] * 4)


def test_clean_arrays_are_shared_and_never_changed():
    flux = np.random.default_rng(0).normal(1, 0.1, (300, P)).astype(np.float32)
    ivar = np.full_like(flux, 100)
    before = flux.copy(), ivar.copy()
    for values in (flux, ivar):
        values.flags.writeable = False
    X = Spectra(flux, ivar, wave=5000.0 + np.arange(P), medium="air")
    augment = Augmentation(noise=1.0, masked=0.5)
    batches = Batches(X, X, mean_in=np.ones(P), memory=1, augmentation=augment)
    for source in batches._resident:
        assert np.shares_memory(source["flux"].values, flux)
        assert np.shares_memory(source["ivar"].values, ivar)
    for inputs, targets in batches.epoch(0):
        inputs["flux"].zero_()
        targets["ivar"].zero_()
    np.testing.assert_array_equal(flux, before[0])
    np.testing.assert_array_equal(ivar, before[1])


@pytest.mark.parametrize("memory", [2**30, SMALL])
def test_the_order_is_of_the_seed_and_the_epoch_alone(memory, tmp_path):
    X = on_disk(np.ones((N, P), np.float32), tmp_path / "flux")

    def batches(seed=5, **options):
        stars = {"star": np.arange(N)}
        return Batches(
            X, X, mean_in=np.ones(P), inputs=stars, random_state=seed, memory=memory,
            batch_size=32, **options,
        )  # fmt: skip

    went_on = batches()
    epochs = [order(went_on, k) for k in range(3)]
    np.testing.assert_array_equal(order(batches(), 2), epochs[2])
    assert (epochs[0] != epochs[1]).mean() > 0.9
    assert (epochs[0] != order(batches(seed=6))).mean() > 0.9
    np.testing.assert_array_equal(order(batches(shuffle=False)), np.arange(N))


def test_without_shuffling_stars_come_as_they_are_told():
    rows = np.random.default_rng(0).permutation(N)[:99]
    found = order(numbered(rows=rows, shuffle=False, batch_size=10))
    np.testing.assert_array_equal(found, rows)
    mask = np.arange(N) % 3 == 0
    found = order(numbered(rows=mask, shuffle=False, batch_size=10))
    np.testing.assert_array_equal(found, np.flatnonzero(mask))


@pytest.mark.parametrize(("n", "size"), [(129, 128), (128, 128), (1, 128), (5, 2)])
def test_no_batch_is_much_smaller_than_the_others(n, size):
    batches = numbered(n, batch_size=size)
    sizes = [len(inputs["star"]) for inputs, _ in batches.epoch(0)]
    assert len(sizes) == len(batches) == -(-n // size)
    assert sum(sizes) == n
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_a_batch_stays_until_the_next_but_one():
    epoch = numbered(300, batch_size=100).epoch(0)
    first = next(epoch)[0]["star"]
    held = first.clone()
    second = next(epoch)[0]["star"]
    assert torch.equal(first, held)
    assert not torch.equal(first, second)
    third = next(epoch)[0]["star"]
    assert not torch.equal(first, third)
    assert next(epoch, None) is None


def test_two_batches_are_held_while_the_next_is_made():
    made = threading.Semaphore(0)

    def finished(inputs, generator):
        made.release()

    batches = numbered(500, batch_size=50, augmentation=finished)
    expected = order(numbered(500, batch_size=50)).reshape(10, 50)
    while made.acquire(blocking=False):
        pass
    held = []
    for i, (inputs, _) in enumerate(batches.epoch(0)):
        for _ in range(2 if i == 0 else 1 if i < 9 else 0):
            assert made.acquire(timeout=30)  # the one after this is there as well
        held = [*held[-1:], inputs["star"]]
        for back, stars in enumerate(reversed(held)):
            np.testing.assert_array_equal(stars, expected[i - back])


def test_batches_are_those_made_one_by_one(kept):
    keep, options = kept
    X, y = pair(keep)
    batches = Batches(
        X, y, mean_in=np.zeros(P), batch_size=64,
        augmentation=Augmentation(noise=1.0, masked=0.5), **options,
    )  # fmt: skip
    one_by_one = batches._made(2, threading.Event())
    n = 0
    for batch, expected in zip(batches.epoch(2), one_by_one, strict=True):
        for side, other in zip(batch, expected):
            for name, values in side.items():
                assert torch.equal(values, other[name])
        n += 1
    assert n == len(batches)


def test_pools_are_well_shuffled(tmp_path):
    n, size = 8000, 50
    X = on_disk(np.ones((n, P), np.float32), tmp_path / "flux")
    stars = {"star": np.arange(n)}
    pool = 1000
    batches = Batches(
        X, None, mean_in=np.ones(P), inputs=stars, batch_size=size,
        memory=2 * pool * 5 * P,
    )  # fmt: skip
    assert batches._per_pool == pool // size
    found = order(batches)
    np.testing.assert_array_equal(np.sort(found), np.arange(n))
    # 250 runs in random order: correlation of place and number 1 / sqrt(250)
    assert abs(np.corrcoef(found, np.arange(n))[0, 1]) < 0.2
    # neighbours in the order are of one run by chance only, 31 in 999
    neighbours = np.abs(np.diff(found)) < 32
    assert neighbours.mean() < 2.5 * 31 / pool
    # a batch is drawn from all over the file: variance of a uniform distribution
    spread = found.reshape(-1, size).std(axis=1) / n
    assert spread.min() > 0.15
    assert spread.mean() == pytest.approx(12**-0.5, rel=0.1)


def working():
    return [t for t in threading.enumerate() if t.name.startswith("specxfer-")]


@pytest.mark.parametrize(("memory", "n_threads"), [(2**30, 1), (SMALL, 2)])
def test_no_thread_outlives_an_epoch(tmp_path, memory, n_threads):
    X = on_disk(np.ones((N, P), np.float32), tmp_path / "flux")
    batches = Batches(X, X, mean_in=np.ones(P), memory=memory, batch_size=10)
    epoch = batches.epoch(0)
    assert not working()
    next(epoch)
    assert len(working()) == n_threads
    epoch.close()
    assert not working()
    for _ in islice(batches.epoch(1), 3):
        pass
    assert not working()
    for _ in batches.epoch(2):
        pass
    assert not working()


def test_one_batch_needs_no_thread():
    for _ in numbered(50, batch_size=50).epoch(0):
        assert not working()


@pytest.mark.parametrize("memory", [2**30, SMALL])
def test_errors_in_the_thread_reach_the_caller(tmp_path, memory):
    calls = []

    def failing(inputs, generator):
        calls.append(threading.current_thread())
        if len(calls) == 4:
            raise ZeroDivisionError("the fourth")

    X = on_disk(np.ones((N, P), np.float32), tmp_path / "flux")
    batches = Batches(
        X, X, mean_in=np.ones(P), memory=memory, batch_size=10, augmentation=failing
    )
    epoch = batches.epoch(0)
    assert len(list(islice(epoch, 3))) == 3
    with pytest.raises(ZeroDivisionError, match="the fourth"):
        next(epoch)
    assert threading.main_thread() not in calls
    assert not working()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, nullcontext])
def test_the_thread_uses_torch_as_the_caller_does(mode):
    def settings():
        return torch.is_grad_enabled(), torch.get_num_threads()

    found = []
    batches = numbered(
        60, batch_size=20, augmentation=lambda *given: found.append(settings())
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with mode():
            for _ in batches.epoch(0):
                pass
            assert found == 3 * [settings()]
        with torch.inference_mode():
            inputs, _ = next(batches.epoch(0))
            assert inputs["flux"].is_inference()
    finally:
        torch.set_num_threads(before)


def test_what_is_wrong_on_disk_is_told(tmp_path):
    flux = np.ones((N, P), np.float32)
    flux[700, 2] = np.inf
    X = on_disk(flux, tmp_path / "flux")
    told = "of the rows 672 to 703.*flux is infinite in 1 pixels, first in row 28"
    with pytest.raises(ValueError, match=told):
        Batches(X, None, mean_in=np.ones(P))
    batches = Batches(X, None, mean_in=np.ones(P), memory=SMALL // 4, batch_size=32)
    with pytest.raises(ValueError, match="flux is infinite"):
        list(batches.epoch(0))
    assert not working()


def test_augmentation_is_of_the_seed_the_epoch_and_the_batch():
    flux = np.ones((100, P), np.float32)
    ivar = np.full_like(flux, 100)
    X = Spectra(flux, ivar, wave=5000.0 + np.arange(P), medium="air")

    def noise(seed, number):
        batches = Batches(
            X, X, mean_in=np.ones(P), batch_size=50, random_state=seed,
            shuffle=False, augmentation=Augmentation(noise=1.0),
        )  # fmt: skip
        inputs, targets = whole(batches, number)
        assert (targets["flux"] == 1).all()
        return inputs["flux"]

    state = torch.get_rng_state()
    first = noise(1, 0)
    np.testing.assert_array_equal(noise(1, 0), first)
    assert (noise(1, 1) != first).all()
    assert (noise(2, 0) != first).all()
    assert (first[:50] != first[50:]).all()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean_in": np.ones(P + 1)}, "mean_in has shape"),
        ({"rows": [0, 0]}, "expected each once"),
        ({"rows": [N]}, "from 0 to 1002"),
        ({"rows": []}, "one or more stars"),
        ({"rows": np.zeros(N, bool)}, "one or more stars"),
        ({"weight": np.ones(3)}, "'weight'.* has 3 rows; expected 1003"),
        ({"inputs": {"a": np.ones(3)}}, "'a'.* has 3 rows; expected 1003"),
        ({"targets": {"flux": np.ones(N)}}, "named 'flux'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"memory": 0}, "memory is 0"),
        ({"random_state": -1}, "random_state is -1"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    X = np.ones((N, P))
    with pytest.raises(ValueError, match=message):
        Batches(X, X, **{"mean_in": np.ones(P), **options})


def test_unpaired_stars_are_refused():
    with pytest.raises(ValueError, match="y has 4 rows; expected 5"):
        Batches(np.ones((5, P)), np.ones((4, Q)), mean_in=np.ones(P))


def test_names_are_no_numbers():
    inputs = {"name": np.array(["a"] * 5)}
    with pytest.raises(TypeError, match="name has dtype"):
        Batches(np.ones((5, P)), None, mean_in=np.ones(P), inputs=inputs)


ROWS, PIXELS, MEMORY = 10_000, 4000, 64 * 2**20

READ = f"""
import sys
from pathlib import Path
import numpy as np
from specxfer import Spectra
from specxfer._memory import MemoryWatch
from specxfer.neural import Batches

def stored(name):
    return np.memmap(Path(sys.argv[1]) / name, "f4", "r", shape=({ROWS}, {PIXELS}))

wave = 5000 + np.arange({PIXELS}.0)
X = Spectra(stored("flux"), stored("ivar"), wave=wave, medium="air")

def run(X):
    batches = Batches(X, None, mean_in=np.zeros({PIXELS}), memory={MEMORY})
    return sum(len(inputs["flux"]) for inputs, _ in batches.epoch(0))

run(X[:100])  # what is imported
with MemoryWatch() as watch:
    n = run(X)
print(n, watch.peak)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_pools_keep_to_the_memory_they_are_given(tmp_path):
    for name in ("flux", "ivar"):  # sparse files: 320 MB that take no place
        np.memmap(tmp_path / name, "f4", "w+", shape=(ROWS, PIXELS))
    command = [sys.executable, "-c", READ, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n, peak = map(float, done.stdout.split())
    assert n == ROWS
    buffers = 3 * 128 * PIXELS * 8
    assert 0.5 * MEMORY < peak * 2**20 < MEMORY + 1.5 * buffers
