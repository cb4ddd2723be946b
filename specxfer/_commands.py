"""What ``specxfer build | fit | translate | score`` do, given their options."""

import sys
import warnings
from pathlib import Path

from specxfer._paths import require_folder

__all__ = [
    "DONE",
    "FAILED",
    "MODELS",
    "SURVEYS",
    "build",
    "fit",
    "say",
    "score",
    "translate",
]

DONE, FAILED = 0, 1
MODELS = {  # name: room and class
    "pca-ridge": ("linear", "PCARidge"),
    "cnn": ("neural", "CNNTranslator"),
    "alignment": ("neural", "AlignmentTranslator"),
    "diffusion": ("neural", "DiffusionTranslator"),
}
SURVEYS = ("apogee", "galah")


def say(text):
    """Tell the standard error."""
    print(f"specxfer: {text}", file=sys.stderr, flush=True)


def build(options):
    """Store pairs; 1 if files could not be read."""
    from specxfer.io import PairedStore, pair_files

    table = _table_of_pairs(options)
    surveys = options.source_survey, options.target_survey
    found = pair_files(
        options.source, options.target, table, surveys=surveys, n_jobs=options.n_jobs
    )
    say(found)
    read_source, read_target = map(_reader, surveys)
    store = PairedStore.build(
        options.out,
        found.source,
        found.target,
        read_source=read_source,
        read_target=read_target,
        ids=found.ids,
        meta=None if table is None else table[found.rows],
        lossless=options.lossless,
        on_error=options.on_error,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    print(store)
    if len(found.dropped):
        path = f"{options.out.rstrip('/')}.dropped.ecsv"
        found.dropped.write(path, format="ascii.ecsv", overwrite=True)
        say(f"what is in no pair, and why, is in {path}")
    refused = store.report[store.report["status"] == "refused"]
    for row in refused[:5]:
        say(f"{row['file']}: {row['reason']}")
    if len(refused):
        say(f"{len(refused)} files could not be read: see `report` of the store")
    return FAILED if len(refused) else DONE


def fit(options):
    """Fit a model and save it."""
    from specxfer.model_files import save
    from specxfer.model_selection import StarShuffleSplit

    _free(options, options.out)
    model = _model(options)
    X, y = _read_pairs(options)
    train, test = slice(None), []
    if options.hold_out:
        split = StarShuffleSplit(
            n_splits=1, test_size=options.hold_out, random_state=options.seed
        )
        train, test = next(split.split(X, y))
    X_train, y_train = X[train], y[train]
    model.fit(X_train, y_train)
    metrics = {"n_pairs": len(X_train), "n_stars": len(set(X_train.ids.tolist()))}
    if len(test):
        metrics["score_held_out"] = float(model.score(X[test], y[test]))
        metrics["n_stars_held_out"] = len(set(X.ids[test].tolist()))
        Path(f"{options.out}.held_out.txt").write_text(
            "".join(f"{star}\n" for star in sorted(set(X.ids[test].tolist())))
        )
    save(
        model,
        options.out,
        training=(X_train, y_train),
        metrics=metrics,
        licence=options.licence,
    )
    print(f"{options.out}: {options.model}")
    for name, value in metrics.items():
        print(f"  {name}: {value:.6g}")
    return DONE


def translate(options):
    """Make a catalogue; 1 if files could not be read."""
    from astropy.table import QTable

    from specxfer.catalog import translate_catalog
    from specxfer.io._files import find_files
    from specxfer.model_files import load

    model = load(options.model)
    single = options.source_survey == "apogee"  # its files hold a star each
    source = find_files(options.source) if single else _read(options, "source")
    folder = translate_catalog(
        model,
        source,
        options.out,
        reader=read_best_apogee if single else None,
        std=not options.no_std,
        lines=_lines(options, "galah"),
        resolution=options.resolution,
        table=options.table,
        on_error="skip" if single else "raise",
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    table = QTable.read(folder / f"table.{options.table}")
    print(f"{folder}: {len(table)} stars")
    if "supported" in table.colnames:
        print(f"  like the training stars: {int(table['supported'].sum())}")
    problems = [p for p in table["problem"].astype(str) if p] if single else []
    for problem in problems[:5]:
        say(problem)
    if problems:
        say(f"{len(problems)} of {len(table)} files could not be read: see `problem`")
    return FAILED if problems else DONE


def score(options):
    """Print and write how good a model is."""
    from specxfer._predictions import Predictions
    from specxfer.metrics import line_table
    from specxfer.model_files import load

    if options.out:
        _free(options, options.out)
    model = load(options.model)
    X, y = _judging(options, *_read_pairs(options))
    score = model.score(X, y)
    lines = _lines(options, options.target_survey)
    table = line_table(y, {"model": Predictions(model, X, y)}, lines)
    table.meta = {"score": float(score), "n_pairs": len(X), "model": options.model}
    print(f"score: {score:.4f} (variance explained, {len(X)} pairs of spectra)")
    print("rms error of the flux, in continuum units, without the observed noise:")
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=options.overwrite)
    return DONE


# ------------------------------------------------------------------------- helpers
def _judging(options, X, y):
    """The pairs to be scored: those asked for, or that are known to be unseen."""
    from specxfer._fingerprint import fingerprint
    from specxfer.model_files import read_card

    held_out = Path(f"{options.model}.held_out.txt")
    path = options.stars or (held_out if held_out.exists() else None)
    if path is not None:
        wanted = set(Path(path).read_text().split("\n"))
        rows = [i for i, star in enumerate(X.ids.tolist()) if str(star) in wanted]
        if options.stars and not rows:
            raise ValueError(f"none of the pairs is of a star in {options.stars}.")
        if rows and len(rows) < len(X) and not options.stars:
            say(
                f"{len(rows)} of {len(X)} pairs are scored, of stars held out of the "
                f"fit: {held_out}. Give --stars FILE for others."
            )
        if rows:
            return X[rows], y[rows]
    if read_card(options.model)["training"] == fingerprint(X, y):
        say(
            "the model was fitted to these very pairs: new stars have larger errors. "
            "Fit with --hold-out, or score other pairs."
        )
    return X, y


def _free(options, path):
    if Path(path).exists() and not options.overwrite:
        options.parser.error(f"{path} is there already: give --overwrite")
    require_folder(path)  # before the hours of a fit


def _model(options):
    from importlib import import_module

    room, name = MODELS[options.model]
    cls = getattr(import_module(f"specxfer.{room}"), name)
    model = cls()
    unknown = [key for key, _ in options.set if key not in model.get_params()]
    if unknown:
        options.parser.error(
            f"{name} has no parameter {unknown[0]!r}; it has "
            f"{', '.join(sorted(model.get_params()))}"
        )
    model.set_params(**dict(options.set))
    try:
        model._validate_params()  # as `fit` does, after the data are read
    except ValueError as error:
        options.parser.error(f"--set: {error}")
    return model


def _lines(options, survey):
    from specxfer.lines import KEY_LINES, load_lines

    if options.lines is None:
        return None
    if options.lines == ["all"]:
        return load_lines(survey)
    names = KEY_LINES if options.lines == ["key"] else options.lines
    return load_lines(survey, names=names)


def _read(options, side):
    """The spectra of one side; files that could not be read are told of."""
    from specxfer.io import ReadWarning, read_apogee, read_galah
    from specxfer.io._collect import most_refused

    read = {"apogee": read_apogee, "galah": read_galah}
    survey, paths = (getattr(options, name) for name in (f"{side}_survey", side))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReadWarning)  # it is an error here
        spectra, report = read[survey](
            paths, n_jobs=options.n_jobs, verbose=not options.quiet
        )
    refused = report[report["status"] == "refused"]
    for row in refused[:5]:
        say(f"{row['file']}: {row['reason']}")
    if len(refused):
        say(f"{len(refused)} {side} files were left out")
    if not len(spectra):
        why = most_refused(report)
        raise ValueError(f"no {side} spectrum could be read as one of {survey}: {why}.")
    return spectra


def _reader(survey):
    """What reads a spectrum of a survey from its file, or files."""
    from specxfer.io import read_galah

    return {"apogee": read_best_apogee, "galah": read_galah}[survey]


def read_best_apogee(paths):
    """Of each file the spectrum of the best S/N: one of SDSS-V may hold two."""
    import numpy as np

    from specxfer.io import read_apogee

    spectra, report = read_apogee(paths)
    snr = np.nan_to_num(spectra.meta["snr"], nan=-1.0)
    files = np.asarray(spectra.meta["file"])
    order = np.lexsort((-snr, files))
    _, first = np.unique(files[order], return_index=True)
    best = np.sort(order[first])
    read = np.flatnonzero(report["status"] != "refused")
    report.remove_rows(np.delete(read, best))
    return spectra[best], report


def _read_pairs(options):
    """Source and target spectra, row by row of the same star."""
    from specxfer.io import PairedStore
    from specxfer.io._pair_names import dropped_table, match_names, reported

    files = [f"--{name}" for name in ("source", "target", "pairs")]
    given = [name for name in files if getattr(options, name[2:])]
    if options.store:
        if given:
            options.parser.error(f"give --store, or {given[0]}, and not both")
        store = PairedStore(options.store)
        X, y = store.source, store.target
        if X.ids is None:
            raise ValueError(
                f"{options.store} does not say of which star a pair is: build it with "
                "ids."
            )
    else:
        if len(given) < 2 or "--pairs" in given[:2]:
            options.parser.error("give --store, or --source and --target")
        X, y = _read(options, "source"), _read(options, "target")
        table = _table_of_pairs(options)
        i, j, stars, _, dropped = match_names(_names(X), _names(y), table)
        dropped = dropped_table(dropped, X.meta["file"], y.meta["file"])
        X, y = X[i].replace(ids=stars), y[j].replace(ids=stars)
        for line in reported(dropped):
            say(line)
    say(f"{len(X)} pairs of spectra of {len(set(X.ids.tolist()))} stars")
    return X, y


def _table_of_pairs(options):
    from astropy.table import Table

    return Table.read(options.pairs) if options.pairs else None


def _names(spectra):
    """What the stars, and the spectra, are called."""
    import numpy as np

    from specxfer.io._pair_names import SPECTRUM_NAMES

    meta = spectra.meta
    names = [name for name in SPECTRUM_NAMES if name in meta.colnames]
    found = {name: np.asarray(meta[name]).astype("U") for name in names}
    # which release of Gaia it is of, GALAH's files of DR4 say, and SDSS-V's
    known = (meta["survey"] == "APOGEE") | (meta["release"] == "DR4")
    gaia_id = np.where(known, np.asarray(meta["gaia_id"]).astype("U"), "")
    return {**found, "star": spectra.ids, "gaia_id": gaia_id}
