"""Pictures are drawn without a screen, and no figure is left open."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge

matplotlib = pytest.importorskip("matplotlib", reason="no matplotlib")


@pytest.fixture(autouse=True)
def _no_screen_and_no_traces():
    """The user's settings stay as they are; figures are drawn, then closed."""
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()  # what cannot be laid out warns
    plt.close("all")


@pytest.fixture(scope="session")
def pairs():
    """Source, target and truth of 90 simulated stars."""
    return make_paired_spectra(90, size="small", random_state=0)


@pytest.fixture(scope="session")
def model(pairs):
    X, y, _ = pairs
    return PCARidge(n_components=5).fit(X[:60], y[:60])


@pytest.fixture
def toy():
    """Three stars of two chips, with a masked pixel; flux and std of a prediction."""
    rng = np.random.default_rng(0)
    wave = np.r_[5850 + 0.05 * np.arange(120), 6495 + 0.05 * np.arange(80)]
    flux = 1 - 0.4 * np.exp(-(((wave - 5853.67) / 0.2) ** 2)) - 0.3 * np.exp(
        -(((wave - 6496.9) / 0.2) ** 2)
    )  # fmt: skip
    truth = 1 - np.array([[0.5], [1.0], [1.2]]) * (1 - flux)
    observed = truth + 0.01 * rng.standard_normal(truth.shape)
    ivar = np.full(truth.shape, 1e4)
    observed[0, 7], ivar[0, 9] = np.nan, 0
    y = Spectra(
        observed,
        ivar,
        wave=wave,
        medium="air",
        ids=["a", "b", "c"],
        chip=np.repeat([0, 1], [120, 80]),
    )
    return y, truth + 0.003, np.full(truth.shape, 0.004)


@pytest.fixture(scope="session")
def space(pairs):
    """A translator with a space, trained for as long as a picture needs."""
    from specxfer.neural import AlignmentTranslator

    X, y, _ = pairs
    model = AlignmentTranslator(
        8, n_components=5, max_epochs=3, space_epochs=2, device="cpu"
    )
    return model.fit(X[:60], y[:60])
