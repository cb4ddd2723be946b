"""
Can its errors be trusted?
==========================

Every translated pixel has a standard deviation. If it is right, the observed flux lies
within one of them, together with its noise, in 68% of the pixels, and so on for every
other share.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import CalibrationDisplay

X, y, _ = make_paired_spectra(800, size="small", snr_target=150, random_state=6)
train, test = np.arange(600), np.arange(600, 800)
model = PCARidge(n_components=20).fit(X[train], y[train])

# %%
# On the left how often intervals hold what they should; on the diagonal they are right.
# On the right where in the predicted distribution the observed flux falls: flat if all
# is right, a hump if errors are stated too large, a bowl if too small. Bands are over
# stars, as pixels of one star err together.

CalibrationDisplay.from_estimator(
    model, X[test], y[test], load_lines("galah", names=KEY_LINES)
).plot(pit=True)
plt.show()

# %%
# A curve over all lines can hide one that is wrong: ``plot(line="Ba II 6497")`` shows
# that line alone. Where errors are off, :class:`specxfer.compose.ConformalTranslator`
# scales them by stars that it keeps from the fit.
