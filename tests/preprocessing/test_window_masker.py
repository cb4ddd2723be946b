import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from specxfer import Spectra, air_to_vacuum
from specxfer.linear import PCARidge
from specxfer.lines import Line
from specxfer.preprocessing import WindowCropper, WindowMasker

WAVE = np.arange(6490, 6500, 0.05)
BA = Line("Ba II 6497", "Ba", "Ba II", 6496.897, "air", 6496.70, 6497.28)


@pytest.fixture
def X(rng):
    flux = rng.normal(1, 0.1, (40, len(WAVE))).astype(np.float32)
    return Spectra(flux, flux**2, wave=WAVE, medium="air")


@pytest.mark.parametrize(
    "options",
    [
        {"windows": BA},
        {"windows": [BA, (6492, 6493)], "pad": 0.3},
        {"pixels": [3, -1]},
        {"windows": BA, "pixels": slice(5)},
    ],
)
def test_it_hides_what_the_cropper_keeps(X, options):
    hidden = WindowCropper(**options).fit(X).pixels_
    out = WindowMasker(**options).fit_transform(X)
    assert_array_equal(out.valid(), np.broadcast_to(~hidden, X.shape))
    assert_array_equal(out.flux[:, ~hidden], X.flux[:, ~hidden])
    assert_array_equal(out.ivar, np.where(hidden, 0, X.ivar))
    assert_array_equal(out.wave, X.wave)


def test_lines_are_converted_to_the_medium_of_the_spectra(X):
    in_vacuum = X.replace(wave=air_to_vacuum(WAVE), medium="vacuum")
    assert_array_equal(
        WindowMasker(BA).fit(in_vacuum).pixels_, WindowMasker(BA).fit(X).pixels_
    )


def test_neither_hides_nothing_and_copies_nothing(X):
    assert np.shares_memory(WindowMasker().fit_transform(X).flux, X.flux)


def test_the_model_behind_it_never_sees_what_is_hidden(X, rng):
    y = 1 + X.flux[:, :3]
    model = make_pipeline(WindowMasker(BA), PCARidge(3)).fit(X, y)
    hidden = model[0].pixels_
    other = X.flux.copy()
    other[:, hidden] = rng.random((len(X), hidden.sum()))
    assert_array_equal(model.predict(X.replace(flux=other)), model.predict(X))


def test_hiding_everything_is_an_error(X):
    with pytest.raises(ValueError, match="nothing is left"):
        WindowMasker((6480, 6510)).fit(X)
    with pytest.raises(ValueError, match=r"6490\.00 to"):
        WindowMasker((4000, 4001)).fit(X)
