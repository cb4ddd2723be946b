"""PCARidgeCV: the scores are those of GridSearchCV, and so is what it tells."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from specxfer import Spectra, _rows, translate
from specxfer.linear import PCARidge, PCARidgeCV
from specxfer.metrics import chi2_scorer, line_ew_scorer, line_flux_scorer
from specxfer.model_selection import StarKFold

N, P, Q, K = 150, 50, 60, 6
X_WAVE = 15000 * np.exp(np.arange(P) * 1.4e-5)
Y_WAVE = 6490 + 0.1 * np.arange(Q)
LINES = [(6491.0, 6491.6), (6494.0, 6495.0)]
GRID = {"n_components": [2, 4], "alpha": ["auto", 1.0], "n_products": [0, 2]}
LINEAR = {**GRID, "n_products": [0]}
CONVERGED = {"max_iter": 100, "tol": 1e-7}
TOLERANCE = 3e-3  # gaps are filled in passes, which end when k components have settled


def spectra(
    rng, noise="general", gaps=0.05, n=N, repeats=0, resolution=False, level=0.02
):
    """Pairs of a curved world, with noise of a form and gaps."""
    world = np.random.default_rng(3)
    to_x, to_y = world.normal(0, 0.03, (K, P)), world.normal(0, 0.03, (K, Q))
    u = rng.standard_normal((n, K)) * np.linspace(2, 0.4, K)
    ids = np.arange(n)
    if repeats:
        ids[-repeats:], u[-repeats:] = ids[:repeats], u[:repeats]
    flux_y = 0.9 + u @ to_y + 0.5 * (u @ to_y) ** 2
    sides = []
    for flux, wave, medium in (
        (0.9 + u @ to_x, X_WAVE, "vacuum"),
        (flux_y, Y_WAVE, "air"),
    ):
        sigma = level * np.exp(rng.uniform(-1, 1, (n, 1)))
        sigma = sigma * np.exp(rng.uniform(-0.5, 0.5, flux.shape[1]))
        if noise == "general":
            sigma = sigma * np.exp(rng.uniform(-0.5, 0.5, flux.shape))
        flux = (flux + sigma * rng.standard_normal(flux.shape)).astype("f4")
        flux[rng.random(flux.shape) < gaps] = np.nan
        ivar = None if noise is None else (1 / sigma**2).astype("f4")
        power = rng.normal(25_000, 1500, n) if resolution and medium == "air" else None
        sides.append(
            Spectra(flux, ivar, wave=wave, medium=medium, ids=ids, resolution=power)
        )
    return sides


def both(X, y, grid=GRID, scoring=None, refit=False, **options):
    """The search by our own and by scikit-learn's means."""
    options = {**CONVERGED, **options}
    same = {"scoring": scoring, "refit": refit}
    ours = PCARidgeCV(**grid, cv=3, **same, **options).fit(X, y)
    plain = PCARidge(n_factors=0, **options)
    theirs = GridSearchCV(plain, grid, cv=StarKFold(3), **same).fit(X, y)
    return ours.cv_results_, theirs.cv_results_


def assert_same_scores(ours, theirs, rtol=TOLERANCE, of=1.0, name="score"):
    assert ours["params"] == theirs["params"]
    for split in range(3):
        key = f"split{split}_test_{name}"
        a, b = of - ours[key], of - theirs[key]
        np.testing.assert_allclose(a, b, rtol=rtol)


@pytest.mark.parametrize("noise", ["general", "star x pixel", None])
def test_scores_are_those_of_separate_fits(rng, noise):
    X, y = spectra(rng, noise, repeats=20)
    assert_same_scores(*both(X, y), rtol=5e-3)


@pytest.mark.parametrize("source_noise", ["star x pixel", None])
def test_scores_on_complete_targets_are_those_of_separate_fits(rng, source_noise):
    X, y = spectra(rng, source_noise, gaps=0)
    y = y.replace(ivar=None)
    assert_same_scores(*both(X, y), rtol=1e-3)
    assert_same_scores(*both(X, y, LINEAR), rtol=1e-3)


def test_weights_allow_for_one_first_guess_of_the_scatter(rng):
    X, y = spectra(rng)
    grid = {"n_components": [4], "alpha": [0.1, 1.0, 10.0], "n_products": [0]}
    ours, theirs = both(X, y, grid)
    one = [1]  # the median
    for split in range(3):
        a, b = (1 - r[f"split{split}_test_score"] for r in (ours, theirs))
        np.testing.assert_allclose(a[one], b[one], rtol=1e-4)
        np.testing.assert_allclose(a, b, rtol=0.01)


def test_with_the_usual_tolerance_of_components(rng):
    X, y = spectra(rng)
    usual = {"max_iter": 20, "tol": 1e-4}
    assert_same_scores(*both(X, y, LINEAR, **usual), rtol=0.02)


def test_many_pixels_too(rng):
    """The components of many pixels are sought by iteration."""
    basis = rng.normal(0, 0.02, (4, 700))
    u = rng.standard_normal((150, 4))
    X = 1 + u @ basis + rng.normal(0, 0.01, (150, 700))
    y = 1 + u @ basis[:, :50] + rng.normal(0, 0.01, (150, 50))
    grid = {"n_components": [1, 4, 12], "alpha": [1e-3, 1.0, 1e3], "n_products": [0]}
    assert_same_scores(*both(X, y, grid, tol=1e-6), rtol=3e-3)


@pytest.mark.parametrize(
    "scorer",
    [line_flux_scorer(LINES), line_ew_scorer(LINES), chi2_scorer()],
    ids=["flux", "ew", "chi2"],
)
def test_line_scorers_see_what_separate_fits_predict(rng, scorer):
    X, y = spectra(rng, gaps=0.01)
    assert_same_scores(*both(X, y, scoring=scorer), rtol=5e-3, of=0.0)


def test_at_resolving_powers(rng):
    X, y = spectra(rng, resolution=True)
    assert_same_scores(*both(X, y), rtol=5e-3)
    scorer = chi2_scorer()
    assert_same_scores(*both(X, y, scoring=scorer), rtol=5e-3, of=0.0)


def test_several_metrics_of_arrays(rng):
    X, y = spectra(rng, noise=None, gaps=0)
    metrics = ["r2", "neg_mean_absolute_error"]
    ours, theirs = both(X.flux, y.flux, scoring=metrics)
    assert_same_scores(ours, theirs, name="r2")
    assert_same_scores(ours, theirs, of=0, name="neg_mean_absolute_error")
    assert set(ours) == set(theirs)


def test_results_have_the_form_of_scikit_learn(rng):
    X, y = spectra(rng)
    ours, theirs = both(X, y)
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        if name.startswith(("param_", "rank_")):
            assert ours[name].dtype == values.dtype
            assert name.startswith("rank_") or (ours[name] == values).all()
        elif isinstance(values, np.ndarray):
            assert ours[name].shape == values.shape


def test_agrees_with_a_pipeline_of_scikit_learn_on_complete_data(rng):
    X, y = spectra(rng, noise=None, gaps=0, level=0.002)
    k, alpha = [2, 4, 6, 9], [0.01, 1.0, 100.0]
    cv = StarKFold(5)
    ours = PCARidgeCV(k, alpha, n_products=0, cv=cv, refit=False).fit(X.flux, y.flux)
    pipeline = Pipeline([("pca", PCA(whiten=True)), ("ridge", Ridge())])
    theirs = GridSearchCV(
        pipeline,
        {"ridge__alpha": alpha, "pca__n_components": k},
        cv=cv,
        scoring=lambda model, X, y: (
            1
            - ((y - model.predict(X)) ** 2).sum()
            / ((y - model[-1].intercept_) ** 2).sum()
        ),
    ).fit(X.flux, y.flux)
    mean = ours.cv_results_["mean_test_score"].reshape(3, 4)
    expected = np.asarray(theirs.cv_results_["mean_test_score"]).reshape(4, 3).T
    # scores weigh pixels by what components leave of them, projections do not
    np.testing.assert_allclose(1 - mean, 1 - expected, rtol=0.02)
    assert ours.best_params_["alpha"] == theirs.best_params_["ridge__alpha"]
    assert ours.best_params_["n_components"] == theirs.best_params_["pca__n_components"]


def test_best_is_a_plain_fit_with_everything(rng):
    X, y = spectra(rng)
    model = PCARidgeCV(**GRID, cv=3).fit(X, y)
    plain = PCARidge(**model.best_params_).fit(X, y)
    for ours, theirs in zip(
        model.predict(X, return_std=True), plain.predict(X, return_std=True)
    ):
        assert np.array_equal(ours, theirs)
    assert translate(model, X[:3]).shape == (3, Q)
    assert np.array_equal(model.support(X), plain.support(X))
    assert np.array_equal(model.sample(X[:2], 2, 0), plain.sample(X[:2], 2, 0))
    results = model.cv_results_
    assert model.best_score_ == results["mean_test_score"].max()
    assert model.best_params_ == results["params"][model.best_index_]
    assert model.n_splits_ == 3


def test_stars_without_a_target_help_as_in_separate_fits(rng):
    X, y = spectra(rng)
    flux = y.flux.copy()
    flux[:50] = np.nan
    y = y.replace(flux=flux)
    assert_same_scores(*both(X, y, LINEAR))


def test_a_source_of_its_own_shows_its_components_to_all_folds(rng):
    X, y = spectra(rng)
    more, _ = spectra(np.random.default_rng(9), n=300)
    grid = {"n_components": [2, 5], "alpha": [1.0], "n_products": [2]}
    model = PCARidgeCV(**grid, cv=3, refit=False, **CONVERGED)
    model.fit(X, y, source=more)
    for split, (train, test) in enumerate(StarKFold(3).split(X)):
        for i, k in enumerate([2, 5]):
            plain = PCARidge(k, 1.0, n_products=2, n_factors=0, **CONVERGED)
            score = plain.fit(X[train], y[train], source=more).score(X[test], y[test])
            ours = model.cv_results_[f"split{split}_test_score"][i]
            assert 1 - ours == pytest.approx(1 - score, rel=1e-3)


def test_rows_selected_by_index_give_the_same_bits(rng, monkeypatch):
    X, y = spectra(rng)
    copied = PCARidgeCV(**GRID, cv=3, refit=False).fit(X, y).cv_results_
    monkeypatch.setattr(_rows, "BLOCK_ELEMENTS", 10)
    assert _rows.by_index(X)[::2].is_lazy
    indexed = PCARidgeCV(**GRID, cv=3, refit=False).fit(X, y).cv_results_
    assert np.array_equal(copied["mean_test_score"], indexed["mean_test_score"])


def test_a_memory_map_gives_the_same(rng, tmp_path):
    X, y = spectra(rng, noise=None, gaps=0)
    np.save(tmp_path / "x.npy", X.flux)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    lazy = Spectra(stored, wave=X_WAVE, medium="vacuum", ids=X.ids)
    scores = [
        PCARidgeCV(**GRID, cv=3, refit=False).fit(rows, y).cv_results_
        for rows in (X, lazy)
    ]
    assert np.array_equal(*(s["mean_test_score"] for s in scores))


def test_groups_keep_stars_together(rng):
    X, y = spectra(rng, repeats=30)
    named = PCARidgeCV(**GRID, cv=3, refit=False).fit(X, y)
    bare = [s.replace(ids=None) for s in (X, y)]
    grouped = PCARidgeCV(**GRID, cv=3, refit=False).fit(*bare, groups=X.ids)
    a, b = (m.cv_results_["mean_test_score"] for m in (named, grouped))
    assert np.array_equal(a, b)


def test_more_components_than_there_are(rng):
    X, y = spectra(rng, None, gaps=0, n=40)
    grid = {"n_components": [3, 500], "alpha": [1.0], "n_products": [0, 600]}
    assert_same_scores(*both(X[:, :12], y[:, :12], grid))


def test_scalars_are_a_grid_of_one(rng):
    X, y = spectra(rng)
    model = PCARidgeCV(3, "auto", n_products=2, cv=3).fit(X, y)
    assert model.best_params_ == {"alpha": "auto", "n_components": 3, "n_products": 2}
    assert len(model.cv_results_["params"]) == 1


def test_refit_names_the_metric_or_chooses_itself(rng):
    X, y = spectra(rng, gaps=0.01)
    options = {"n_components": [2, 5], "alpha": [1.0, 1e4], "n_products": 0, "cv": 3}
    scoring = {"flux": line_flux_scorer(LINES), "chi2": chi2_scorer()}
    model = PCARidgeCV(**options, scoring=scoring, refit="chi2").fit(X, y)
    mean = model.cv_results_["mean_test_chi2"]
    assert model.best_index_ == mean.argmax()
    assert model.best_score_ == mean.max()
    last = PCARidgeCV(**options, scoring=scoring, refit=lambda results: 3).fit(X, y)
    assert last.best_estimator_.alpha == 1e4
    assert not hasattr(last, "best_score_")
    with pytest.raises(ValueError, match="expected the name of the one"):
        PCARidgeCV(**options, scoring=scoring).fit(X, y)


def test_points_of_the_grid_do_not_know_their_errors(rng):
    X, y = spectra(rng)

    def needs_errors(model, X, y):
        return -model.predict(X, return_std=True)[1].mean()

    with pytest.raises(NotImplementedError, match="GridSearchCV"):
        PCARidgeCV(2, 1.0, n_products=0, scoring=needs_errors).fit(X, y)


def test_scorers_may_slice_or_change_the_source(rng):
    X, y = spectra(rng)
    whole, sliced, changed = [], [], []

    def scorer(model, X, y):
        flux = model.predict(X)
        whole.append(flux[5:9])
        sliced.append(model.predict(X[5:9]))
        changed.append(model.predict(X[5:9].replace(ids=None)))
        return float(-np.nanmean(flux))

    PCARidgeCV(3, 1.0, n_products=2, cv=3, scoring=scorer, refit=False).fit(X, y)
    assert np.array_equal(whole, sliced)
    np.testing.assert_allclose(whole, changed, rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_components": [2, 0]}, "n_components holds 0"),
        ({"alpha": [1.0, "best"]}, "alpha holds 'best'"),
        ({"alpha": []}, "alpha is empty"),
        ({"n_products": (2.5,)}, "n_products holds 2.5"),
    ],
)
def test_a_grid_that_makes_no_sense(rng, params, message):
    X, y = spectra(rng)
    with pytest.raises(ValueError, match=message):
        PCARidgeCV(**params).fit(X, y)


def test_a_fold_without_stars_to_learn_from(rng):
    X, y = spectra(rng)
    flux = y.flux.copy()
    flux[10:] = np.nan
    split = [(np.arange(10, N), np.arange(10))]
    with pytest.raises(ValueError, match="training rows of a fold"):
        PCARidgeCV(2, 1.0, n_products=0, cv=split).fit(X, y.replace(flux=flux))


def test_without_refit_there_is_nothing_to_predict_with(rng):
    X, y = spectra(rng)
    model = PCARidgeCV(2, 1.0, n_products=0).fit(X, y)
    model.set_params(refit=False).fit(X, y)
    assert model.best_params_["n_components"] == 2
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_progress_is_shown_where_it_is_wanted(rng, capsys):
    X, y = spectra(rng)
    PCARidgeCV(2, [1.0, 2.0], n_products=0, cv=3, verbose=1).fit(X, y)
    assert "6/6" in capsys.readouterr().err
