"""Line formation in a reversing layer: one slab of gas above the continuum."""

from dataclasses import dataclass, field

import numpy as np

from specxfer.datasets._atoms import (
    ELEMENTS,
    atoms,
    log_partition,
    molecules,
    species_mass,
    split_species,
)

__all__ = ["LineList", "ReversingLayer"]

# cgs unless a name says otherwise
BOLTZMANN = 1.380649e-16
EV_PER_KT = 5039.78  # θ = 5039.78 K / T, so that exp(−χ/kT) = 10^(−θχ), χ in eV
THERMAL = 0.12895  # km/s: most probable speed of mass 1 at 1 K
LINE_ABSORPTION = 0.014974  # √π e²/(m_e c), cm²/s
HC_OVER_K = 1.438777e8  # Å K
INVERSE_CM_TO_K = 1.438777
SUN = {"teff": 5777.0, "logg": 4.44, "fe_h": 0.0}

#: Temperature of the layer over the effective temperature.
COOLING = 0.83
#: Optical depth of the layer in the continuum at 5500 Å: how much gas is in it.
CONTINUUM_DEPTH = 1.0
#: H⁻ is four times as transparent at 1.6 µm as in the optical, but the gas that comes
#: into sight is hotter, and forms lines with half of it, say: how much more gas there.
INFRARED_GAIN = 2.0
#: log10 of electron and gas pressure (dyn/cm²) in the layer of the Sun.
SOLAR_LOG_PE, SOLAR_LOG_PG = 0.5, 4.8
HYDROGEN_SHARE = 0.91  # of the nuclei


@dataclass(frozen=True)
class LineList:
    """Spectral lines as columns, in order of wavelength.

    Parameters
    ----------
    species : ndarray of str of shape (n_lines,)
        Such as "Ba II" or "CO".
    wave : ndarray of shape (n_lines,)
        Å in vacuum.
    ep : ndarray of shape (n_lines,)
        Excitation potential of the lower level, eV.
    loggf : ndarray of shape (n_lines,)
        log10 of oscillator strength times statistical weight.
    """

    species: np.ndarray
    wave: np.ndarray
    ep: np.ndarray
    loggf: np.ndarray
    names: tuple = field(init=False)  # distinct species
    index: np.ndarray = field(init=False)  # of each line in `names`

    def __post_init__(self):
        names, index = np.unique(np.asarray(self.species, dtype=str), return_inverse=1)
        object.__setattr__(self, "names", tuple(str(name) for name in names))
        object.__setattr__(self, "index", index)

    def __len__(self):
        return len(self.wave)

    def __getitem__(self, rows):
        return LineList(
            self.species[rows], self.wave[rows], self.ep[rows], self.loggf[rows]
        )

    @classmethod
    def concatenate(cls, parts):
        """All lines of several lists, in order of wavelength."""
        names = ("species", "wave", "ep", "loggf")
        columns = [np.concatenate([getattr(part, n) for part in parts]) for n in names]
        return cls(*columns)[np.argsort(columns[1], kind="stable")]


class ReversingLayer:
    """The line-forming layers of `n` stars: a Schuster–Schwarzschild atmosphere.

    All lines of a star arise in one slab in local thermodynamic equilibrium, of
    temperature ``0.83 Teff``, above the layer that emits the continuum. Gravity and
    temperature set its pressures by the scalings of grey atmospheres; the H⁻ ion sets
    how deep one sees, hence how much gas the slab holds.

    Parameters
    ----------
    teff, logg, fe_h, vmic : array-like of shape (n,)
        Effective temperature (K), gravity (log cgs), metallicity (dex) and
        microturbulence (km/s).
    x_fe : dict of str to array-like of shape (n,), optional
        [X/Fe] by element; 0 for those left out.

    Attributes
    ----------
    temperature, theta : ndarray of shape (n,)
        K, and 5039.78 K over it.
    log_pe, log_pg : ndarray of shape (n,)
        Electron and gas pressure, log10 of dyn/cm².

    Notes
    -----
    What it leaves out, on purpose: temperature gradients, departures from LTE,
    scattering, hyperfine structure. The electron pressure is a scaling and not solved
    for.

    References
    ----------
    Gray 2005, The Observation and Analysis of Stellar Photospheres (3rd ed.):
    chapters 1 (Saha), 8 (H⁻, equation 8.12) and 9 (pressures).
    """

    def __init__(self, teff, logg, fe_h, vmic=1.0, x_fe=None):
        x_fe = dict(x_fe or {})
        teff, logg, fe_h, vmic, *offsets = np.broadcast_arrays(
            *map(np.atleast_1d, (teff, logg, fe_h, vmic, *x_fe.values()))
        )
        self.teff, self.vmic = teff.astype(float), vmic.astype(float)
        self.temperature = COOLING * self.teff
        self.theta = EV_PER_KT / self.temperature
        gravity, warmth = logg - SUN["logg"], teff - SUN["teff"]
        self.log_pe = SOLAR_LOG_PE + (gravity + fe_h) / 3 + 5.2e-4 * warmth
        self.log_pg = SOLAR_LOG_PG + (2 * gravity - fe_h) / 3 - 2e-4 * warmth
        log_eps = np.repeat(atoms()["abundance"][:, None], len(teff), axis=1)
        log_eps[[e != "H" for e in ELEMENTS]] += fe_h
        for element, offset in zip(x_fe, offsets, strict=True):
            log_eps[ELEMENTS.index(element)] += offset
        #: log10 of the number of nuclei per hydrogen nucleus, (n_elements, n)
        self.log_abundance = log_eps - 12

    def __len__(self):
        return len(self.teff)

    # -------------------------------------------------------------- populations
    def ion_fractions(self):
        """Saha equilibrium of three stages.

        Returns
        -------
        neutral, ionised : ndarray of shape (n_elements, n)
            Shares of the atoms that are neutral and singly ionised.
        """
        table = atoms()
        u1 = log_partition(table["log_u1"], self.temperature)
        u2 = log_partition(table["log_u2"], self.temperature)
        # the second ion's partition function is taken to be the neutral atom's
        first = self._saha(table["ion1"], u2 - u1)
        second = self._saha(table["ion2"], u1 - u2)
        neutral = 1 / (1 + first * (1 + second))
        return neutral, first * neutral

    def _saha(self, potential, log_u_ratio):
        log_ratio = (
            2.5 * np.log10(self.temperature)
            - 0.1762
            - self.theta * potential[:, None]
            + log_u_ratio
            - self.log_pe
        )
        return 10 ** np.clip(log_ratio, -30, 30)

    def molecule_shares(self, neutral):
        """Molecules per hydrogen nucleus, and what they leave of C and O.

        CO takes what it can of carbon and oxygen; the other molecules are traces in
        what is left.

        Parameters
        ----------
        neutral : ndarray of shape (n_elements, n)

        Returns
        -------
        shares : dict of str to ndarray of shape (n,)
        free : dict of str to ndarray of shape (n,)
            Share of C and of O that is not in CO.
        """
        p_h = HYDROGEN_SHARE * 10**self.log_pg
        atom = {
            e: p_h * 10 ** self.log_abundance[i] * (neutral[i] if e != "H" else 1)
            for i, e in enumerate(ELEMENTS)
        }
        carbon, oxygen = atom["C"], atom["O"]
        total = carbon + oxygen + self._dissociation_constant("CO")
        # the smaller root, written so that nothing cancels
        p_co = 2 * carbon * oxygen
        p_co = p_co / (total + np.sqrt(total**2 - 4 * carbon * oxygen))
        free = {"C": 1 - p_co / carbon, "O": 1 - p_co / oxygen}
        shares = {"CO": p_co / p_h}
        for name, molecule in molecules().items():
            if name != "CO":
                a, b = molecule["first"], molecule["second"]
                pair = atom[a] * free.get(a, 1) * atom[b] * free.get(b, 1)
                shares[name] = pair / self._dissociation_constant(name) / p_h
        return shares, free

    def _dissociation_constant(self, name):
        """p(A) p(B) / p(AB) in dyn/cm²: the law of mass action."""
        molecule = molecules()[name]
        parts = [ELEMENTS.index(molecule[k]) for k in ("first", "second")]
        mass = atoms()["mass"][parts]
        reduced = mass.prod() / mass.sum()
        t = self.temperature
        log_u = log_partition(atoms()["log_u1"][parts], t).sum(axis=0)
        # p K = kT (2π μ kT/h²)^{3/2}, in numbers
        log_k = np.log10(BOLTZMANN * t) + 1.5 * np.log10(reduced * t) + 20.2743
        log_k += log_u - np.log10(self.molecule_partition(molecule))
        return 10 ** (log_k - self.theta * molecule["dissociation"])

    def molecule_partition(self, molecule):
        """Rigid rotator times harmonic oscillator, shape (n,)."""
        rotation = self.temperature / (INVERSE_CM_TO_K * molecule["rotation"])
        quantum = INVERSE_CM_TO_K * molecule["vibration"] / self.temperature
        return molecule["degeneracy"] * rotation / -np.expm1(-quantum)

    def log_populations(self, names):
        """Particles per hydrogen nucleus over partition function.

        Parameters
        ----------
        names : sequence of str
            Species.

        Returns
        -------
        ndarray of shape (n_species, n)
            log10.
        """
        table = atoms()
        stages = self.ion_fractions()
        shares, free = self.molecule_shares(stages[0])
        out = np.empty((len(names), len(self)))
        for row, species in zip(out, names):
            name, stage = split_species(species)
            if stage is None:
                u = self.molecule_partition(molecules()[name])
                row[:] = np.log10(np.maximum(shares[name], 1e-60) / u)
                continue
            i = ELEMENTS.index(name)
            share = stages[stage][i] * free.get(name, 1)
            log_u = log_partition(table[f"log_u{stage + 1}"][i], self.temperature)
            row[:] = self.log_abundance[i] + np.log10(np.maximum(share, 1e-60)) - log_u
        return out

    # -------------------------------------------------------------------- lines
    def line_strengths(self, lines):
        """Optical depth, width and damping of lines.

        Parameters
        ----------
        lines : LineList

        Returns
        -------
        depth : ndarray of shape (n_lines, n)
            Optical depth at the line centre without damping.
        doppler : ndarray of shape (n_lines, n)
            Doppler width b (half width at 1/e), km/s.
        damping : ndarray of shape (n_lines, n)
            Voigt parameter a: damping width over Doppler width.
        """
        mass = np.array([species_mass(s) for s in lines.names])
        speed = np.sqrt(THERMAL**2 * self.temperature / mass[:, None] + self.vmic**2)
        doppler = speed[lines.index]
        wave = lines.wave[:, None] * 1e-8
        exponent = self.log_populations(lines.names)[lines.index]
        exponent += np.log10(self.hydrogen_column(lines.wave))
        exponent += lines.loggf[:, None] - lines.ep[:, None] * self.theta
        stimulated = -np.expm1(-HC_OVER_K / lines.wave[:, None] / self.temperature)
        depth = LINE_ABSORPTION * wave / (doppler * 1e5) * 10**exponent * stimulated
        damping = self._damping_rate() * wave / (4 * np.pi * doppler * 1e5)
        return depth, doppler, damping

    def _damping_rate(self):
        """Radiative and van der Waals damping (1/s), typical of a metal line."""
        n_h = HYDROGEN_SHARE * 10**self.log_pg / (BOLTZMANN * self.temperature)
        return 1e8 + 10**-7.6 * n_h * (self.temperature / 1e4) ** 0.3

    def hydrogen_column(self, wave):
        """Hydrogen nuclei in the slab, cm⁻²: as many as H⁻ lets one see, (n_wave, n).

        Bound-free absorption at 5500 Å, where the cross section is 3.2e-17 cm².
        """
        per_ion = 4.158e-10 * 3.18e-17 * self.theta**2.5 * 10 ** (0.754 * self.theta)
        gain = np.interp(wave, (9_000.0, 15_000.0), (1.0, INFRARED_GAIN))
        return np.outer(gain, CONTINUUM_DEPTH / (per_ion * 10**self.log_pe))

    def floor(self, wave):
        """Flux that is left in the core of a saturated line, (n_wave, n).

        The slab shines with its own temperature: B(T layer) / B(Teff).
        """
        x = HC_OVER_K / np.atleast_1d(wave)[:, None]
        return np.expm1(x / self.teff) / np.expm1(x / self.temperature)
