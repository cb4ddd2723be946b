"""Possible: draws that keep to fluxes that a spectrum can have."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import kstest, truncnorm

from specxfer.neural._possible import Possible

MEAN, STD, N_DRAWS = np.array([[0.1, 0.8], [0.5, 0.9], [-9, 0.8]]), 0.1, 4000
HOW = 10, "heun"


@dataclass
class Gaussian:
    """Draws of two pixels."""

    mean: np.ndarray

    def __getitem__(self, stars):
        return Gaussian(self.mean[stars])

    def coefficients(self, n_draws, rngs, n_steps, solver):
        return np.stack([rng.standard_normal((n_draws, 2)) for rng in rngs])

    def spectra(self, z, rngs, change=None):
        for i, drawn in enumerate(z):
            flux = self.mean[i] + STD * drawn
            yield flux if change is None else change(flux, i)


def rngs_of(n):
    return [np.random.default_rng([3, i]) for i in range(n)]


def test_what_remains_is_the_gaussian_within_the_range():
    possible = Possible(0.0, 0.95)
    flux = next(possible.drawn(Gaussian(MEAN), N_DRAWS, rngs_of(3), HOW))
    for drawn, mean in zip(flux.T, MEAN[0]):
        ends = (possible.low - mean) / STD, (possible.high - mean) / STD
        assert kstest(drawn, truncnorm(*ends, mean, STD).cdf).pvalue > 0.01
    # of both pixels together: one says nothing of the other
    assert abs(np.corrcoef(flux.T)[0, 1]) < 4 / np.sqrt(N_DRAWS)


def test_draws_inside_stay_and_a_star_that_is_impossible_ends():
    possible = Possible(0.0, 1.3)
    first, second, third = possible.drawn(Gaussian(MEAN), 50, rngs_of(3), HOW)
    plain = list(Possible().drawn(Gaussian(MEAN), 50, rngs_of(3), HOW))
    inside = (plain[0] >= 0).all(axis=1)
    assert 0 < inside.sum() < 50
    np.testing.assert_array_equal(first[inside], plain[0][inside])
    np.testing.assert_array_equal(second, plain[1])
    assert (third[:, 0] < -8).all()


def test_a_star_alone_and_at_another_resolving_power():
    def half(flux, i):
        return flux / (2 + i)

    possible = Possible(0.0, 0.5)
    _, second, _ = possible.drawn(Gaussian(MEAN), 50, rngs_of(3), HOW, half)
    alone = possible.drawn(
        Gaussian(MEAN[1:2]), 50, rngs_of(2)[1:], HOW, lambda f, _: half(f, 1)
    )
    np.testing.assert_array_equal(second, next(alone))
    assert 0.29 < second[:, 1].mean() < 0.31  # a third of 0.9


@pytest.mark.parametrize(
    ("flux", "low", "high"),
    [
        ([0.02, 1.01], -0.1, 1.4),
        ([-0.05, 1.4], -0.15, 1.92),
        ([0.0, 2000.0], -0.1, 2600.1),
    ],
)
def test_the_range_follows_the_training_stars(flux, low, high):
    flux = np.array([[*flux, -50.0]])  # the last is masked
    found = Possible.of(flux, np.array([[100.0, 100.0, 0.0]]))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert Possible.of(flux, np.zeros((1, 3))) == Possible()
