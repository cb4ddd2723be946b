"""The twins test on the space of `AlignmentTranslator`, with simulated twins.

Every test star is observed twice (`make_paired_spectra(repeats=1)`): its two visits
are twins, alike in all but noise, velocity and continuum errors. Had the second visit
been of another star with the same Teff, log g, [Fe/H], [α/Fe] and light elements, its
s-process elements would have differed by 0.17 dex, as those of two stars typically do:
a pair of the same labels. The same noise in either, so only the element tells.

Printed for giants and dwarfs, within the source's embeddings, within the target's and
from one to the other: the median distance of twins and of pairs, and how often twins
are closer, with a 95% interval (half would be chance). Then `identical_twins` of the
embeddings: 0 if a source spectrum is at one point whatever its company, to the bit.

    OMP_NUM_THREADS=1 python -m benchmarks.alignment_twins
"""

import argparse
import sys
from types import SimpleNamespace

import numpy as np

from specxfer.datasets import make_paired_spectra
from specxfer.neural import AlignmentTranslator
from specxfer.validation import identical_twins

APART = 0.17  # dex in the s-process: √2 times its scatter from star to star
SOME = 100  # spectra that are embedded in every company


def visits(n, shift=None):
    """First and second spectra of both sides."""
    X, y, _ = make_paired_spectra(
        n, size="small", repeats=1.0, shift=shift, random_state=1
    )
    return (X[::2], y[::2]), (X[1::2], y[1::2])


def main(n_train, n_test, **settings):
    """Print all; 1 if twins are not closer, or identical spectra apart."""
    X, y, _ = make_paired_spectra(n_train, size="small", random_state=0)
    model = AlignmentTranslator(**settings).fit(X, y)
    first, twin = visits(n_test)
    _, other = visits(n_test, {"s_process": APART})
    embedded = [
        {"source": model.embed(X), "target": model.embed_target(y)}
        for X, y in (first, twin, other)
    ]
    giant = np.asarray(first[0].meta["giant"], bool)
    met = True
    print(f"{n_train} stars trained on; distances of twins, of pairs; twins closer")
    for domain, stars in (("giants", giant), ("dwarfs", ~giant)):
        for a in ("source", "target"):
            for b in ("source", "target"):
                start, to_twin, to_other = (
                    e[side][stars] for e, side in zip(embedded, (a, b, b))
                )
                own, pair = (
                    np.linalg.norm(start - end, axis=1) for end in (to_twin, to_other)
                )
                closer = (own < pair).mean()
                margin = 1.96 * np.sqrt(closer * (1 - closer) / stars.sum())
                met &= closer - margin > 0.5
                print(
                    f"{domain} {a} to {b}: {np.median(own):.4f} {np.median(pair):.4f}  "
                    f"{100 * closer:.1f}% ± {100 * margin:.1f}"
                )
    apart = identical_twins(SimpleNamespace(predict=model.embed), first[0][:SOME])
    print(f"identical source spectra are {apart} apart (bar 0)")
    print(f"twins test: {'passed' if met and apart == 0 else 'MISSED'}")
    return int(not met or apart > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-train", type=int, default=4000)
    parser.add_argument("--n-test", type=int, default=2000)
    parser.add_argument("--random-state", type=int, default=0)
    sys.exit(main(**vars(parser.parse_args())))
