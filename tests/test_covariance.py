"""`LowRankCovariance` against dense matrices written out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from specxfer import BandedCovariance, LowRankCovariance, Spectra

N, R, P = 4, 3, 7


FORMS = ["diagonal per spectrum", "shared diagonal", "own lines", "scaled", "both"]


@pytest.fixture(params=FORMS)
def cov(request, rng):
    half = rng.normal(size=(N, R, R))
    shape = (P,) if request.param == "shared diagonal" else (N, P)
    lines = {}
    if request.param in ("own lines", "both"):
        lines = {
            "amplitude": rng.uniform(0.2, 2, (N, P)),
            "scaled": np.array([False, True, False]),
            "line_std": rng.uniform(0.5, 2, P),
            "line": np.array([0, 0, 3, 3, 3, 4, 4]),
        }
    if request.param in ("scaled", "both"):
        lines["scale"] = rng.uniform(0, 1, (N, P))
    return LowRankCovariance(
        half @ half.transpose(0, 2, 1),
        rng.normal(size=(R, P)),
        rng.uniform(0.1, 1, shape),
        **lines,
    )


def dense(cov, i):
    diagonal = cov.diagonal if cov.diagonal.ndim == 1 else cov.diagonal[i]
    basis, of_lines = cov.basis, 0
    if cov.amplitude is not None:
        basis = np.array(
            [b * cov.amplitude[i] if s else b for b, s in zip(basis, cov.scaled)]
        )
        std = cov.amplitude[i] * cov.line_std
        of_lines = np.outer(std, std) * (cov.line[:, None] == cov.line)
    scale = np.ones(cov.shape[1]) if cov.scale is None else cov.scale[i]
    together = basis.T @ cov.core[i] @ basis + of_lines
    return np.outer(scale, scale) * together + np.diag(diagonal)


def every_dense(cov):
    return np.array([dense(cov, i) for i in range(len(cov))])


@pytest.mark.parametrize("shape", [(P,), (N, P)])
def test_errors_that_are_larger_by_a_factor(cov, rng, shape):
    factor = rng.uniform(0.5, 2, shape)
    each = np.broadcast_to(factor, (N, P))
    expected = every_dense(cov) * each[:, :, None] * each[:, None, :]
    np.testing.assert_allclose(every_dense(cov.times(factor)), expected)
    if shape == (P,):
        again = cov[1:].times(factor)
        assert again.shares_basis(cov[:1].times(factor))


def test_variance_is_the_diagonal(cov):
    expected = np.diagonal(every_dense(cov), axis1=1, axis2=2)
    np.testing.assert_allclose(cov.variance(), expected, rtol=1e-5)


def test_variance_keeps_float32(cov):
    parts = (cov.core, cov.basis, cov.diagonal, cov.scale)
    single = LowRankCovariance(*(a if a is None else a.astype("f4") for a in parts))

    arrays = {k: v for k, v in vars(cov).items() if getattr(v, "dtype", 0) == "f8"}
    single = replace(cov, **{k: v.astype("f4") for k, v in arrays.items()})
    assert single.variance().dtype == np.float32
    np.testing.assert_allclose(single.variance(), cov.variance(), rtol=1e-4)


def test_variance_of_many_pixels_is_made_in_parts(rng):
    r, p = 120, 5000  # 7,260 products a pixel: more than one part of 64 MiB
    basis = rng.normal(size=(r, p)).astype("f4")
    half = rng.normal(size=(2, r, r)).astype("f4")
    cov = LowRankCovariance(
        half @ half.transpose(0, 2, 1), basis, np.zeros(p, dtype="f4")
    )
    expected = np.einsum("rp,nrs,sp->np", basis, cov.core, basis, optimize=True)
    np.testing.assert_allclose(cov.variance(), expected, rtol=1e-3)


def test_functional_variance_of_shared_weights(cov, rng):
    w = rng.normal(size=(P, 2))
    expected = np.einsum("pm,npq,qm->nm", w, every_dense(cov), w)
    np.testing.assert_allclose(cov.functional_variance(w), expected)


def test_functional_variance_of_weights_per_star(cov, rng):
    w = rng.normal(size=(N, P, 2))
    expected = np.einsum("npm,npq,nqm->nm", w, every_dense(cov), w)
    np.testing.assert_allclose(cov.functional_variance(w), expected)


def test_pixels_that_err_together_do_not_average_out():
    together = LowRankCovariance(np.full((1, 1, 1), 0.01), np.ones((1, 9)), np.zeros(9))
    apart = LowRankCovariance(np.zeros((1, 1, 1)), np.ones((1, 9)), np.full(9, 0.01))
    np.testing.assert_allclose(together.variance(), apart.variance())
    width = np.ones((9, 1))
    assert together.functional_variance(width)[0, 0] == pytest.approx(0.81)
    assert apart.functional_variance(width)[0, 0] == pytest.approx(0.09)


def unseen(cov, pixel):
    """The same covariance where one pixel was never seen in training."""
    basis, diagonal = cov.basis.copy(), cov.diagonal.copy()
    basis[:, pixel] = diagonal[..., pixel] = np.nan
    return replace(cov, basis=basis, diagonal=diagonal)

    return replace(cov, basis=basis, diagonal=diagonal)


def test_an_unknown_pixel_spoils_only_the_sums_that_use_it(cov, rng):
    w = rng.normal(size=(P, 3))
    w[2, :2] = 0
    found = unseen(cov, 2).functional_variance(w)
    np.testing.assert_allclose(found[:, :2], cov.functional_variance(w)[:, :2])
    assert np.isnan(found[:, 2]).all()


def test_an_unknown_pixel_spoils_only_the_stars_that_use_it(cov, rng):
    w = rng.normal(size=(N, P, 1))
    w[1:, 2] = 0
    found = unseen(cov, 2).functional_variance(w)
    assert np.isnan(found[0, 0])
    np.testing.assert_allclose(found[1:], cov.functional_variance(w)[1:])


def test_draws_have_the_covariance(cov):
    draws = cov.draw(1, 40_000, np.random.default_rng(3))
    assert draws.shape == (40_000, P)
    scale = np.abs(dense(cov, 1)).max()
    np.testing.assert_allclose(np.cov(draws.T), dense(cov, 1), atol=0.05 * scale)
    np.testing.assert_allclose(draws.mean(axis=0), 0, atol=0.03 * scale**0.5)


def test_draws_repeat_with_the_generator_and_survive_a_singular_core():
    core = np.array([[[1.0, 1.0], [1.0, 1.0]]])  # rank one, rounding may be negative
    cov = LowRankCovariance(core, np.eye(2), np.zeros(2))
    one, two = (cov.draw(0, 5, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one[:, 0], one[:, 1], atol=1e-7)


@pytest.mark.parametrize(
    "key",
    [
        slice(1, 3),
        [3, 0],
        np.array([True, False, False, True]),
        (slice(None), slice(2, 5)),
        ([2, 0, 1], [1, 4, 6]),
        (slice(None, None, -1), np.arange(P) > 3),
        2,
    ],
    ids=str,
)
def test_selection_is_that_of_the_dense_matrix(cov, key):
    rows, cols = key if isinstance(key, tuple) else (key, slice(None))
    rows = np.atleast_1d(np.arange(N)[rows])
    cols = np.arange(P)[cols]
    part = cov[key]
    assert len(part) == len(rows)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(dense(part, i), dense(cov, row)[np.ix_(cols, cols)])


def test_spectra_carry_it_through_selection_and_concatenation(cov):
    flux = np.ones((N, P))
    X = Spectra(flux, wave=np.arange(5000.0, 5000 + P), medium="air", covariance=cov)
    part = X[[2, 0], 1:4]
    np.testing.assert_allclose(dense(part.covariance, 0), dense(cov, 2)[1:4, 1:4])
    both = Spectra.concatenate([X[:1], X[1:]])
    np.testing.assert_allclose(every_dense(both.covariance), every_dense(cov))
    assert Spectra.concatenate([X, X.replace(covariance=None)]).covariance is None


def test_spectra_refuse_the_covariance_of_others(cov):
    wave = np.arange(5000.0, 5005)
    with pytest.raises(ValueError, match=r"4 spectra × 7 pixels.*4 × 5"):
        Spectra(np.ones((N, 5)), wave=wave, medium="air", covariance=cov)


def test_concatenation_needs_one_basis(cov):
    joined = LowRankCovariance.concatenate([cov[:1], cov[1:]])
    np.testing.assert_allclose(joined.variance(), cov.variance())
    np.testing.assert_array_equal(every_dense(joined), every_dense(cov))
    other = replace(cov, basis=2 * cov.basis)

    other = replace(cov, basis=2 * cov.basis)
    with pytest.raises(ValueError, match="covariance 1 has another basis"):
        LowRankCovariance.concatenate([cov, other])
    assert not cov.shares_basis(None)


def test_scaled_spectra_share_no_other_bases(rng):
    parts = np.ones((N, R, R)), rng.normal(size=(R, P)), np.ones((N, P))
    plain = LowRankCovariance(*parts)
    scaled = LowRankCovariance(*parts, scale=parts[2])
    np.testing.assert_allclose(scaled.variance(), plain.variance())
    assert not plain.shares_basis(scaled)
    with pytest.raises(ValueError, match="covariance 1 has another basis"):
        LowRankCovariance.concatenate([plain, scaled])
    with pytest.raises(ValueError, match="a scale for each spectrum"):
        scaled.on(plain.basis[None])
    X = Spectra(np.ones((N, P)), wave=5000.0 + np.arange(P), medium="air")
    X = [X.replace(covariance=c) for c in (plain, scaled)]
    assert Spectra.concatenate(X).covariance is None


def test_covariances_of_other_lines_are_not_stacked(cov):
    lines = {"amplitude": np.ones((N, P)), "scaled": np.ones(R, bool)}
    lines |= {"line_std": np.ones(P), "line": np.arange(P)}
    with pytest.raises(ValueError, match="covariance 1 has another basis"):
        LowRankCovariance.concatenate([cov, replace(cov, **lines)])


def test_lines_keep_their_errors_on_other_bases(cov):
    cov = replace(cov, scale=None)
    half = cov.on(0.5 * cov.basis[None])
    gone = cov.on(0 * cov.basis[None]).variance()
    expected = (cov.variance() - gone) / 4 + gone
    np.testing.assert_allclose(half.variance(), expected, rtol=1e-4)
    mixed = cov.on(np.stack([cov.basis, 3 * cov.basis]), np.full((N, 2), [1.0, 0.0]))
    np.testing.assert_allclose(mixed.variance(), cov.variance(), rtol=1e-4)


def test_a_shared_diagonal_must_be_the_same():
    core, basis = np.ones((1, 1, 1)), np.ones((1, 3))
    one, two = (LowRankCovariance(core, basis, d * np.ones(3)) for d in (1, 2))
    with pytest.raises(ValueError, match="shared diagonal"):
        LowRankCovariance.concatenate([one, two])


# -------------------------------------------------------------------------- banded
@pytest.fixture
def banded(rng):
    ivar = rng.uniform(1, 9, (N, 9))
    kernel = rng.normal(size=(N, 2, 3))
    position = np.array([0, 1, 2, 4, 5, 0, 1, 3, 4])  # one pixel of each chip is out
    return BandedCovariance(ivar, kernel, position, np.repeat([0, 1], [5, 4]))


def dense_banded(cov, i):
    full = np.zeros((cov.shape[1],) * 2)
    for a, b in np.ndindex(full.shape):
        if cov.chip[a] == cov.chip[b]:
            k = cov.kernel[i, cov.chip[a]]
            lag = abs(cov.position[a] - cov.position[b])
            rho = sum(k[t] * k[t + lag] for t in range(len(k) - lag)) / (k @ k)
            full[a, b] = rho / np.sqrt(cov.ivar[i, a] * cov.ivar[i, b])
    return full


def test_dense_is_the_matrix(cov, banded):
    np.testing.assert_allclose(cov.dense(), every_dense(cov), rtol=1e-12)
    every = np.array([dense_banded(banded, i) for i in range(N)])
    np.testing.assert_allclose(banded.dense(), every, rtol=1e-12, atol=1e-15)


def test_banded_sums_are_those_of_the_dense_matrix(banded, rng):
    every = np.array([dense_banded(banded, i) for i in range(N)])
    assert np.linalg.eigvalsh(every).min() > -1e-12
    w = rng.normal(size=(9, 2)) * (rng.random((9, 2)) < 0.7)
    expected = np.einsum("pm,npq,qm->nm", w, every, w)
    np.testing.assert_allclose(banded.functional_variance(w), expected)
    each = rng.normal(size=(N, 9, 2))
    expected = np.einsum("npm,npq,nqm->nm", each, every, each)
    np.testing.assert_allclose(banded.functional_variance(each), expected)
    diagonal = np.diagonal(every, axis1=1, axis2=2)
    np.testing.assert_allclose(banded.variance(), diagonal)


def test_banded_slices_like_the_dense_matrix(banded, rng):
    cols = np.array([1, 3, 4, 5, 8])
    part = banded[[2, 0], cols]
    assert part.shape == (2, 5)
    w = rng.normal(size=(5, 1))
    for i, row in enumerate((2, 0)):
        dense_part = dense_banded(banded, row)[np.ix_(cols, cols)]
        np.testing.assert_allclose(
            part[[i]].functional_variance(w), w.T @ dense_part @ w
        )
    backwards = banded[:, ::-1]
    np.testing.assert_allclose(
        backwards.functional_variance(np.ones((9, 1))),
        banded.functional_variance(np.ones((9, 1))),
    )


def test_banded_unknown_pixels_spoil_only_what_asks_for_them(banded):
    ivar = banded.ivar.copy()
    ivar[1, 3] = 0
    cov = BandedCovariance(ivar, banded.kernel, banded.position, banded.chip)
    w = np.ones((9, 2))
    w[3, 1] = 0
    unknown = np.isnan(cov.functional_variance(w))
    np.testing.assert_array_equal(unknown.sum(axis=0), [1, 0])
    assert unknown[1, 0]
    assert np.isnan(cov.draw(1, 2, np.random.default_rng(0))[:, 3]).all()


def test_banded_draws_have_the_covariance(banded):
    draws = banded.draw(2, 40_000, np.random.default_rng(0))
    expected = dense_banded(banded, 2)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(draws.T) - expected) / scale).max() < 0.03


def test_banded_stacks_with_its_like_only(banded, cov):
    assert banded[:1].shares_basis(banded)
    assert not banded.shares_basis(banded[:, :-1])
    assert not banded.shares_basis(cov)
    assert not cov.shares_basis(banded)
    assert not banded.shares_basis(None)
    joined = BandedCovariance.concatenate([banded[:1], banded[1:]])
    np.testing.assert_array_equal(joined.ivar, banded.ivar)
    with pytest.raises(ValueError, match="other pixels"):
        BandedCovariance.concatenate([banded, banded[:, :-1]])


def test_spectra_refuse_a_banded_covariance_of_another_shape(banded):
    X = Spectra(np.ones((N, 9)), wave=5000.0 + np.arange(9), medium="air")
    assert X.replace(covariance=banded).covariance is banded
    with pytest.raises(ValueError, match="4 spectra × 8 pixels"):
        X.replace(covariance=banded[:, 1:])
