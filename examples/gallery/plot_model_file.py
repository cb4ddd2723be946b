"""
A model for others
==================

A pickle executes what its author wants. `specxfer.save` writes a file that holds data
and no code, with a card that says what the model is.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import specxfer
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import load_lines
from specxfer.plotting import SpectrumDisplay

X, y, truth = make_paired_spectra(500, size="small", random_state=14)
model = PCARidge(n_components=20).fit(X[:400], y[:400])

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "small.skops"
specxfer.save(
    model,
    path,
    training=(X[:400], y[:400]),
    licence="CC-BY-4.0",
    metrics={"score, 100 stars left out": model.score(X[400:], y[400:])},
    description="400 simulated stars, for an example.",
)

# %%
# The card is read without making the model. It is what the author says: nothing proves
# it.

card = specxfer.read_card(path)
card

# %%
# Loaded on another machine, it translates to the same bits.

again = specxfer.load(path)
assert np.array_equal(again.predict(X[400:]), model.predict(X[400:]))

SpectrumDisplay.from_estimator(again, X[400:], y[400:], row=3, truth=truth[400:]).plot(
    window=(6495.5, 6498.5), lines=load_lines("galah", names="Ba II 6497")
)
plt.show()

# %%
folder.cleanup()
