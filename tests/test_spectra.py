"""`Spectra`: what it holds, selects, joins and shows, and how it travels."""

import copy
import pickle

import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from specxfer import Spectra, air_to_vacuum, as_spectra

N, P = 6, 10
WAVE = np.r_[5000.0 + np.arange(6), 5500.0 + np.arange(4)]  # two chips
CHIP = np.r_[np.zeros(6, int), np.ones(4, int)]


def spectra(**changes):
    flux = np.arange(N * P, dtype="f4").reshape(N, P)
    parts = {
        "flux": flux,
        "ivar": flux + 100,
        "wave": WAVE,
        "medium": "air",
        "ids": np.array(["a", "a", "b", "c", "d", "e"]),
        "meta": Table({"teff": np.arange(N)}),
        "resolution": np.arange(1, N + 1)[:, None] * [1000.0, 2000.0],
        "chip": CHIP,
    }
    return Spectra(**{**parts, **changes})


# ------------------------------------------------------------------------ memory
def test_flux_and_ivar_are_not_copied():
    flux, ivar = np.ones((N, P), "f4"), np.ones((N, P), "f4")
    X = Spectra(flux, ivar, wave=WAVE, medium="air")
    assert np.shares_memory(np.asarray(X), flux)
    assert np.shares_memory(X.flux, flux)
    assert np.shares_memory(X.ivar, ivar)
    assert np.shares_memory(X[1:4, 2:].flux, flux)
    assert np.shares_memory(X.replace(ids=np.arange(N)).flux, flux)
    assert np.shares_memory(X.to_medium("vacuum").ivar, ivar)
    assert X.load() is X


def test_array_converts_and_copies_only_when_asked():
    X = spectra()
    assert np.asarray(X, dtype="f8").dtype == np.float64
    assert not np.shares_memory(np.array(X), X.flux)
    assert np.shares_memory(np.array(X, copy=False), X.flux)
    with pytest.raises(ValueError, match="without a copy is not possible"):
        np.array(X, dtype="f8", copy=False)


def test_arguments_are_neither_changed_nor_needed_writable():
    flux, ivar, wave = np.ones((N, P)), np.ones((N, P)), WAVE.copy()
    ivar[0, 0] = np.nan
    for a in (flux, ivar, wave):
        a.flags.writeable = False
    X = Spectra(flux, ivar, wave=wave, medium="air")
    assert X.ivar[0, 0] == 0
    assert np.isnan(ivar[0, 0])
    assert np.shares_memory(X.flux, flux)


def test_wavelengths_cannot_be_changed_behind_its_back():
    wave = WAVE.copy()
    X = spectra(wave=wave)
    wave[0] = 1
    assert X.wave[0] == 5000
    for one in (X, X.to_medium("vacuum"), X[:, [0, 2]], X[:, :3]):
        with pytest.raises(ValueError, match="read-only"):
            one.wave[0] = 1


# ------------------------------------------------------------------------- input
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("f4", "f4"),
        ("f8", "f8"),
        (">f4", "f4"),
        (">f8", "f8"),
        ("<f4", "f4"),
        ("f2", "f4"),
        ("i2", "f4"),
        ("u1", "f4"),
        ("i8", "f4"),
        ("?", "f4"),
    ],
)
def test_number_formats(given, kept):
    values = np.array([[1, 0], [1, 1]], dtype=given)
    X = Spectra(values, values.astype(">f8"), wave=[1, 2], medium="air")
    for out in (X.flux, X.ivar):
        assert out.dtype == np.dtype(kept)
        assert out.dtype.isnative
        np.testing.assert_array_equal(out, [[1, 0], [1, 1]])


def test_masked_flux_is_unknown_and_weightless():
    flux = np.ma.array(np.ones((2, 3)), mask=[[0, 1, 0], [0, 0, 0]])
    flux.data[0, 1] = np.inf  # what lies under a mask does not matter
    X = Spectra(flux, np.ones((2, 3)), wave=[1, 2, 3], medium="air")
    np.testing.assert_array_equal(X.flux, [[1, np.nan, 1], [1, 1, 1]])
    np.testing.assert_array_equal(X.ivar, [[1, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(X.valid(), ~flux.mask)


def test_masked_ivar_masks_the_flux_too():
    ivar = np.ma.masked_less([[1.0, -9, 1]], 0)
    X = Spectra(np.ones((1, 3)), ivar, wave=[1, 2, 3], medium="air")
    np.testing.assert_array_equal(X.weights(), [[1, 0, 1]])
    assert np.isnan(X.flux[0, 1])


def test_masked_integers_and_empty_masks():
    flux = np.ma.array([[1, 2, 3]], mask=[[1, 0, 0]])
    X = Spectra(flux, wave=[1, 2, 3], medium="air")
    np.testing.assert_array_equal(X.flux, [[np.nan, 2, 3]])
    plain = np.ma.array(np.ones((1, 3)))
    assert np.shares_memory(Spectra(plain, wave=[1, 2, 3], medium="air").flux, plain)


def test_quantities():
    u = pytest.importorskip("astropy.units")
    flux = np.ones((1, 3)) * u.dimensionless_unscaled
    X = Spectra(flux, wave=[500, 501, 502] * u.nm, medium="air")
    np.testing.assert_allclose(X.wave, [5000, 5010, 5020])
    assert np.shares_memory(X.flux, flux)
    X = Spectra(100 * flux.value * u.percent, wave=[1, 2, 3] * u.um, medium="air")
    np.testing.assert_allclose(X.flux, 1)
    np.testing.assert_allclose(X.wave, [1e4, 2e4, 3e4])


def test_astropy_columns_and_masked_quantities_keep_unit_and_mask():
    u = pytest.importorskip("astropy.units")
    from astropy.table import Column, MaskedColumn
    from astropy.utils.masked import Masked

    mask = np.array([[True, False, False]])
    flux = MaskedColumn(np.full((1, 3), 50.0), mask=mask, unit="percent")
    wave = Column([500.0, 501, 502], unit="nm")
    X = Spectra(flux, wave=wave, medium="air")
    np.testing.assert_allclose(X.flux, [[np.nan, 0.5, 0.5]])
    np.testing.assert_allclose(X.wave, [5000, 5010, 5020])
    X = Spectra(Masked(np.ones((1, 3)) * u.one, mask), wave=wave, medium="air")
    np.testing.assert_array_equal(np.isnan(X.flux), mask)


def test_data_frames_give_their_named_rows_as_ids():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.ones((3, 2)), index=["a", "b", "b"])
    X = Spectra(
        frame, wave=[1, 2], medium="air", meta=pd.DataFrame({"logg": [1, 2, 3]})
    )
    assert X.ids.tolist() == ["a", "b", "b"]
    assert X.meta["logg"].tolist() == [1, 2, 3]
    assert as_spectra(frame.set_axis([7, 8, 9]).rename_axis("sobject_id")).ids[2] == 9
    assert as_spectra(frame, wave=[1, 2], medium="air").wave.tolist() == [1, 2]
    given = Spectra(frame, wave=[1, 2], medium="air", ids=["x", "y", "z"])
    assert given.ids.tolist() == ["x", "y", "z"]


def test_data_frames_that_only_count_their_rows_have_no_ids():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.ones((4, 2), "f4"))
    assert as_spectra(frame).ids is None
    assert as_spectra(frame.iloc[[2, 0, 3]]).ids is None  # counts, though shuffled
    assert as_spectra(frame).dtype == np.float32


def test_missing_values_of_data_frames_are_unknown():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, None], "b": pd.array([1, None], dtype="Int64")})
    np.testing.assert_array_equal(as_spectra(frame).flux, [[1, 1], [np.nan, np.nan]])


def test_lists_and_numeric_objects_are_read():
    assert as_spectra([[1, 2], [3, 4]]).shape == (2, 2)
    objects = np.array([[1.5, None]], dtype=object)
    np.testing.assert_array_equal(as_spectra(objects).flux, [[1.5, np.nan]])


def test_nan_ivar_becomes_zero_and_nan_flux_weightless():
    flux, ivar = np.array([[1.0, np.nan, 1]]), np.array([[np.nan, 4, 4]])
    X = Spectra(flux, ivar, wave=[1, 2, 3], medium="air")
    np.testing.assert_array_equal(X.ivar, [[0, 4, 4]])
    np.testing.assert_array_equal(X.weights(), [[0, 0, 4]])
    np.testing.assert_array_equal(X.valid(), [[False, False, True]])


def test_without_noise_known_pixels_weigh_one():
    X = as_spectra(np.array([[1, np.nan]], "f4"))
    assert X.ivar is None
    assert not X.has_noise
    assert X.weights().dtype == np.float32
    np.testing.assert_array_equal(X.weights(), [[1, 0]])
    np.testing.assert_array_equal(X.valid(), [[True, False]])


def test_names_from_fits_are_decoded():
    X = spectra(ids=np.array([b"2M1", b"2M2", b"a", b"b", b"c", b"d"]))
    assert X.ids[0] == "2M1"


def test_one_resolution_is_that_of_every_spectrum():
    np.testing.assert_array_equal(spectra(resolution=22500).resolution, [22500] * N)


ones = np.ones((N, P), "f4")


def with_value(value):
    values = np.ones((N, P), "f4")
    values[3, 2] = value
    return values


BAD = {
    "infinite flux": ({"flux": with_value(np.inf)}, ValueError, "1 pixels.*row 3.*NaN"),
    "minus infinity": ({"flux": with_value(-np.inf)}, ValueError, "flux is infinite"),
    "huge ivar": (
        {"flux": ones, "ivar": np.full((N, P), 1e99)},
        ValueError,
        "infinite",
    ),
    "negative ivar": ({"ivar": with_value(-1)}, ValueError, r"negative.*row 3 \(-1"),
    "infinite ivar": ({"ivar": with_value(np.inf)}, ValueError, r"row 3 \(inf\).*>= 0"),
    "shape of ivar": ({"ivar": ones[:, 1:]}, ValueError, r"\(6, 9\), flux has \(6, 10"),
    "one spectrum": ({"flux": ones[0]}, ValueError, r"1 dimension.*flux\[None, :\]"),
    "three axes": ({"flux": ones[None]}, ValueError, "3 dimension"),
    "a number": ({"flux": 1.0}, ValueError, r"expected \(n_spectra, n_pixels\)"),
    "ragged": ({"flux": [[1, 2], [3]]}, ValueError, "rows of one length"),
    "words": ({"flux": [["a", "b"]]}, TypeError, "dtype <U1; expected real"),
    "objects": ({"flux": np.full((2, 2), "a", object)}, TypeError, "are no numbers"),
    "complex": ({"flux": ones + 1j}, TypeError, "complex64; expected real numbers"),
    "a Spectra": ({"flux": spectra()}, TypeError, "already a Spectra.*replace"),
    "medium": ({"medium": "vac"}, ValueError, '\'vac\'; expected "air" or "vacuum"'),
    "no medium": ({"medium": None}, ValueError, 'None; expected "air"'),
    "no wave": ({"wave": None}, ValueError, "10 pixels: give one wavelength"),
    "short wave": ({"wave": WAVE[1:]}, ValueError, r"shape \(9,\), the flux has 10"),
    "falling wave": ({"wave": WAVE[::-1]}, ValueError, "increasing.*flux.*::-1"),
    "repeated wave": ({"wave": np.full(P, 5.0)}, ValueError, "strictly increasing"),
    "NaN wave": ({"wave": [np.nan] * P}, ValueError, "finite, positive"),
    "masked wave": (
        {"wave": np.ma.masked_less(WAVE, 5001)},
        ValueError,
        "wave has masked",
    ),
    "ids": ({"ids": ["a"]}, ValueError, r"ids has shape \(1,\).*\(6,\)"),
    "one name": ({"ids": "abcdef"}, ValueError, r"ids has shape \(\)"),
    "masked ids": (
        {"ids": np.ma.array(range(N), mask=[1] + [0] * 5)},
        ValueError,
        "ids has masked",
    ),
    "meta": ({"meta": {"teff": [1, 2]}}, ValueError, "2 rows, flux has 6"),
    "resolution": (
        {"resolution": np.ones((N, 3))},
        ValueError,
        r"\(6, 2\), one per",
    ),
    "no resolution": ({"resolution": 0}, ValueError, "resolution must be positive"),
    "chip": ({"chip": CHIP[::-1]}, ValueError, "do not decrease with wavelength"),
    "unsigned chip": ({"chip": CHIP[::-1].astype("u1")}, ValueError, "not decrease"),
    "float chip": ({"chip": CHIP * 1.0}, ValueError, "float64; expected.*integers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    changes, error, message = BAD[case]
    with pytest.raises(error, match=message):
        spectra(**changes)


def test_bad_units_are_named():
    u = pytest.importorskip("astropy.units")
    with pytest.raises(ValueError, match=r"flux is in Jy.*divide by the continuum"):
        spectra(flux=ones * u.Jy)
    with pytest.raises(ValueError, match="wave is in Hz; expected a length"):
        spectra(wave=WAVE * u.Hz)


def test_sparse_matrices_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"pass flux\.toarray\(\)"):
        spectra(flux=sparse.csr_array(ones))


# --------------------------------------------------------------------- selection
ROWS = {
    "one": 2,
    "last": -1,
    "numpy int": np.int64(3),
    "slice": slice(1, 5),
    "step": slice(None, None, 2),
    "reversed": slice(None, None, -1),
    "negative step": slice(4, 0, -2),
    "list": [4, 0, 0, -2],
    "mask": np.array([1, 0, 0, 1, 1, 0], dtype=bool),
    "list of bool": [True, False, False, False, False, True],
    "none": [],
    "empty slice": slice(4, 2),
    "tuple of one": ([1, 2],),
    "ellipsis": Ellipsis,
    "as scikit-learn does": ([3, 1], Ellipsis),
}
COLS = {
    "slice": slice(2, 8),
    "step": slice(1, None, 3),
    "list": [0, 3, 7],
    "mask": WAVE > 5003,
    "one": 4,
    "last": -1,
    "one chip": slice(6, None),
    "none": slice(0, 0),
}


def rows_meant(key):
    key = key[0] if isinstance(key, tuple) else key
    return np.atleast_1d(np.arange(N)[slice(None) if key is Ellipsis else key])


@pytest.fixture(params=["in memory", "on disk"])
def X(request, tmp_path):
    X = spectra()
    if request.param == "on disk":
        X = X.replace(
            flux=stored(tmp_path / "flux", X.flux),
            ivar=stored(tmp_path / "ivar", X.ivar),
        )
        assert X.is_lazy
    return X


def stored(path, values, dtype=">f4"):
    """A read-only memory map of values, big-endian as FITS is."""
    on_disk = np.memmap(path, dtype, mode="w+", shape=values.shape)
    on_disk[:] = values
    on_disk.flush()
    return np.memmap(path, dtype, mode="r", shape=values.shape)


@pytest.mark.parametrize("key", ROWS.values(), ids=ROWS)
def test_rows_take_everything_along(X, key):
    whole, part, rows = spectra(), X[key], rows_meant(key)
    assert isinstance(part, Spectra)
    assert part.shape == (len(rows), P)
    assert len(part) == len(rows)
    assert part.is_lazy == X.is_lazy
    np.testing.assert_array_equal(part.flux, whole.flux[rows])
    np.testing.assert_array_equal(part.ivar, whole.ivar[rows])
    np.testing.assert_array_equal(part.ids, whole.ids[rows])
    np.testing.assert_array_equal(part.meta["teff"], rows)
    np.testing.assert_array_equal(part.resolution, whole.resolution[rows])
    np.testing.assert_array_equal(part.wave, WAVE)
    assert part.medium == "air"


@pytest.mark.parametrize("rows", [slice(None), [3, 1], slice(4, None, -1)], ids=str)
@pytest.mark.parametrize("cols", COLS.values(), ids=COLS)
def test_columns_take_everything_along(X, rows, cols):
    whole, part = spectra(), X[rows, cols]
    r, c = np.arange(N)[rows], np.atleast_1d(np.arange(P)[cols])
    assert part.shape == (len(r), len(c))
    assert part.is_lazy == X.is_lazy
    np.testing.assert_array_equal(part.flux, whole.flux[np.ix_(r, c)])
    np.testing.assert_array_equal(part.ivar, whole.ivar[np.ix_(r, c)])
    np.testing.assert_array_equal(part.wave, WAVE[c])
    np.testing.assert_array_equal(part.ids, whole.ids[r])
    chips = np.unique(CHIP[c])
    np.testing.assert_array_equal(part.chip, np.searchsorted(chips, CHIP[c]))
    np.testing.assert_array_equal(part.resolution, whole.resolution[r][:, chips])


def test_ellipsis_before_columns(X):
    np.testing.assert_array_equal(X[..., 2:4].flux, X[:, 2:4].flux)


def test_resolution_per_chip_survives_the_loss_of_the_first_chip():
    X = spectra()[:, WAVE > 5400]
    assert X.resolution.tolist() == [[2000.0 * i] for i in range(1, N + 1)]
    assert set(X.chip) == {0}
    again = X[2:4].replace(ids=None)
    assert again.resolution.tolist() == [[6000.0], [8000.0]]


def test_chips_found_from_the_grid_keep_their_number_when_resolution_has_chips():
    X = spectra(chip=None)
    np.testing.assert_array_equal(X.chip, CHIP)
    sparse = X[:, [0, 5, 6, 9]]  # no step is larger than the others by three
    np.testing.assert_array_equal(sparse.chip, [0, 0, 1, 1])
    assert sparse.resolution.shape == (N, 2)


def test_resolution_per_spectrum_does_not_follow_columns():
    X = spectra(resolution=np.arange(1.0, N + 1))[[2, 1], 3:]
    assert X.resolution.tolist() == [3, 2]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (6, "row 6 of 6 rows"),
        ([0, -7], "row -7 of 6 rows"),
        ((0, 10), "pixel 10 of 10 pixels"),
        (np.ones(5, bool), r"row mask has shape \(5,\); there are 6"),
        ((slice(None), np.ones(9, bool)), "pixel mask"),
        (1.5, "cannot select rows with float64"),
        ("a", "cannot select rows with <U1"),
        (None, "cannot select rows with object"),
        ([[0, 1]], r"shape \(1, 2\)"),
        ((0, 0, 0), "two axes, 3 indices"),
    ],
    ids=str,
)
def test_bad_selections_are_named(X, key, message):
    with pytest.raises(IndexError, match=message):
        X[key]


@pytest.mark.parametrize("cols", [slice(None, None, -1), [2, 1], [1, 1]], ids=str)
def test_pixels_out_of_order_are_refused(X, cols):
    with pytest.raises(ValueError, match="not in order of wavelength"):
        X[:, cols]


def test_iteration_is_by_spectrum(X):
    assert [one.ids[0] for one in X] == X.ids.tolist()
    assert {one.shape for one in X} == {(1, P)}


# -------------------------------------------------------------------- lazy rows
class Counted(np.memmap):
    """A memory map that notes how many values are read of it."""

    read = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        Counted.read += np.size(part)
        return part


@pytest.fixture
def counted(tmp_path):
    values = np.arange(2000.0).reshape(50, 40)
    stored(tmp_path / "flux", values, "<f4")
    Counted.read = 0
    return Counted(tmp_path / "flux", "<f4", mode="r", shape=(50, 40)), values


def test_nothing_is_read_until_it_is_asked_for(counted):
    on_disk, values = counted
    X = Spectra(on_disk, wave=np.arange(5000.0, 5040), medium="air", ids=range(50))
    rows = np.arange(50)[::3]
    part = X[rows][::-1][[0, 2, 4], 5:30][:, [1, 3]]
    part = part.replace(ids=None).to_medium("vacuum")
    assert part.is_lazy
    assert part.shape == (3, 2)
    assert Counted.read == 0
    np.testing.assert_array_equal(
        part.flux, values[rows][::-1][[0, 2, 4]][:, 5:30][:, [1, 3]]
    )
    assert Counted.read <= 3 * 40


def test_the_repr_of_a_map_reads_a_few_rows(counted):
    on_disk, _ = counted
    big = np.broadcast_to(on_disk[:1], (10_000, 40)).view(Counted)
    Counted.read = 0
    X = Spectra(big, wave=np.arange(5000.0, 5040), medium="air")
    assert "on disk" in repr(X)
    assert 0 < Counted.read <= 64 * 40


def test_blocks_read_each_row_once(counted):
    on_disk, values = counted
    X = Spectra(on_disk, wave=np.arange(5000.0, 5040), medium="air")[::2]
    blocks = list(X.iter_blocks(10))
    assert [rows for rows, _ in blocks] == [slice(0, 10), slice(10, 20), slice(20, 25)]
    assert not any(block.is_lazy for _, block in blocks)
    found = np.concatenate([block.flux for _, block in blocks])
    np.testing.assert_array_equal(found, values[::2])
    assert Counted.read == values[::2].size


def test_blocks_are_64_mib_unless_told_otherwise():
    zero = np.broadcast_to(np.float32(0), (5, 2**23))
    X = Spectra(zero, wave=np.arange(1.0, 2**23 + 1), medium="air")
    assert [len(block) for _, block in X.iter_blocks()] == [2, 2, 1]


def test_blocks_of_spectra_in_memory_are_views():
    X = spectra()
    for rows, block in X.iter_blocks(4):
        assert np.shares_memory(block.flux, X.flux)
        np.testing.assert_array_equal(block.ids, X.ids[rows])


def test_blocks_are_in_c_order_whatever_the_whole():
    flux = np.asfortranarray(spectra().flux)
    X = Spectra(flux, 1 + flux**2, wave=spectra().wave, medium="air")
    for rows, block in X.iter_blocks(4):
        assert block.flux.flags.c_contiguous
        assert block.ivar.flags.c_contiguous
        np.testing.assert_array_equal(block.flux, flux[rows])
    assert np.shares_memory(X.flux, flux)


def test_loaded_values_are_native_and_independent_of_the_file(tmp_path):
    X = spectra(flux=stored(tmp_path / "flux", ones), ivar=None)
    loaded = X[1:, 2:].load()
    assert type(loaded.flux) is np.ndarray
    assert loaded.flux.dtype.isnative
    assert loaded.flux.flags.c_contiguous
    loaded.flux[:] = 7
    np.testing.assert_array_equal(X.flux, ones)
    assert type(np.asarray(X)) is np.ndarray


def test_a_map_cannot_be_handed_out_uncopied(tmp_path):
    X = spectra(flux=stored(tmp_path / "flux", ones), ivar=None)
    with pytest.raises(ValueError, match="on disk"):
        np.array(X, copy=False)


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f8", "<f2", "<i2"])
def test_maps_of_any_number_format(tmp_path, dtype):
    X = spectra(flux=stored(tmp_path / "flux", ones, dtype), ivar=None)
    assert X.dtype == (np.float64 if "f8" in dtype else np.float32)
    assert X.flux.dtype == X.dtype
    np.testing.assert_array_equal(X.flux, ones)


def test_maps_are_checked_as_they_are_read(tmp_path):
    bad = stored(tmp_path / "bad", with_value(np.inf))
    X = spectra(flux=bad, ivar=None)
    np.testing.assert_array_equal(X[:3].flux, ones[:3])
    with pytest.raises(ValueError, match="flux is infinite"):
        X.flux  # noqa: B018
    X = spectra(flux=ones, ivar=stored(tmp_path / "ivar", with_value(-1)))
    with pytest.raises(ValueError, match="ivar is negative"):
        X.ivar  # noqa: B018


def test_masks_and_maps_mix(tmp_path):
    on_disk = stored(tmp_path / "flux", ones)
    mask = np.zeros((N, P), dtype=bool)
    mask[1, 2] = True
    for flux, ivar in [
        (np.ma.array(on_disk, mask=mask), on_disk),
        (on_disk, np.ma.array(ones, mask=mask)),
    ]:
        X = spectra(flux=flux, ivar=ivar)
        np.testing.assert_array_equal(np.isnan(X.flux), mask)
        np.testing.assert_array_equal(X.weights(), ~mask)


# ----------------------------------------------------------------------- changes
def test_replace_changes_a_part_and_shares_the_rest():
    X = spectra()
    Y = X.replace(flux=X.flux + 1, meta=None)
    np.testing.assert_array_equal(Y.flux, X.flux + 1)
    assert np.shares_memory(Y.ivar, X.ivar)
    assert Y.meta is None
    assert X.meta is not None
    np.testing.assert_array_equal(Y.resolution, X.resolution)
    with pytest.raises(TypeError, match=r"no part named \['flx'\].*'flux'"):
        X.replace(flx=1)
    with pytest.raises(ValueError, match="flux is infinite"):
        X.replace(flux=with_value(np.inf))


def test_a_new_grid_has_its_own_chips():
    X = spectra(resolution=None, chip=np.arange(P) // 5)
    assert set(X.replace(wave=np.arange(1000.0, 1000 + P)).chip) == {0}


def test_copy_replace():
    change = getattr(copy, "replace", Spectra.__replace__)  # of Python 3.13
    assert change(spectra(), ids=None).ids is None


def test_to_medium_relabels_the_pixels_and_comes_back():
    X = spectra(wave=np.linspace(4713, 7887, P), chip=CHIP)
    Y = X.to_medium("vacuum")
    np.testing.assert_allclose(Y.wave, air_to_vacuum(X.wave), rtol=0)
    assert (Y.wave - X.wave > 1.2).all()
    assert (Y.medium, X.medium) == ("vacuum", "air")
    assert Y.flux is X.flux
    assert X.to_medium("air") is X
    np.testing.assert_allclose(Y.to_medium("air").wave, X.wave, rtol=0, atol=1e-9)


def test_to_medium_of_h_alpha():
    X = Spectra([[0.5]], wave=[6564.614], medium="vacuum")
    assert X.to_medium("air").wave[0] == pytest.approx(6562.80, abs=0.005)


def test_to_medium_needs_a_medium_and_wavelengths():
    with pytest.raises(ValueError, match="medium is 'water'"):
        spectra().to_medium("water")
    with pytest.raises(ValueError, match=r"needs wavelengths.*Spectra\(flux, wave="):
        as_spectra(ones).to_medium("air")


# -------------------------------------------------------------------- concatenate
def test_concatenate_is_the_inverse_of_selection(X):
    whole = spectra()
    joined = Spectra.concatenate([X[:2], X[2:3], X[3:]])
    np.testing.assert_array_equal(joined.flux, whole.flux)
    np.testing.assert_array_equal(joined.ivar, whole.ivar)
    np.testing.assert_array_equal(joined.ids, whole.ids)
    np.testing.assert_array_equal(joined.meta["teff"], whole.meta["teff"])
    np.testing.assert_array_equal(joined.resolution, whole.resolution)
    np.testing.assert_array_equal(joined.chip, CHIP)
    assert joined.medium == "air"
    assert joined.dtype == np.float32


def test_concatenate_of_bare_spectra_stays_bare():
    joined = Spectra.concatenate([as_spectra(ones), as_spectra(ones)])
    assert joined.shape == (2 * N, P)
    assert joined.ivar is joined.ids is joined.meta is joined.resolution is None


def test_concatenate_keeps_labels_that_only_some_have_as_masked():
    X = spectra(meta={"teff": np.ones(N)})
    Y = spectra(meta={"teff": np.ones(N), "logg": np.ones(N)})
    assert Spectra.concatenate([X, Y]).meta["logg"].mask.sum() == N


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"medium": "vacuum"}, "in air and .* in vacuum.*to_medium"),
        ({"wave": WAVE + 0.1}, "differ by up to 0.1 Å.*resample"),
        ({"ivar": None}, r"spectra \[1\] have no ivar.*replace\(ivar=None\)"),
        ({"ids": None}, r"spectra \[1\] have no ids"),
        ({"meta": None}, r"spectra \[1\] have no meta"),
        ({"resolution": None}, r"spectra \[1\] have no resolution"),
        ({"resolution": 1000}, "per spectrum in some parts and per chip"),
        ({"chip": np.arange(P) // 5}, r"spectra\[1\] divide the pixels into diff"),
        ({"wave": None, "medium": None}, r"spectra\[1\] is a plain array"),
    ],
    ids=lambda c: str(c)[:20],
)
def test_concatenate_refuses_what_does_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        Spectra.concatenate([spectra(), spectra(**changes)])


def test_concatenate_refuses_other_grids_and_nothing():
    with pytest.raises(ValueError, match=r"10 pixels and .* 4"):
        Spectra.concatenate([spectra(), spectra()[:, 6:]])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        Spectra.concatenate([])


# -------------------------------------------------------------------- as_spectra
def test_as_spectra_leaves_spectra_as_they_are():
    X = spectra()
    assert as_spectra(X) is X
    assert as_spectra(X, wave=WAVE, medium="air") is X


def test_as_spectra_gives_plain_arrays_a_grid():
    X = as_spectra(ones, wave=WAVE, medium="air")
    assert X.medium == "air"
    assert as_spectra(as_spectra(ones), WAVE, "air").wave.tolist() == WAVE.tolist()
    bare = as_spectra(ones)
    assert bare.wave is None
    assert bare[:, 2:4].wave is None
    assert set(bare.chip) == {0}


def test_as_spectra_refuses_contradictions():
    with pytest.raises(ValueError, match=r"y is in air and medium='vacuum'.*y\.to_me"):
        as_spectra(spectra(), medium="vacuum", name="y")
    with pytest.raises(ValueError, match="y has its own wavelengths"):
        as_spectra(spectra(), wave=WAVE + 0.01, name="y")
    with pytest.raises(ValueError, match="the flux has 10 pixels"):
        as_spectra(spectra(), wave=WAVE[1:])
    with pytest.raises(ValueError, match="wave and medium together"):
        as_spectra(ones, wave=WAVE)


# ------------------------------------------------------------------------- shows
def test_repr_says_what_it_holds():
    text = repr(spectra(flux=with_value(np.nan), ivar=100 * ones))
    for part in (
        "6 spectra of 5 stars × 10 pixels, float32",
        "5000.00 to 5503.00 Å in air, 2 chips",
        "median S/N 10 per pixel",
        "1.7% of pixels",
        "R = 4500 (median)",
        "teff",
    ):
        assert part in text
    assert "on disk" not in text


def test_html_says_the_same_and_is_escaped():
    X = spectra(meta={"<b>teff</b>": np.arange(N)})
    html = X._repr_html_()
    assert html.startswith("<table>")
    assert "&lt;b&gt;teff&lt;/b&gt;" in html
    for name, text in X._facts():
        assert name in html
        assert text in html or "<b>" in text


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (lambda: as_spectra(ones), "noise      unknown"),
        (lambda: spectra(ivar=0 * ones), "known, no pixel has weight"),
        (lambda: spectra()[:0], "0 spectra"),
        (lambda: spectra()[:, :0], "0 pixels"),
        (lambda: spectra(resolution=[np.nan] * N), "resolution unknown"),
        (lambda: spectra(ids=np.array(["a", None, 3, "b", 1.5, "c"], object)), "6 sta"),
        (lambda: spectra(flux=ones * np.nan), "100.0% of pixels"),
        (lambda: spectra(meta={f"m{i}": range(N) for i in range(9)}), "(9 columns)"),
    ],
    ids=range(8),
)
def test_repr_of_odd_spectra(odd, text):
    X = odd()
    assert text in repr(X)
    assert text.split()[-1] in X._repr_html_()


def test_plot_draws_each_spectrum_and_lifts_the_pen_between_chips():
    ax = Figure().subplots()
    X = spectra()
    assert X.plot(ax, rows=[0, 2], offset=100, color="k") is ax
    first, second = ax.lines
    x, y = first.get_data()
    assert np.flatnonzero(np.isnan(x)).tolist() == [6]
    assert np.isnan(y[6])
    np.testing.assert_array_equal(np.delete(x, 6), WAVE)
    np.testing.assert_array_equal(np.delete(second.get_ydata(), 6), X.flux[2] + 100)
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert first.get_color() == "k"
    assert ax.get_xlabel() == "wavelength in air [Å]"


def test_plot_shows_five_spectra_by_default_and_plain_arrays_by_pixel():
    ax = Figure().subplots()
    assert len(as_spectra(ones).plot(ax).lines) == 5
    assert ax.get_xlabel() == "pixel"
    assert len(spectra().plot(Figure().subplots(), rows=3).lines) == 1


def test_plot_makes_its_axes():
    mpl.use("agg")
    import matplotlib.pyplot as plt

    ax = spectra().plot()
    assert len(ax.lines) == 5
    plt.close(ax.figure)


# ----------------------------------------------------------------------- travels
def test_pickle_keeps_everything(X):
    Y = pickle.loads(pickle.dumps(X[1:, 2:]))
    whole = spectra()[1:, 2:]
    np.testing.assert_array_equal(Y.flux, whole.flux)
    np.testing.assert_array_equal(Y.ivar, whole.ivar)
    np.testing.assert_array_equal(Y.wave, whole.wave)
    np.testing.assert_array_equal(Y.ids, whole.ids)
    np.testing.assert_array_equal(Y.meta["teff"], whole.meta["teff"])
    np.testing.assert_array_equal(Y.resolution, whole.resolution)


def test_the_pickle_of_a_few_rows_of_a_map_is_small(tmp_path):
    on_disk = stored(tmp_path / "flux", np.zeros((1000, P)))
    X = Spectra(on_disk, wave=WAVE, medium="air")
    assert len(pickle.dumps(X[:2])) < 5000


def test_train_test_split_takes_everything_along(X):
    train, test, codes, _ = train_test_split(X, np.arange(N), random_state=0)
    assert isinstance(train, Spectra)
    assert len(train) + len(test) == N
    assert train.is_lazy == X.is_lazy
    np.testing.assert_array_equal(train.meta["teff"], codes)
    np.testing.assert_array_equal(train.ids, X.ids[codes])
    np.testing.assert_array_equal(train.flux, spectra().flux[codes])


class Witness(RegressorMixin, BaseEstimator):
    """A regressor that fails unless Spectra arrive whole; predicts the first pixel."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, X, y):
        self._check(X)
        self._check(y)
        assert X.ids.tolist() == y.ids.tolist()
        self.n_pixels_out_ = y.shape[1]
        return self

    def predict(self, X):
        self._check(X)
        return np.repeat(X.flux[:, :1], self.n_pixels_out_, axis=1) + self.shift

    @staticmethod
    def _check(X):
        assert isinstance(X, Spectra)
        assert X.ivar.shape == X.flux.shape == (len(X.ids), len(X.wave))
        np.testing.assert_array_equal(X.flux[:, 0], X.meta["first"])


def minus_chi2(model, X, y):
    """A scorer that needs the noise and the grid of y."""
    assert y.medium == "air"
    return -np.average((model.predict(X) - y.flux) ** 2, weights=y.ivar)


def numbered(n, p, on_disk=None):
    flux = np.tile(np.linspace(0, 1, n, dtype="f4")[:, None], p)
    meta = Table({"first": flux[:, 0]})
    flux = flux if on_disk is None else stored(on_disk, flux)
    return Spectra(
        flux,
        np.ones((n, p), "f4"),
        wave=np.arange(5000.0, 5000 + p),
        medium="air",
        ids=np.arange(n),
        meta=meta,
    )


@pytest.mark.parametrize("where", ["in memory", "on disk"])
def test_searches_in_parallel_slice_spectra(tmp_path, where):
    on_disk = None if where == "in memory" else tmp_path / "flux"
    X = numbered(60, 5000, on_disk)  # above 1 MiB: joblib maps it for its workers
    y = numbered(60, 20)
    model = make_pipeline(FunctionTransformer(), Witness())
    search = GridSearchCV(
        model,
        {"witness__shift": [0.0, 0.5]},
        scoring=minus_chi2,
        cv=KFold(3),
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_ == {"witness__shift": 0.0}
    assert search.best_score_ == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], [0, -0.25])


def test_cross_validate_and_learning_curve_slice_spectra():
    X, y = numbered(30, 8), numbered(30, 4)
    scores = cross_validate(
        Witness(), X, y, cv=3, scoring=minus_chi2, error_score="raise"
    )
    np.testing.assert_allclose(scores["test_score"], 0)
    sizes, _, test = learning_curve(
        Witness(0.1),
        X,
        y,
        cv=3,
        scoring=minus_chi2,
        train_sizes=[0.5, 1.0],
        error_score="raise",
        shuffle=True,
        random_state=0,
    )
    assert sizes.tolist() == [10, 20]
    np.testing.assert_allclose(test, -0.01, rtol=1e-5)


def test_errors_given_as_ivar_are_recognised():
    ivar = np.ones((N, P))
    ivar[3, 2] = 0
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match="not errors"):
        spectra(ivar=1 / np.sqrt(ivar))
    with pytest.raises(ValueError, match="negative") as refused:
        spectra(ivar=with_value(-1))
    assert "not errors" not in str(refused.value)
