"""Air and vacuum."""

import numpy as np
import pytest

from specxfer import air_to_vacuum, vacuum_to_air


@pytest.mark.parametrize(
    ("vacuum", "air"),
    [
        (6564.614, 6562.80),  # Hα
        (4862.683, 4861.325),  # Hβ
        (5008.240, 5006.843),  # [O III]
    ],
)
def test_known_lines(vacuum, air):
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=0.01)
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=0.01)


def test_the_two_are_inverse_to_a_billionth_of_an_angstrom():
    wave = np.linspace(3500, 17500, 3001)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(wave)), wave, atol=1e-9)
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(wave)), wave, atol=1e-9)


def test_air_is_shorter_and_keeps_the_order():
    wave = np.linspace(3500, 17500, 3001)
    air = vacuum_to_air(wave)
    assert (air < wave).all()
    assert (np.diff(air) > 0).all()
    # the refractivity of air falls with wavelength, from 2.9e-4 to 2.7e-4
    refractivity = wave / air - 1
    assert (np.diff(refractivity) < 0).all()
    assert 2.7e-4 < refractivity[-1] < refractivity[0] < 2.9e-4


def test_lists_and_single_numbers_are_read():
    assert vacuum_to_air([5000.0, 6000.0]).shape == (2,)
    assert np.ndim(air_to_vacuum(5000)) == 0
