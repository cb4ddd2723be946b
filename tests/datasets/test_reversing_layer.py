"""The line formation of the simulator against the physics it is made of."""

import numpy as np
import pytest

from specxfer.datasets._atoms import ELEMENTS, HEAVY, atoms, log_partition
from specxfer.datasets._reversing_layer import EV_PER_KT, LineList, ReversingLayer


def layer(teff=5777.0, logg=4.44, fe_h=0.0, **kwargs):
    return ReversingLayer(teff, logg, fe_h, **kwargs)


def one_line(species="Fe I", wave=6000.0, ep=2.0, loggf=-3.0):
    columns = np.broadcast_arrays(np.atleast_1d(species), wave, ep, loggf)
    return LineList(*(np.array(column) for column in columns))


def at_temperature(temperature):
    """Layers of given temperature and equal pressure."""
    star = layer(np.full(np.shape(temperature), 5777.0))
    star.temperature = np.asarray(temperature, dtype=float)
    star.theta = EV_PER_KT / star.temperature
    return star


def test_cold_gas_is_neutral_and_hot_gas_ionised():
    neutral, ionised = at_temperature([1500.0, 25_000.0]).ion_fractions()
    metals = [i for i, e in enumerate(ELEMENTS) if e not in ("H", "C", "N", "O", "S")]
    assert (neutral[metals, 0] > 0.999).all()
    assert (neutral[:, 1] < 1e-3).all()
    assert (neutral >= 0).all()
    assert (ionised >= 0).all()
    assert (neutral + ionised <= 1 + 1e-12).all()


def test_saha_ratio_follows_the_ionisation_potential_and_the_electrons():
    star = layer([5000.0])
    neutral, ionised = star.ion_fractions()
    ratio = np.log10(ionised / neutral)[:, 0]
    table = atoms()
    # of two elements only χ and the partition functions differ
    a, b = ELEMENTS.index("Fe"), ELEMENTS.index("Ca")
    u = [log_partition(table[f"log_u{k}"], star.temperature)[[a, b], 0] for k in (1, 2)]
    expected = -star.theta[0] * (table["ion1"][a] - table["ion1"][b])
    expected += (u[1][0] - u[0][0]) - (u[1][1] - u[0][1])
    assert ratio[a] - ratio[b] == pytest.approx(expected, rel=1e-6)
    # a tenth of the electrons, ten times the ions
    star.log_pe = star.log_pe - 1
    neutral, ionised = star.ion_fractions()
    assert np.log10(ionised / neutral)[a, 0] == pytest.approx(ratio[a] + 1)


def test_solar_iron_is_mostly_ionised_but_iron_of_cool_giants_is_not():
    neutral, _ = layer([5777.0, 4000.0], [4.44, 1.5], [0.0, 0.0]).ion_fractions()
    iron = neutral[ELEMENTS.index("Fe")]
    assert iron[0] < 0.5 < iron[1]


def test_boltzmann_ratio_of_two_lines_of_a_species():
    lines = one_line(ep=np.array([1.0, 4.0]))
    stars = layer(np.array([4000.0, 5000.0, 6000.0]))
    depth, _, _ = stars.line_strengths(lines)
    electron_volt, boltzmann = 1.602176634e-12, 1.380649e-16  # cgs
    expected = np.exp(-3.0 * electron_volt / (boltzmann * stars.temperature))
    np.testing.assert_allclose(depth[1] / depth[0], expected, rtol=1e-4)


def test_optical_depth_is_proportional_to_gf_and_to_abundance():
    lines = one_line("Ba II", loggf=np.array([-1.0, 0.0]))
    stars = layer(5000.0, x_fe={"Ba": np.array([0.0, 1.0])})
    depth, _, _ = stars.line_strengths(lines)
    np.testing.assert_allclose(depth[1] / depth[0], 10)
    np.testing.assert_allclose(depth[:, 1] / depth[:, 0], 10)


def test_ions_are_stronger_in_giants_and_neutral_minorities_hardly_feel_gravity():
    lines = one_line(np.array(["Ba II", "Zr I"]), ep=0.6)
    depth, _, _ = layer([4800.0, 4800.0], [2.0, 4.5], [0.0, 0.0]).line_strengths(lines)
    electrons = 10 ** ((4.5 - 2.0) / 3)
    assert depth[0, 0] / depth[0, 1] == pytest.approx(electrons, rel=0.05)
    assert 0.8 < depth[1, 0] / depth[1, 1] < 1.6


def test_lines_of_one_element_do_not_feel_another():
    lines = one_line(np.array(["Ba II", "Fe I", "Ce II", "CN"]))
    depth, _, _ = layer(4800.0, 2.5, x_fe={"Ba": np.array([0.0, 0.5])}).line_strengths(
        lines
    )
    change = depth[:, 1] / depth[:, 0]
    assert change[0] == pytest.approx(10**0.5)
    np.testing.assert_array_equal(change[1:], 1)


def test_doppler_width_is_thermal_and_turbulent():
    lines = one_line(np.array(["Li I", "Ba II"]))
    star = layer(5777.0, vmic=1.2)
    _, doppler, _ = star.line_strengths(lines)
    boltzmann, unit = 1.380649e-16, 1.66053907e-24
    for b, mass in zip(doppler[:, 0], (6.94, 137.327), strict=True):
        thermal = 2 * boltzmann * star.temperature[0] / (mass * unit) * 1e-10
        assert b**2 == pytest.approx(thermal + 1.2**2, rel=1e-3)


def test_damping_grows_with_pressure():
    _, _, damping = layer(5000.0, np.array([1.0, 2.5, 4.5])).line_strengths(one_line())
    assert (np.diff(damping[0]) > 0).all()
    assert damping.max() < 0.2


def test_carbon_and_oxygen_are_conserved_in_carbon_monoxide():
    stars = layer(np.array([3500.0, 4200.0, 5000.0, 6500.0]), 3.0)
    neutral, _ = stars.ion_fractions()
    shares, free = stars.molecule_shares(neutral)
    for element in ("C", "O"):
        i = ELEMENTS.index(element)
        total = 10 ** stars.log_abundance[i] * neutral[i]
        np.testing.assert_allclose(shares["CO"] + free[element] * total, total)
    # cold gas: all carbon, the rarer of the two, is in CO; hot gas: none
    assert (np.diff(free["C"]) > 0).all()
    assert free["C"][0] < 0.02
    assert free["C"][-1] > 0.98
    assert free["O"][0] == pytest.approx(1 - 10 ** (8.46 - 8.69), abs=0.02)


def test_carbon_monoxide_obeys_the_law_of_mass_action():
    star = layer(4600.0, 2.5)
    neutral, _ = star.ion_fractions()
    shares, free = star.molecule_shares(neutral)
    p_h = 0.91 * 10**star.log_pg
    pressure = {
        e: p_h
        * 10 ** star.log_abundance[ELEMENTS.index(e)]
        * neutral[ELEMENTS.index(e)]
        * free[e]
        for e in ("C", "O")
    }
    constant = pressure["C"] * pressure["O"] / (shares["CO"] * p_h)
    np.testing.assert_allclose(constant, star._dissociation_constant("CO"), rtol=1e-6)


def test_molecules_fade_with_temperature():
    depth, _, _ = layer(np.array([4000.0, 5000.0, 6000.0]), 4.5).line_strengths(
        one_line(np.array(["OH", "CO", "CN", "MgH"]), wave=16_000.0, ep=0.5)
    )
    assert (np.diff(depth[[0, 1, 3]], axis=1) < 0).all()
    assert depth[2, 2] < depth[2, 1]


def test_saturated_cores_keep_the_light_of_the_layer():
    star = layer(5000.0)
    planck = [
        1 / np.expm1(1.438777e8 / (5000.0 * t)) for t in (star.temperature[0], 5000.0)
    ]
    assert star.floor(5000.0)[0, 0] == pytest.approx(planck[0] / planck[1])
    assert star.floor(16_000.0)[0, 0] > star.floor(5000.0)[0, 0]


def test_constants_are_complete():
    table = atoms()
    assert np.isfinite(np.delete(table["ion2"], ELEMENTS.index("H"))).all()
    for name in ("mass", "abundance", "ion1", "log_u1", "log_u2"):
        assert np.isfinite(table[name]).all()
    assert HEAVY == (
        "Rb", "Sr", "Y", "Zr", "Mo", "Ru", "Ba", "La", "Ce", "Nd", "Sm", "Eu", "Dy",
        "Yb",
    )  # fmt: skip
    share = table["s_fraction"][[ELEMENTS.index(e) for e in HEAVY]]
    assert ((share > 0) & (share < 1)).all()
