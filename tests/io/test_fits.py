"""The parts of FITS files: as astropy reads them, and every damage a refusal."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from specxfer.io import ReadError
from specxfer.io._files import identifier, integer, number, text
from specxfer.io._fits import first_row, read_parts, shape_of

END = b"END".ljust(80)


def part(path, place):
    """The pixels of one HDU."""
    return np.array(read_parts(path)[place].data)


def everything(path):
    """Read all the images there are."""
    return [part.data if shape_of(part) else None for part in read_parts(path)]


def test_a_row_of_a_table_is_the_one_astropy_reads(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    names = ("APOGEE_ID", "STARFLAG", "ASPCAPFLAG", "PARAM", "NOT_THERE")
    row = first_row(read_parts(path)[4], names)
    assert set(row) == set(names[:4])
    table = fits.getdata(path, 4)
    assert text(row, "APOGEE_ID") == table["APOGEE_ID"][0] == "2M00000000+0000001"
    np.testing.assert_array_equal(row["PARAM"], table["PARAM"][0])
    assert row["STARFLAG"] == table["STARFLAG"][0] == 512
    assert integer(row, "ASPCAPFLAG") == 2**31


def test_real_rows_are_those_astropy_reads(shared):
    names = ("FILE", "APOGEE_ID", "SNR", "VHELIO_AVG", "PARAM", "TEFF", "STARFLAG")
    for path in sorted(shared.glob("real/apogee_dr13/aspcap*2M0*.fits")):
        row = first_row(read_parts(path)[4], names)
        table = fits.getdata(path, 4)
        assert set(row) == set(names) & set(table.names)
        for name, value in row.items():
            value = text(row, name) if isinstance(value, bytes) else value
            np.testing.assert_array_equal(value, table[name][0], err_msg=name)


def test_whole_numbers_keep_their_digits(tmp_path):
    given = {"GAIA": 3335074476514836609, "SMALL": -7, "REAL": 2.5, "ROUND": 3.0}
    header = fits.Header(given)
    fits.PrimaryHDU(header=header).writeto(tmp_path / "a.fits")
    cards = read_parts(tmp_path / "a.fits")[0].header
    assert {name: cards[name] for name in given} == given
    assert text(cards, "GAIA") == identifier(cards, "GAIA") == str(given["GAIA"])
    assert integer(cards, "GAIA") == given["GAIA"]
    assert [identifier(cards, n) for n in ("SMALL", "REAL", "NONE")] == [""] * 3


def test_what_has_no_first_row(tmp_path):
    empty = fits.BinTableHDU(np.zeros(0, [("A", "f4")]))
    whole = fits.HDUList([fits.PrimaryHDU(np.ones(3)), empty])
    whole.writeto(tmp_path / "a.fits")
    parts = read_parts(tmp_path / "a.fits")
    assert first_row(parts[0], ("A",)) == {}
    assert first_row(parts[1], ("A",)) == {}
    assert [shape_of(part) for part in parts] == [(3,), ()]


def test_scaled_columns_are_left_out(tmp_path):
    columns = [
        fits.Column("A", "E", array=[1.5]),
        fits.Column("B", "I", bzero=2**15, array=np.array([7], np.uint16)),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    assert first_row(read_parts(tmp_path / "a.fits")[1], ("A", "B")) == {"A": 1.5}


def test_a_table_whose_rows_have_another_length(write, tmp_path):
    path = write.aspcapstar(tmp_path / "a.fits")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"'9E      '", b"'8E      '"))
    part = read_parts(path)[4]
    with pytest.raises(ValueError, match="a row has"):
        first_row(part, ("PARAM",))


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
    header = read_parts(tmp_path / "a.fits")[0].header
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


@pytest.fixture
def all_kinds(tmp_path, rng):
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


def test_it_reads_what_astropy_reads(all_kinds):
    parts = read_parts(all_kinds)
    with fits.open(all_kinds) as hdus:
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


def test_cards(all_kinds):
    header = read_parts(all_kinds)[0].header
    with fits.open(all_kinds) as hdus:
        for key in ("TEFF", "NAME", "TINY", "WHOLE", "GOOD", "BITPIX"):
            assert header[key] == hdus[0].header[key]
    assert header["GOOD"] is True
    assert header["LONG"] == "x" * 67  # its first card
    assert header.get("FAKE") is None
    with pytest.raises(KeyError):
        header["NONE"]
    with pytest.raises(ValueError, match="EMPTY"):
        header["EMPTY"]


def test_real_files(shared):
    for file in sorted((shared / "real").rglob("*.fits")):
        parts = read_parts(file)
        with fits.open(file, memmap=False) as hdus:
            assert len(parts) == len(hdus)
            for part, hdu in zip(parts, hdus):
                if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU)) and hdu.shape:
                    np.testing.assert_array_equal(part.data, hdu.data)


def test_columns_that_are_not_read_have_their_place(tmp_path):
    """Bits, complex numbers and lists of any length, before the column asked for."""
    columns = [
        fits.Column("BITS", "11X", array=np.ones((2, 11), bool)),
        fits.Column("COMPLEX", "2C", array=np.ones((2, 2), complex)),
        fits.Column("LISTS", "PE()", array=np.array([[1.0], [2.0, 3.0]], object)),
        fits.Column("A", "2E", array=[[1, 2], [3, 4]]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    part = read_parts(tmp_path / "a.fits")[1]
    assert list(part.columns) == ["a"]
    rows = part.rows(("BITS", "A"))
    assert [row["A"].tolist() for row in rows] == [[1, 2], [3, 4]]


def test_absurd_sizes_are_refused(tmp_path):
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((3, 5)))]).writeto(
        tmp_path / "a.fits"
    )
    content = (tmp_path / "a.fits").read_bytes()
    for axis, size in ((b"NAXIS1", 5), (b"NAXIS2", 3)):
        card = axis + b"  = " + str(size).rjust(20).encode()
        content = content.replace(card, axis + b"  = " + b"%20d" % 2**33)
    (tmp_path / "a.fits").write_bytes(content)
    with pytest.raises(ReadError, match="ends beyond the end of the file"):
        read_parts(tmp_path / "a.fits")


def test_a_header_whose_end_is_damaged_does_not_take_the_next_one(all_kinds):
    content = all_kinds.read_bytes()
    ends = [at for at in range(0, len(content), 80) if content[at : at + 80] == END]
    assert len(ends) == 9
    for at in ends:
        damaged = content[:at] + b"END 7" + content[at + 5 :]
        all_kinds.write_bytes(damaged)
        with pytest.raises(ReadError, match="damaged or truncated"):
            read_parts(all_kinds)
