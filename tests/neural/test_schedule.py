import math

import pytest

from specxfer.neural import Schedule


def test_the_rate_rises_linearly_then_falls_as_a_cosine():
    settings = Schedule(learning_rate=2.0, warmup=0.1)
    assert settings.rate(0, 1000) == pytest.approx(2 / 100)
    assert settings.rate(49, 1000) == pytest.approx(1)
    assert settings.rate(99, 1000) == settings.rate(100, 1000) == 2
    assert settings.rate(550, 1000) == pytest.approx(1)
    assert settings.rate(325, 1000) == pytest.approx(1 + math.cos(math.pi / 4))
    assert settings.rate(1000, 1000) == 0
    assert 0 < settings.rate(999, 1000) < 1e-5


def test_without_warmup_it_starts_at_its_peak():
    assert Schedule(learning_rate=0.5, warmup=0).rate(0, 7) == 0.5
    assert Schedule(learning_rate=0.5, warmup=1).rate(6, 7) == 0.5


def test_the_best_is_the_lowest_and_small_gains_do_not_count_as_progress():
    losses = [3.0, 2.0, 2.5, 1.95, 1.92]
    assert Schedule().best(losses) == (4, 0)
    assert Schedule(min_delta=0.1).best(losses) == (4, 3)
    assert Schedule().best([1.0, 1.0, 1.0]) == (0, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_epochs", 0), ("ema", 1.0), ("clip", 0), ("warmup", 1.5), ("patience", 0)],
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected"):
        Schedule(**{name: value})


def test_the_last_epoch_is_kept_if_asked():
    values = [3.0, 1.0, 2.0]
    assert Schedule().best(values) == (1, 1)
    assert Schedule(keep="last").best(values) == (2, 1)
    with pytest.raises(ValueError, match="keep is 'first'"):
        Schedule(keep="first")
