import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline

from specxfer.linear import PCARidge
from specxfer.plotting import HistoryDisplay, plot_history


def history(n=20, seed=0, first=1.0):
    """Losses that fall, the validation's up to epoch 12."""
    epoch = np.arange(1, n + 1)
    noise = np.random.default_rng(seed).normal(0, 0.002, (2, n))
    fall = 0.2 + 0.6 * np.exp(-epoch / 4)
    valid = fall + 0.002 * np.clip(epoch - 12, 0, None) ** 2
    found = {"epoch": epoch, "train_loss": fall + noise[0], "valid_loss": valid + 0.05}
    found["valid_loss"][11] = 0.15  # the lowest
    found["train_loss"][0] *= first
    found["learning_rate"] = 1e-3 * (1 + np.cos(np.pi * epoch / n)) / 2
    found["line_error"] = valid / 10
    return found


class Fitted(BaseEstimator):
    def __init__(self, history, **others):
        self.history_ = history
        vars(self).update(others)

    def translate(self, X):
        return X

    fit = predict = translate


def curves(display, label):
    return [line for line in display.ax_.lines if line.get_label() == label]


def kept(display):
    (ring,) = curves(display, "kept")
    return np.column_stack(ring.get_data()).tolist()


def test_losses_rate_and_the_epoch_kept():
    found = history()
    display = HistoryDisplay.from_history(found).plot()
    for label, name in (("training", "train_loss"), ("validation", "valid_loss")):
        (line,) = curves(display, label)
        np.testing.assert_array_equal(line.get_xdata(), found["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), found[name])
    assert kept(display) == [[12, 0.15]]
    (rate,) = display.rate_ax_.lines
    np.testing.assert_array_equal(rate.get_ydata(), found["learning_rate"])
    assert display.rate_ax_.get_zorder() < display.ax_.get_zorder()  # behind
    legend = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert legend == ["training", "validation", "kept", "learning rate"]
    assert display.figure_ is display.ax_.figure


def test_members_lie_over_each_other_with_one_entry_in_the_legend():
    members = [history(seed=0), history(15, seed=1)]
    display = HistoryDisplay.from_history(members).plot()
    assert len(display.ax_.lines) == 5  # two curves a member, and the rings
    assert len(display.ax_.get_legend().get_texts()) == 4
    assert kept(display) == [[12, 0.15]] * 2
    (rate,) = display.rate_ax_.lines
    assert len(rate.get_xdata()) == 20


def test_a_huge_first_loss_does_not_hide_the_others():
    display = HistoryDisplay.from_history(history(first=1e4)).plot()
    lo, hi = display.ax_.get_ylim()
    late = history()["train_loss"][2:]
    assert lo < late.min()
    assert late.max() < hi < 1


def test_without_validation_the_last_epoch_is_kept():
    found = {"epoch": [1, 2], "train_loss": [0.9, 0.4]}
    display = plot_history(found)
    assert kept(display) == [[2, 0.4]]
    assert display.rate_ax_ is None


def test_a_monitored_value():
    found = history()
    display = HistoryDisplay.from_history(found, best_epoch=3).plot(name="line_error")
    (line,) = curves(display, "line error")
    np.testing.assert_array_equal(line.get_ydata(), found["line_error"])
    assert kept(display) == [[3, found["line_error"][2]]]
    assert display.ax_.get_ylabel() == "line error"
    with pytest.raises(ValueError, match="no 'error' in the history; it has epoch, tr"):
        display.plot(name="error")


@pytest.mark.parametrize("wrap", [lambda model: model, make_pipeline])
def test_the_history_of_an_estimator(wrap):
    model = wrap(Fitted([history(), history()], best_epoch_=[4, 5]))
    display = HistoryDisplay.from_estimator(model)
    assert display.best_epochs == [4, 5]
    assert plot_history(wrap(Fitted(history()))).best_epochs == [12]


def test_an_estimator_without_a_history_is_refused(model):
    with pytest.raises(TypeError, match="PCARidge has no history_"):
        HistoryDisplay.from_estimator(model)
    assert isinstance(model, PCARidge)


def test_it_draws_where_it_is_told_to():
    import matplotlib.pyplot as plt

    figure, (_, ax) = plt.subplots(2, 1)
    display = plot_history(history(), ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]


def test_what_is_no_history_is_refused():
    with pytest.raises(ValueError, match=r"no epoch and no train_loss but \['loss'\]"):
        plot_history({"loss": [1]})
    with pytest.raises(ValueError, match="has no epochs"):
        plot_history({"epoch": [], "train_loss": []})
    with pytest.raises(ValueError, match="2 histories and 1 best epochs"):
        HistoryDisplay.from_history([history(), history()], best_epoch=3)
    with pytest.raises(ValueError, match="0 histories"):
        plot_history([])
