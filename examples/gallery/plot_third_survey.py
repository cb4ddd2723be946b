"""
A survey of your own
====================

Nothing in the code knows APOGEE or GALAH. A survey is a wavelength grid, a medium and a
reader. Here a low-resolution optical survey, made up, is translated to GALAH's
resolution.
"""

import numpy as np
from matplotlib import pyplot as plt

from specxfer import Spectra, translate
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines

# %%
# Its grid: two arms with pixels of 0.9 Å, in vacuum, R = 5,000.

wave = np.concatenate([np.arange(4_700, 4_930, 0.9), np.arange(6_450, 6_680, 0.9)])
lines = load_lines("galah", names=KEY_LINES)
around = [np.arange(line.wave - 2.5, line.wave + 2.5, 0.06) for line in lines]
target_wave = np.unique(np.concatenate(around))
simulated, y, truth = make_paired_spectra(
    800,
    source_wave=wave,
    target_wave=target_wave,
    resolution_source=5_000,
    snr_source=60,
    random_state=11,
)

# %%
# A reader ends in one line like this. ``ids`` names the star, so that repeats never
# stand on both sides of a split; NaN or an inverse variance of 0 is a masked pixel;
# ``meta`` is a table of labels.

X = Spectra(
    simulated.flux,
    simulated.ivar,
    wave=wave,
    medium="vacuum",
    ids=simulated.ids,
    resolution=simulated.resolution,
    meta=simulated.meta["teff", "logg", "fe_h", "alpha_fe", "giant"],
)
X

# %%
# From here on all is as for any other pair of surveys.

train, test = np.arange(600), np.arange(600, 800)
model = PCARidge(n_components=30).fit(X[train], y[train])
translated = translate(model, X[test], resolution=y[test].resolution)

giant = np.flatnonzero(np.asarray(X.meta["giant"])[test])[1]
figure, (above, below) = plt.subplots(2, 1, figsize=(7, 5), layout="constrained")
source = X[test].to_medium("air")
blue = (source.wave > 4_760) & (source.wave < 4_790)
above.step(source.wave[blue], source.flux[giant, blue], where="mid", color="0.4")
above.set(
    title="what the low-resolution survey saw", ylabel="flux / continuum",
    xlim=(4_768, 4_778),
)  # fmt: skip
part = (y.wave > 4_768) & (y.wave < 4_778)
flux, std = translated.flux[giant, part], translated.ivar[giant, part] ** -0.5
below.fill_between(
    y.wave[part], flux - std, flux + std, color="#0072B2", alpha=0.3, linewidth=0
)
below.plot(y.wave[part], flux, color="#0072B2")
below.plot(y.wave[part], truth.flux[test][giant, part], "k--", linewidth=1)
below.set(
    title="translated, with ±1σ; the truth is dashed",
    xlabel="wavelength in air [Å]", ylabel="flux / continuum", xlim=(4_768, 4_778),
)  # fmt: skip
plt.show()
