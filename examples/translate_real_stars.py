"""Translate real stars: from APOGEE spectra to the spectra GALAH would have taken.

A translator is trained on synthetic stars, computed as both surveys would see them, and
applied to two real APOGEE giants and to the Sun. Of the Sun both sides are observed: an
infrared atlas, degraded to what APOGEE records, and the light that the asteroid Vesta
reflects, taken by GALAH's spectrograph. So the translated Sun can be held against the
real one.

Real spectra are not synthetic ones with noise. Three things make the difference, and
none of them looks at the Sun:

1. The continuum is fitted by the same rule to synthetic and real spectra, on both sides
   (`ContinuumNormalizer`).
2. Training targets get the resolving power of the spectrum they are compared with
   (`broaden`); a target that is already below it is unknown, not sharpened.
3. The translator is trained on sources that differ as two surveys do: in velocity,
   resolution, continuum, the strengths of lines, and lines that a line list lacks
   (`Augmented`).

    python examples/translate_real_stars.py --data DIR --out DIR

writes one FITS file per star, the line table of the Sun, and a figure.
"""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from sklearn.pipeline import make_pipeline

import specxfer
from specxfer import Spectra, air_to_vacuum
from specxfer.baselines import NullTranslator
from specxfer.compose import Augmented
from specxfer.io import apogee_wave, galah_wave, read_apogee, read_galah
from specxfer.linear import PCARidge
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.metrics import equivalent_width
from specxfer.preprocessing import ContinuumNormalizer, augment
from specxfer.resampling import broaden, resample

START = time.perf_counter()
ROOT = Path(__file__).resolve().parents[1]
ATLAS = "real/atlas/solar.20190819.txt"
ATLAS_VELOCITY = 0.6  # km/s, by which its lines are redshifted
SPEED_OF_LIGHT = 299_792.458  # km/s
VESTA = 210115002201239  # GALAH's spectrum of the Sun
SOLAR_LABELS = {"teff": 5777.0, "logg": 4.44, "feh": 0.0, "alpha": 0.0}
GIANTS = (
    "real/apogee_dr13/aspcapStar-*2M17334253-1654573.fits",
    "real/apogee_dr14/apogee_dr14_example.npz",
)
GIANT_RESOLUTION = 22_000.0  # what HERMES delivers on an ordinary night
APOGEE_RESOLUTION = 22_500.0
SNR_SOURCE, SNR_TARGET = 100, 50  # of the synthetic pairs

# Left out of every comparison: telluric bands, and the cores of the Balmer lines, which
# LTE makes too shallow. Their wings are no continuum either.
LEFT_OUT = [(7580, 7695), (6559.80, 6565.80), (4859.83, 4862.83)]
NO_CONTINUUM = [(7580, 7695), (6550.80, 6574.80), (4855.33, 4867.33)]

# What two surveys, and theory and reality, differ by. Stated once, from what is known
# of surveys, and not tuned: see `specxfer.preprocessing.augment`.
DIFFERENCES = {
    "velocity": 0.5,  # km/s
    "resolution": 0.05,  # relative
    "line_strength": 0.1,  # relative
    "missing_lines": 0.01,  # continuum units
    "continuum": 0.01,  # continuum units
}
FIGURES = ("raw", "constant", "quadratic", "heavy")
NOT_A_PROOF = """\
  +----------------------------------------------------------------------------------+
  | A CONSISTENCY CHECK, NOT A TEST. The line lists behind the training spectra were |
  | tuned on the Sun, so the Sun is the star they fit best: other stars fare worse.  |
  +----------------------------------------------------------------------------------+"""


# --- the synthetic stars --------------------------------------------------------------
class SyntheticPairs:
    """The stars of ``lte/pairs_dev.npz`` as both surveys would see them."""

    def __init__(self, path):
        with np.load(path) as stored:
            self.mean, self.coef = stored["mean"], stored["coef"]
            self.basis = stored["basis"].astype(np.float32)
            self.labels = Table(stored["labels"])
            self.on_chip = stored["x_good"]
        self.n_source = int(self.on_chip.sum())

    def rows(self, giant, held_out=False, resolution=0):
        """Stars of one kind, every fifth of them held out, seen at R or better."""
        mine = (self.labels["giant"] == giant) & (self.labels["R_galah"] > resolution)
        return np.flatnonzero(mine & ((np.arange(len(mine)) % 5 == 0) == held_out))

    def source(self, rows):
        """APOGEE spectra, free of noise: `augment` adds it."""
        own = slice(0, self.n_source)
        return Spectra(
            self.coef[rows] @ self.basis[:, own] + self.mean[own],
            wave=apogee_wave()[self.on_chip],
            medium="vacuum",
            meta=self.labels[rows],
            resolution=np.full(len(rows), APOGEE_RESOLUTION),
        )

    def target(self, rows, resolution=None, noise=True):
        """GALAH spectra, brought to the resolving power given for each CCD."""
        own = slice(self.n_source, None)
        flux = self.coef[rows] @ self.basis[:, own] + self.mean[own]
        wave = galah_wave()
        present = np.asarray(self.labels["R_galah"][rows], float)
        for ccd, wanted in enumerate([] if resolution is None else resolution):
            at = slice(4096 * ccd, 4096 * (ccd + 1))
            wanted = np.full(len(rows), wanted)
            flux[:, at] = broaden(flux[:, at], wave[at], wanted, present)
        ivar = None
        if noise:
            shape = rows.max() + 1, len(wave)  # a star's noise goes with its number
            unit = np.random.default_rng(2).standard_normal(shape, dtype="f4")
            flux += unit[rows] / SNR_TARGET
            ivar = np.broadcast_to(np.float32(SNR_TARGET**2), flux.shape)
        return Spectra(flux, ivar, wave=wave, medium="air")


# --- the real stars -------------------------------------------------------------------
def read_sun_in_apogee(path):
    """The solar atlas as APOGEE would record it: vacuum, at rest, R = 22,500."""
    wave_air, flux = np.loadtxt(path, unpack=True)
    wave = air_to_vacuum(wave_air) / (1 + ATLAS_VELOCITY / SPEED_OF_LIGHT)
    flux, _ = resample(broaden(flux, wave, APOGEE_RESOLUTION), wave, apogee_wave())
    flux = flux[None].astype(np.float32)
    # The atlas has no errors, and far less noise than what it differs by from theory:
    # it is weighed like a training spectrum.
    ivar = np.where(np.isfinite(flux), np.float32(SNR_SOURCE**2), 0)
    return Spectra(
        flux,
        ivar,
        wave=apogee_wave(),
        medium="vacuum",
        ids=["Sun"],
        meta=Table([SOLAR_LABELS]),
    )


def write_star(path, star, resolution):
    """One translated spectrum as a FITS table."""
    table = Table()
    table["wave"] = star.wave
    table["flux"] = star.flux[0]
    with np.errstate(divide="ignore"):
        table["std"] = np.where(star.ivar[0] > 0, star.ivar[0] ** -0.5, np.nan)
    table["wave"].unit = "Angstrom"
    table.meta = {
        "OBJECT": str(star.ids[0]),
        "MEDIUM": star.medium,
        "FRAME": "rest",
        "ORIGIN": f"specxfer {specxfer.__version__}",
        **{f"R_CCD{i + 1}": round(float(r)) for i, r in enumerate(resolution)},
        "SUPPORT": round(float(star.meta["support"][0]), 4),
        "SUPPORTD": bool(star.meta["supported"][0]),
        "COMMENT": [
            "Translated from the star's APOGEE spectrum, not observed.",
            "std: 1 sigma of the noise-free flux; SUPPORTD F: unlike training stars.",
        ],
    }
    table.write(path, overwrite=True)


# --- the models -----------------------------------------------------------------------
def translator(quick=False, copies=2, random_state=0):
    """Continuum, principal components and ridge, trained with survey differences.

    The numbers of components and products, and the copies, are the ones beyond which
    synthetic stars held out, with survey differences, are translated no better.
    """
    components, products, copies = (30, 3, 1) if quick else (60, 6, copies)
    model = make_pipeline(
        ContinuumNormalizer(degree=2),
        PCARidge(n_components=components, n_products=products),
    )
    return Augmented(
        model,
        n_copies=copies,
        snr=SNR_SOURCE,
        random_state=random_state,
        **DIFFERENCES,
    )


def nulls():
    """Predictors that do not look at the spectrum: what a translator must beat."""
    labels = list(SOLAR_LABELS)
    return {
        "null: mean dwarf": NullTranslator(n_factors=0),
        **{
            f"null: labels, degree {degree}": NullTranslator(
                "labels", labels=labels, degree=degree, n_factors=0
            )
            for degree in (2, 3)
        },
    }


# --- the Sun: translated against observed ---------------------------------------------
def rms(values):
    return float(np.sqrt(np.nanmean(np.square(values))))


def four_figures(predicted, observed):
    """Rms of predicted minus observed flux of one star, four ways.

    As it is; after one constant per CCD; after a quadratic per CCD; and as it is over
    the windows of the eight heavy-element lines together.
    """
    wave, chip = observed.wave, observed.chip
    residual = np.asarray(predicted, float)[0] - observed.flux[0]
    used = observed.valid()[0] & np.isfinite(residual)
    used &= ~window_pixels(LEFT_OUT, wave, "air")
    figures = [rms(residual[used])]
    for degree in (0, 2):
        left = []
        for ccd in range(4):
            at = used & (chip == ccd)
            fit = np.polynomial.Polynomial.fit(wave[at], residual[at], degree)
            left.append(residual[at] - fit(wave[at]))
        figures.append(rms(np.concatenate(left)))
    heavy = window_pixels(load_lines("galah", names=KEY_LINES), wave, "air")
    return [*figures, rms(residual[used & heavy])]


def held_out_errors(model, X, truth):
    """Rms error for stars whose noise-free target is known: all pixels, heavy lines."""
    error = model.predict(X) - truth.flux
    used = ~window_pixels(LEFT_OUT, truth.wave, "air")
    heavy = window_pixels(load_lines("galah", names=KEY_LINES), truth.wave, "air")
    return [rms(error[:, used]), rms(error[:, heavy])]


def line_by_line(translated, observed, null_flux):
    """Flux and equivalent width of every line, translated against observed."""
    lines = load_lines("galah", names=KEY_LINES)
    lines += [line for line in load_lines("galah") if line.name not in KEY_LINES]
    windows = [window_pixels(line, observed.wave, "air") for line in lines]
    table = Table({"line": [line.name for line in lines]})
    table["key"] = [line.name in KEY_LINES for line in lines]
    for name, flux in (("flux_rms", translated.flux), ("null_flux_rms", null_flux)):
        residual = flux[0] - observed.flux[0]
        table[name] = [rms(residual[pixels]) for pixels in windows]
    ew, ew_err = equivalent_width(translated, lines)
    seen, seen_err = equivalent_width(observed, lines, noise_correlation=0.5)
    table["ew"], table["ew_err"] = ew[0], ew_err[0]
    table["ew_observed"], table["ew_observed_err"] = seen[0], seen_err[0]
    table["difference"] = ew[0] - seen[0]
    table["sigma"] = table["difference"] / np.hypot(ew_err[0], seen_err[0])
    for name in table.colnames[4:9]:
        table[name].unit = "mAngstrom"
    return table


# --- printing -------------------------------------------------------------------------
def print_rows(title, columns, rows):
    print(f"\n{title}\n{'':42}" + "".join(f"{name:>11}" for name in columns))
    for name, values in rows.items():
        print(f"  {name:40}" + "".join(f"{value:11.5f}" for value in values))


def print_lines(table):
    print(
        "\nThe Sun line by line, translated against observed (* the eight lines above)"
    )
    print("                rms of flux in window      equivalent width, mA")
    print("  line          translated  label null     translated      observed", end="")
    print("      difference")
    for row in table:
        print(
            f"{'* ' if row['key'] else '  '}{row['line']:12}"
            f"{row['flux_rms']:12.4f}{row['null_flux_rms']:12.4f}"
            f"{row['ew']:9.1f} ±{row['ew_err']:5.1f}"
            f"{row['ew_observed']:9.1f} ±{row['ew_observed_err']:4.1f}"
            f"{row['difference']:+8.1f} ={row['sigma']:+5.1f}σ"
        )
    print(
        "  Errors: of the translation, what the infrared spectrum does not tell; of"
        "\n  the observation, noise. Errors of line lists and continua are in neither:"
        "\n  lines beyond 3σ show them. Li I 6708 has no trace in the infrared and"
        "\n  varies from star to star: it cannot be translated, and its error says so."
    )


def say(what):
    print(f"[{time.perf_counter() - START:4.0f} s] {what}", flush=True)


# --- the figure -----------------------------------------------------------------------
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "0.92"  # safe for the colour-blind


def draw(path, sun, observed, null_flux, giants):
    """The Sun around the eight lines, and two stretches of each giant."""
    import matplotlib.pyplot as plt

    fig = plt.figure(figsize=(13, 15), layout="constrained")
    upper, lower = fig.subfigures(2, 1, height_ratios=(1.35, 1), hspace=0.03)
    title = {"fontsize": 15, "fontweight": "bold"}
    upper.suptitle("The Sun: translated from the infrared, and as observed", **title)
    lower.suptitle(f"Two giants, translated to R = {GIANT_RESOLUTION:,.0f}", **title)
    lines = load_lines("galah", names=KEY_LINES)

    axes = upper.subplots(4, 4, gridspec_kw={"height_ratios": (3, 1.3) * 2})
    for flux_axis, left_axis, line in zip(axes[::2].flat, axes[1::2].flat, lines):
        near = np.abs(sun.wave - line.wave) < 1.6
        wave, seen = sun.wave[near] - line.wave, observed.flux[0, near]
        for axis, zero in ((flux_axis, 0), (left_axis, seen)):
            axis.axvspan(line.lo - line.wave, line.hi - line.wave, color=GREY, lw=0)
            draw_translated(axis, wave, sun.flux[0, near] - zero, sun.ivar[0, near])
            axis.plot(wave, null_flux[0, near] - zero, color=ORANGE, ls="--", lw=1.2)
            axis.set_xlim(-1.6, 1.6)
        flux_axis.plot(wave, seen, "k.", ms=4, label="observed (Vesta, HERMES)")
        flux_axis.set_title(f"{line.name} Å", fontsize=11)
        flux_axis.tick_params(labelbottom=False)
        left_axis.axhline(0, color="k", lw=0.8)
        left_axis.set_ylim(-0.045, 0.045)
    for i in range(4):
        axes[i, 0].set_ylabel(("Flux / continuum", "Minus observed")[i % 2])
        axes[-1, i].set_xlabel("Å from the line")
    labels = (
        "line window",
        "±1σ",
        "translated",
        "label null",
        "observed (Vesta, HERMES)",
    )
    style = {"loc": "outside lower center", "ncols": 5, "frameon": False}
    first = axes[0, 0]
    handles = [*first.patches, *first.collections, *first.lines]
    upper.legend(handles, labels, fontsize=11, **style)

    for row, giant in zip(lower.subplots(len(giants), 2), giants):
        for axis, (start, stop) in zip(row, ((4765, 4815), (6480, 6530))):
            near = (giant.wave > start) & (giant.wave < stop)
            draw_translated(
                axis, giant.wave[near], giant.flux[0, near], giant.ivar[0, near]
            )
            inside = [line for line in lines if start < line.wave < stop]
            for i, line in enumerate(inside):
                axis.axvspan(line.lo, line.hi, color=GREY, lw=0, zorder=0)
                height = 1.37 - 0.1 * (i % 2)
                axis.text(line.wave, height, line.name, ha="center", va="top")
            axis.set(xlim=(start, stop), ylim=(0, 1.4))
            axis.set_xlabel("Wavelength (Å, air)")
        verdict = "like" if giant.meta["supported"][0] else "UNLIKE"
        support = (
            f"{verdict} the training stars (support {giant.meta['support'][0]:.2f})"
        )
        row[0].set_title(f"{giant.ids[0]}: {support}", loc="left", fontsize=11)
        row[0].set_ylabel("Flux / continuum")
    fig.savefig(path, dpi=140)
    plt.close(fig)


def draw_translated(axis, wave, flux, ivar):
    std = ivar**-0.5
    axis.fill_between(wave, flux - std, flux + std, color=BLUE, alpha=0.25, lw=0)
    axis.plot(wave, flux, color=BLUE, lw=1.4)


# --- the whole ------------------------------------------------------------------------
@dataclass
class SolarCase:
    """The Sun in both surveys, and synthetic dwarfs to learn from."""

    sun: Spectra  # as APOGEE would see it
    vesta: Spectra  # as GALAH saw it
    resolution: np.ndarray  # of GALAH's spectrum, for each CCD
    X: Spectra  # synthetic dwarfs, free of noise
    y_plain: Spectra  # their GALAH spectra as they come
    y: Spectra  # at the resolution of `vesta`, under one rule for the continuum
    normalizer: ContinuumNormalizer  # that rule

    @classmethod
    def prepare(cls, pairs, data, n_stars=None):
        vesta, _ = read_galah(data / "real/galah_dr4", ids=[VESTA])
        resolution = vesta.resolution[0]
        sun = read_sun_in_apogee(data / ATLAS)[:, pairs.on_chip]
        rows = pairs.rows(giant=False, resolution=resolution.min())[:n_stars]
        say(f"{len(rows)} synthetic dwarfs")
        X, y_plain = pairs.source(rows), pairs.target(rows)
        say("at R of Vesta's CCDs: " + ", ".join(f"{r:.0f}" for r in resolution))
        y = pairs.target(rows, resolution)
        normalizer = ContinuumNormalizer(degree=2, exclude=NO_CONTINUUM).fit(y)
        y = normalizer.transform(y)
        return cls(sun, vesta, resolution, X, y_plain, y, normalizer)

    def as_shipped(self, quick):
        """The four figures without any of the three measures."""
        components = 30 if quick else 60
        plain = PCARidge(n_components=components, n_products=0, n_factors=0)
        noisy = augment(self.X, snr=SNR_SOURCE, **dict.fromkeys(DIFFERENCES, 0))
        plain.fit(noisy, self.y_plain)
        models = {"PCARidge, none of the three measures": plain}
        for name, null in nulls().items():
            models[name] = null.fit(self.X, self.y_plain)
        return {n: four_figures(m.predict(self.sun), self.vesta)
                for n, m in models.items()}  # fmt: skip

    def treated_alike(self, models):
        """The four figures under one rule for the continuum; fits the models."""
        observed = self.normalizer.transform(self.vesta)
        figures = {}
        for name, model in models.items():
            say(f"fitting {name}")
            flux = model.fit(self.X, self.y).predict(self.sun)
            figures[name] = four_figures(flux, observed)
        return figures


def translate_the_sun(pairs, data, quick):
    """Train on dwarfs, translate the Sun, and compare with Vesta in every way."""
    case = SolarCase.prepare(pairs, data, 300 if quick else None)
    say("models as shipped")
    shipped = case.as_shipped(quick)
    models = {"translator": translator(quick), **nulls()}
    alike = case.treated_alike(models)
    sun, resolution = case.sun, case.resolution
    vesta = case.normalizer.transform(case.vesta)

    say("errors for synthetic dwarfs held out")
    rows = pairs.rows(giant=False, held_out=True)[: 60 if quick else None]
    truth = case.normalizer.transform(pairs.target(rows, resolution, noise=False))
    clean = pairs.source(rows)
    other = {"snr": SNR_SOURCE, "random_state": 99}
    noisy = augment(clean, **dict.fromkeys(DIFFERENCES, 0), **other)
    differing = augment(clean, **DIFFERENCES, **other)
    held_out = {
        name: held_out_errors(model, noisy, truth)
        + held_out_errors(model, differing, truth)
        for name, model in models.items()
    }

    print_rows(
        "Synthetic dwarfs held out: rms of predicted - true flux at source S/N 100, "
        "without and with survey differences",
        ("all", "heavy", "all, diff.", "heavy, d."),
        held_out,
    )
    print("\n" + NOT_A_PROOF)
    print_rows("The Sun: rms of predicted - observed, as shipped", FIGURES, shipped)
    print_rows(
        "The Sun: rms of predicted - observed, same continuum rule and resolving power "
        "for all",
        FIGURES,
        alike,
    )
    ahead = sum(
        alike["translator"][i]
        < min(v[i] for k, v in alike.items() if k != "translator")
        for i in range(4)
    )
    print(f"\n  The translator is below every null in {ahead} of 4 figures.")
    translated = specxfer.translate(models["translator"], sun)
    null_flux = models["null: labels, degree 2"].predict(sun)
    table = line_by_line(translated, vesta, null_flux)
    print_lines(table)
    print(NOT_A_PROOF + "\n")
    return translated, vesta, null_flux, table, resolution


def translate_giants(pairs, data, quick):
    """Train on giants and translate the real ones."""
    giants, report = read_apogee([data / name for name in GIANTS])
    if len(giants) != len(GIANTS):
        raise SystemExit(f"expected {len(GIANTS)} giants in {data}:\n{report}")
    resolution = np.full(4, GIANT_RESOLUTION)
    rows = pairs.rows(giant=True, resolution=GIANT_RESOLUTION)
    rows = rows[: 300 if quick else None]
    say(f"{len(rows)} synthetic giants at R = {GIANT_RESOLUTION:.0f}")
    y = pairs.target(rows, resolution)
    y = ContinuumNormalizer(degree=2, exclude=NO_CONTINUUM).fit_transform(y)
    say("fitting translator")
    model = translator(quick, copies=1).fit(pairs.source(rows), y)
    return specxfer.translate(model, giants[:, pairs.on_chip]), resolution


def main(argv=None):
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    parser.add_argument("--out", type=Path, default=Path("output/real_stars"))
    parser.add_argument("--quick", action="store_true", help="few stars: a trial run")
    args = parser.parse_args(argv)
    if not (args.data / "lte/pairs_dev.npz").is_file():
        parser.error(
            f"no lte/pairs_dev.npz in {args.data}: give --data, the folder "
            "that holds lte/ and real/"
        )
    args.out.mkdir(parents=True, exist_ok=True)

    pairs = SyntheticPairs(args.data / "lte/pairs_dev.npz")
    sun, vesta, null_flux, table, sun_resolution = translate_the_sun(
        pairs, args.data, args.quick
    )
    giants, giant_resolution = translate_giants(pairs, args.data, args.quick)

    print("\nSupport (above 1: unlike the training stars)")
    for star, resolution in [
        (sun, sun_resolution),
        *((giant, giant_resolution) for giant in giants),
    ]:
        support, supported = star.meta["support"][0], star.meta["supported"][0]
        verdict = "supported" if supported else "UNSUPPORTED: do not trust"
        print(f"  {star.ids[0]:24}{support:7.2f}   {verdict}")
        write_star(args.out / f"{star.ids[0]}.fits", star, resolution)
    table.write(args.out / "sun_lines.ecsv", overwrite=True)
    draw(args.out / "real_stars.png", sun, vesta, null_flux, giants)
    say(
        f"wrote {len(giants) + 1} spectra, sun_lines.ecsv and real_stars.png to "
        f"{args.out}"
    )


if __name__ == "__main__":
    main()
