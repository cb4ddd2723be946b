"""PCARidge: what it learns, what noise and masks do to it, and its errors."""

import pickle

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, UnpairedWarning
from specxfer.linear import PCARidge
from specxfer.linear._products import spread_of, with_products

N, P, Q, K = 400, 120, 90, 4
X_WAVE = 15000 * np.exp(np.arange(P) * 1.4e-5)
Y_WAVE = 6490 + 0.1 * np.arange(Q)


def linear_pairs(rng, n=N, snr_x=200, snr_y=50, scatter=0.0):
    """Pairs whose lines follow K hidden parameters, and the noise-free target."""
    world = np.random.default_rng(5)  # the same spectral lines for every draw of stars
    to_x, to_y = world.normal(0, 0.02, (K, P)), world.normal(0, 0.02, (K, Q))
    own = world.normal(0, 1, (1, Q))
    u = rng.standard_normal((n, K))
    truth = 0.9 + u @ to_y + scatter * rng.standard_normal((n, 1)) * own
    x = 0.9 + u @ to_x
    noisy_x = x + rng.standard_normal(x.shape) / snr_x
    noisy_y = truth + rng.standard_normal(truth.shape) / snr_y
    ids = np.arange(n)
    X = Spectra(
        noisy_x.astype("f4"),
        np.full((n, P), snr_x**2, "f4"),
        wave=X_WAVE,
        medium="vacuum",
        ids=ids,
    )
    y = Spectra(
        noisy_y.astype("f4"),
        np.full((n, Q), snr_y**2, "f4"),
        wave=Y_WAVE,
        medium="air",
        ids=ids,
    )
    return X, y, truth


def rms(a):
    return float(np.sqrt(np.mean(np.square(a))))


def test_recovers_a_linear_world(rng):
    X, y, _ = linear_pairs(rng)
    X_new, _, truth = linear_pairs(rng)
    model = PCARidge(n_components=K, alpha=1, n_products=0).fit(X, y)
    error = rms(model.predict(X_new) - truth)
    # noise of 1/50 averaged over N stars for K + 1 coefficients, and of the source
    assert error < 1.3 * np.hypot(0.02 * np.sqrt((K + 1) / N), 0.005 * K / P**0.5)


def test_agrees_with_scikit_learn_on_complete_data(rng):
    X, y, _ = linear_pairs(rng, snr_x=1e4, snr_y=1e4)
    ours = PCARidge(n_components=K, alpha=1e-3, n_products=0)
    ours = ours.fit(X.flux, y.flux).predict(X.flux)
    theirs = make_pipeline(PCA(K, whiten=True), Ridge(1e-3)).fit(X.flux, y.flux)
    assert rms(ours - theirs.predict(X.flux)) < 1e-5


def test_products_follow_a_line_that_saturates(rng):
    X, y, truth = linear_pairs(rng, n=2000)
    curved = truth + 4 * (truth - 0.9) ** 2
    observed = y.replace(flux=(curved + y.flux - truth).astype("f4"))
    line = PCARidge(n_components=K, n_products=0).fit(X, observed).predict(X)
    curve = PCARidge(n_components=K, n_products=K).fit(X, observed).predict(X)
    assert rms(curve - curved) < 0.6 * rms(line - curved)


def test_products_of_posterior_scores_have_the_moments_of_draws(rng):
    root = 0.2 * rng.normal(size=(3, 3))
    mean, cov = rng.normal(size=3), root @ root.T
    draws = rng.multivariate_normal(mean, cov, 400_000)
    a, b = np.triu_indices(2)
    axes = np.linalg.qr(rng.normal(size=(3, 2)))[0]
    t = draws @ axes
    draws = np.column_stack([draws, t[:, a] * t[:, b] - (a == b)])
    features = with_products(mean[None], cov[None], axes)
    spread = spread_of(mean[None], cov[None], axes)
    np.testing.assert_allclose(features[0], draws.mean(0), atol=0.02)
    sd = np.sqrt(np.diag(spread[0]))
    np.testing.assert_allclose(
        spread[0] / sd / sd[:, None], np.cov(draws.T) / sd / sd[:, None], atol=0.01
    )


def test_what_lies_under_a_mask_does_not_matter(rng):
    X, y, _ = linear_pairs(rng)
    x_mask, y_mask = rng.random(X.shape) < 0.1, rng.random(y.shape) < 0.1

    def masked(spectra, mask, junk):
        flux = np.where(mask, np.float32(junk), spectra.flux)
        return spectra.replace(flux=flux, ivar=np.where(mask, 0, spectra.ivar))

    predictions = [
        PCARidge(n_components=K)
        .fit(masked(X, x_mask, junk), masked(y, y_mask, junk))
        .predict(masked(X, x_mask, junk))
        for junk in (0.0, 50.0, np.nan)
    ]
    np.testing.assert_array_equal(predictions[0], predictions[1])
    np.testing.assert_array_equal(predictions[0], predictions[2])


def test_a_fifth_of_pixels_masked_costs_little(rng):
    X, y, truth = linear_pairs(rng)
    whole = rms(PCARidge(n_components=K).fit(X, y).predict(X) - truth)
    gappy = X.replace(ivar=np.where(rng.random(X.shape) < 0.2, 0, X.ivar))
    error = rms(PCARidge(n_components=K).fit(gappy, y).predict(gappy) - truth)
    assert error < 1.2 * whole


def test_noisy_pixels_of_the_target_weigh_little(rng):
    X, y, truth = linear_pairs(rng, snr_y=100)
    bad = rng.random(y.shape) < 0.3
    flux = np.where(bad, y.flux + rng.normal(0, 1, y.shape), y.flux)
    told = y.replace(flux=flux, ivar=np.where(bad, 1 / (1 + 1e-4), y.ivar))
    untold = y.replace(flux=flux)
    clean = rms(PCARidge(n_components=K).fit(X, y).predict(X) - truth)
    assert rms(PCARidge(n_components=K).fit(X, told).predict(X) - truth) < 1.5 * clean
    assert rms(PCARidge(n_components=K).fit(X, untold).predict(X) - truth) > 5 * clean


@pytest.mark.parametrize("snr_x", [30, 300])
def test_std_covers_the_noise_free_flux(rng, snr_x):
    options = {"n": 1000, "snr_x": snr_x, "snr_y": 100, "scatter": 0.01}
    X, y, _ = linear_pairs(rng, **options)
    X_new, _, truth = linear_pairs(rng, **options)
    flux, std = PCARidge(n_components=K, alpha=1).fit(X, y).predict(X_new, True)
    z = np.abs(flux - truth) / std
    assert (z < 1).mean() == pytest.approx(0.683, abs=0.05)
    # over six seeds 0.944 and 0.921
    assert (z < 1.96).mean() == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize("snr_x", [30, 300])
def test_std_is_not_too_narrow_where_nothing_is_left_to_know(rng, snr_x):
    X, y, _ = linear_pairs(rng, snr_x=snr_x)
    X_new, _, truth = linear_pairs(rng, snr_x=snr_x)
    flux, std = PCARidge(n_components=K, alpha=1).fit(X, y).predict(X_new, True)
    assert ((np.abs(flux - truth) / std) < 1).mean() > 0.65
    assert np.median(std) < 2.5 * rms(flux - truth)


def test_a_noisier_star_is_predicted_with_more_error_and_less_contrast(rng):
    X, y, _ = linear_pairs(rng)
    model = PCARidge(n_components=K).fit(X, y)
    noisy = X.replace(ivar=X.ivar / 1e4)
    (flux, std), (shrunk, wide) = model.predict(X, True), model.predict(noisy, True)
    assert (wide > std).all()
    assert np.std(shrunk, axis=0).max() < np.std(flux, axis=0).max()


def test_a_star_without_any_pixel_gets_the_mean_and_says_so(rng):
    X, y, _ = linear_pairs(rng, scatter=0.01)
    model = PCARidge(n_components=K).fit(X, y)
    empty = X[:1].replace(flux=np.full((1, P), np.nan))
    flux, std = model.predict(empty, return_std=True)
    np.testing.assert_allclose(flux[0], model.intercept_, atol=1e-6)
    assert rms(std[0]) > 2 * rms(model.predict(X[:1], True)[1][0])


def test_pixels_without_information(rng):
    X, y, truth = linear_pairs(rng)
    x_flux, y_flux = X.flux.copy(), y.flux.copy()
    x_flux[:, 3] = np.nan  # a gap
    x_flux[:, 4] = 1.0  # a constant
    y_flux[:, 7] = np.nan
    y_flux[:, 8] = 1.0
    y_flux[1:, 9] = np.nan  # one star only: nothing to learn from
    y_flux[5:, 6] = np.nan  # five stars
    model = PCARidge(n_components=K).fit(X.replace(flux=x_flux), y.replace(flux=y_flux))
    flux, std = model.predict(X.replace(flux=x_flux), return_std=True)
    assert np.isnan(flux[:, [7, 9]]).all()
    assert np.isnan(std[:, [7, 9]]).all()
    np.testing.assert_allclose(flux[:, 8], 1, atol=1e-3)
    rest = np.delete(np.arange(Q), [7, 9])
    assert np.isfinite(flux[:, rest]).all()
    assert np.isfinite(std[:, rest]).all()
    assert rms(flux[:, 10:] - truth[:, 10:]) < 0.005


def test_same_bits_alone_and_in_company(rng):
    X, y, _ = linear_pairs(rng)
    X = X.replace(ivar=np.where(rng.random(X.shape) < 0.1, 0, X.ivar))
    model = PCARidge(n_components=K).fit(X, y)
    flux, std = model.predict(X, return_std=True)
    for rows in ([7], slice(300, 350), rng.permutation(N)):
        alone, alone_std = model.predict(X[rows], return_std=True)
        np.testing.assert_array_equal(alone, flux[rows])
        np.testing.assert_array_equal(alone_std, std[rows])


def test_fits_from_read_only_memory_maps(rng, tmp_path):
    X, y, _ = linear_pairs(rng)

    def on_disk(spectra, name):
        parts = {}
        for part in ("flux", "ivar"):
            np.save(tmp_path / f"{name}_{part}.npy", getattr(spectra, part))
            parts[part] = np.load(tmp_path / f"{name}_{part}.npy", mmap_mode="r")
        return spectra.replace(**parts)

    X_disk, y_disk = on_disk(X, "x"), on_disk(y, "y")
    assert X_disk.is_lazy
    np.testing.assert_array_equal(
        PCARidge(n_components=K).fit(X_disk[::2], y_disk[::2]).predict(X_disk),
        PCARidge(n_components=K).fit(X[::2], y[::2]).predict(X),
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_keeps_the_dtype_of_the_source(rng, dtype):
    X, y, _ = linear_pairs(rng)
    model = PCARidge(n_components=K).fit(X.flux.astype(dtype), y.flux.astype(dtype))
    flux, std = model.predict(X.flux.astype(dtype), return_std=True)
    assert flux.dtype == std.dtype == np.dtype(dtype)


def test_without_target_noise_the_std_is_of_the_observed_flux(rng):
    X, y, _ = linear_pairs(rng)
    known = PCARidge(n_components=K).fit(X, y)
    unknown = PCARidge(n_components=K).fit(X, y.replace(ivar=None))
    assert known.noise_known_
    assert not unknown.noise_known_
    assert np.median(known.predict(X, True)[1]) < 0.01
    assert np.median(unknown.predict(X, True)[1]) == pytest.approx(0.02, rel=0.1)


def test_support_flags_what_training_never_saw(rng):
    X, y, _ = linear_pairs(rng)
    X_new, _, _ = linear_pairs(rng)
    model = PCARidge(n_components=K).fit(X, y)
    assert (model.support(X_new) <= 1).mean() > 0.97
    emission = X_new.replace(flux=X_new.flux + 0.5 * (np.arange(P) == 60))
    assert (model.support(emission) > 1).all()


@pytest.mark.parametrize("known", [True, False])
def test_support_sees_what_a_mean_over_all_pixels_does_not(rng, known):
    """Emission of nine standard deviations in two pixels of 120."""
    X, y, _ = linear_pairs(rng, n=3000)
    X_new, _, _ = linear_pairs(rng, n=2000)
    if not known:
        X, X_new = X.replace(ivar=None), X_new.replace(ivar=None)
    model = PCARidge(n_components=K).fit(X, y)
    assert (model.support(X_new) > 1).mean() < 0.01
    line = 9 / 200 * np.isin(np.arange(P), [60, 61])
    emission = X_new.replace(flux=X_new.flux + line.astype("f4"))
    assert (model.support(emission) > 1).mean() > 0.97
    bad = emission.replace(flux=np.where(line, np.nan, emission.flux).astype("f4"))
    assert (model.support(bad) > 1).mean() < 0.01
    together = model.support(emission)[:5]
    assert np.array_equal(model.support(emission[:5]), together)


def test_the_worst_run_by_hand(rng):
    X, y, _ = linear_pairs(rng)
    source = PCARidge(n_components=K).fit(X, y)._source
    scores = source.scores(X)
    left = X.flux - source.mean - scores @ source.loadings
    square = left**2 / (source.misfit + 1 / X.ivar)
    runs = [square[:, i : i + 4].mean(axis=1) for i in range(P - 3)]
    expected = np.max(runs, axis=0)
    np.testing.assert_allclose(source.worst_run(X, scores), expected, rtol=1e-3)


def test_factors_find_what_residuals_share(rng):
    X, y, _ = linear_pairs(rng, n=1500, scatter=0.01, snr_y=100)
    X_new, _, truth = linear_pairs(rng, n=1500, scatter=0.01, snr_y=100)
    model = PCARidge(n_components=K, alpha=1).fit(X, y)
    total = np.ones((Q, 1)) * np.sign(np.random.default_rng(5).normal(size=(1, 1)))
    weights = np.sign(model._ridge.factors[:1].T) * total
    out = model.translate(X_new)
    stated = np.sqrt(out.covariance.functional_variance(weights))
    scatter = ((out.flux - truth) @ weights).std()
    assert scatter / stated.mean() == pytest.approx(1, abs=0.1)
    naive = np.sqrt((1 / out.ivar).sum(axis=1)).mean()
    assert scatter / naive > 3  # independent pixels would promise far too much


def without(spectra, rows):
    flux = spectra.flux.copy()
    flux[rows] = np.nan
    return spectra.replace(flux=flux)


def test_rows_without_a_source_are_dropped_and_counted(rng):
    X, y, _ = linear_pairs(rng)
    with pytest.warns(UnpairedWarning, match="5 of 400"):
        model = PCARidge(n_components=K).fit(without(X, slice(5)), y)
    np.testing.assert_array_equal(
        model.predict(X), PCARidge(n_components=K).fit(X[5:], y[5:]).predict(X)
    )


def test_rows_without_a_target_help_to_find_the_components(rng):
    """As if they had been given as `source`; and nobody needs to be warned."""
    X, y, truth = linear_pairs(rng, n=1000, snr_x=15, snr_y=500)
    few = slice(60)
    model = PCARidge(n_components=K, n_products=0)
    lone = rms(model.fit(X[few], y[few]).predict(X) - truth)
    helped = model.fit(X, without(y, slice(60, None))).predict(X)
    assert rms(helped - truth) < 0.9 * lone
    given = model.fit(X[few], y[few], source=X).predict(X)
    assert rms(given - helped) < 0.1 * lone


def test_components_of_spectra_before_they_were_perturbed(rng):
    X, y, _ = linear_pairs(rng, n=60, snr_x=15, snr_y=500)
    X_new, _, truth = linear_pairs(rng, n=60, snr_x=15)
    clean = linear_pairs(np.random.default_rng(3), n=60, snr_x=1e4)[0]
    model = PCARidge(n_components=K, n_products=0)
    plain = rms(model.fit(X, y).predict(X_new) - truth)
    model.fit(X, y, source=clean.replace(ivar=None))
    assert rms(model.predict(X_new) - truth) < 0.9 * plain
    # what spectra without ivar are taken to have is the noise of X, not of the source
    np.testing.assert_allclose(model._source.noise, 1 / 15**2, rtol=1e-4)


def test_a_source_that_cannot_be_learnt_from(rng):
    X, y, _ = linear_pairs(rng)
    with pytest.raises(ValueError, match="X is in air"):
        PCARidge().fit(X, y, source=X.to_medium("air"))
    with pytest.raises(ValueError, match=r"the source has 1 sample\(s\)"):
        PCARidge().fit(X, y, source=without(X, slice(1, None)))


def test_pickles_are_about_the_size_of_the_weights(rng):
    X, y, _ = linear_pairs(rng)
    model = PCARidge(n_components=K).fit(X, y)
    data = pickle.dumps(model)
    n_terms = len(model.coef_)
    weights = (K + 4) * P + (n_terms + 4 + len(model._ridge.factors)) * Q
    assert len(data) < 4 * weights * 2 + 20_000
    np.testing.assert_array_equal(pickle.loads(data).predict(X), model.predict(X))


def test_never_more_components_than_stars_or_pixels(rng):
    X, y, _ = linear_pairs(rng, n=10)
    assert PCARidge(n_components=50).fit(X, y).n_components_ == 9
    assert PCARidge(n_components=50).fit(X.flux[:, :3], y).n_components_ == 3


def test_masked_pixels_in_predict_after_a_complete_fit(rng):
    """A star that lacks pixels is predicted nearly as well, and says by how much."""
    X, y, truth = linear_pairs(rng)
    model = PCARidge(n_components=K, n_products=0).fit(X.flux, y.flux)
    some = X.flux[:50].copy()
    some[:, ::3] = np.nan
    some[0, 3:] = np.nan
    flux, std = model.predict(some, return_std=True)
    assert np.isfinite(flux).all()
    assert rms(flux[1:] - truth[1:50]) < 1.5 * rms(
        model.predict(X.flux[1:50]) - truth[1:50]
    )
    full = model.predict(X.flux[:50], return_std=True)[1]
    assert (std.mean(axis=1) > full.mean(axis=1)).all()
    assert std[0].mean() > std[1:].mean()


def test_target_noise_over_twelve_orders_of_magnitude(rng):
    X, y, truth = linear_pairs(rng, snr_y=100)
    sigma = 10 ** rng.uniform(-4, 2, y.shape)
    wild = y.replace(flux=truth + sigma * rng.normal(size=y.shape), ivar=sigma**-2)
    for dtype in ("f8", "f4"):
        told = wild.replace(flux=wild.flux.astype(dtype), ivar=wild.ivar.astype(dtype))
        flux, std = PCARidge(K, n_products=0).fit(X, told).predict(X, return_std=True)
        assert rms(flux - truth) < 0.003
        assert np.isfinite(std).all()


def test_better_spectra_of_such_stars_are_not_flagged(rng):
    """Noise of training hides that stars differ in what components leave of them."""
    n, p = 600, 300
    scores = rng.standard_normal((n, 2)) @ rng.normal(0, 0.05, (2, p))
    own = rng.lognormal(0, 0.7, (n, 1)) * 0.004 * rng.standard_normal((n, p))
    truth = 1 + scores + own

    def seen(snr, rows):
        flux = truth[rows] + rng.standard_normal((len(rows), p)) / snr
        return Spectra(flux, np.full(flux.shape, snr**2), wave=15_000.0 + np.arange(p),
                       medium="vacuum")  # fmt: skip

    train, test = np.arange(400), np.arange(400, n)
    model = PCARidge(n_components=2).fit(seen(50, train), truth[train, :4])
    for snr in (20, 50, 200):
        assert (model.support(seen(snr, test)) > 1).mean() < 0.05


def test_a_star_of_which_nothing_was_seen_has_no_support(rng):
    X, y = rng.normal(1, 0.1, (60, 300)), rng.normal(1, 0.1, (60, 3))
    model = PCARidge(n_components=2).fit(X, y)
    X = X[:3].copy()
    X[0], X[1, 2:] = np.nan, np.nan
    assert np.isinf(model.support(X)).tolist() == [True, True, False]
