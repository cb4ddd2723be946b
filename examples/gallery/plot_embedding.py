"""
One space for both surveys
==========================

`AlignmentTranslator` puts spectra of both surveys on one sphere, the two of a star next
to each other. A star that only one survey saw can then be compared with a library of
the other.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.neural import AlignmentTranslator
from specxfer.plotting import EmbeddingDisplay, RetrievalDisplay

X, y, _ = make_paired_spectra(500, size="small", random_state=9)
train, test = np.arange(350), np.arange(350, 500)

# A small space, trained briefly: an example, not a recommendation.
model = AlignmentTranslator(
    16,
    base=PCARidge(n_components=15),
    n_components=15,
    n_members=2,
    max_epochs=15,
    space_epochs=15,
)
model.fit(X[train], y[train])

# %%
# The space, flattened to its two largest components, of stars that had no part in the
# training. Lines join the two spectra of a star: short ones mean that both surveys
# agree where it belongs.

EmbeddingDisplay.from_estimator(
    model, X[test], y[test], values=X.meta["fe_h"][test], label="[Fe/H] [dex]"
).plot()
plt.show()

# %%
# From the source spectrum alone: the stars of a library of target spectra that are
# nearest, and their spectra beside the observed one.

lines = load_lines("galah", names=["Ba II 6497", "Zr I 4772", "Ce II 4774"])
RetrievalDisplay.from_estimator(model, X[test], y[train], y[test], rows=[0, 1, 2]).plot(
    windows=lines
)
plt.show()
