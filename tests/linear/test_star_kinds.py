"""Kinds of star, where there are two and where there are none."""

import numpy as np
import pytest

from specxfer.linear._star_kinds import StarKinds


def two_kinds(rng, n=600):
    """Features of two kinds of star, that differ in two of them."""
    other = rng.random(n) < 0.3
    features = rng.standard_normal((n, 12))
    features[:, [2, 5]] += np.where(other, 4, 0)[:, None]
    return features, other


def test_two_kinds_are_told_apart(rng):
    features, other = two_kinds(rng)
    kinds = StarKinds.of(features, np.ones(len(features)))
    new, other = two_kinds(rng)
    found = kinds(new)
    found = found if found[other].mean() > 0.5 else 1 - found
    assert np.mean((found > 0.5) == other) > 0.98
    assert ((found >= 0) & (found <= 1)).all()


def test_a_membership_is_how_likely_it_is(rng):
    """Between Gaussians that overlap: of stars that are 0.2 to 0.4, so many are."""
    other = rng.random(20_000) < 0.5
    features = rng.standard_normal((20_000, 3))
    features[:, 0] += np.where(other, 3.0, 0)
    found = StarKinds.of(features, np.ones(len(features)))(features)
    found = found if found[other].mean() > 0.5 else 1 - found
    some = (found > 0.2) & (found < 0.4)
    assert np.mean(other[some]) == pytest.approx(np.mean(found[some]), abs=0.1)


def test_a_weight_is_as_many_stars(rng):
    features, _ = two_kinds(rng, 80)
    weight = rng.integers(0, 4, 80)
    one = StarKinds.of(features, weight.astype(float))
    rows = np.repeat(np.arange(80), weight)
    many = StarKinds.of(features[rows], np.ones(len(rows)))
    np.testing.assert_allclose(one(features), many(features), atol=1e-8)


@pytest.mark.parametrize("shape", [(5, 0), (5, 3), (1, 2)])
def test_stars_that_do_not_differ_are_half_of_each(shape):
    kinds = StarKinds.of(np.ones(shape), np.ones(shape[0]))
    assert (kinds(np.ones(shape)) == 0.5).all()


def test_kinds_without_any_difference_within_are_told_apart():
    features = np.repeat([[0.0, 1.0], [3.0, 1.0]], 4, axis=0)
    found = StarKinds.of(features, np.ones(8))(features)
    assert sorted(found.round(3).tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_star_is_what_it_is_in_any_company(rng):
    features, _ = two_kinds(rng)
    kinds = StarKinds.of(features, np.ones(len(features)))
    together = kinds(features)
    assert (together[:7] == kinds(features[:7])).all()
    assert (together[3] == kinds(features[3:4])).all()
