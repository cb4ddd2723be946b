"""Opening FITS files: what astropy says of them, and every damage a refusal."""

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import ReadError
from specxfer.io._files import integer, number, text
from specxfer.io._fits import first_row, open_fits, shape_of


def part(path, place):
    """The pixels of one HDU."""
    with open_fits(path) as hdus:
        return np.array(hdus[place].data)


def everything(path):
    """Read all there is: (names or shapes of the parts, and their pixels)."""
    with open_fits(path) as hdus:
        return [None if hdu.data is None else np.array(hdu.data) for hdu in hdus]


def test_a_row_of_a_table_is_the_one_astropy_reads(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    names = ("APOGEE_ID", "STARFLAG", "ASPCAPFLAG", "PARAM", "NOT_THERE")
    with open_fits(path) as hdus:
        row = first_row(hdus[4], names)
    assert set(row) == set(names[:4])
    table = fits.getdata(path, 4)
    assert text(row, "APOGEE_ID") == table["APOGEE_ID"][0] == "2M00000000+0000001"
    np.testing.assert_array_equal(row["PARAM"], table["PARAM"][0])
    assert row["STARFLAG"] == table["STARFLAG"][0] == 512
    assert integer(row, "ASPCAPFLAG") == 2**31


def test_real_rows_are_those_astropy_reads(shared):
    names = ("FILE", "APOGEE_ID", "SNR", "VHELIO_AVG", "PARAM", "TEFF", "STARFLAG")
    for path in sorted(shared.glob("real/apogee_dr13/aspcap*2M0*.fits")):
        with open_fits(path) as hdus:
            row = first_row(hdus[4], names)
        table = fits.getdata(path, 4)
        assert set(row) == set(names) & set(table.names)
        for name, value in row.items():
            value = text(row, name) if isinstance(value, bytes) else value
            np.testing.assert_array_equal(value, table[name][0], err_msg=name)


def test_what_has_no_first_row(tmp_path):
    empty = fits.BinTableHDU(np.zeros(0, [("A", "f4")]))
    whole = fits.HDUList([fits.PrimaryHDU(np.ones(3)), empty])
    whole.writeto(tmp_path / "a.fits")
    with open_fits(tmp_path / "a.fits") as hdus:
        assert first_row(hdus[0], ("A",)) == {}
        assert first_row(hdus[1], ("A",)) == {}
        assert [shape_of(hdu) for hdu in hdus] == [(3,), ()]


def test_scaled_columns_are_left_out(tmp_path):
    columns = [
        fits.Column("A", "E", array=[1.5]),
        fits.Column("B", "I", bzero=2**15, array=np.array([7], np.uint16)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    with open_fits(tmp_path / "a.fits") as hdus:
        assert first_row(hdus[1], ("A", "B")) == {"A": 1.5}


def test_a_table_whose_rows_have_another_length(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'9E      '", b"'8E      '"))
    with pytest.raises(ReadError, match="a row has"), open_fits(path) as hdus:
        first_row(hdus[4], ("PARAM",))


def test_scaled_integers(tmp_path):
    data = np.array([1, 2, 65535], np.uint16)  # stored with BZERO
    fits.PrimaryHDU(data).writeto(tmp_path / "u.fits")
    np.testing.assert_array_equal(part(tmp_path / "u.fits", 0), data)


def test_cards_without_a_value(tmp_path):
    hdu = fits.PrimaryHDU(np.ones(3))
    hdu.header["SNR"], hdu.header["OBJ"] = 17.0, "it's / here"
    hdu.header["BLANK_ID"] = None
    hdu.writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    broken = content.replace(b"17.0", b"1:;0")
    (tmp_path / "a.fits").write_bytes(broken)
    with open_fits(tmp_path / "a.fits") as hdus:
        header = hdus[0].header
        assert text(header, "OBJ") == "it's / here"
        assert text(header, "BLANK_ID") == ""
        assert np.isnan(number(header, "BLANK_ID"))
        assert np.isnan(number(header, "SNR"))
        assert integer(header, "SNR") == -1
        assert text(header, "SNR") == ""
        assert np.isnan(number(header, "ABSENT"))


def test_gzipped_file(write, tmp_path):
    plain = write.aspcapstar(tmp_path / "a.fits")
    packed = tmp_path / "a.fits.gz"
    content = gzip.compress(plain.read_bytes())
    packed.write_bytes(content)
    np.testing.assert_array_equal(part(packed, 1), part(plain, 1))
    for damaged in (
        content[: len(content) // 2],  # truncated
        content[:-1],
        content[:-8] + bytes(4) + content[-4:],  # another checksum
        gzip.compress(plain.read_bytes()[:40_000]),
    ):
        packed.write_bytes(damaged)
        with pytest.raises(ReadError, match="damaged or truncated"):
            everything(packed)


def test_a_truncated_file_is_refused_or_lacks_a_part(write, tmp_path):
    whole = write.aspcapstar(tmp_path / "a.fits").read_bytes()
    end = len(whole.rstrip(b"\0"))  # what follows is padding
    path = tmp_path / "cut.fits"
    refused = 0
    for length in np.linspace(100, end - 1, 80).astype(int):
        path.write_bytes(whole[:length])
        try:
            n_parts = len(everything(path))
        except ReadError as error:
            refused += "damaged or truncated" in error.reason
        else:
            assert n_parts < 5
    assert refused > 75  # the rest was cut exactly between two parts


def test_warnings_and_their_filters_stay_as_they_were(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes()[:50_000])
    before = list(warnings.filters)
    with pytest.raises(ReadError):
        everything(path)
    assert warnings.filters == before
