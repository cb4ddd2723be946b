"""
Translators side by side
========================

Which translator is better, at which line, and is the difference more than chance? They
are cross-validated over the same stars, so that the answer is paired star by star.
"""

from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline

from specxfer.datasets import make_paired_spectra
from specxfer.linear import MatchedScores, PCARidge, SpectralRidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.plotting import ComparisonDisplay
from specxfer.validation import compare_translators

X, y, _ = make_paired_spectra(500, size="small", random_state=16)

# %%
# Any regressor of many outputs may take part. The null is added by itself: it knows
# four labels of each star and not its spectrum.

found = compare_translators(
    {
        "5 components": PCARidge(n_components=5),
        "15 components": PCARidge(n_components=15),
        "matched scores": make_pipeline(MatchedScores(15), SpectralRidge()),
    },
    X,
    y,
    load_lines("galah", names=KEY_LINES),
    cv=2,
)
print(found.to_markdown())

# %%
# Errors have the known noise of the observed spectra taken off. At the lines of heavy
# elements the infrared tells what labels do not. Over all pixels the null is ahead
# here: most lines follow from four labels, which have no errors, and each fold learns
# from 250 stars only. With 2,000 stars and 40 components it is behind there too.

ComparisonDisplay.from_table(found.table).plot()
plt.show()
