"""AlignmentTranslator: one point for two spectra, and nothing lost on the way."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, UnpairedWarning, predict_std, sample, support, translate
from specxfer.compose import TargetWindow
from specxfer.networks import InfoNCE
from specxfer.neural import AlignmentTranslator, CNNTranslator
from specxfer.neural._weights import arrays_of

P, Q, NOISE = 60, 40, 0.01
CENTERS = np.array([4, 12, 20, 28, 36])  # of the target's lines
QUICK = {
    "n_embedding": 8,
    "n_components": 6,
    "n_members": 3,
    "max_epochs": 10,
    "width": 32,
    "space_epochs": 5,
    "space_width": 16,
    "device": "cpu",
}
THOROUGH = {"n_components": 10, "max_epochs": 30, "device": "cpu"}
N = 400  # stars that the thorough model is fitted to


def world(rng, n=900, masked=0.0, u=None):
    """Source, target and the target's truth; five parameters u rule both."""
    u = rng.standard_normal((n, len(CENTERS))) if u is None else u
    n = len(u)
    shape = 0.05 * np.sin(np.outer([1, 2, 3, 4, 5], np.arange(P)) / 5)
    lines = np.exp(-0.5 * ((np.arange(Q) - CENTERS[:, None]) / 2) ** 2)
    truth = 1 - np.tanh(np.exp(0.7 * u)) @ (0.4 * lines)
    x = 0.9 + u @ shape + 0.01 * rng.standard_normal((n, P))
    y = truth + NOISE * rng.standard_normal(truth.shape)
    for flux in (x, y):
        flux[rng.random(flux.shape) < masked] = np.nan
    X, Y = (
        Spectra(
            flux.astype("f4"),
            np.full(flux.shape, NOISE**-2.0, "f4"),
            wave=start + np.arange(flux.shape[1]),
            medium=medium,
            ids=np.arange(n).astype(str),
        )
        for flux, start, medium in ((x, 15000.0, "vacuum"), (y, 5000.0, "air"))
    )
    return X, Y, truth


def error(model, X, truth):
    """Rms against the truth."""
    return np.sqrt(np.mean((model.predict(X) - truth) ** 2))


@pytest.fixture(scope="module")
def fitted():
    X, Y, truth = world(np.random.default_rng(1), 600, masked=0.05)
    return AlignmentTranslator(16, **THOROUGH).fit(X[:N], Y[:N]), X, Y, truth


@pytest.fixture(scope="module")
def quick():
    X, Y, truth = world(np.random.default_rng(3), 200)
    return AlignmentTranslator(**QUICK).fit(X, Y), X, Y, truth


def in_five(model, X, Y):
    """How often a star's partner is among the five nearest."""
    _, indices = model.kneighbors(X, Y, 5)
    return (indices == np.arange(len(X))[:, None]).any(axis=1).mean()


def test_user_code(fitted, tmp_path):
    """What an astronomer writes."""
    model, X, Y, truth = fitted
    stars, library = X[N:], Y[N:]
    flux = model.predict(stars)
    np.save(tmp_path / "library.npy", model.embed_target(library))
    distances, indices = model.kneighbors(stars, tmp_path / "library.npy", 5)
    assert flux.shape == (600 - N, Q)
    assert distances.shape == indices.shape == (600 - N, 5)
    np.testing.assert_array_equal(indices, model.kneighbors(stars, library, 5)[1])
    mean = model.predict(
        stars, how="retrieve", library=library, embeddings=tmp_path / "library.npy"
    )
    assert np.sqrt(np.nanmean((mean - truth[N:]) ** 2)) < 0.02
    # what rules the lines, learnt from the embedding
    depth = truth[:, CENTERS]
    labels = make_pipeline(FrozenEstimator(model), Ridge(1e-3))
    labels.fit(X[:N], depth[:N])
    assert labels.score(stars, depth[N:]) > 0.9


def test_nothing_is_lost_on_the_way_through_the_space(fitted):
    model, X, Y, truth = fitted
    direct = CNNTranslator(**THOROUGH)
    direct.fit(X[:N], Y[:N])
    expected = error(direct, X[N:], truth[N:])
    assert error(model, X[N:], truth[N:]) < 1.05 * expected
    flux, std = model.predict(X[N:], return_std=True)
    z = (flux - truth[N:]) / std
    assert 0.65 < z[:, 8:13].std() < 1.25


def test_partners_are_near(fitted):
    model, X, Y, _ = fitted
    e, t = model.embed(X[N:]), model.embed_target(Y[N:])
    for points in (e, t):
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)
    partners = np.linalg.norm(e - t, axis=1)
    others = np.linalg.norm(e - np.roll(t, 1, axis=0), axis=1)
    assert np.median(partners) < 0.3 * np.median(others)
    assert in_five(model, X[N:], Y[N:]) > 0.9
    gap = np.linalg.norm(e.mean(axis=0) - t.mean(axis=0))
    assert gap < 0.2 * np.sqrt(e.var(axis=0).sum())


def test_identical_spectra_are_at_the_same_point(fitted):
    model, X, _, _ = fitted
    twice = X[np.array([3, 550, 3])]
    points = model.embed(twice)
    assert (points[0] == points[2]).all()
    assert (points[0] != points[1]).any()
    assert (model.embed(X)[550] == points[1]).all()  # whatever its company


def test_twins_are_nearer_than_pairs_of_the_same_labels(fitted, rng):
    """Second visits to a star, and to one that differs in a single element."""
    model, *_ = fitted
    u = rng.standard_normal((400, len(CENTERS)))
    unlike = u.copy()
    unlike[:, 4] += 0.5 * rng.choice([-1, 1], len(u))
    first, twin, other = (
        {"source": model.embed(X), "target": model.embed_target(Y)}
        for X, Y, _ in (world(rng, u=of) for of in (u, u, unlike))
    )
    for a in ("source", "target"):
        for b in ("source", "target"):
            own, pair = (np.linalg.norm(first[a] - e[b], axis=1) for e in (twin, other))
            assert (own < pair).mean() > 0.75  # by chance: half


def test_training_finds_partners_better_than_a_linear_world_would(fitted):
    """Saturated lines: the likeliest partner is not the one of normal errors."""
    trained, X, Y, _ = fitted
    linear = copy.copy(trained)
    untrained = arrays_of(trained._space.new(0))
    linear._space = replace(trained._space, state=untrained)
    loss = []
    for model in (trained, linear):
        e, t = model.embed(X[N:]), model.embed_target(Y[N:])
        product = e.astype(float) @ t.T.astype(float) / model.temperature_
        product -= product.max(axis=1, keepdims=True)
        share = np.diag(product) - np.log(np.exp(product).sum(axis=1))
        loss.append(-share.mean())
    assert loss[0] < loss[1] < np.log(len(X[N:]))


def test_retrieved_spectra_state_their_errors(fitted):
    model, X, Y, truth = fitted
    flux, std = model.predict(
        X[N:], return_std=True, how="retrieve", library=Y[:N], n_neighbors=10
    )
    z = (flux - truth[N:]) / std
    assert 0.7 < np.nanstd(z) < 1.4
    one, unknown = model.predict(
        X[N:], return_std=True, how="retrieve", library=Y[:N], n_neighbors=1
    )
    nearest = model.kneighbors(X[N:], Y[:N], 1)[1][:, 0]
    known = Y.weights()[nearest] > 0
    np.testing.assert_array_equal(one[known], Y.flux[nearest][known])
    assert np.isnan(one[~known]).all()
    assert np.isnan(unknown).all()


def test_means_weigh_neighbours_by_their_noise(quick, rng):
    model, X, Y, _ = quick
    ivar = Y.ivar.copy()
    noisy = rng.random(200) < 0.5
    ivar[noisy] *= 1e-6
    flux = Y.flux.copy()
    flux[noisy] += 0.5
    embeddings = model.embed_target(Y)
    library = Y.replace(flux=flux, ivar=ivar)
    retrieve = {"how": "retrieve", "embeddings": embeddings, "n_neighbors": 20}
    found = model.predict(X, library=library, **retrieve)
    assert np.median(np.abs(found - model.predict(X))) < 2 * NOISE


def test_unpaired_rows_are_used(rng):
    X, Y, truth = world(rng, 400, masked=0.02)
    flux_in, flux_out = X.flux.copy(), Y.flux.copy()
    flux_in[150:220] = np.nan
    flux_out[220:] = np.nan
    both = X.replace(flux=flux_in), Y.replace(flux=flux_out)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AlignmentTranslator(**QUICK).fit(*both)
    alone = AlignmentTranslator(**QUICK).fit(X[:150], Y[:150])
    assert (model.predict(X) != alone.predict(X)).any()
    assert error(model, X, truth) < 1.1 * error(alone, X, truth)
    # each side counts: with the other's rows away, the fit is another
    some = np.r_[:150, 220:400]
    less = AlignmentTranslator(**QUICK).fit(*(s[some] for s in both))
    assert (less.embed(X) != model.embed(X)).any()


def test_rows_without_either_side_are_dropped_and_counted(rng):
    X, Y, _ = world(rng, 40)
    flux_in, flux_out = X.flux.copy(), Y.flux.copy()
    flux_in[0], flux_out[0] = np.nan, np.nan
    flux_in[30:], flux_out[20:30] = np.nan, np.nan
    with pytest.warns(UnpairedWarning, match="1 of 40"):
        AlignmentTranslator(**QUICK).fit(
            X.replace(flux=flux_in), Y.replace(flux=flux_out)
        )


def test_private_latents_follow_the_embedding(rng):
    X, Y, _ = world(rng, 200)
    model = AlignmentTranslator(**QUICK | {"base": None}, n_private=3).fit(X, Y)
    assert model.transform(X).shape == (200, 11)
    np.testing.assert_array_equal(model.transform(X)[:, :8], model.embed(X))
    assert len(model.get_feature_names_out()) == 11
    assert model.embed_target(Y).shape == (200, 8)


@pytest.mark.parametrize(
    "settings",
    [
        {"contrastive": 0.0},
        {"cross": 0.0, "reconstruction": 0.0},
        {"space_epochs": 0},
        {"n_embedding": 2, "base": "pca_ridge"},
        {"n_embedding": 30},
        {"lines": None},
        {"lines": [(5008.0, 5012.0)]},
        {"space_batch": 50},
    ],
    ids=str,
)
def test_settings(quick, settings):
    _, X, Y, truth = quick
    model = AlignmentTranslator(**QUICK | {"base": None} | settings).fit(X, Y)
    assert error(model, X, truth) < 0.09  # that of the mean spectrum is 0.1
    assert in_five(model, X, Y) > 0.08  # by chance: 0.025
    assert model.temperature_ > 0


def test_same_seed_same_bits_and_small_pickles(quick):
    model, X, Y, _ = quick
    first = model.embed(X)
    assert (first == AlignmentTranslator(**QUICK).fit(X, Y).embed(X)).all()
    data = pickle.dumps(model)
    assert b"torch" not in data
    assert len(data) < 2e6
    again = pickle.loads(data)
    assert (again.embed(X) == first).all()
    assert (again.embed_target(Y) == model.embed_target(Y)).all()


def test_in_compositions(quick):
    model, X, Y, _ = quick
    window = TargetWindow(AlignmentTranslator(**QUICK), windows=[(5005.0, 5016.0)])
    window.fit(X, Y)
    flux, std = predict_std(window, X[:3])
    inside = (Y.wave >= 5005) & (Y.wave <= 5016)
    assert (np.isfinite(flux) == inside).all()
    assert (std[:, inside] > 0).all()
    assert translate(model, X[:3]).shape == (3, Q)
    assert sample(model, X[:3], 2, random_state=0).shape == (2, 3, Q)
    assert (support(model, X) <= 1).mean() > 0.9
    draws = model.sample(X[:4], 400, random_state=0)
    std = model.predict(X[:4], return_std=True)[1]
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.35)


def test_rows_of_one_star_are_no_rivals(rng, monkeypatch):
    """Stars given twice leave the space as sure as given once."""
    forward, told = InfoNCE.forward, []

    def watched(self, source, target, scale, weight=None, star=None):
        told.append(star.numpy())
        return forward(self, source, target, scale, weight, star)

    monkeypatch.setattr(InfoNCE, "forward", watched)
    X, Y, _ = world(rng, 100)
    rows = np.repeat(np.arange(100), 2)
    model = AlignmentTranslator(**QUICK | {"space_batch": 200}).fit(X[rows], Y[rows])
    assert model.space_history_["train_loss"][-1] < np.log(200)
    assert told
    for star in told:  # both rows of a star are on one side of the split
        assert (np.unique(star, return_counts=True)[1] == 2).all()


def test_what_does_not_go_together_is_said(quick):
    model, X, Y, _ = quick
    with pytest.raises(ValueError, match="give them as library="):
        model.predict(X, how="retrieve")
    with pytest.raises(ValueError, match="'decode' or 'retrieve'"):
        model.predict(X, how="guess")
    with pytest.raises(ValueError, match="expected 1 to 200"):
        model.kneighbors(X, Y, 201)
    with pytest.raises(ValueError, match="embeddings of 8 numbers"):
        model.kneighbors(X, np.ones((5, 9)))
    with pytest.raises(ValueError, match="not of unit length"):
        model.kneighbors(X, np.ones((50, 8)))
    with pytest.raises(ValueError, match="have 60 pixels, the fit had 40"):
        model.embed_target(X)
    with pytest.raises(ValueError, match="one of each"):
        model.predict(
            X, how="retrieve", library=Y[:5], embeddings=model.embed_target(Y)
        )
    with pytest.raises(ValueError, match="minimum of 4 stars"):
        AlignmentTranslator(**QUICK).fit(X[:3], Y[:3])
    assert X.shape[1] == P
    assert isinstance(X, Spectra)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from specxfer.neural import AlignmentTranslator, _checkpoint
from test_alignment_translator import QUICK, world

X, Y, _ = world(np.random.default_rng(3), 200)
write = _checkpoint.Checkpoints.write


def deadly(self, epoch, state):
    write(self, epoch, state)
    if self.folder.name == "space" and epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)


_checkpoint.Checkpoints.write = deadly
AlignmentTranslator(**QUICK, checkpoint_dir=sys.argv[2]).fit(X, Y)
"""


def test_killed_and_resumed_to_the_same_bits(quick, tmp_path):
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, str(here), str(tmp_path / "kept")]
    path = os.pathsep.join([str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    died = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path})
    assert died.returncode == -signal.SIGKILL
    unbroken, X, Y, _ = quick
    kept = AlignmentTranslator(**QUICK, checkpoint_dir=tmp_path / "kept").fit(X, Y)
    assert (kept.embed(X) == unbroken.embed(X)).all()
    assert (kept.predict(X) == unbroken.predict(X)).all()
