"""
What a line listens to
======================

Which source pixels does the predicted strength of Ce II 4774 hang on? If the answer
were lines of iron, the translator would guess cerium from metallicity.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.plotting import AttributionDisplay
from specxfer.validation import attribution

X, y, _ = make_paired_spectra(700, size="small", random_state=3)
model = PCARidge(n_components=30).fit(X[:600], y[:600])
cerium = load_lines("galah", names="Ce II 4774")[0]

# %%
# The derivative of the predicted equivalent width by the flux of each source pixel, for
# one giant. Below are the windows that matter most, with the lines of cerium marked.

giant = int(np.flatnonzero(np.asarray(X.meta["giant"])[600:])[0])
AttributionDisplay.from_estimator(model, X[600:], cerium, row=giant).plot()
plt.show()

# %%
# As a table, over a few stars: the source lines whose windows hold the largest
# gradient.

attribution(model, X[600:605], cerium).top("Ce II 4774", 5, by="gradient")
