"""Has a translator learnt barium from the infrared, or does it guess it from iron?

Simulates two surveys of the same stars and puts a translator to every test of
`specxfer.validation`: nulls, hidden windows, stars in which one abundance was changed,
twins, what errors of velocity cost, whether its errors can be trusted, and what
abundances come of it. Some two minutes; tables are printed, figures go to --out.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from specxfer.abundances import AbundanceRegressor
from specxfer.compose import ConformalTranslator
from specxfer.datasets import make_paired_spectra
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines
from specxfer.metrics import coverage
from specxfer.plotting import AttributionDisplay, SkillDisplay
from specxfer.validation import (
    counterfactual_test,
    identical_twins,
    leakage_test,
    null_test,
    twins_test,
    velocity_sensitivity,
)

# all that could give a heavy element away but is none
LABELS = ["teff", "logg", "fe_h", "alpha_fe", "vmic", "vmac", "c_fe", "n_fe", "o_fe"]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-stars", type=int, default=1200)
    parser.add_argument("--out", type=Path, default=Path("output"))
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)

    X, y, truth = make_paired_spectra(options.n_stars, size="small", random_state=0)
    lines = load_lines("galah", names=KEY_LINES)
    translator = PCARidge(n_components=30)
    new = np.arange(len(X)) % 4 == 0  # stars that models below do not see

    say("1. Is it better than what labels say? Skill over the null, line by line.")
    found = null_test(translator, X, y, lines, labels=LABELS, cv=3)
    show(found["line", "domain", "rms", "rms_null", "skill", "q", "skilful"])
    save(SkillDisplay.from_table(found), options.out / "skill.png")

    say("2. Where does it come from? Skill without the lines of Ce, Nd and Yb.")
    found = leakage_test(translator, X, y, lines, labels=LABELS, cv=3)
    show(found["line", "domain", "skill", "skill_masked", "fall", "q"])

    say("3. Does a line follow its own element? Cerium alone is raised by 0.3 dex.")
    model = translator.fit(X[~new], y[~new])
    after = make_paired_spectra(
        options.n_stars, size="small", random_state=0, shift={"ce_fe": 0.3}
    )
    pairs = [(X[new], truth[new]), (after[0][new], after[2][new])]
    found = counterfactual_test(model, *pairs, lines)
    show(found["line", "domain", "rms_true", "rms_predicted", "slope"])

    say("4. Which pixels does Ce II 4774 listen to? The figure tells.")
    giant = int(np.flatnonzero(np.asarray(X.meta["giant"])[new])[0])
    cerium = lines[KEY_LINES.index("Ce II 4774")]
    display = AttributionDisplay.from_estimator(model, X[new], cerium, row=giant)
    save(display, options.out / "attribution.png")

    say("5. Of two stars with like labels, which has the stronger line?")
    found = twins_test(translator, X, y, lines, labels=LABELS[:4], cv=3)
    show(found)
    same = identical_twins(model, X[new])
    print(f"Spectra that are identical get identical translations: {same}\n")

    say("6. What does an error of the source's velocity cost?")
    barium = [lines[KEY_LINES.index("Ba II 6497")]]
    found = velocity_sensitivity(model, X[new], y[new], barium, [0, 0.4, 0.8, 1.6])
    show(found["domain", "shift", "rms", "ew_rms", "observed_on_predicted"])

    say("7. Can its errors be trusted? Coverage of the noise-free flux, calibrated.")
    calibrated = ConformalTranslator(translator).fit(X[~new], y[~new])
    flux, std = calibrated.predict(
        X[new], return_std=True, resolution=y[new].resolution
    )
    found = coverage(truth[new], flux, std, lines, noise="none", domains=y[new].meta)
    show(found[found["line"] == "all windows"])

    say("8. Abundances. Which are measured, and which are guessed from the labels?")
    regressor = AbundanceRegressor(
        translator, ["Ba", "Ce", "Nd", "Eu"], labels=LABELS[:4], cv=3
    )
    regressor.fit(X[~new], y[~new])
    show(regressor.skill_)
    show(regressor.predict_table(X[new][:5]))


def say(text):
    print(f"\n{text}\n", flush=True)


def show(table):
    print(*table.pformat(max_lines=-1, max_width=-1), sep="\n", flush=True)


def save(display, path):
    figure = display.plot().figure_
    figure.savefig(path, dpi=150)
    plt.close(figure)
    print(f"Figure: {path}", flush=True)


if __name__ == "__main__":
    main()
