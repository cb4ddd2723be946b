"""AbundanceRegressor: abundances of heavy elements from translated spectra."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from astropy import units as u
from astropy.table import QTable
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from specxfer._compositions import support, translate
from specxfer._rows import by_index
from specxfer._stars import star_codes
from specxfer.abundances._element_model import ElementModel
from specxfer.abundances._equivalent_widths import EquivalentWidths
from specxfer.abundances._label_columns import abundances_of, columns_of
from specxfer.abundances._skill import as_columns, as_table, skill_table
from specxfer.compose import TargetWindow
from specxfer.lines import Line, each_window, load_lines
from specxfer.metrics import giants_and_dwarfs
from specxfer.model_selection import StarKFold
from specxfer.model_selection._over_folds import over_folds
from specxfer.spectra import Spectra

ELEMENTS = ("Ba", "Y", "Zr", "La", "Ce", "Nd", "Eu")
BLOCK_ROWS = 512
LEAST = 1e-6  # dex²
FEWEST = 50  # stars with a label that a domain needs


class AbundanceRegressor(RegressorMixin, BaseEstimator):
    """[X/Fe] of heavy elements for stars that only the source survey saw.

    Spectra are translated, the lines of the heavy elements measured, and the abundances
    regressed on these equivalent widths and on stellar parameters, in giants and dwarfs
    apart. The regression is learnt from *out-of-fold* translations: each training
    star's is by a translator that never saw it, as that of a new star will be.

    Beside every element stands its null, the same regression without the spectrum.
    Where it does as well the abundance is the mean of stars with such parameters, and
    is marked as not `informed`: it must not be used as a measurement.

    Parameters
    ----------
    translator : estimator
        Any translator, or a Pipeline or search of one, that knows its errors.
    elements : sequence of str, default=("Ba", "Y", "Zr", "La", "Ce", "Nd", "Eu")
    lines : list of Line or (lo, hi), optional
        Windows in the target; by default the lines of `specxfer.lines` of these
        elements that the target covers. Only their surroundings are translated.
    labels : sequence of str, default=("teff", "logg", "fe_h")
        Columns of ``X.meta``, which new stars must have, too. Teff and log g, or a
        column ``giant``, tell giants from dwarfs; else all stars are one domain.
    label_error : float, optional
        Standard error of the abundances, dex, where there is no column of errors. With
        neither, the labels' errors count as scatter of the stars.
    pad : float, default=1.0
        Å around each window that are translated, too.
    cv : int, default=5
        Folds, of stars, of the out-of-fold translations.
    alpha : float, default=0.05
        False discovery rate at which an abundance is `informed`.
    random_state : int, default=0
        Of folds, samples and signs.
    n_jobs : int, optional
        Processes that fit translators.
    verbose : int, default=0
        Above 0: shows a progress bar.

    Attributes
    ----------
    translator_ : TargetWindow
        The translator, fitted to the windows of all stars.
    lines_ : list
        The windows.
    models_ : dict of (str, str) to ElementModel
        The regression of each element in each domain; elements without enough labels
        in a domain have none, and are predicted as NaN there.
    skill_ : QTable
        For each element and domain: ``n_stars``; ``rms`` and ``rms_null`` in dex, of
        stars left out, the labels' errors taken off; ``skill`` = 1 − MSE/MSE_null with
        its interval; ``p``, ``q`` (Benjamini-Hochberg); ``informed``.
    n_features_in_ : int
        Pixels of the source.

    See Also
    --------
    specxfer.validation.null_test : The same question about spectra.

    Notes
    -----
    ``fit(X, y)`` finds abundances in ``y.meta``, else in ``X.meta``: ``ba_fe`` and, if
    there, ``e_ba_fe`` and ``flag_ba_fe``, in upper or lower case. Labels with a flag
    other than 0, without an error where others have one, or NaN carry no weight.

    Features are the equivalent widths of all lines; of the element's own lines (all, if
    windows come without an element) their squares and their products with the stellar
    parameters; and functions of the parameters alone, as the null has them. Penalties
    are learnt from the data. As translated widths are posterior means, a regression on
    them is calibrated without a correction for their errors: errors of a predicted
    width are independent of it (Berkson 1950, JASA 45, 164), and only widen the
    scatter.

    The standard deviation is that of the abundance itself. Its square is the mean
    squared error of stars left out, the labels' errors taken off, in giants or dwarfs;
    up to half of it goes as the variance that a star's own widths, with their
    covariance, give the abundance, so that a noisier star has a larger one; and it
    grows with the distance from the training stars.

    Examples
    --------
    >>> from specxfer.abundances import AbundanceRegressor
    >>> from specxfer.datasets import make_paired_spectra
    >>> from specxfer.linear import PCARidge
    >>> X, y, _ = make_paired_spectra(450, size="small", giant_fraction=1,
    ...                               random_state=0)
    >>> model = AbundanceRegressor(PCARidge(20), ["Ce"], cv=3)
    >>> x_fe, std = model.fit(X[:400], y[:400]).predict(X[400:], return_std=True)
    >>> x_fe.shape, bool(model.skill_["informed"][0])
    ((50, 1), True)
    """

    _parameter_constraints: dict = {
        "translator": [HasMethods(["fit", "predict"])],
        "elements": ["array-like"],
        "lines": ["array-like", Line, None],
        "labels": ["array-like"],
        "label_error": [Interval(Real, 0, None, closed="neither"), None],
        "pad": [Interval(Real, 0, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left")],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        translator,
        elements=ELEMENTS,
        *,
        lines=None,
        labels=("teff", "logg", "fe_h"),
        label_error=None,
        pad=1.0,
        cv=5,
        alpha=0.05,
        random_state=0,
        n_jobs=None,
        verbose=0,
    ):
        self.translator = translator
        self.elements = elements
        self.lines = lines
        self.labels = labels
        self.label_error = label_error
        self.pad = pad
        self.cv = cv
        self.alpha = alpha
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # ------------------------------------------------------------------ fitting
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Learn from stars that both surveys saw and whose abundances are known.

        Parameters
        ----------
        X : Spectra of shape (n_spectra, n_features_in)
            Source spectra, with stellar parameters in `meta`.
        y : Spectra of shape (n_spectra, n_pixels_out)
            Target spectra of the same stars, with abundances in `meta`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels or wavelengths are missing.
        """
        _check_spectra(X, y)
        labels = columns_of(self.labels, X)
        catalogue = {
            element: abundances_of(element, (y, X), self.label_error)
            for element in self.elements
        }
        self.lines_ = self._windows(y)
        self.n_features_in_ = X.shape[1]
        windowed = TargetWindow(clone(self.translator), self.lines_, pad=self.pad)
        judge = WidthJudge(self.lines_)
        judged, _ = over_folds(
            {"translator": windowed},
            X,
            y,
            judge,
            cv=StarKFold(self.cv, random_state=self.random_state),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        found = judged["translator"]
        self.translator_ = windowed.fit(by_index(X), by_index(y))
        self._regress(labels, found, catalogue, _domains(X), star_codes(X, y))
        return self

    def _regress(self, labels, found, catalogue, domains, stars):
        self.models_, judged = {}, []
        usable = np.isfinite(labels).all(axis=1) & np.isfinite(found["ew"]).all(axis=1)
        for element, (x_fe, error) in catalogue.items():
            own = np.array([_is_of(element, line) for line in self.lines_])
            for domain, mask in domains.items():
                rows = np.flatnonzero(mask & usable & np.isfinite(x_fe))
                if len(rows) < FEWEST:
                    continue
                data = _Data(
                    labels[rows],
                    found["ew"][rows],
                    found["covariance"][rows],
                    own,
                    x_fe[rows],
                    None if error is None else error[rows],
                    np.unique(stars[rows], return_inverse=True)[1],
                )
                model = data.fitted(self.random_state)
                self.models_[element, domain] = model
                errors = data.errors_left_out(model.terms, self.cv, self.random_state)
                model.mse = data.mean_square(errors[0])
                judged.append((element, domain, data, *errors))
        if not judged:
            raise ValueError(
                f"no domain has {FEWEST} stars with labels and an abundance of any of "
                f"{list(self.elements)}: check flags, errors and NaN."
            )
        self.skill_ = skill_table(judged, self.alpha, self.random_state)

    def _windows(self, y):
        if self.lines is not None:
            return each_window(self.lines)
        wanted = load_lines("galah", elements=list(self.elements))
        inside = [
            line
            for line in (w.to_medium(y.medium) for w in wanted)
            if _covers(y, line.lo - self.pad, line.hi + self.pad)
        ]
        if not inside:
            raise ValueError(
                f"no line of {list(self.elements)} lies on the target's grid "
                f"({y.wave[0]:.0f} to {y.wave[-1]:.0f} Å, {y.medium}): give lines=."
            )
        return inside

    # --------------------------------------------------------------- predicting
    def predict(self, X, return_std=False):
        """Abundances of stars that only the source survey saw.

        Parameters
        ----------
        X : Spectra of shape (n_spectra, n_features_in)
            With the stellar parameters in `meta`.
        return_std : bool, default=False
            Also return the standard deviation.

        Returns
        -------
        x_fe : ndarray of shape (n_spectra, n_elements)
            [X/Fe] in dex; NaN for a star without a stellar parameter.
        std : ndarray of the same shape
            Only if `return_std`.
        """
        check_is_fitted(self)
        _check_spectra(X)
        x_fe, std = np.full((2, len(X), len(self.elements)), np.nan)
        judge = WidthJudge(self.lines_)
        for rows, block in X.iter_blocks(BLOCK_ROWS):
            labels = columns_of(self.labels, block)
            found = judge(self.translator_, block, None)
            domains = _domains(block)
            if not set(domains) & {domain for _, domain in self.models_}:
                raise ValueError(
                    "the labels of X do not tell giants from dwarfs, and those of the "
                    "training stars did (or the other way round): X.meta needs the "
                    "same columns teff, logg or giant."
                )
            for domain, mask in domains.items():
                here = np.flatnonzero(mask)
                at = rows.start + here
                args = labels[here], found["ew"][here], found["covariance"][here]
                for i, element in enumerate(self.elements):
                    model = self.models_.get((element, domain))
                    if model is not None and len(here):
                        x_fe[at, i], std[at, i] = model.predict(*args)
        return (x_fe, std) if return_std else x_fe

    def predict_table(self, X):
        """Abundances as a table, with what should be known before they are used.

        Parameters
        ----------
        X : Spectra of shape (n_spectra, n_features_in)

        Returns
        -------
        QTable
            ``id``; for each element ``ba_fe`` and ``e_ba_fe`` in dex, and
            ``ba_fe_informed``, False where the spectrum told no more of it than the
            stellar parameters do (in `skill_`, for stars of this domain, or because
            there is none); and
            ``supported``, False for stars unlike the training stars.
        """
        x_fe, std = self.predict(X, return_std=True)
        ids = np.arange(len(X)) if X.ids is None else X.ids
        table = QTable({"id": ids})
        domains, distance = _domains(X), support(self.translator_, X)
        for i, element in enumerate(self.elements):
            name = f"{element.lower()}_fe"
            table[name], table[f"e_{name}"] = x_fe[:, i] * u.dex, std[:, i] * u.dex
            for column in (name, f"e_{name}"):
                table[column].info.format = ".3f"
            informed = np.zeros(len(X), bool)
            for domain, mask in domains.items():
                informed |= mask & self._is_informed(element, domain)
            table[f"{name}_informed"] = informed & np.isfinite(distance)
        table["supported"] = distance <= 1
        return table

    def _is_informed(self, element, domain):
        of = (self.skill_["element"] == element) & (self.skill_["domain"] == domain)
        return bool(of.any() and self.skill_["informed"][of][0])

    def score(self, X, y):
        """Fraction of the abundances' variance explained, the mean over elements.

        Parameters
        ----------
        X : Spectra of shape (n_spectra, n_features_in)
        y : Spectra of shape (n_spectra, n_pixels_out)
            Only its labels are used.

        Returns
        -------
        float
            Weighted by the labels' errors, over stars whose label is known.
        """
        predicted = self.predict(X)
        scores = []
        for i, element in enumerate(self.elements):
            x_fe, error = abundances_of(element, (y, X), self.label_error)
            weight = np.ones(len(x_fe)) if error is None else 1 / error**2
            known = np.isfinite(x_fe) & np.isfinite(predicted[:, i])
            if known.sum() < 2:
                continue
            w, o, p = weight[known], x_fe[known], predicted[known, i]
            total = (w * (o - np.average(o, weights=w)) ** 2).sum()
            scores.append(1 - (w * (o - p) ** 2).sum() / total)
        if not scores:
            raise ValueError("y has no two known abundances of any element.")
        return float(np.mean(scores))

    def __getstate__(self):
        """Tables and keys that are pairs as what model files can hold: plain lists."""
        state = dict(super().__getstate__())
        if "models_" in state:
            state["models_"] = [[*key, m] for key, m in state["models_"].items()]
            state["skill_"] = as_columns(state["skill_"])
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "models_" in state:
            state["models_"] = {(e, d): model for e, d, model in state["models_"]}
            state["skill_"] = as_table(state["skill_"])
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags


@dataclass(frozen=True)
class WidthJudge:
    """Equivalent widths of translated spectra, for `over_folds`."""

    lines: list

    def __call__(self, model, X, y):
        """Widths (n, m) and their covariance (n, m, m) of a block."""
        widths = EquivalentWidths(self.lines).fit_transform(translate(model, X))
        m = widths.shape[1]
        covariance = widths.covariance
        if covariance is None:
            covariance = np.zeros((len(widths), m, m))
        return {"ew": np.asarray(widths), "covariance": covariance}


@dataclass(frozen=True)
class _Data:
    """What is known of the stars of one domain, for one element."""

    labels: np.ndarray
    widths: np.ndarray
    spread: np.ndarray
    own: np.ndarray
    x_fe: np.ndarray
    error: np.ndarray | None
    stars: np.ndarray

    def __getitem__(self, rows):
        error = None if self.error is None else self.error[rows]
        stars = np.unique(self.stars[rows], return_inverse=True)[1]
        return _Data(
            self.labels[rows], self.widths[rows], self.spread[rows], self.own,
            self.x_fe[rows], error, stars,
        )  # fmt: skip

    def without_spectrum(self):
        """What the null is given."""
        return _Data(
            self.labels, self.widths[:, :0], self.spread[:, :0, :0], self.own[:0],
            self.x_fe, self.error, self.stars,
        )  # fmt: skip

    def fitted(self, seed, terms=None):
        return ElementModel.fitted(
            self.labels, self.widths, self.spread, self.own, self.x_fe, self.error,
            self.stars, seed, terms,
        )  # fmt: skip

    def predicted(self, model):
        return model.predict(self.labels, self.widths, self.spread)[0]

    def mean_square(self, errors):
        """Of errors of stars left out, less what their labels' errors add."""
        if self.error is None:
            return float(np.mean(errors**2))
        square = np.average(errors**2 - self.error**2, weights=1 / self.error**2)
        return max(float(square), LEAST)

    def errors_left_out(self, terms, cv, seed):
        """Predicted minus catalogued of stars left out: with the spectrum, without."""
        both = self, self.without_spectrum()
        errors = np.empty((2, len(self.x_fe)))
        splitter = StarKFold(min(cv, self.stars.max() + 1), random_state=seed)
        for train, test in splitter.split(self.labels, groups=self.stars):
            for out, data in zip(errors, both):
                model = data[train].fitted(seed, terms)
                out[test] = data[test].predicted(model) - self.x_fe[test]
        return errors


def _check_spectra(*spectra):
    for name, each in zip("Xy", spectra):
        if not isinstance(each, Spectra) or each.wave is None:
            raise ValueError(
                f"{name} must be Spectra with wavelengths: AbundanceRegressor measures "
                "lines in Å and reads labels from meta. Give Spectra(flux, ivar, "
                "wave=..., medium=..., meta=table)."
            )
    if len(spectra) == 2 and len(spectra[0]) != len(spectra[1]):
        raise ValueError(
            f"X has {len(spectra[0])} spectra and y {len(spectra[1])}: give the same "
            "stars in the same order."
        )


def _is_of(element, line):
    """Whether a line is the element's; windows that do not say are everybody's."""
    return getattr(line, "element", element).lower() == element.lower()


def _domains(X):
    """Giants and dwarfs where the labels of X tell, else all as one."""
    try:
        return giants_and_dwarfs(X)
    except ValueError:
        return {"all": np.ones(len(X), bool)}


def _covers(y, lo, hi):
    inside = (y.wave >= lo) & (y.wave <= hi)
    return inside.sum() > 3 and np.ptp(y.chip[inside]) == 0
