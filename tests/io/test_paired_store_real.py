"""Files of the surveys themselves, through a store: what the readers say comes back."""

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specxfer.io import PairedStore, read_apogee, read_galah
from specxfer.linear import PCARidge


@pytest.fixture(scope="module")
def pairs(shared):
    """Files of APOGEE, and four a spectrum of GALAH: of other stars, paired here."""
    real = shared / "real"
    target = []
    for first in sorted(real.glob("galah_dr[34]/" + 15 * "[0-9]" + "1.fits")):
        name = first.name.removesuffix("1.fits")
        target.append([str(first.with_name(f"{name}{ccd}.fits")) for ccd in "1234"])
    source = [str(path) for path in sorted(real.glob("apogee_dr13/*Star-*.fits"))]
    source.insert(3, str(real / "apogee_dr14" / "apogee_dr14_example.npz"))
    assert len(target) == 7
    return source[:7], target


def build(path, source, target, **options):
    return PairedStore.build(
        path,
        source,
        target,
        read_source=read_apogee,
        read_target=read_galah,
        chunk_rows=4,
        **options,
    )


def named(pairs):
    return {"ids": [f"pair {i}" for i in range(len(pairs[0]))]}


@pytest.mark.parametrize("lossless", [True, False])
def test_the_readers_values_come_back(pairs, tmp_path, lossless):
    store = build(tmp_path / "pairs.zarr", *pairs, lossless=lossless, **named(pairs))
    store.verify()
    assert len(store) == 7
    assert "refused" not in store.report["status"]
    X, y = store.source, store.target
    for stored, read, files in ((X, read_apogee, pairs[0]), (y, read_galah, pairs[1])):
        side = "source" if stored is X else "target"
        for i, paths in enumerate(files):
            given, kept = read(paths)[0], stored[[i]]
            known = given.ivar > 0
            assert known.any()
            assert_array_equal(kept.valid(), known)
            if lossless:
                assert_array_equal(kept.flux, given.flux)
                assert_array_equal(kept.ivar, given.ivar)
            else:
                atol = 0.51 * store.card[side]["flux_step"][1]
                assert_allclose(kept.flux[known], given.flux[known], 0, atol)
                assert_allclose(kept.ivar, given.ivar, rtol=2**-8)
            assert_array_equal(kept.wave, given.wave)
            assert_array_equal(kept.chip, given.chip)
            assert_array_equal(kept.resolution, given.resolution)
            assert kept.medium == given.medium
            assert kept.meta.colnames == given.meta.colnames
            for name, column in given.meta.items():
                assert_array_equal(kept.meta[name], column, err_msg=name)
                assert kept.meta[name].unit == column.unit
        if not lossless:
            assert store.card[side]["rounding_over_noise"][1] < 0.02
    model = PCARidge(2).fit(X, y)
    assert_array_equal(model.predict(X), PCARidge(2).fit(X[:], y[:]).predict(X[:]))


def test_what_is_not_whole_is_reported(pairs, shared, tmp_path):
    """A CCD that is missing, a fit that failed, a file of the other survey."""
    source, target = map(list, pairs)
    target[1] = target[1][:3]
    target[2] = str(
        shared / "real/galah_dr4_fit/150411003101372_allstar_fit_spectrum.fits"
    )
    source[4] = target[4][0]
    path = tmp_path / "pairs.zarr"
    store = build(path, source, target, on_error="nan", **named(pairs))
    found = [tuple(row) for row in store.report["pair", "side", "status"].iterrows()]
    assert found == [
        (1, "target", "partial"),
        (2, "target", "refused"),
        (4, "source", "refused"),
    ]
    assert "no CCD 4" in store.report["reason"][0]
    assert "km/s" in store.report["reason"][1]
    assert "use read_galah" in store.report["reason"][2]
    assert not store.target[[2]].valid().any()
    assert store.source[[2]].valid().any()
    assert not store.source[[4]].valid().any()


def test_spectra_that_name_other_stars_are_no_pair(pairs, tmp_path):
    with pytest.raises(ValueError, match="if they are one star"):
        build(tmp_path / "pairs.zarr", *pairs)
