"""The FITS module against astropy."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import ReadError
from specxfer.io._fits import Header, open_fits


def assert_as_astropy(path):
    ours = open_fits(path)
    with fits.open(path, memmap=False) as theirs:
        assert len(ours) == len(theirs)
        for mine, hdu in zip(ours, theirs):
            assert mine.name == hdu.name.lower().replace("primary", "")
            if isinstance(hdu, fits.BinTableHDU):
                row = mine.first_row([name.upper() for name in hdu.columns.names])
                for name, value in row.items():
                    np.testing.assert_array_equal(
                        np.ravel(value), np.ravel(hdu.data[name][0]), err_msg=name
                    )
            elif hdu.data is not None:
                np.testing.assert_array_equal(mine.data, hdu.data)
            for key in ("CRVAL1", "CDELT1", "SNR", "OBJ", "2MASS_ID", "RVCOM", "NAXIS"):
                assert mine.header.get(key) == hdu.header.get(key)
    return ours


def test_written_files_read_as_astropy_reads_them(write, tmp_path):
    assert_as_astropy(write.aspcapstar(tmp_path / "a.fits"))
    assert_as_astropy(write.apstar(tmp_path / "b.fits"))
    assert_as_astropy(write.galah_dr4(tmp_path, 1)[0])
    assert_as_astropy(write.galah_dr3(tmp_path, 2)[3])


def test_real_files_read_as_astropy_reads_them(shared):
    folder = shared / "real"
    for pattern in (
        "apogee_dr13/aspcap*2M0*.fits",
        "galah_dr3/*1.fits",
        "galah_dr4/*54.fits",
    ):
        for path in folder.glob(pattern):
            assert_as_astropy(path)


def test_table_columns_after_strings_and_bits(write, tmp_path):
    hdu = open_fits(write.aspcapstar(tmp_path / "a.fits"))[4]
    row = hdu.first_row(("APOGEE_ID", "STARFLAG", "NOT_THERE"))
    assert row["APOGEE_ID"] == "2M00000000+0000001"
    assert row["STARFLAG"] == 512
    assert "NOT_THERE" not in row


def test_scaled_integers(tmp_path):
    data = np.array([1, 2, 65535], np.uint16)  # astropy stores it with BZERO
    fits.PrimaryHDU(data).writeto(tmp_path / "u.fits")
    np.testing.assert_array_equal(open_fits(tmp_path / "u.fits")[0].data, data)


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("NAME    = 'it''s / here'        / a comment", "it's / here"),
        ("NAME    =                   42 / a comment", 42),
        ("NAME    =             -1.5D+03", -1500.0),
        ("NAME    =                    T / true", True),
        ("NAME    =", ""),
    ],
)
def test_card_values(card, value):
    assert Header(card.ljust(80).encode())["NAME"] == value


def test_a_key_inside_another_card_is_not_found():
    cards = (
        "COMMENT " + "x" * 22 + "SNR     = 3.0".ljust(50) + "SNR     = 7.0".ljust(80)
    )
    assert Header(cards.encode())["SNR"] == 7.0
    assert Header(cards[:80].encode()).get("SNR", "absent") == "absent"


def test_gzipped_file(write, tmp_path):
    plain = write.aspcapstar(tmp_path / "a.fits")
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    np.testing.assert_array_equal(open_fits(packed)[1].data, open_fits(plain)[1].data)
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(ReadError, match="damaged gzip"):
        open_fits(packed)


def test_a_truncated_file_is_refused_or_lacks_a_part(write, tmp_path):
    whole = write.aspcapstar(tmp_path / "a.fits").read_bytes()
    end = len(whole.rstrip(b"\0"))  # what follows is padding
    path = tmp_path / "cut.fits"
    reasons = []
    for length in np.linspace(100, end - 1, 80).astype(int):
        path.write_bytes(whole[:length])
        try:
            assert len(open_fits(path)) < 5
        except ReadError as error:
            reasons.append(error.reason)
    assert len(reasons) > 65  # the rest was cut in the padding between two parts
    assert all("truncated in HDU" in reason for reason in reasons)
