"""``specxfer build | fit | translate | score``: the library from a terminal.

Here are the options; what each command does is in `_commands`: it calls the library
and prints what came of it, results to the standard output, progress and remarks to the
standard error.

Exit codes: 0 all is done; 1 something in the data, the files or the machine was in the
way, and the message says what; 2 the command was called wrongly; 130 it was interrupted
(Ctrl-C). What `build` or `translate` had done then is kept, and the same command goes
on with it.
"""

import argparse
import ast
import os
import sys
import traceback

from specxfer._commands import (
    DONE,
    FAILED,
    MODELS,
    SURVEYS,
    build,
    fit,
    say,
    score,
    translate,
)
from specxfer._version import __version__

__all__ = ["main"]

INTERRUPTED = 130
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
        say(f"interrupted: {options.on_interrupt}")
        return INTERRUPTED
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        if options.traceback:
            traceback.print_exc()
        say(f"error: {error or type(error).__name__}")
        return FAILED


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
    for add in (_add_build, _add_fit, _add_translate, _add_score):
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
    add("--n-jobs", type=int, help="processes that read or translate (default: 1)")
    add("--quiet", action="store_true", help="no progress bar")
    add("--traceback", action="store_true", help="show where an error came from")
    return parser


def _add_spectra(parser, side, survey, required=True):
    parser.add_argument(
        f"--{side}",
        nargs="+",
        metavar="PATH",
        required=required,
        help=f"files, folders or patterns of {side} spectra",
    )
    parser.add_argument(
        f"--{side}-survey", choices=SURVEYS, default=survey, help=f"default: {survey}"
    )


def _add_pairs(parser, required=True):
    _add_spectra(parser, "source", "apogee", required)
    _add_spectra(parser, "target", "galah", required)
    parser.add_argument(
        "--pairs",
        metavar="TABLE",
        help="table of specxfer.io.crossmatch, whose rows are the pairs; by default "
        "spectra with the same 2MASS name, Gaia DR3 or SDSS-V number are paired",
    )


def _add_stored_pairs(parser):
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="pairs that `specxfer build` stored, instead of --source and --target: "
        "they are read as they are needed, and may be more than memory holds",
    )
    _add_pairs(parser, required=False)


def _add_build(commands):
    parser = _command(
        commands,
        build,
        "build",
        "store the pairs of spectra of two surveys on disk, read once for all fits",
        "  specxfer build pairs.zarr --source spectra/apogee \\\n"
        "      --target spectra/galah --pairs pairs.ecsv --n-jobs 8",
        "what is done is kept; the same command goes on.",
    )
    add = parser.add_argument
    add("out", metavar="FOLDER", help="the store to make, or to go on with")
    _add_pairs(parser)
    add("--lossless", action="store_true", help="every bit, in twice the space")
    add(
        "--on-error",
        choices=("skip", "nan", "raise"),
        default="skip",
        help="of a file that cannot be read: leave the pair out (default), leave that "
        "side of it unknown, or stop",
    )


def _add_fit(commands):
    parser = _command(
        commands,
        fit,
        "fit",
        "learn to translate from the stars that both surveys saw",
        "  specxfer fit --store pairs.zarr --set n_components=60 --hold-out 0.2 \\\n"
        "      --out giants.skops",
        "nothing was written.",
    )
    _add_stored_pairs(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", required=True, help="the model file to write")
    add("--overwrite", action="store_true", help="replace a model file")
    add(
        "--model",
        choices=sorted(MODELS),
        default="pca-ridge",
        help="the translator (default: pca-ridge)",
    )
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
        translate,
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
        score,
        "score",
        "judge a model by stars that both surveys saw and it did not",
        "  specxfer score giants.skops --store pairs.zarr \\\n"
        "      --stars giants.skops.held_out.txt --lines key --out score.ecsv",
        "nothing was written.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file of `specxfer fit` or specxfer.save")
    _add_stored_pairs(parser)
    add("--stars", metavar="FILE", help=STARS_HELP)
    add("--lines", nargs="+", metavar="LINE", help=LINES_HELP)
    add("--out", metavar="FILE", help="write the table there, too (ECSV)")
    add("--overwrite", action="store_true", help="replace that file")


STARS_HELP = (
    "score on these stars only, one name a line (default: those of "
    "MODEL.held_out.txt, which `fit --hold-out` writes, or else all)"
)
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
