"""What holds for every transformer: Spectra, arrays, frames, memory maps."""

import numpy as np
import pytest
from astropy.units import Quantity
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from specxfer import Spectra
from specxfer.preprocessing import (
    ContinuumNormalizer,
    GapMasker,
    Rebinner,
    ResolutionMatcher,
    VelocityCheck,
    VelocityShifter,
    WindowCropper,
    WindowMasker,
)

WAVE = np.concatenate([np.arange(5000.0, 5012.0), np.arange(5100.0, 5108.0)])
TRANSFORMERS = [
    ContinuumNormalizer(degree=1, n_segments=3),
    ContinuumNormalizer(exclude=(5003, 5004), fraction=1.0),
    ContinuumNormalizer(degree=1, reference=None, clip=9.0),
    ContinuumNormalizer(1, reference=None, continuum=slice(None), exclude=(5003, 5004)),
    GapMasker(),
    GapMasker(fill="mean"),
    GapMasker(fill="interpolate"),
    GapMasker(fill=None),
    VelocityCheck(max_velocity=70, degree=0),
    VelocityShifter(20_000.0),
    VelocityShifter(),
    WindowCropper([(5002, 5006), (5103, 5104)]),
    WindowCropper(pixels=slice(3, 9)),
    WindowMasker([(5002, 5006), (5103, 5104)]),
    WindowMasker(pixels=slice(3, 9)),
    Rebinner(factor=3),
    Rebinner(resolution=1000, resolution_in=np.inf),
    ResolutionMatcher(3000, resolution_in=np.inf, min_coverage=0.5),
    ResolutionMatcher(3000, resolution_in=4000, min_coverage=0.8, boxiness=2.3),
]


def make_spectra(n=9, dtype=np.float32, noise=True):
    rng = np.random.default_rng(7)
    flux = rng.uniform(0.2, 1.1, (n, len(WAVE))).astype(dtype)
    ivar = rng.uniform(1, 50, flux.shape).astype(dtype)
    flux[1, 4], ivar[2, 5], flux[3, 15:18] = np.nan, 0, np.nan
    flux[:, 10], ivar[:, 10] = np.nan, 0
    return Spectra(
        flux,
        np.where(np.isnan(flux), 0, ivar) if noise else None,
        wave=WAVE,
        medium="air",
        ids=[f"star{i // 2}" for i in range(n)],
        meta={"teff": np.arange(n)},
        resolution=np.full((n, 2), 4000.0),
    )


@pytest.fixture(params=TRANSFORMERS, ids=lambda t: str(t)[:40])
def transformer(request):
    return clone(request.param)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("noise", [True, False])
def test_spectra_give_spectra_and_everything_follows(transformer, dtype, noise):
    X = make_spectra(dtype=dtype, noise=noise)
    before = X.flux.copy(), None if X.ivar is None else X.ivar.copy()
    out = transformer.fit_transform(X)
    assert isinstance(out, Spectra)
    assert out.dtype == dtype
    assert out.medium == "air"
    assert len(out.wave) == out.shape[1]
    assert out.has_noise == noise
    assert_array_equal(out.ids, X.ids)
    assert_array_equal(out.meta["teff"], X.meta["teff"])
    assert out.resolution.shape[0] == len(X)
    assert_array_equal(X.flux, before[0])  # the input is left alone
    if noise:
        assert out.ivar.dtype == dtype
        assert_array_equal(X.ivar, before[1])


def test_arrays_give_the_same_flux_as_spectra(transformer):
    X = make_spectra(noise=False)
    expected = transformer.fit_transform(X).flux
    # On a plain array after a fit on Spectra, and all the way on plain arrays.
    assert_array_equal(transformer.transform(X.flux), expected)
    plain = clone(transformer).set_params(wave=WAVE, medium="air")
    out = plain.fit_transform(X.flux)
    assert type(out) is np.ndarray
    assert out.dtype == np.float32
    assert_array_equal(out, expected)


def test_rows_do_not_depend_on_their_company(transformer):
    X = make_spectra()
    transformer.fit(X)
    out = transformer.transform(X)
    for row in range(len(X)):
        one = transformer.transform(X[row])
        assert_array_equal(one.flux, out.flux[[row]])
        assert_array_equal(one.ivar, out.ivar[[row]])


def test_read_only_input(transformer):
    X = make_spectra()
    X.flux.flags.writeable = X.ivar.flags.writeable = False
    transformer.fit_transform(X)
    transformer.fit_transform(X[:, :-1])


def test_memory_maps_give_the_same(transformer, tmp_path, monkeypatch):
    X = make_spectra()
    maps = []
    for name in ("flux", "ivar"):
        path = tmp_path / f"{name}.npy"
        np.save(path, getattr(X, name))
        maps.append(np.load(path, mmap_mode="r"))
    lazy = X.replace(flux=maps[0], ivar=maps[1])
    assert lazy.is_lazy
    expected = transformer.fit_transform(X)
    for block in (10**6, 40):  # elements at a time: all at once, or in bits
        monkeypatch.setattr("specxfer.spectra.BLOCK_ELEMENTS", block)
        monkeypatch.setattr("specxfer.preprocessing._gap_masker.BLOCK_ELEMENTS", block)
        out = clone(transformer).fit_transform(lazy)
        assert_array_equal(out.flux, expected.flux)
        assert_array_equal(out.ivar, expected.ivar)
    selects = isinstance(transformer, WindowCropper | VelocityCheck) or (
        isinstance(transformer, GapMasker) and transformer.fill is None
    )
    assert out.is_lazy == selects


def test_another_grid_is_refused(transformer):
    X = make_spectra()
    transformer.fit(X)
    with pytest.raises(ValueError, match=r"air.*vacuum|vacuum.*air"):
        transformer.transform(X.to_medium("vacuum"))
    with pytest.raises(ValueError, match=r"differ by up to 0\.5"):
        transformer.transform(X.replace(wave=WAVE + 0.5))
    with pytest.raises(ValueError, match="features"):
        transformer.transform(X[:, :-1])


def test_wave_that_contradicts_the_spectra_is_refused(transformer):
    with pytest.raises(ValueError, match="has its own wavelengths"):
        transformer.set_params(wave=WAVE + 1, medium="air").fit(make_spectra())


def test_no_rows_is_an_error(transformer):
    with pytest.raises(ValueError, match="at least one"):
        transformer.fit(make_spectra()[:0])


@pytest.mark.parametrize(
    "convert",
    [
        lambda flux: np.ma.masked_invalid(flux),
        lambda flux: Quantity(flux),
        lambda flux: flux.astype(">f4"),
        lambda flux: flux.tolist(),
    ],
    ids=["masked", "quantity", "big-endian", "list"],
)
def test_other_arrays_are_converted(transformer, convert):
    flux = make_spectra().flux
    transformer.set_params(wave=WAVE, medium="air")
    expected = transformer.fit_transform(flux)
    out = clone(transformer).fit_transform(convert(flux))
    assert out.dtype.isnative
    assert_allclose(out, expected, rtol=1e-6)
    if not isinstance(convert(flux), list):
        assert out.dtype == np.float32


def test_a_mask_is_not_lost():
    flux = np.ma.array(np.ones((3, 4)), mask=np.eye(3, 4))
    flux.data[flux.mask] = 99.0
    assert (GapMasker().fit_transform(flux) == 1).all()


def test_set_output_leaves_spectra_alone(transformer):
    pd = pytest.importorskip("pandas")
    X = make_spectra(noise=False)
    transformer.set_output(transform="pandas").fit(X)
    assert isinstance(transformer.transform(X), Spectra)
    frame = transformer.transform(X.flux)
    assert isinstance(frame, pd.DataFrame)
    assert_array_equal(frame.columns, transformer.get_feature_names_out())
    assert_array_equal(frame, transformer.transform(X).flux)
    with config_context(transform_output="pandas"):
        assert isinstance(clone(transformer).fit_transform(X), Spectra)


def test_data_frames_in_and_feature_names_out(transformer):
    pd = pytest.importorskip("pandas")
    names = [f"p{i}" for i in range(len(WAVE))]
    frame = pd.DataFrame(make_spectra().flux, columns=names)
    transformer.set_params(wave=WAVE, medium="air").fit(frame)
    out = transformer.get_feature_names_out()
    assert len(out) == transformer.transform(frame).shape[1]
    if hasattr(transformer, "inverse_transform"):
        assert_array_equal(out, np.array(names)[transformer.pixels_])
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame[names[::-1]])


def test_in_a_pipeline_and_a_search(rng):
    X = make_spectra(30)
    y = rng.normal(size=(30, 2))
    model = make_pipeline(GapMasker(), WindowCropper(), Rebinner(factor=1), Ridge())
    grid = {
        "windowcropper__windows": [None, [(5001, 5004), (5103, 5104)], (5000, 5009)],
        "windowcropper__pad": [0.0, 1.0],
        "rebinner__factor": [1, 2],
    }
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y)
    assert search.predict(X).shape == (30, 2)
    shapes = {
        (p["windowcropper__pad"], p["rebinner__factor"])
        for p in search.cv_results_["params"]
    }
    assert len(shapes) == 4
    assert len(set(search.cv_results_["mean_test_score"])) > 4
