"""
How a network learns
====================

`CNNTranslator` keeps the history of its training. A look at it tells whether it was
long enough, and whether it ended for the right reason.
"""

from matplotlib import pyplot as plt

from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.neural import CNNTranslator
from specxfer.plotting import plot_history

X, y, _ = make_paired_spectra(400, size="small", random_state=15)

# Fewer networks, components and epochs than by default: this is an example.
model = CNNTranslator(
    n_components=15,
    base=PCARidge(n_components=15),
    n_members=2,
    max_epochs=60,
    patience=60,
)
model.fit(X, y)

# %%
# Each network leaves some stars out. The loss of the training stars falls on and on;
# what counts is the error of the others, and the weights kept are those of its best
# epoch.

plot_history(model)
plt.show()

# %%
# With a few hundred stars a network adds little. How far it is trusted beside
# `PCARidge`, component by component of the target, is learnt as well:

model.share_.round(2)
