"""
The lines of a star
===================

Eight lines of heavy elements in the giant that is richest in them, as observed, as
translated, and as a null guesses them that knows only the star's labels.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.baselines import NullTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import LineGalleryDisplay

X, y, truth = make_paired_spectra(800, size="small", random_state=1)
train, test = np.arange(600), np.arange(600, 800)

model = PCARidge(n_components=20).fit(X[train], y[train])
null = NullTranslator("labels", labels=["teff", "logg", "fe_h", "alpha_fe"])
null.fit(X[train], y[train])

# %%
# Of the stars kept apart, the giant with the most of what the s-process makes. A mean
# star would look good in nearly every pixel; here it would not.

giant = np.asarray(X.meta["giant"])[test]
richest = int(np.argmax(np.where(giant, X.meta["s_process"][test], -np.inf)))

# %%
# Bands are one and two standard deviations of the noise-free flux. Numbers are
# equivalent widths in mÅ, and the error of the translated one is from the covariance of
# its pixels: they err together, so errors of single pixels would promise too much.

LineGalleryDisplay.from_estimator(
    model,
    X[test],
    y[test],
    load_lines("galah", names=KEY_LINES),
    rows=richest,
    null=null,
    truth=truth[test],
).plot(null_label="labels alone")
plt.show()

# %%
# Where the blue line leaves the vermilion one and follows the black one, the infrared
# spectrum has said something about this star that its labels do not.
