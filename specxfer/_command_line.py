"""``specxfer fit | translate | score``: the library from a terminal.

Each command reads its options, calls the library, and prints what came of it: results
to the standard output, progress and remarks to the standard error.

Exit codes: 0 all is done; 1 something in the data, the files or the machine was in the
way, and the message says what; 2 the command was called wrongly; 130 it was interrupted
(Ctrl-C). What `translate` had done then is kept, and the same command goes on with it.
"""

import argparse
import ast
import os
import sys
import traceback
from pathlib import Path

from specxfer._version import __version__

__all__ = ["main"]

DONE, FAILED, INTERRUPTED = 0, 1, 130
MODELS = {  # name: room and class
    "pca-ridge": ("linear", "PCARidge"),
    "cnn": ("neural", "CNNTranslator"),
    "alignment": ("neural", "AlignmentTranslator"),
    "diffusion": ("neural", "DiffusionTranslator"),
}
SURVEYS = ("apogee", "galah")
EXIT_CODES = """\
exit codes:
  0  all is done
  1  the data, a file or the machine was in the way: the message says what
  2  wrong usage
  130  interrupted (Ctrl-C)
"""


def main(argv=None):
    """Run a command; the exit code.

    Parameters
    ----------
    argv : list of str, optional
        By default what the program was called with.

    Returns
    -------
    int
    """
    options = _parser().parse_args(argv)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        _say(f"interrupted: {options.on_interrupt}")
        return INTERRUPTED
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        if options.traceback:
            traceback.print_exc()
        _say(f"error: {error or type(error).__name__}")
        return FAILED


def _say(text):
    print(f"specxfer: {text}", file=sys.stderr, flush=True)


# ------------------------------------------------------------------------- options
def _parser():
    parser = argparse.ArgumentParser(
        "specxfer",
        description="Translate the spectra of stars from one survey to another.",
        epilog="See `specxfer COMMAND --help` for an example of each.\n\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_fit, _add_translate, _add_score):
        add(commands)
    return parser


def _command(commands, run, name, summary, example, on_interrupt):
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n{example}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, on_interrupt=on_interrupt, parser=parser)
    add = parser.add_argument
    add("--n-jobs", type=int, help="processes that read or translate")
    add("--quiet", action="store_true", help="no progress bar")
    add("--traceback", action="store_true", help="show where an error came from")
    return parser


def _add_spectra(parser, side, survey, **more):
    parser.add_argument(
        f"--{side}",
        nargs="+",
        metavar="PATH",
        required=True,
        help=f"files, folders or patterns of {side} spectra",
    )
    parser.add_argument(
        f"--{side}-survey", choices=SURVEYS, default=survey, help=f"default: {survey}"
    )


def _add_pairs(parser):
    _add_spectra(parser, "source", "apogee")
    _add_spectra(parser, "target", "galah")
    parser.add_argument(
        "--pairs",
        metavar="TABLE",
        help="table of specxfer.io.crossmatch; by default spectra of the same name "
        "(2MASS) are paired",
    )


def _add_fit(commands):
    parser = _command(
        commands,
        _fit,
        "fit",
        "learn to translate from the stars that both surveys saw",
        "  specxfer fit --source spectra/apogee --target spectra/galah \\\n"
        "      --pairs pairs.ecsv --set n_components=60 --hold-out 0.2 \\\n"
        "      --out giants.skops",
        "nothing was written.",
    )
    _add_pairs(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", required=True, help="the model file to write")
    add("--overwrite", action="store_true", help="replace a model file")
    add("--model", choices=sorted(MODELS), default="pca-ridge", help="pca-ridge")
    add(
        "--set",
        nargs="+",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="parameters of the model",
    )
    add(
        "--hold-out",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="share of the stars that the model does not see and is scored on; their "
        "names go to FILE.held_out.txt, for `score --stars`",
    )
    add("--seed", type=int, default=0, help="of the stars held out (default: 0)")
    add("--licence", help="terms on which others may use the model")


def _add_translate(commands):
    parser = _command(
        commands,
        _translate,
        "translate",
        "translate any number of stars with a fitted model",
        "  specxfer translate giants.skops --source spectra/apogee_all \\\n"
        "      --lines key --out catalogue --n-jobs 8",
        "what is done is kept; the same command goes on.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file of `specxfer fit` or specxfer.save")
    _add_spectra(parser, "source", "apogee")
    add("--out", metavar="FOLDER", required=True, help="made, or gone on with")
    add("--lines", nargs="+", metavar="LINE", help=LINES_HELP)
    add("--no-std", action="store_true", help="leave standard deviations out")
    add("--resolution", type=float, metavar="R", help="resolving power to write at")
    add("--table", choices=("fits", "ecsv"), default="fits", help="default: fits")


def _add_score(commands):
    parser = _command(
        commands,
        _score,
        "score",
        "judge a model by stars that both surveys saw and it did not",
        "  specxfer score giants.skops --source spectra/apogee \\\n"
        "      --target spectra/galah --pairs pairs.ecsv \\\n"
        "      --stars giants.skops.held_out.txt --lines key --out score.ecsv",
        "nothing was written.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file of `specxfer fit` or specxfer.save")
    _add_pairs(parser)
    add("--stars", metavar="FILE", help="only these stars, one name a line")
    add("--lines", nargs="+", metavar="LINE", help=LINES_HELP)
    add("--out", metavar="FILE", help="write the table there, too (ECSV)")
    add("--overwrite", action="store_true", help="replace that file")


LINES_HELP = 'lines, such as "Ba II 6497"; "key" for eight, "all" for all'


def _parameter(text):
    name, is_one, value = text.partition("=")
    if not (is_one and name.isidentifier()):
        raise argparse.ArgumentTypeError(f"{text!r}; expected NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _share(text):
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected 0 to below 1")
    return share


def _free(options, path):
    if Path(path).exists() and not options.overwrite:
        options.parser.error(f"{path} is there already: give --overwrite")


# ------------------------------------------------------------------------ commands
def _fit(options):
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


def _translate(options):
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
        reader=_read_star if single else None,
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
        _say(problem)
    if problems:
        _say(f"{len(problems)} of {len(table)} files could not be read: see `problem`")
    return FAILED if problems else DONE


def _score(options):
    from specxfer import predict_like
    from specxfer.metrics import line_table
    from specxfer.model_files import load

    if options.out:
        _free(options, options.out)
    model = load(options.model)
    X, y = _read_pairs(options)
    if options.stars:
        wanted = Path(options.stars).read_text().split("\n")
        rows = [i for i, star in enumerate(X.ids) if star in set(wanted)]
        if not rows:
            raise ValueError(f"none of the pairs is of a star in {options.stars}.")
        X, y = X[rows], y[rows]
    score = model.score(X, y)
    lines = _lines(options, options.target_survey)
    table = line_table(y, {"model": predict_like(model, X, y)}, lines)
    table.meta = {"score": float(score), "n_pairs": len(X), "model": options.model}
    print(f"score: {score:.4f} (variance explained, {len(X)} pairs of spectra)")
    print("rms error of the flux, in continuum units, without the observed noise:")
    print("\n".join(table.pformat(max_lines=-1, max_width=-1)))
    if options.out:
        table.write(options.out, format="ascii.ecsv", overwrite=options.overwrite)
    return DONE


# ------------------------------------------------------------------------- helpers
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
    return model.set_params(**dict(options.set))


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
    from specxfer.io import read_apogee, read_galah

    read = {"apogee": read_apogee, "galah": read_galah}
    survey, paths = (getattr(options, name) for name in (f"{side}_survey", side))
    spectra, report = read[survey](
        paths, n_jobs=options.n_jobs, verbose=not options.quiet
    )
    refused = report[report["status"] == "refused"]
    for row in refused[:5]:
        _say(f"{row['file']}: {row['reason']}")
    if len(refused):
        _say(f"{len(refused)} {side} files were left out")
    if not len(spectra):
        raise ValueError(f"no {side} spectrum could be read.")
    return spectra


def _read_star(path):
    """The best spectrum of a star in a file of APOGEE."""
    import numpy as np

    from specxfer.io import read_apogee

    spectra, _ = read_apogee(path, on_error="raise")
    best = int(np.argmax(np.nan_to_num(spectra.meta["snr"], nan=-1.0)))
    return spectra[[best]]


def _read_pairs(options):
    """Source and target spectra, row by row of the same star."""
    import numpy as np

    from specxfer.io._sky import join

    X, y = _read(options, "source"), _read(options, "target")
    if options.pairs:
        X = _named(X, options.pairs, "source")
        y = _named(y, options.pairs, "target")
    _, codes = np.unique(np.concatenate([X.ids, y.ids]), return_inverse=True)
    i, j = join(codes[: len(X)], codes[len(X) :])
    if not len(i):
        raise ValueError(
            f"no star is in both: source has {len(X)} spectra, as {X.ids[0]}, target "
            f"{len(y)}, as {y.ids[0]}; give --pairs, a table of crossmatch."
        )
    X, y = X[i], y[j]
    _say(f"{len(i)} pairs of spectra of {len(set(X.ids.tolist()))} stars")
    return X, y.replace(ids=X.ids)


def _named(spectra, path, side):
    """Spectra that a table of pairs has, named by its stars."""
    import numpy as np
    from astropy.table import Table

    pairs = Table.read(path)
    for name in ("apogee_id", "sdss_id", "sobject_id"):
        column = f"{side}_{name}"
        if column in pairs.colnames and name in spectra.meta.colnames:
            break
    else:
        raise ValueError(
            f"{path} has no column {side}_apogee_id or {side}_sobject_id that names "
            f"the {side} spectra; it has {pairs.colnames}."
        )
    stars = dict(zip(pairs[column].astype(str), pairs["star"].astype(str)))
    names = [stars.get(key, "") for key in spectra.meta[name].astype(str)]
    rows = np.flatnonzero(np.array(names) != "")
    if not len(rows):
        raise ValueError(f"none of the {side} spectra is in {path}.")
    return spectra[rows].replace(ids=np.array(names)[rows])
