"""An error given as ivar is told, once; honest noise is not."""

import warnings

import numpy as np
import pytest

from specxfer import Spectra
from specxfer.compose import TargetWindow
from specxfer.linear import PCARidge
from specxfer.neural import CNNTranslator


def pair(rng, ivar_of=lambda sigma: sigma**-2.0, snr=50):
    X, y = (1 + 0.1 * rng.standard_normal((2, 40, 30))).astype("f4")
    sigma = np.full(X.shape, 1 / snr, "f4")
    X = Spectra(X, sigma**-2, wave=15000.0 + np.arange(30), medium="vacuum")
    return X, Spectra(y, ivar_of(sigma), wave=5000.0 + np.arange(30), medium="air")


def test_an_error_given_as_ivar_is_told_once(rng):
    X, y = pair(rng, lambda sigma: sigma)
    with pytest.warns(
        UserWarning, match=r"of y, .* is 0\.14; if .* be (49|50)"
    ) as told:
        PCARidge(2).fit(X, y)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_fits_within_a_fit_have_nothing_to_add(rng):
    X, y = pair(rng, lambda sigma: sigma)
    cnn = CNNTranslator(2, n_members=2, width=8, max_epochs=1, n_factors=0)
    for model in (TargetWindow(PCARidge(2), [(5005.0, 5015.0)]), cnn):
        with pytest.warns(UserWarning, match="1 / sigma") as told:
            model.fit(X, y)
        assert len(told) == 1


@pytest.mark.parametrize("snr", [0.5, 3, 100])
def test_honest_noise_is_not_told(rng, snr):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PCARidge(2).fit(*pair(rng, snr=snr))


def test_pixels_of_which_nothing_is_seen_do_not_count(rng):
    X, y = pair(rng)
    ivar = y.ivar.copy()
    ivar[:, ::2] = 0
    ivar[:30] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PCARidge(2).fit(X, y.replace(ivar=ivar))


def test_a_score_of_masked_spectra_says_why(rng):
    X, y = pair(rng)
    model = PCARidge(2).fit(X, y)
    with pytest.raises(ValueError, match="no pixel that counts"):
        model.score(X, y.replace(ivar=np.zeros(y.shape, "f4")))
