"""Spectra of the simulator: curve of growth, blur, shift, and who feels what."""

import numpy as np
import pytest

from specxfer.datasets._reversing_layer import LineList, ReversingLayer
from specxfer.datasets._synthesis import Synthesizer, blur_of, harris
from specxfer.datasets._universe import (
    background_lines,
    known_lines,
    line_list,
)
from specxfer.lines import load_lines

SPEED_OF_LIGHT = 299_792.458
WAVE = np.exp(np.log(6000.0) + np.arange(600) * 1.5 / SPEED_OF_LIGHT)


def line(wave=WAVE[300], loggf=-3.0, species="Fe I", ep=2.0):
    columns = np.broadcast_arrays(np.atleast_1d(wave), loggf, ep)
    wave, loggf, ep = (np.array(column, dtype=float) for column in columns)
    return LineList(np.full(len(wave), species), wave, ep, loggf)


def star(**changes):
    return ReversingLayer(**{"teff": 5777.0, "logg": 4.44, "fe_h": 0.0, **changes})


def flux(synthesizer, layer, blur=5.0, velocity=None):
    n = len(layer)
    velocity = None if velocity is None else np.full(n, float(velocity))
    transform = synthesizer.transform(layer)
    return synthesizer.record(transform, np.full(n, blur), velocity).T


def width(spectrum, wave=WAVE):
    """Equivalent width, Å."""
    return ((1 - spectrum) * np.gradient(wave)).sum(axis=-1)


def growth(depths, damping_pressure=None):
    """Equivalent widths of one line, alone, at optical depths of its centre."""
    layer = star()
    if damping_pressure is not None:
        layer.log_pg = layer.log_pg + damping_pressure
    unit, _, _ = layer.line_strengths(line(loggf=0.0))
    out = []
    for depth in np.atleast_1d(depths):
        lines = line(loggf=np.log10(depth / unit[0, 0]))
        alone = Synthesizer(WAVE, lines=lines)
        alone._hydrogen = []
        out.append(width(flux(alone, layer))[0])
    return np.array(out)


def slope(depths, widths):
    return np.polyfit(np.log10(depths), np.log10(widths), 1)[0]


def test_curve_of_growth_is_linear_for_weak_lines():
    depths = np.array([1e-3, 3e-3, 1e-2, 3e-2])
    assert slope(depths, growth(depths)) == pytest.approx(1, abs=0.015)


def test_curve_of_growth_is_flat_then_rises_with_damping():
    flat = np.array([10.0, 30.0, 100.0])
    without_damping = growth(flat, damping_pressure=-4)
    assert slope(flat, without_damping) < 0.25
    # between τ1 and τ2 the width grows as sqrt(ln τ)
    expected = np.sqrt(np.log(100.0) / np.log(10.0))
    assert without_damping[2] / without_damping[0] == pytest.approx(expected, rel=0.06)
    damped = np.array([3e3, 1e4, 3e4])
    assert slope(damped, growth(damped)) == pytest.approx(0.5, abs=0.04)


def test_weak_line_has_the_equivalent_width_of_theory():
    layer, lines = star(), line(loggf=-6.5)
    depth, doppler, _ = layer.line_strengths(lines)
    assert depth[0, 0] < 0.03
    alone = Synthesizer(WAVE, lines=lines)
    contrast = 1 - layer.floor(lines.wave)[0, 0]
    theory = np.sqrt(np.pi) * depth * doppler / SPEED_OF_LIGHT * lines.wave * contrast
    assert width(flux(alone, layer))[0] == pytest.approx(theory[0, 0], rel=0.02)


def test_harris_function_has_the_lorentzian_wing():
    u = np.array([10.0, 30.0])
    np.testing.assert_allclose(harris(u), 1 / (np.sqrt(np.pi) * u**2), rtol=0.02)
    assert harris(0.0) == pytest.approx(-2 / np.sqrt(np.pi))


def test_blends_saturate_together_and_never_below_the_floor():
    layer = star()
    both = line(wave=np.array([WAVE[300], WAVE[301]]), loggf=0.5)
    blend = flux(Synthesizer(WAVE, lines=both), layer)
    single = flux(Synthesizer(WAVE, lines=both[:1]), layer)
    assert width(blend)[0] < 1.7 * width(single)[0]
    assert blend.min() > layer.floor(WAVE[300])[0, 0] - 1e-3
    assert blend.max() <= 1 + 1e-5


def test_blur_lowers_the_core_and_keeps_the_equivalent_width():
    layer = star()
    synthesizer = Synthesizer(WAVE, lines=line(loggf=-2.0))
    sharp, blurred = (flux(synthesizer, layer, blur)[0] for blur in (4.0, 8.0))
    assert 1 - blurred.min() < 0.8 * (1 - sharp.min())
    assert width(blurred) == pytest.approx(width(sharp), rel=1e-3)


def test_blur_is_the_gaussian_of_the_resolution():
    # an unresolved line shows the line-spread function itself
    layer = star(vmic=0.5)
    synthesizer = Synthesizer(WAVE, lines=line(loggf=-5.5))
    blur = blur_of(10_000.0, 0.0)
    depth = 1 - flux(synthesizer, layer, blur)[0]
    v = np.log(WAVE / WAVE[300]) * SPEED_OF_LIGHT
    centre = (v * depth).sum() / depth.sum()
    variance = ((v - centre) ** 2 * depth).sum() / depth.sum()
    _, doppler, _ = layer.line_strengths(line())
    fwhm = np.sqrt((variance - doppler[0, 0] ** 2 / 2) * 8 * np.log(2))
    assert fwhm == pytest.approx(SPEED_OF_LIGHT / 10_000, rel=0.01)
    assert blur_of(10_000.0, 5.0) == pytest.approx(np.hypot(blur, 5.0))


def test_velocity_shifts_to_the_red():
    layer = star()
    synthesizer = Synthesizer(WAVE, lines=line(loggf=-3.0))
    v = np.log(WAVE / WAVE[300]) * SPEED_OF_LIGHT
    for velocity in (-3.3, 0.0, 2.0):
        depth = 1 - flux(synthesizer, layer, velocity=velocity)[0]
        assert (v * depth).sum() / depth.sum() == pytest.approx(velocity, abs=0.02)


def test_pixels_do_not_depend_on_the_stretch_computed():
    layer = star(teff=4700.0, logg=2.5)
    whole = flux(Synthesizer(WAVE), layer)
    part = flux(Synthesizer(WAVE[150:400]), layer)
    np.testing.assert_allclose(part, whole[:, 150:400], atol=1e-3)


@pytest.mark.parametrize(
    ("survey", "element"), [("galah", "Ba"), ("galah", "Li"), ("apogee", "Ce")]
)
def test_spectrum_responds_to_an_element_at_its_lines_and_nowhere_else(survey, element):
    lines = [li.to_medium("vacuum") for li in load_lines(survey, measurable=False)]
    own = [li.wave for li in lines if li.element == element]
    others = [li.wave for li in lines if li.element != element]
    stars = star(teff=4700.0, logg=2.5, x_fe={element: np.array([0.0, 0.3])})
    for wave in own:
        if min(abs(wave - other) for other in [*own, 0.0] if other != wave) < 4:
            continue
        pixels = wave + np.arange(-60, 61) * 0.05
        spectra = flux(Synthesizer(pixels), stars)
        change = spectra[0] - spectra[1]
        assert change[60] > 1e-5
        assert change.argmax() == pytest.approx(60, abs=2)
        # 100 km/s away nothing of it is left
        far = np.abs(pixels - wave) > wave * 100 / SPEED_OF_LIGHT
        assert np.abs(change[far]).max(initial=0) < 0.02 * change[60] + 1e-5
    for wave in others[:6]:
        if min(abs(wave - w) for w in own) > 6:
            pixels = wave + np.arange(-20, 21) * 0.05
            spectra = flux(Synthesizer(pixels), stars)
            np.testing.assert_allclose(spectra[0], spectra[1], atol=2e-6)


def test_heavy_elements_have_their_own_lines_and_no_others():
    background = set(background_lines(4700.0, 4800.0).names)
    known = set(known_lines()[0].names)
    assert not background & known
    assert not [s for s in background if s.split()[0] in {k.split()[0] for k in known}]


def test_universe_is_the_same_whatever_part_of_it_is_looked_at():
    part = line_list(4750.0, 4760.0)
    whole = line_list(4700.0, 4900.0)
    inside = (whole.wave >= 4750.0) & (whole.wave <= 4760.0)
    np.testing.assert_array_equal(part.wave, whole.wave[inside])
    np.testing.assert_array_equal(part.loggf, whole.loggf[inside])
    assert (np.diff(whole.wave) >= 0).all()
