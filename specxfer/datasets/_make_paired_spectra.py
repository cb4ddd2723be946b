"""`make_paired_spectra`: two surveys' spectra of the same simulated stars."""

from numbers import Integral, Real

import numpy as np
from astropy.table import Table
from joblib import Parallel, delayed
from tqdm import tqdm

from specxfer._grids import (
    GALAH_CCDS,
    apogee_chip,
    apogee_chips,
    apogee_wave,
    galah_chip,
    galah_wave,
)
from specxfer.datasets._atoms import ELEMENTS
from specxfer.datasets._population import N_NORMAL, N_UNIFORM, population, shifted
from specxfer.datasets._reversing_layer import ReversingLayer
from specxfer.datasets._spectrograph import Spectrograph
from specxfer.lines import KEY_LINES, load_lines, window_pixels
from specxfer.spectra import Spectra

__all__ = ["make_paired_spectra"]

# Stars are computed in blocks of this many, always the same ones together, so that a
# star's spectra have the same bits whatever the number of stars or of threads.
BLOCK = 32
STAR, SOURCE = 0, 1  # streams of random numbers of a star; the target's is 2

SMALL_SOURCE = ((15_770.0, 15_799.0), (16_255.0, 16_280.0), (16_370.0, 16_392.0),
                (16_490.0, 16_512.0), (16_588.0, 16_612.0))  # fmt: skip
SMALL_TARGET = 2.5  # Å on either side of the eight lines


def make_paired_spectra(
    n_stars=1000,
    *,
    size="full",
    source_wave=None,
    target_wave=None,
    giant_fraction=0.5,
    heavy_scatter=True,
    shift=None,
    repeats=0.0,
    snr_source=100,
    snr_target=80,
    resolution_source=22_500,
    resolution_target=25_000,
    resolution_scatter=(0.02, 0.06),
    rv_error=(0.1, 0.3),
    continuum_error=(0.003, 0.005),
    bad_pixels=(0.02, 0.002),
    gaps=True,
    random_state=None,
    n_jobs=None,
    verbose=0,
):
    """Simulate stars that two surveys observed, with the truth behind the data.

    An APOGEE-like survey (near infrared, vacuum) is the source, a GALAH-like one
    (optical, air) the target. Every star has a place in the Kiel diagram and its own
    abundances; all its lines, in both surveys, follow from one slab of gas in local
    thermodynamic equilibrium: Boltzmann and Saha populations, H⁻ opacity, thermal,
    turbulent and damping widths, saturation. The heavy elements (Rb to Yb) have the
    lines of `specxfer.lines`, nearly all with the tabled strengths; iron-peak, α and
    molecular lines around them are made up, once and for all. Heavy elements share an
    s- and an r-process component that light elements do not reveal; the source shows
    them in a few weak lines of Ce II, Nd II and Yb II only, mostly in giants. Lithium,
    which the source does not show at all, is a negative control.

    Parameters
    ----------
    n_stars : int, default=1000
        Star number i is the same star whatever `n_stars`.
    size : {"full", "small"}, default="full"
        "full" is the whole of both surveys: 8575 and 16,384 pixels. "small" keeps the
        surroundings of the lines that matter most (the Ce, Nd and Yb lines of the
        source, `specxfer.lines.KEY_LINES` in the target), for trials.
    source_wave, target_wave : array-like of shape (n_pixels,), optional
        Grids of your own instead, in Å: source in vacuum, target in air. They have no
        gaps other than those of the grid.
    giant_fraction : float, default=0.5
        Fraction of giants; the rest are dwarfs.
    heavy_scatter : bool, default=True
        Whether s- and r-process abundances scatter. If not, each heavy element is a
        function of [Fe/H] and [α/Fe] and the source need not show it to be known.
    shift : dict of str to float, optional
        What is added to labels of every star, for stars that differ in nothing else:
        ``{"ce_fe": 0.3}`` (dex), ``{"teff": 100}``. With ``s_process`` or
        ``r_process`` the heavy elements change as they are made of both. Noise,
        masks, velocities and all other labels stay what they are without.
    repeats : float, default=0
        Fraction of the stars with a second pair of spectra, in the row after the
        first, under the same id. There are then more than `n_stars` rows.
    snr_source, snr_target : float, (lo, hi) or None
        Signal-to-noise ratio per pixel; limits of a log-uniform distribution; or None
        for no noise (and no inverse variance). By default 100 and 80, the mean of
        GALAH's four CCDs.
    resolution_source, resolution_target : float
        Mean resolving power R = λ/FWHM.
    resolution_scatter : float or (source, target), default=(0.02, 0.06)
        Relative scatter of R from star to star. 0 switches it off, here and below.
    rv_error : float or (source, target), default=(0.1, 0.3)
        Standard deviation of the error in radial velocity, km/s.
    continuum_error : float or (source, target), default=(0.003, 0.005)
        Standard deviation of the smooth error in the continuum, of each chip.
    bad_pixels : float or (source, target), default=(0.02, 0.002)
        Fraction of masked pixels: flux NaN, inverse variance 0.
    gaps : bool, default=True
        Whether pixels between and beyond the detectors are unknown. They lie at fixed
        observed wavelengths and so shift with the star's velocity.
    random_state : int, Generator, RandomState or None, default=None
        Seed. None draws a fresh one. Switches do not change anything else: the same
        seed gives the same stars with or without noise.
    n_jobs : int, default=None
        Number of threads, as in joblib.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    X : Spectra of shape (n_spectra, n_source_pixels)
        Source, float32, with `ids`, `resolution` and labels in `meta`: ``teff`` (K),
        ``logg``, ``fe_h``, ``alpha_fe`` ([α/Fe]), ``vmic``, ``vmac``, ``velocity``
        (km/s), ``giant``, ``s_process``, ``r_process``, [X/Fe] as ``ba_fe`` …, and
        of the spectrum itself ``snr`` and ``rv_offset`` (km/s, the velocity error).
    y : Spectra of shape (n_spectra, n_target_pixels)
        Target, the same stars in the same rows.
    truth : Spectra of shape (n_spectra, n_target_pixels)
        The target as it should be: without noise, velocity and continuum errors or
        masked pixels, at the resolution that each spectrum of `y` has.

    Raises
    ------
    ValueError
        If a parameter is out of range, a grid does not increase, or `shift` names what
        is no label.

    Notes
    -----
    Blocks of 32 stars are written into the result as they are computed, so memory
    beyond the result stays small. `ReversingLayer` in ``_reversing_layer.py`` says
    what physics is left out.

    References
    ----------
    Gray, D. F. 2005, The Observation and Analysis of Stellar Photospheres, 3rd ed.

    Examples
    --------
    >>> from specxfer.datasets import make_paired_spectra
    >>> X, y, truth = make_paired_spectra(3, size="small", random_state=0)
    >>> X.shape, y.shape, truth.has_noise
    ((3, 541), (3, 720), False)
    >>> (X.ids == y.ids).all(), sorted(set(X.meta.colnames))[:3]
    (np.True_, ['al_fe', 'alpha_fe', 'ba_fe'])
    """
    _check(n_stars, giant_fraction, repeats, size)
    seed = _seed(random_state)
    source, target = _spectrographs(
        size, source_wave, target_wave, gaps,
        resolution=(
            _resolution(resolution_source, "resolution_source"),
            _resolution(resolution_target, "resolution_target"),
        ),
        snr=(_snr(snr_source, "snr_source"), _snr(snr_target, "snr_target")),
        resolution_scatter=_pair(resolution_scatter, "resolution_scatter", 0.3),
        rv_error=_pair(rv_error, "rv_error"),
        continuum_error=_pair(continuum_error, "continuum_error"),
        bad_pixels=_pair(bad_pixels, "bad_pixels", 1),
    )  # fmt: skip
    labels, repeated = _stars(seed, n_stars, giant_fraction, heavy_scatter, repeats)
    labels = shifted(labels, shift or {})
    simulation = _Simulation(seed, source, target, labels, repeated)
    blocks = range(0, n_stars, BLOCK)
    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(simulation.run)(start)
        for start in tqdm(blocks, "simulating", disable=not verbose, unit="block")
    )
    return simulation.result()


class _Simulation:
    """The arrays of the result, and what it takes to fill a block of them."""

    def __init__(self, seed, source, target, labels, repeated):
        self.seed, self.source, self.target, self.labels = seed, source, target, labels
        n_stars = len(repeated)
        visits = 1 + repeated.astype(int)
        self.star = np.repeat(np.arange(n_stars), visits)
        first = np.cumsum(visits) - visits
        self.visit = np.arange(len(self.star)) - np.repeat(first, visits)
        self.rows = [first, np.where(repeated, first + 1, -1)]
        n = len(self.star)
        self.flux = [np.empty((n, len(s)), np.float32) for s in (source, target)]
        self.ivar = [
            None if s.snr is None else np.empty((n, len(s)), np.float32)
            for s in (source, target)
        ]
        self.truth = np.empty((n, len(target)), np.float32)
        self.drawn = [
            {key: np.empty(n) for key in ("resolution", "snr", "rv_offset")}
            for _ in range(2)
        ]

    def run(self, start):
        """Simulate the stars from number `start` on."""
        block = slice(start, start + BLOCK)
        star = {key: values[block] for key, values in self.labels.items()}
        layer = ReversingLayer(
            star["teff"],
            star["logg"],
            star["fe_h"],
            star["vmic"],
            {e: star[f"{e.lower()}_fe"] for e in ELEMENTS if f"{e.lower()}_fe" in star},
        )
        for side, spectrograph in enumerate((self.source, self.target)):
            transforms = spectrograph.transform(layer)
            for visit, rows in enumerate(self.rows):
                rows = np.r_[rows[block], np.full(BLOCK, -1)][:BLOCK]
                if (rows >= 0).any():
                    self._observe(side, spectrograph, transforms, star, visit, rows)

    def _observe(self, side, spectrograph, transforms, star, visit, rows):
        first = self.star[rows[rows >= 0][0]] // BLOCK * BLOCK
        rngs = [
            np.random.default_rng([self.seed, first + i, visit, SOURCE + side])
            for i in range(BLOCK)
        ]
        draws = spectrograph.draw(rngs)
        setting = (transforms, draws["resolution"], star["vmac"])
        ideal = observed = spectrograph.expose(*setting)
        if spectrograph.rv_error:
            observed = spectrograph.expose(*setting, draws["rv_offset"])
        for i in np.flatnonzero(rows >= 0):
            row = rows[i]
            for key, values in self.drawn[side].items():
                values[row] = draws[key][i]
            if side == 1:
                self.truth[row] = ideal[i]
            flux, ivar = self.flux[side][row], self.ivar[side]
            flux[:] = observed[i]
            spectrograph.degrade(
                flux,
                None if ivar is None else ivar[row],
                draws["snr"][i],
                draws["continuum"][i],
                star["velocity"][i],
                rngs[i],
            )

    def result(self):
        """X, y and truth as `Spectra`."""
        ids = np.array([f"star-{i:06d}" for i in self.star])
        labels = {key: values[self.star] for key, values in self.labels.items()}

        def spectra(side, flux, ivar):
            survey, drawn = (self.source, self.target)[side], self.drawn[side]
            own = {k: drawn[k] for k in ("snr", "rv_offset")}
            meta = Table({**labels, "visit": self.visit, **own})
            return Spectra(
                flux,
                ivar,
                wave=survey.wave,
                medium=survey.medium,
                chip=survey.chip,
                ids=ids,
                meta=meta,
                resolution=drawn["resolution"],
            )

        X, y = (spectra(side, self.flux[side], self.ivar[side]) for side in (0, 1))
        return X, y, spectra(1, self.truth, None)


def _stars(seed, n_stars, giant_fraction, heavy_scatter, repeats):
    """Labels of all stars of all blocks, and which of the stars asked for repeat."""
    n = -(-n_stars // BLOCK) * BLOCK
    normal, uniform = np.empty((n, N_NORMAL)), np.empty((n, N_UNIFORM + 1))
    for i in range(n):
        rng = np.random.default_rng([seed, i, 0, STAR])
        normal[i], uniform[i] = rng.standard_normal(N_NORMAL), rng.random(N_UNIFORM + 1)
    labels = population(
        normal,
        uniform[:, :-1],
        giant_fraction=giant_fraction,
        heavy_scatter=heavy_scatter,
    )
    return labels, uniform[:n_stars, -1] < repeats


def _spectrographs(size, source_wave, target_wave, gaps, **settings):
    """The two surveys; each setting is a (source, target) pair."""
    source = _source_grid(size) if source_wave is None else _own_grid(source_wave)
    target = _target_grid(size) if target_wave is None else _own_grid(target_wave)
    source, target = (
        (wave, chip, detectors if gaps else None)
        for wave, chip, detectors in (source, target)
    )
    return [
        Spectrograph(
            wave, medium, chip, detectors, **{k: v[i] for k, v in settings.items()}
        )
        for i, (medium, (wave, chip, detectors)) in enumerate(
            [("vacuum", source), ("air", target)]
        )
    ]


def _source_grid(size):
    wave, chip = apogee_wave(), apogee_chip()
    half = 3e-6 * np.log(10)  # of a pixel
    detectors = [
        (wave[a] * (1 - half), wave[b - 1] * (1 + half)) for a, b in apogee_chips()
    ]
    if size == "small":
        keep = window_pixels(SMALL_SOURCE, wave, "vacuum")
        wave, chip = wave[keep], chip[keep]
    return wave, chip, detectors


def _target_grid(size):
    wave = galah_wave()
    if size == "small":
        lines = load_lines("galah", names=KEY_LINES)
        around = [(li.wave - SMALL_TARGET, li.wave + SMALL_TARGET) for li in lines]
        wave = wave[window_pixels(around, wave, "air")]
    detectors = [(lo - 0.04, hi + 0.04) for lo, hi in GALAH_CCDS]
    return wave, galah_chip(wave), detectors


def _own_grid(wave):
    # Spectra checks the grid and finds its chips
    grid = Spectra(np.zeros((1, len(wave))), wave=wave, medium="vacuum")
    return grid.wave, grid.chip, None


def _seed(random_state):
    if random_state is None:
        return int(np.random.SeedSequence().entropy % 2**63)
    if isinstance(random_state, Integral) and random_state >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    raise ValueError(
        f"random_state is {random_state!r}; expected an integer ≥ 0, a numpy "
        "Generator or RandomState, or None."
    )


def _check(n_stars, giant_fraction, repeats, size):
    if not isinstance(n_stars, Integral) or n_stars < 1:
        raise ValueError(f"n_stars is {n_stars!r}; expected a whole number, 1 or more.")
    for name, value in (("giant_fraction", giant_fraction), ("repeats", repeats)):
        if not isinstance(value, Real) or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}; expected a fraction from 0 to 1.")
    if size not in ("full", "small"):
        raise ValueError(f'size is {size!r}; expected "full" or "small".')


def _pair(value, name, most=np.inf):
    pair = (value, value) if isinstance(value, Real) else tuple(value)
    if len(pair) != 2 or not all(isinstance(v, Real) and 0 <= v <= most for v in pair):
        limit = "" if most == np.inf else f" and at most {most}"
        raise ValueError(
            f"{name} is {value!r}; expected a number or (source, target), 0 or "
            f"more{limit}."
        )
    return pair


def _resolution(value, name):
    if not isinstance(value, Real) or not 100 <= value <= 200_000:
        raise ValueError(
            f"{name} is {value!r}; expected a resolving power from 100 to 200,000."
        )
    return float(value)


def _snr(value, name):
    values = () if value is None else np.atleast_1d(value)
    if len(values) > 2 or not all(0 < v < np.inf for v in values):
        raise ValueError(
            f"{name} is {value!r}; expected a positive number, (lo, hi), or None for "
            "no noise."
        )
    return value
