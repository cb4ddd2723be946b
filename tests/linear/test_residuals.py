"""What residuals of different pixels share, in worlds where that is known."""

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.linear._residuals import SharedResiduals
from specxfer.linear._scatter import LineScatter

N, P, NOISE = 1500, 30, 0.02
LINES = np.r_[4:9, 19:24]  # of one element


def claimed(rng, size):
    """Part of the scatter that factors claim, where lines share all of it."""
    line = np.zeros(P)
    line[LINES] = size * np.tile(np.hanning(7)[1:-1], 2)
    flux = rng.standard_normal((N, 1)) * line + NOISE * rng.standard_normal((N, P))
    y = Spectra(
        flux.astype("f4"),
        np.full((N, P), NOISE**-2, "f4"),
        wave=5000.0 + np.arange(P),
        medium="air",
    )
    mean, scatter = np.ones((N, 1)), line**2
    of_stars = LineScatter(scatter, np.zeros(P)).astype("f4")
    shared = SharedResiduals(mean, y, np.ones(N), np.zeros((1, P)), scatter, of_stars)
    factors = shared.factors(4, np.random.RandomState(0))
    assert len(factors) == 1
    return (factors**2).sum() / scatter.sum()


@pytest.mark.parametrize("size", [0.03, 0.06, 0.2])
def test_factors_claim_what_lines_share(rng, size):
    """Taken to have noise of unit variance there, they claim 0.82, 0.84 and 0.88."""
    assert 0.9 < np.mean([claimed(rng, size) for _ in range(5)]) <= 1
