"""CNNTranslator: better than linear where the world is not, and never far behind."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, UnpairedWarning, predict_std, sample, support, translate
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.model_selection import StarKFold
from specxfer.neural import CNNTranslator, TrainingWarning
from specxfer.preprocessing import WindowCropper

N, P, Q, NOISE = 900, 60, 40, 0.02
QUICK = {"n_components": 6, "max_epochs": 15, "width": 32, "device": "cpu"}


def world(rng, n=N, kind="saturated", masked=0.0):
    """Source, target and the target's truth; two parameters rule both."""
    u = rng.standard_normal((n, 2))
    pixel = np.arange(P)
    shape = 0.05 * np.sin(np.outer([1, 3], pixel) / 5)
    lines = np.exp(-0.5 * ((np.arange(Q) - np.array([[10], [28]])) / 2) ** 2)
    strength = {
        "saturated": np.tanh(np.exp(0.9 * u)),
        "linear": 0.5 + 0.1 * u,
        "null": np.tanh(np.exp(0.7 * rng.standard_normal((n, 2)))),
    }[kind]
    truth = 1 - strength @ (0.4 * lines)
    x = 0.9 + u @ shape + 0.005 * rng.standard_normal((n, P))
    y = truth + NOISE * rng.standard_normal(truth.shape)
    for flux in (x, y):
        flux[rng.random(flux.shape) < masked] = np.nan
    sides = (x, 0.005, 15000.0, "vacuum"), (y, NOISE, 5000.0, "air")
    X, Y = (
        Spectra(
            flux.astype("f4"),
            np.full(flux.shape, noise**-2.0, "f4"),
            wave=start + np.arange(flux.shape[1]),
            medium=medium,
            ids=np.arange(n).astype(str),
        )
        for flux, noise, start, medium in sides
    )
    return X, Y, truth


def error(model, X, truth):
    """Rms against the truth."""
    return np.sqrt(np.mean((model.predict(X) - truth) ** 2))


@pytest.fixture(scope="module")
def fitted():
    X, Y, truth = world(np.random.default_rng(1), masked=0.05)
    model = CNNTranslator(10, max_epochs=80, device="cpu").fit(X[:600], Y[:600])
    return model, X[600:], Y[600:], truth[600:]


def test_better_than_linear_where_lines_saturate(fitted):
    model, X, _, truth = fitted
    assert error(model, X, truth) < 0.75 * error(model.base_, X, truth)
    assert model.share_.max() > 0.5
    assert model.history_["valid_loss"][model.best_epoch_ - 1] < 0.2
    # the error by the history is that of single members, against noisy spectra
    history = model.history_["valid_error"][model.best_epoch_ - 1]
    assert 0.7 * error(model, X, truth) < history < 2 * error(model, X, truth)


def test_errors_are_those_of_the_noise_free_flux(fitted):
    model, X, _, truth = fitted
    flux, std = model.predict(X, return_std=True)
    z = (flux - truth) / std
    # too large rather than too small: they are those of networks and filters that have
    # seen four fifths of the stars
    assert 0.5 < z[:, 8:13].std() < 1.25
    assert 0.5 < z.std() < 1.2
    # far nearer than the base, which takes curvature for noise
    of_base, std_of_base = model.base_.predict(X, return_std=True)
    assert ((of_base - truth) / std_of_base).std() < 0.7 * z.std()
    draws = model.sample(X[:5], 300, random_state=0)
    np.testing.assert_allclose(draws.std(axis=0), std[:5], rtol=0.3)


@pytest.mark.parametrize("n", [100, 500])
def test_linear_worlds_are_left_to_the_base(rng, n):
    X, Y, truth = world(rng, kind="linear")
    base = PCARidge(n_components=3)
    model = CNNTranslator(**QUICK, base=base).fit(X[:n], Y[:n])
    expected = error(base.fit(X[:n], Y[:n]), X[500:], truth[500:])
    assert error(model, X[500:], truth[500:]) < 1.1 * expected


def test_what_lies_under_a_mask_does_not_matter(rng):
    X, Y, _ = world(rng, 300)
    masks = [rng.random(spectra.shape) < 0.1 for spectra in (X, Y)]
    found = []
    for junk in (0.0, np.nan):
        sides = [
            spectra.replace(
                flux=np.where(mask, np.float32(junk), spectra.flux),
                ivar=np.where(mask, np.float32(0), spectra.ivar),
            )
            for spectra, mask in zip((X, Y), masks)
        ]
        model = CNNTranslator(**QUICK).fit(*sides)
        found.append(model.predict(sides[0]))
    assert (found[0] == found[1]).all()


def test_nothing_is_found_where_nothing_is(rng):
    X, Y, truth = world(rng, kind="null")
    model = CNNTranslator(**QUICK).fit(X[:500], Y[:500])
    mean = np.sqrt(np.mean((truth[500:] - model.y_mean_) ** 2))
    assert error(model, X[500:], truth[500:]) < 1.03 * mean
    _, std = model.predict(X[500:], return_std=True)
    z = (model.predict(X[500:]) - truth[500:]) / std
    lines = np.abs(truth.mean(axis=0) - 1) > 0.02
    assert 0.8 < z[:, lines].std() < 1.25
    assert 0.3 < z[:, ~lines].std() < 1.25  # nothing scatters there; a little is stated


def test_a_star_does_not_depend_on_its_company(fitted):
    model, X, _, _ = fitted
    flux, std = model.predict(X, return_std=True)
    alone = [model.predict(X[[i]], return_std=True) for i in (0, 5, 299)]
    for i, (one, error_of_one) in zip((0, 5, 299), alone):
        assert (one[0] == flux[i]).all()
        np.testing.assert_allclose(error_of_one[0], std[i], rtol=1e-5)
    assert flux.dtype == np.float32


def test_same_seed_same_bits_and_no_global_state(rng):
    X, Y, _ = world(rng, 200)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second = (CNNTranslator(**QUICK).fit(X, Y).predict(X) for _ in range(2))
    assert (first == second).all()
    other = CNNTranslator(**QUICK, random_state=1).fit(X, Y).predict(X)
    assert (first != other).any()
    assert (torch.get_rng_state() == state).all()
    assert torch.get_num_threads() == threads


def test_pickles_hold_arrays_alone(fitted):
    model, X, _, _ = fitted
    before = model.predict(X)
    data = pickle.dumps(model)
    assert b"torch" not in data
    assert b"skorch" not in data
    assert len(data) < 2e6
    assert (pickle.loads(data).predict(X) == before).all()


def test_in_compositions(rng):
    X, Y, _ = world(rng, 240)
    model = CNNTranslator(**QUICK)
    window = TargetWindow(model, windows=[(5005.0, 5016.0)]).fit(X, Y)
    flux, std = predict_std(window, X[:3])
    inside = (Y.wave >= 5005) & (Y.wave <= 5016)
    assert (np.isfinite(flux) == inside).all()
    assert (std[:, inside] > 0).all()
    pipeline = make_pipeline(WindowCropper([(15000.0, 15040.0)]), clone(model))
    found = translate(pipeline.fit(X, Y), X[:3])
    assert found.shape == (3, Q)
    assert sample(pipeline, X[:3], 2, random_state=0).shape == (2, 3, Q)
    assert (support(pipeline, X) <= 1).mean() > 0.9
    search = GridSearchCV(model, {"n_components": [2, 6]}, cv=StarKFold(2)).fit(X, Y)
    assert search.best_params_["n_components"] in (2, 6)
    assert cross_val_score(model, X, Y, cv=StarKFold(2)).min() > 0.5


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "conv", "max_epochs": 2},
        {"encoder": "both", "max_epochs": 2, "velocity": 1.0},
        {"base": None},
        {"base": PCARidge(n_components=3)},
        {"lines": None},
        {"lines": [(5008.0, 5012.0)]},
        {"n_members": 2},
        {"n_members": 7},
        {"noise": 1.0, "masked": 0.1, "velocity": 0.5},
        {"number_format": "auto"},
        {"patience": None, "n_factors": 0, "n_leading": 40},
    ],
    ids=str,
)
def test_settings(rng, settings):
    X, Y, truth = world(rng, 200)
    model = CNNTranslator(**QUICK | settings).fit(X, Y)
    assert error(model, X, truth) < 0.08  # that of the mean spectrum is 0.1
    assert model.predict(X[:2], return_std=True)[1].shape == (2, Q)
    n_coefficients = len(model.share_)
    assert len(model.coef_) == n_coefficients
    if settings.get("lines"):
        assert n_coefficients > QUICK["n_components"]
    assert error(pickle.loads(pickle.dumps(model)), X, truth) == error(model, X, truth)


def test_what_is_missing_is_said(rng):
    X, Y, _ = world(rng, 40)
    with pytest.raises(ValueError, match="give X as Spectra with ivar"):
        CNNTranslator(**QUICK, noise=1.0).fit(np.asarray(X), Y)
    with pytest.raises(ValueError, match="give X as Spectra, or velocity=0"):
        CNNTranslator(**QUICK, velocity=1.0).fit(np.asarray(X), np.asarray(Y))
    with pytest.raises(ValueError, match="minimum of 4 stars"):
        CNNTranslator(**QUICK).fit(X[:3], Y[:3])


def test_unpaired_stars_are_left_out(rng):
    X, Y, _ = world(rng, 200)
    flux = Y.flux.copy()
    flux[150:] = np.nan
    # stars without a target still help to find the base's components, silently
    source = X.flux.copy()
    source[:10] = np.nan
    X, Y = X.replace(flux=source), Y.replace(flux=flux)
    with pytest.warns(UnpairedWarning, match="10 of 200"):
        model = CNNTranslator(**QUICK).fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


def test_resolving_power_is_data(rng):
    X, Y, _ = world(rng, 200)
    power = rng.uniform(1200, 1500, len(Y))
    model = CNNTranslator(**QUICK).fit(X, Y.replace(resolution=power))
    sharp, blunt = (model.predict(X, resolution=r).min(axis=1) for r in (1500, 1100))
    assert (sharp < blunt).mean() > 0.95


def test_lines_of_a_target_whose_noise_is_not_known(rng):
    X, Y, truth = world(rng, 300)
    model = CNNTranslator(**QUICK, lines=[(5008.0, 5012.0)])
    model.fit(X, Y.replace(ivar=None))
    assert len(model.coef_) > QUICK["n_components"]
    assert error(model, X, truth) < 0.06
    assert not model.noise_known_


def test_lines_outside_the_target_are_no_lines_of_it(rng):
    X, Y, _ = world(rng, 120)
    model = CNNTranslator(**QUICK, lines=[(7000.0, 7001.0)]).fit(X, Y)
    assert len(model.share_) == QUICK["n_components"]


def test_memory_maps_are_read_only(rng, tmp_path):
    X, Y, _ = world(rng, 120)
    maps = []
    for name, spectra in (("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", spectra.flux)
        flux = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        maps.append(spectra.replace(flux=flux))
    expected = CNNTranslator(**QUICK).fit(X, Y).predict(X)
    np.testing.assert_allclose(
        CNNTranslator(**QUICK).fit(*maps).predict(X), expected, atol=1e-5
    )


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from specxfer.neural import CNNTranslator
from specxfer.neural import _member_training
from test_cnn_translator import QUICK, world

X, Y, _ = world(np.random.default_rng(3), 200)
monitor = _member_training.MemberTraining._monitor


def deadly(self, *how):
    found, calls = monitor(self, *how), []

    def line_error(module):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return found(module)

    return line_error


_member_training.MemberTraining._monitor = deadly
CNNTranslator(**QUICK, checkpoint_dir=sys.argv[2]).fit(X, Y)
"""


def test_killed_and_resumed_to_the_same_bits(tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(here), str(tmp_path / "kept")]
    path = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path})
    assert died.returncode == -signal.SIGKILL
    assert list((tmp_path / "kept").glob("epoch-*.ckpt"))
    X, Y, _ = world(np.random.default_rng(3), 200)
    resumed = CNNTranslator(**QUICK, checkpoint_dir=tmp_path / "kept").fit(X, Y)
    unbroken = CNNTranslator(**QUICK).fit(X, Y)
    assert (resumed.predict(X) == unbroken.predict(X)).all()
    history = {k: v for k, v in resumed.history_.items() if k != "seconds"}
    for name, values in history.items():
        np.testing.assert_array_equal(values, unbroken.history_[name])


def test_interrupted_training_keeps_the_best_so_far(rng, monkeypatch):
    from specxfer.neural._member_training import MemberTraining

    calls = []
    monitor = MemberTraining._monitor

    def impatient(self, *how):
        found = monitor(self, *how)

        def line_error(module):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return found(module)

        return line_error

    monkeypatch.setattr(MemberTraining, "_monitor", impatient)
    X, Y, _ = world(rng, 120)
    with pytest.warns(TrainingWarning, match="interrupted after 3"):
        model = CNNTranslator(**QUICK).fit(X, Y)
    assert model.stopped_ == "interrupted"
    assert np.isfinite(model.predict(X)).all()


def test_lines_alone_learn_the_star_from_the_whole_target(fitted):
    _, X, Y, _ = fitted
    one = slice(8, 13)
    alone = CNNTranslator(**QUICK).fit(X, Y[:, one])
    context = CNNTranslator(**QUICK).fit(X, Y[:, one], context=Y)
    assert not np.array_equal(alone.predict(X), context.predict(X))
    # which is what TargetWindow hands over, through a pipeline as well
    for inner in (CNNTranslator(**QUICK), make_pipeline(CNNTranslator(**QUICK))):
        window = TargetWindow(inner, pixels=one).fit(X, Y)
        np.testing.assert_array_equal(window.predict(X)[:, one], context.predict(X))


def test_context_of_unpaired_stars_is_left_out_with_them(rng):
    X, Y, _ = world(rng, 200)
    lacking = np.arange(200) % 5 == 0
    flux = np.where(lacking[:, None], np.float32(np.nan), Y.flux)
    given = Y.replace(flux=flux)
    some = CNNTranslator(**QUICK, base=None).fit(X, given[:, 8:13], context=given)
    same = CNNTranslator(**QUICK, base=None)
    same.fit(X[~lacking], Y[~lacking, 8:13], context=Y[~lacking])
    np.testing.assert_array_equal(some.predict(X), same.predict(X))


def test_context_of_other_stars():
    X, Y, _ = world(np.random.default_rng(0), 50)
    with pytest.raises(ValueError, match="same stars"):
        CNNTranslator().fit(X, Y[:, 8:13], context=Y[:40])
