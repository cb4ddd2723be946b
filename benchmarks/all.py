"""Run benchmarks and write their tables into the documentation.

    python -m benchmarks.all --write-docs                 # all: some hours
    python -m benchmarks.all --write-docs --only reading nearest
    python -m benchmarks.all --only reading               # print, and write nothing

Each section of ``docs/accuracy.rst`` and ``docs/performance.rst`` has its own date and
machine, so running a few of them leaves the pages right. Run the ones that measure time
on a machine that does nothing else: the load at the start is written down.
"""

import argparse
import importlib
import os
import time
from pathlib import Path

from benchmarks.sections import ROOT, conditions, write

PAGES = {
    "accuracy": (
        "lte_pairs",
        "cnn_accuracy",
        "denoise",
        "attenuation",
        "abundances",
        "support",
    ),
    "performance": ("nearest", "catalog", "reading", "store"),
}
NAMES = [name for names in PAGES.values() for name in names]


def main(argv=None, docs=ROOT / "docs"):
    """Run the chosen benchmarks, print their sections, and write them if asked to."""
    shared = os.environ.get("SPECXFER_SHARED", ROOT.parent / "shared")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--write-docs", action="store_true", help="into docs/*.rst")
    parser.add_argument("--data", type=Path, default=Path(shared), help="survey files")
    options = parser.parse_args(argv)
    for page, names in PAGES.items():
        for name in names:
            if name in options.only:
                sections, remark = measured(name, options.data)
                print(*(s.to_rst() for s in sections), remark, sep="\n\n", flush=True)
                if options.write_docs:
                    write(docs / f"{page}.rst", name, sections, remark)


def measured(name, data):
    """The sections of a benchmark, and what to say of the run."""
    where = conditions()
    start = time.perf_counter()
    sections = list(importlib.import_module(f"benchmarks.{name}").sections(data))
    took = time.perf_counter() - start
    command = f"python -m benchmarks.all --only {name}"
    return sections, f"*Measured by* ``{command}`` *in {took:.0f} s: {where}.*"


if __name__ == "__main__":
    main()
