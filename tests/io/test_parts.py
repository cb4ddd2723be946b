"""read_parts against astropy, which reads the same files."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import ReadError
from specxfer.io._parts import read_parts


@pytest.fixture
def path(tmp_path, rng):
    """Images of all kinds, a table, cards of all kinds."""
    hdus = [fits.PrimaryHDU()]
    for kind in ("u1", "i2", "i4", "i8", "f4", "f8"):
        values = (100 * rng.standard_normal((3, 70))).astype(kind)
        hdus.append(fits.ImageHDU(values, name=f"of {kind}"))
    scaled = fits.ImageHDU(np.arange(40, dtype="u2"), name="zero of 32768")
    columns = [
        fits.Column("a", "D", array=rng.random(9)),
        fits.Column("B", "3E", array=rng.random((9, 3))),
        fits.Column("c", "L", array=rng.random(9) < 0.5),
        fits.Column("d", "7A", array=["star"] * 9),
        fits.Column("e", "K", array=np.arange(9)),
    ]
    hdus += [scaled, fits.BinTableHDU.from_columns(columns, name="table")]
    header = hdus[0].header
    header["TEFF"] = (5777.5, "K / a comment with a / slash")
    header["NAME"] = "Barnard's / star"
    header["TINY"] = -1.5e-12
    header["WHOLE"] = -42
    header["GOOD"] = True
    header["LONG"] = "x" * 100
    header["EMPTY"] = None
    header["COMMENT"] = "FAKE    = 1.0"
    fits.HDUList(hdus).writeto(tmp_path / "all.fits")
    return tmp_path / "all.fits"


def test_it_reads_what_astropy_reads(path):
    parts = read_parts(path)
    with fits.open(path) as hdus:
        assert [p.name for p in parts] == ["", *(h.name.lower() for h in hdus[1:])]
        for part, hdu in zip(parts[1:-1], hdus[1:-1]):
            assert part.shape == hdu.shape
            np.testing.assert_array_equal(part.data, hdu.data)
        table, columns = hdus[-1].data, parts[-1].columns
        assert list(columns) == ["a", "b", "c", "d", "e"]
        for name in ("a", "b", "e"):
            np.testing.assert_array_equal(columns[name], table[name])
        np.testing.assert_array_equal(columns["c"] == b"T", table["c"])
        np.testing.assert_array_equal(columns["d"].astype("U"), table["d"])


def test_cards(path):
    header = read_parts(path)[0].header
    with fits.open(path) as hdus:
        for key in ("TEFF", "NAME", "TINY", "WHOLE", "GOOD", "BITPIX"):
            assert header[key] == hdus[0].header[key]
    assert header["GOOD"] is True
    assert header["LONG"] == "x" * 67  # its first card
    assert header.get("FAKE") is None
    with pytest.raises(KeyError):
        header["NONE"]
    with pytest.raises(ValueError, match="EMPTY"):
        header["EMPTY"]


def test_gzip(path, tmp_path):
    packed = tmp_path / "all.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert len(read_parts(packed)) == len(read_parts(path))
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ReadError, match="damaged or truncated"):
        read_parts(packed)


def test_real_files(shared):
    for file in sorted((shared / "real").rglob("*.fits")):
        parts = read_parts(file)
        with fits.open(file, memmap=False) as hdus:
            assert len(parts) == len(hdus)
            for part, hdu in zip(parts, hdus):
                if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU)) and hdu.shape:
                    np.testing.assert_array_equal(part.data, hdu.data)


def test_what_ends_too_early_is_refused(path):
    whole = path.read_bytes()
    for length in range(0, len(whole.rstrip(b"\0")) - 1, 997):
        path.write_bytes(whole[:length])
        try:
            parts = read_parts(path)
        except ReadError:
            continue
        # cut between two parts: those that are there are whole
        assert length % 2880 == 0
        assert len(parts) < 9
