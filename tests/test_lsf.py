"""Profiles and matching kernels against integrals and closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad

from specxfer._lsf import lsf_transform, lsf_variance, match

SIGMA = 1 / np.sqrt(8 * np.log(2))  # of a Gaussian of unit FWHM


def profile(x, boxiness):
    return np.exp(-np.log(2) * np.abs(2 * x) ** boxiness)


@pytest.mark.parametrize("boxiness", [1.5, 1.9, 2.2, 2.5, 3.2, 10.0])
def test_transform_and_variance_are_those_of_the_profile(boxiness):
    area = 2 * quad(profile, 0, 8, (boxiness,))[0]
    for frequency in (0.0, 0.31, 2.22, 5.0, 7.7, 11.3):
        integral = 2 * quad(
            lambda x, f=frequency: profile(x, boxiness) * np.cos(f * x), 0, 8, limit=400
        )[0]  # fmt: skip
        ours = lsf_transform(np.array([frequency]), boxiness)
        assert_allclose(ours, integral / area, atol=1e-6)
    moment = 2 * quad(lambda x: x**2 * profile(x, boxiness), 0, 8)[0]
    assert_allclose(lsf_variance(boxiness), moment / area, rtol=1e-6)


def test_exponent_2_is_a_gaussian():
    frequency = np.linspace(0, 12, 50)
    expected = np.exp(-0.5 * (SIGMA * frequency) ** 2)
    assert_allclose(lsf_transform(frequency, 2), expected, atol=1e-15)
    assert_allclose(lsf_transform(frequency, 2 + 1e-9), expected, atol=1e-7)
    assert_allclose(lsf_variance(2), SIGMA**2)


def test_gaussian_to_gaussian_adds_the_missing_variance():
    (kernel,) = match(np.array([4.0]), np.array([5.5]), 2.0, 20).kernels
    x = np.arange(-20, 21)
    sigma = SIGMA * np.sqrt(5.5**2 - 4.0**2)
    expected = np.exp(-0.5 * (x / sigma) ** 2) / sigma / np.sqrt(2 * np.pi)
    assert_allclose(kernel, expected, atol=1e-7)
    found = match(np.array([4.0]), np.array([3.9]), 2.0, 20)
    assert found.error == np.inf  # that would be sharpening


def test_the_same_gaussian_is_left_alone():
    (kernel,) = match(np.array([4.0]), np.array([4.0]), 2.0, 12).kernels
    assert_allclose(kernel, np.arange(-12, 13) == 0, atol=1e-12)


@pytest.mark.parametrize("boxiness", [1.9, 2.05, 2.5, 3.0])
def test_a_boxy_line_becomes_a_gaussian_within_the_stated_error(boxiness):
    had, wanted = 3.7, 3.7 * 1.4
    found = match(np.array([had]), np.array([wanted]), boxiness, 32)
    assert found.error < 1e-3
    assert found.gain <= 1 + 1e-9
    assert_allclose(found.kernels.sum(axis=1), 1, atol=1e-12)
    # a line this sharp is not held by the samples: what lies beyond their Nyquist
    # frequency comes back below it, and goes through the kernel
    omega = np.linspace(0, np.pi, 500)
    response = np.cos(np.outer(omega, np.arange(-32, 33))) @ found.kernels[0]
    folds = np.array([-4, -2, 2, 4])[:, None] * np.pi + omega
    aliased = np.abs(lsf_transform(folds * had, boxiness) * response).sum()
    limit = found.error + 1.1 * aliased / lsf_transform(omega * wanted, 2).sum()
    assert limit < 3e-3
    x = np.arange(-80, 81)
    for phase in (0.0, 0.3):  # where the line falls on a pixel
        area = 2 * quad(profile, 0, 8, (boxiness,))[0] * had
        line = profile((x - phase) / had, boxiness) / area
        matched = np.convolve(line, found.kernels[0], "same")
        sigma = wanted * SIGMA
        expected = np.exp(-0.5 * ((x - phase) / sigma) ** 2)
        expected /= sigma * np.sqrt(2 * np.pi)
        assert np.abs(matched - expected).max() <= limit * expected.max()


def test_too_little_room_for_a_boxy_profile_shows_as_error_or_gain():
    ratios = [1.0, 1.05, 1.2, 1.4]
    found = [match(np.array([3.7]), np.array([3.7 * r]), 2.5, 32) for r in ratios]
    errors = [f.error for f in found]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 5e-3 > errors[2]
    assert found[0].gain > 1.1 > found[2].gain
