"""Lines of the real Sun and of mu Leo, as read, are where the templates have them."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "line_positions.py"


@pytest.fixture(scope="module")
def found(shared):
    if not (shared / "lte/pairs_dev.npz").is_file():
        pytest.skip("no synthetic pairs: lte/pairs_dev.npz is missing")
    script = runpy.run_path(str(SCRIPT))
    return script["bar_stars"](
        shared, script["Templates"](shared / "lte/pairs_dev.npz")
    )


@pytest.mark.parametrize(("star", "bar"), [("the Sun", 0.3), ("mu Leo", 1.0)])
def test_velocities_are_within_the_bar(found, star, bar):
    assert set(found[star]) == {"all", 1, 2, 3, 4}
    for where, (velocity, error) in found[star].items():
        assert abs(velocity) < bar, where
        assert error < 0.1  # so that a miss would show
