import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from specxfer.lines import KEY_LINES, Line, as_windows, load_lines, window_pixels
from specxfer.wavelengths import air_to_vacuum


@pytest.fixture
def barium():
    return load_lines("galah", names="Ba II 6497")[0]


@pytest.mark.parametrize("survey", ["galah", "apogee"])
def test_tables_are_sound(survey):
    lines = load_lines(survey, measurable=False)
    assert len({line.name for line in lines}) == len(lines)
    assert np.all(np.diff([line.wave for line in lines]) > 0)
    for line in lines:
        assert line.species.split()[0] == line.element
        assert line.source
        air = line.to_medium("air").wave
        assert line.name == f"{line.species} {round(air)}"
        if line.has_window:
            assert line.lo < line.wave < line.hi
        else:
            assert line.note


def test_tables_use_the_medium_of_the_survey():
    assert {line.medium for line in load_lines("galah")} == {"air"}
    assert {line.medium for line in load_lines("apogee")} == {"vacuum"}


def test_key_lines_come_in_order_and_have_windows():
    lines = load_lines("galah", names=KEY_LINES)
    assert tuple(line.name for line in lines) == KEY_LINES
    assert all(line.has_window and line.purity_giant > 0.7 for line in lines)


def test_lines_are_selected_by_element_and_species():
    assert {x.element for x in load_lines("galah", ["Ba", "Y"])} == {"Ba", "Y"}
    assert {x.species for x in load_lines("galah", species="Y II")} == {"Y II"}
    assert load_lines("galah", "Ba", "Ba II") == load_lines("galah", "Ba")


def test_lines_without_a_window_are_left_out_unless_asked_for():
    names = {line.name for line in load_lines("galah")}
    every = {line.name for line in load_lines("galah", measurable=False)}
    assert every - names == {"Nd II 4764", "Nd II 6740", "Sm II 4746"}
    assert load_lines("apogee", names=["Ce II 15830"])[0].name == "Ce II 15830"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"survey": "gaia"}, "there are tables for"),
        ({"survey": "galah", "elements": ["Ba", "Xx"]}, r"\['Xx'\] not in the galah"),
        ({"survey": "galah", "species": "Ba I"}, "Ba I"),
        ({"survey": "galah", "names": "Ba 6497"}, "Ba 6497"),
    ],
)
def test_unknown_names_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_lines(**arguments)


def test_a_line_without_window_says_what_to_do():
    line = load_lines("galah", names="Nd II 6740")[0]
    with pytest.raises(ValueError, match=r"CCD3.*with_window"):
        _ = line.window
    assert line.with_window(6739.8, 6740.4).window == (6739.8, 6740.4)
    with pytest.raises(ValueError, match="lo < hi"):
        line.with_window(6740.4, 6739.8)


def test_lines_change_medium_and_back(barium):
    vacuum = barium.to_medium("vacuum")
    assert vacuum.wave == pytest.approx(6498.692, abs=1e-3)
    assert vacuum.to_medium("air").window == pytest.approx(barium.window, abs=1e-6)
    assert barium.to_medium("air") is barium
    with pytest.raises(ValueError, match="medium is 'vac'"):
        barium.to_medium("vac")


def test_windows_in_every_form(barium):
    pair = [list(barium.window)]
    for windows in (
        barium,
        barium.window,
        [barium],
        np.array(pair),
        barium.window * u.AA,
        (barium.window * u.AA).to(u.nm),
    ):
        np.testing.assert_allclose(as_windows(windows, "air"), pair)
    mixed = as_windows([barium, (4883.4, 4883.9)], "vacuum")
    assert mixed[0, 0] == pytest.approx(air_to_vacuum(barium.lo))
    assert mixed[1].tolist() == [4883.4, 4883.9]


@pytest.mark.parametrize(
    ("windows", "error"),
    [
        ([], ValueError),
        ((5000.0, 4000.0), ValueError),
        ((5000.0, np.inf), ValueError),
        (["Ba II 6497"], TypeError),
        ([(1, 2, 3)], TypeError),
    ],
)
def test_bad_windows_are_errors(windows, error):
    with pytest.raises(error, match="window"):
        as_windows(windows)


def test_window_pixels_are_those_whose_centre_is_inside():
    wave = np.arange(5000, 5010, 0.5)
    picked = window_pixels([(5001, 5002), (5001.5, 5003.2)], wave, "air")
    assert wave[picked].tolist() == [5001, 5001.5, 5002, 5002.5, 5003]


def test_window_pixels_convert_lines_to_the_medium_of_the_grid(barium):
    wave = np.arange(6490, 6505, 0.01)
    in_air = window_pixels(barium, wave, "air")
    in_vacuum = window_pixels(barium, air_to_vacuum(wave), "vacuum")
    np.testing.assert_array_equal(in_air, in_vacuum)
    assert wave[in_air].min() == pytest.approx(barium.lo, abs=0.01)


def test_a_narrow_window_takes_the_pixel_it_falls_on():
    wave = np.arange(5000.0, 5010)
    picked = window_pixels((5003.1, 5003.3), wave, "air")
    assert wave[picked].tolist() == [5003]


@pytest.mark.parametrize("window", [(4000, 4001), (5012, 5013), (5004.9, 5005.1)])
def test_windows_without_pixels(window):
    wave = np.delete(np.arange(5000.0, 5010), [4, 5, 6])  # a gap
    with pytest.raises(ValueError, match="no pixel in"):
        window_pixels(window, wave, "air")
    assert not window_pixels(window, wave, "air", outside="ignore").any()


@pytest.mark.parametrize(
    ("medium", "said"),
    [
        ("air", "Ba II 6497, 6496.70 to 6497.28 Å: the grid runs from 5000.00"),
        ("vacuum", "Å in air, which is 6498.50 to 6499.07 Å in vacuum: the grid"),
    ],
)
def test_a_line_without_pixels_is_named_with_its_own_numbers(barium, medium, said):
    with pytest.raises(ValueError, match=said) as refused:
        window_pixels([(5003, 5004), barium], np.arange(5000.0, 5010), medium)
    assert "Ba II 6497, 6496.70 to 6497.28 Å" in str(refused.value)


def test_windows_grow_by_the_pad(barium):
    wave = np.arange(6490, 6505, 0.01)
    picked = window_pixels(barium, wave, "air", pad=1)
    wide = window_pixels((barium.lo - 1, barium.hi + 1), wave, "air")
    np.testing.assert_array_equal(picked, wide)


def test_names_of_lines_are_no_elements():
    with pytest.raises(ValueError, match="these are names of lines: give names="):
        load_lines("galah", KEY_LINES)


@pytest.mark.parametrize("windows", [[], ((5003, 5004) for _ in range(0))])
def test_no_window_is_an_error(windows):
    with pytest.raises(ValueError, match="no window"):
        window_pixels(windows, np.arange(5000.0, 5010), "air")


def test_windows_need_wavelengths():
    with pytest.raises(ValueError, match="wave="):
        window_pixels((5000, 5001), None, None)
    with pytest.raises(ValueError, match="medium="):
        window_pixels((5000, 5001), [5000.0], None)


def test_an_unusable_line_is_an_error_where_pixels_are_wanted():
    line = Line("X I 5000", "X", "X I", 5000.0, "air")
    with pytest.raises(ValueError, match="with_window"):
        window_pixels(line, np.arange(4990.0, 5010), "air")


def test_tables_agree_with_the_facts_they_were_made_from(shared):
    facts = Table.read(shared / "lines" / "lines_galah.csv")
    lines = {round(x.wave, 3): x for x in load_lines("galah", measurable=False)}
    for row in facts:
        line = lines[round(float(row["wave_air"]), 3)]
        assert line.element == row["element"]
        assert line.ep == row["lep_eV"]
        assert line.loggf == float(str(row["loggf"]).rstrip("*"))
        if line.has_window:
            assert line.window == (row["mask_lo_air"], row["mask_hi_air"])
    facts = Table.read(shared / "lines" / "lines_apogee.csv")
    lines = {x.wave: x for x in load_lines("apogee", measurable=False)}
    assert len(lines) == len(facts)
    for row in facts:
        line = lines[row["wave_vac"]]
        assert line.species == row["species"]
        assert line.to_medium("air").wave == pytest.approx(row["wave_air"], abs=0.01)


def test_a_name_is_no_window_and_where_names_go_is_said():
    with pytest.raises(TypeError, match=r"'Ba II 5854' is no window.*load_lines\(surv"):
        as_windows("Ba II 5854")
