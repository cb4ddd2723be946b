"""Members: the ensemble after training, and how far it is to be trusted."""

import pickle
import pickletools

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.neural._members import ROWS, Members, left_out_mean
from specxfer.neural._weights import arrays_of

N, K, OUT, M, P = 40, 4, 3, 3, 50
SIZES = {"n_in": K, "n_out": OUT, "n_members": M, "n_leading": 2, "width": 8}
CONV = {"n_pixels": P, "n_out": 6, "widths": (8,)}


def members(kind="matched"):
    """Networks with random weights, those that start at 0 as well."""
    if kind == "matched":
        found = Members(dict(SIZES))
    else:
        n_in = 6 + (kind == "both") * K
        found = Members(SIZES | {"n_in": n_in}, CONV, kind == "both", np.zeros(P))
    state = arrays_of(found.new(3))
    rng = np.random.default_rng(1)
    for name, values in state.items():
        if name.startswith("ensemble."):
            state[name] = rng.normal(0, 0.3, values.shape).astype("f4")
    found.state = state
    return found


@pytest.fixture
def scores(rng):
    return rng.standard_normal((N, K))


@pytest.fixture
def X(rng):
    ivar = np.where(rng.random((N, P)) < 0.1, 0, 1e4)
    flux = rng.normal(0, 0.1, (N, P))
    return Spectra(flux, ivar, wave=5000.0 + np.arange(P), medium="air")


def test_left_out_mean_by_hand(rng):
    outputs = rng.normal(size=(2, 4, 3))
    left_out = np.array([[True, False, False, True], [False, True, False, False]])
    mean, variance = left_out_mean(outputs, left_out)
    np.testing.assert_allclose(mean[0], outputs[0, [0, 3]].mean(axis=0))
    np.testing.assert_allclose(mean[1], outputs[1, 1])
    np.testing.assert_allclose(variance[0], outputs[0, [1, 2]].var(axis=0, ddof=1))
    np.testing.assert_allclose(variance[1], outputs[1, [0, 2, 3]].var(axis=0, ddof=1))


def test_one_member_that_has_seen_a_star_does_not_vary():
    outputs = np.arange(6.0).reshape(1, 2, 3)
    mean, variance = left_out_mean(outputs, np.array([[True, False]]))
    np.testing.assert_array_equal(mean, outputs[:, 0])
    np.testing.assert_array_equal(variance, 0)


@pytest.mark.parametrize("kind", ["matched", "conv", "both"])
def test_same_bits_alone_and_in_company(kind, scores, X):
    found = members(kind)
    whole = found.outputs(scores, X)
    assert whole.shape == (N, M, OUT)
    covariance = np.tile(0.1 * np.eye(K), (N, 1, 1))
    for rows in ([5], slice(10, 23)):
        np.testing.assert_array_equal(found.outputs(scores[rows], X[rows]), whole[rows])
        np.testing.assert_allclose(
            found.spread(scores[rows], covariance[rows], X[rows]),
            found.spread(scores, covariance, X)[rows],
            rtol=1e-10,
            atol=1e-12,
        )


def test_more_stars_than_a_pass_takes(rng):
    found, scores = members(), rng.standard_normal((2 * ROWS + 7, K))
    whole = found.outputs(scores)
    assert len(whole) == len(scores)
    np.testing.assert_array_equal(whole[-9:], found.outputs(scores[-9:]))
    spread = found.spread(scores, np.zeros((len(scores), K, K)))
    assert len(spread) == len(scores)


@pytest.mark.parametrize("kind", ["matched", "conv", "both"])
def test_spread_without_noise_is_that_between_members(kind, scores, X):
    found = members(kind)
    spread = found.spread(scores, np.zeros((N, K, K)), X)
    outputs = found.outputs(scores, X)
    for i in range(5):
        np.testing.assert_allclose(spread[i], np.cov(outputs[i].T.astype(float)))


def test_noise_of_scores_comes_through_by_the_slopes(scores, rng):
    found = members()
    small = 0.01
    noise = small**2 * np.tile(np.eye(K), (N, 1, 1))
    added = found.spread(scores, noise) - found.spread(scores, 0 * noise)
    shift = small * rng.standard_normal((20_000, K))
    moved = found.outputs(scores[0] + shift).mean(axis=1)
    expected = np.cov(moved.T)
    assert np.abs(added[0] - expected).max() < 0.05 * np.trace(expected)


def test_pickles_hold_nothing_of_torch(scores):
    found = members()
    before = found.outputs(scores)
    data = pickle.dumps(found)
    names = [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
    assert not [n for n in names if n.startswith(("torch", "skorch"))]
    np.testing.assert_array_equal(pickle.loads(data).outputs(scores), before)


def test_same_seed_same_first_weights():
    one, same, other = (arrays_of(Members(SIZES).new(seed)) for seed in (1, 1, 2))
    name = "ensemble.inner.weight"
    np.testing.assert_array_equal(one[name], same[name])
    assert (one[name] != other[name]).any()
