"""Elements, ions and molecules: the constants of the simulator and their sources."""

import csv
from functools import cache
from importlib.resources import files

import numpy as np

__all__ = [
    "ELEMENTS",
    "HEAVY",
    "atoms",
    "log_partition",
    "molecules",
    "species_mass",
    "split_species",
]

#: Temperatures (K) at which the partition functions are tabulated.
PARTITION_TEMPERATURES = np.array([3500.0, 4500.0, 5500.0])


def read_table(name):
    """Rows of one of the bundled tables, as dictionaries."""
    table = files("specxfer").joinpath("data", "simulator", f"{name}.csv")
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@cache
def atoms():
    """Constants of the elements, as arrays in the order of `ELEMENTS`.

    Returns
    -------
    dict of str to ndarray
        ``mass`` (atomic units), ``abundance`` (solar, log ε with H = 12), ``ion1``
        and ``ion2`` (first and second ionisation potential, eV; infinite where there
        is none), ``log_u1`` and ``log_u2`` (log10 of the partition functions of the
        neutral and the ion at `PARTITION_TEMPERATURES`, shape (n_elements, 3)) and
        ``s_fraction`` (share of the s-process in the Sun, NaN for light elements).

    References
    ----------
    Abundances: Asplund, Amarsi & Grevesse 2021, A&A 653, A141. Ionisation potentials
    and partition functions: Barklem & Collet 2016, A&A 588, A96. s-process shares:
    rounded after Bisterzo et al. 2014, ApJ 787, 10.
    """
    rows = read_table("atoms")
    assert tuple(row["element"] for row in rows) == ELEMENTS

    def column(name, missing=np.nan):
        return np.array([float(row[name] or missing) for row in rows])

    table = {name: column(name) for name in ("mass", "abundance", "ion1", "s_fraction")}
    table["ion2"] = column("ion2", np.inf)
    for stage in (1, 2):
        names = [f"u{stage}_{t:.0f}" for t in PARTITION_TEMPERATURES]
        table[f"log_u{stage}"] = np.log10(np.transpose([column(n) for n in names]))
    return table


@cache
def molecules():
    """Constants of the diatomic molecules by name.

    Returns
    -------
    dict of str to dict
        ``first`` and ``second`` (elements), ``dissociation`` (eV), ``rotation`` and
        ``vibration`` (cm⁻¹) and ``degeneracy`` of the electronic ground state.

    References
    ----------
    Huber & Herzberg 1979, Constants of Diatomic Molecules; rounded.
    """
    text = ("molecule", "first", "second")
    return {
        row["molecule"]: {k: v if k in text else float(v) for k, v in row.items()}
        for row in read_table("molecules")
    }


def log_partition(log_u, temperature):
    """log10 of partition functions at given temperatures.

    Parameters
    ----------
    log_u : ndarray of shape (..., 3)
        Values at `PARTITION_TEMPERATURES`.
    temperature : ndarray of shape (n,)
        K. Held beyond 500 K outside the table.

    Returns
    -------
    ndarray of shape (..., n)
    """
    a, b, c = PARTITION_TEMPERATURES
    t = np.clip(temperature, a - 500, c + 500)
    weights = np.array(
        [
            (t - b) * (t - c) / ((a - b) * (a - c)),
            (t - a) * (t - c) / ((b - a) * (b - c)),
            (t - a) * (t - b) / ((c - a) * (c - b)),
        ]
    )
    return log_u @ weights


def split_species(species):
    """("Ba", 1) for "Ba II"; ("CO", None) for a molecule."""
    element, _, stage = species.partition(" ")
    return (element, {"I": 0, "II": 1}[stage]) if stage else (element, None)


def species_mass(species):
    """Mass in atomic units."""
    name, stage = split_species(species)
    mass = atoms()["mass"]
    if stage is not None:
        return mass[ELEMENTS.index(name)]
    molecule = molecules()[name]
    return sum(mass[ELEMENTS.index(molecule[part])] for part in ("first", "second"))


#: Elements of the simulator, by atomic number.
ELEMENTS = tuple(row["element"] for row in read_table("atoms"))
#: Those made by neutron capture.
HEAVY = tuple(row["element"] for row in read_table("atoms") if row["s_fraction"])
