"""CNNTranslator: what it gains, what it never loses, and the contract."""

import pickle
import pickletools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, UnpairedWarning
from specxfer.linear import PCARidge
from specxfer.neural import CNNTranslator

N, P, Q = 200, 60, 50
X_WAVE = 15000 * np.exp(np.arange(P) * 1.4e-5)
Y_WAVE = 6490 + 0.1 * np.arange(Q)


def pairs(rng, n=N, response=np.asarray, snr=100):
    """Pairs whose lines follow two parameters, and the noise-free target."""
    world = np.random.default_rng(5)
    u = rng.standard_normal((n, 2))
    to_x, to_y = world.normal(0, 0.02, (2, P)), world.normal(0, 1, (2, Q))
    truth = 0.8 + 0.05 * response(u @ to_y)
    x = 0.9 + u @ to_x + rng.standard_normal((n, P)) / 300
    y = truth + rng.standard_normal((n, Q)) / snr
    ids = np.arange(n)
    X = Spectra(x.astype("f4"), np.full((n, P), 300.0**2, "f4"), wave=X_WAVE,
                medium="vacuum", ids=ids)  # fmt: skip
    y = Spectra(y.astype("f4"), np.full((n, Q), snr**2, "f4"), wave=Y_WAVE,
                medium="air", ids=ids)  # fmt: skip
    return X, y, truth


def small(**changes):
    settings = {"max_epochs": 3, "n_members": 2, "width": 8, "n_factors": 2}
    settings |= {"device": "cpu", "lines": None, "base": PCARidge(n_components=3)}
    return CNNTranslator(4, **(settings | changes))


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = pairs(np.random.default_rng(1))
    return X, y, small().fit(X, y)


def test_same_bits_alone_and_in_company(fitted):
    X, _, model = fitted
    flux, std = model.predict(X, return_std=True)
    assert flux.dtype == std.dtype == np.float32
    for rows in ([7], slice(100, 150)):
        alone, alone_std = model.predict(X[rows], return_std=True)
        np.testing.assert_array_equal(alone, flux[rows])
        np.testing.assert_array_equal(alone_std, std[rows])


def test_random_state_decides_all_and_nothing_else_moves(fitted):
    X, y, model = fitted
    before = torch.random.get_rng_state(), torch.get_num_threads()
    again, other = small().fit(X, y), small(random_state=1).fit(X, y)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert (other.predict(X) != model.predict(X)).any()


def test_pickles_hold_nothing_of_torch(fitted):
    X, _, model = fitted
    data = pickle.dumps(model)
    names = [arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)]
    assert not [n for n in names if n.startswith(("torch", "skorch"))]
    assert len(data) < 300_000
    np.testing.assert_array_equal(pickle.loads(data).predict(X), model.predict(X))


def test_history(fitted):
    *_, model = fitted
    assert {"valid_loss", "valid_error"} <= set(model.history_)
    assert len(model.history_["valid_loss"]) == 3
    assert 1 <= model.best_epoch_ <= 3


def test_fewer_than_four_stars():
    X, y, _ = pairs(np.random.default_rng(1), 3)
    with pytest.raises(ValueError, match="3 stars have both sides"):
        small().fit(X, y)


def test_what_lies_under_a_mask_does_not_matter(rng):
    X, y, _ = pairs(rng)
    x_mask, y_mask = rng.random(X.shape) < 0.1, rng.random(y.shape) < 0.1

    def masked(spectra, mask, junk):
        flux = np.where(mask, np.float32(junk), spectra.flux)
        return spectra.replace(flux=flux, ivar=np.where(mask, 0, spectra.ivar))

    found = [
        small()
        .fit(masked(X, x_mask, junk), masked(y, y_mask, junk))
        .predict(masked(X, x_mask, junk))
        for junk in (0.0, np.nan)
    ]
    np.testing.assert_array_equal(*found)


def test_stars_without_a_source_are_left_out(fitted):
    X, y, _ = fitted
    flux = X.flux.copy()
    flux[:5] = np.nan
    with pytest.warns(UnpairedWarning, match="5 of 200"):
        model = small().fit(X.replace(flux=flux), y)
    expected = small().fit(X[5:], y[5:]).predict(X)
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_world_without_any_relation_stays_at_the_mean(rng):
    X, _, _ = pairs(rng)
    _, y, truth = pairs(rng)
    X_new, _, _ = pairs(rng)
    y = y.replace(ids=X.ids)
    model = small(max_epochs=10).fit(X, y)
    flux = model.predict(X_new)
    assert rms(flux - truth.mean(axis=0)) < 0.25 * rms(truth - truth.mean(axis=0))


def test_a_linear_world_loses_nothing(rng):
    X, y, _ = pairs(rng)
    X_new, _, truth = pairs(rng)
    base = PCARidge(n_components=3).fit(X, y).predict(X_new)
    found = small(max_epochs=10).fit(X, y).predict(X_new)
    assert rms(found - truth) < 1.05 * rms(base - truth)


def test_lines_that_saturate_are_followed(rng):
    def response(u):
        return np.tanh(3 * u)

    X, y, _ = pairs(rng, 400, response)
    X_new, _, truth = pairs(rng, 400, response)
    base = PCARidge().fit(X, y).predict(X_new)
    model = CNNTranslator(
        12, max_epochs=40, n_members=3, width=32, lines=None, device="cpu",
        batch_size=32,
    ).fit(X, y)  # fmt: skip
    flux, std = model.predict(X_new, return_std=True)
    assert rms(flux - truth) < rms(base - truth)
    assert 0.8 < rms((flux - truth) / std) < 1.25


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder": "conv"},
        {"encoder": "both"},
        {"base": None},
        {"lines": [(6491.0, 6492.0)]},
        {"velocity": 0.3, "noise": 0.5, "masked": 0.1},
        {"encoder": "both", "velocity": 0.3, "noise": 0.5, "masked": 0.1},
    ],
    ids=str,
)
def test_every_way_of_looking(fitted, changes):
    X, y, plain = fitted
    model = small(max_epochs=1, **changes).fit(X, y)
    flux, std = model.predict(X[:20], return_std=True)
    assert np.isfinite(flux).all()
    assert (std > 0).all()
    assert (flux != plain.predict(X[:20])).any()
    assert model.support(X[:20]).shape == (20,)


def test_perturbations_need_what_they_perturb(fitted):
    X, y, _ = fitted
    with pytest.raises(ValueError, match="without its ivar"):
        small(noise=0.5).fit(X.replace(ivar=None), y)
    with pytest.raises(ValueError, match="needs wavelengths"):
        small(velocity=0.5).fit(X.flux, y.flux)


def test_in_a_pipeline_and_cloned(fitted):
    X, y, model = fitted
    pipeline = make_pipeline(clone(model)).fit(X, y)
    np.testing.assert_array_equal(pipeline.predict(X), model.predict(X))
