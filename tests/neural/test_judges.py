"""Judges: a gain must hold for stars that had no say in what was chosen."""

import numpy as np

from specxfer.neural._judges import Judges


def test_they_are_a_fifth_and_share_no_star(rng):
    stars = rng.permutation(np.repeat(np.arange(200), 3))
    judges = Judges.of(stars, 0)
    choosing, judging = (set(stars[m]) for m in (judges.choosing, judges.judging))
    assert (len(choosing), len(judging)) == (14, 26)
    assert not choosing & judging
    assert judges.left_out.sum() == 120  # all rows of each
    assert (Judges.of(stars, 0).judging == judges.judging).all()
    assert (Judges.of(stars, 1).judging != judges.judging).any()


def test_luck_is_seldom_taken_for_a_gain(rng):
    """Of 20 rounds that gain nothing the best on all stars would often seem to."""
    judges = Judges.of(np.arange(500), 0)
    proved = lucky = 0
    for _ in range(400):
        gains = rng.standard_normal((20, 100))
        proved += judges.prove(gains[judges.best(gains)])
        means = gains.mean(axis=1)
        lucky += means.max() > gains.std() / 10
    assert proved < 0.05 * 400  # 2.3%, give or take 0.7%
    assert lucky > 0.9 * 400


def test_a_gain_is_proved_by_the_stars_that_judge(rng):
    stars = np.arange(500)
    judges = Judges.of(stars, 0)
    judging = judges.judging[judges.left_out]
    noise = rng.standard_normal(100)
    assert judges.prove(noise + 1)
    assert not judges.prove(noise + np.where(judging, 0, 10))
    assert judges.prove(noise + np.where(judging, 1, -10))
    assert not judges.prove(np.zeros(100))
    few = [noise, noise + np.where(judging, -9, 1), noise + np.where(judging, 9, -1)]
    assert judges.best(few) == 1


def test_rows_of_a_star_count_once(rng):
    """Repeats of a star are no proof of their own."""
    once = rng.standard_normal(20) + 0.3
    one, nine = (Judges.of(np.tile(np.arange(100), n), 0) for n in (1, 9))
    assert nine.left_out.sum() == 9 * 20
    gains = np.tile(once, 9)
    np.testing.assert_allclose(
        nine.gain(gains, nine.judging), one.gain(once, one.judging)
    )
    assert nine.prove(gains) == one.prove(once)


def test_too_few_stars_cannot_judge():
    assert not Judges.of(np.arange(14), 0).can_judge
    assert Judges.of(np.arange(20), 0).can_judge
