"""
Where it is good
================

One number for all stars says little. The Kiel diagram shows where intervals hold what
they promise, and where translated lines are off.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import CoverageMapDisplay

X, y, _ = make_paired_spectra(1500, size="small", random_state=7)
train, test = np.arange(600), np.arange(600, 1500)
model = PCARidge(n_components=20).fit(X[train], y[train])
lines = load_lines("galah", names=KEY_LINES)

# %%
# Dots are the stars. White is right; one colour means errors stated too small there,
# the other too large.

CoverageMapDisplay.from_estimator(model, X[test], y[test], lines).plot(
    gridsize=12, min_stars=8
)
plt.show()

# %%
# And the mean error at one line: a translator may be right on average and wrong in the
# coolest giants.

CoverageMapDisplay.from_estimator(
    model, X[test], y[test], lines[1], quantity="bias"
).plot(gridsize=12, min_stars=8)
plt.show()
