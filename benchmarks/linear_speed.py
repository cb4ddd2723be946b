"""Speed and memory of PCARidge, beside scikit-learn's PCA and ridge in the same run.

Source and target are low-rank spectra with noise, made in memory (or, for --mmap-gb, on
disk). Every round of every case runs in a process of its own, peers in turn, so that
memory is that of the case and a change of the machine's load hits both; printed are
medians over rounds of times and of ratios of neighbours. Memory is the anonymous part
of the resident set (RssAnon), which memory maps are not in, sampled while the case
runs, over that of the arrays that go in.

    OMP_NUM_THREADS=2 python -m benchmarks.linear_speed
    python -m benchmarks.linear_speed --n 2000 --p 1500 --q 2000 --n-scaling 500 1000
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

RANK = 40
NOISE = 0.01
MASKED = 0.05
GB = 2**30
BLOCK = 1000
BARS = {"fit": 1.0, "predict": 0.7, "structured": 6.0, "general": 0.6}
BARS |= {"memory": 0.25, "mmap": 4.0, "exponent": 1.1}


# ----------------------------------------------------------------- the made-up spectra
class Spectrographs:
    """Low-rank spectra of the same stars, by two surveys, written block by block."""

    def __init__(self, p, q, seed=0):
        rng = np.random.default_rng(seed)
        fall = 0.05 / np.sqrt(np.arange(1.0, RANK + 1))[:, None]
        self.bases = [
            (fall * rng.standard_normal((RANK, m))).astype("f4") for m in (p, q)
        ]

    def blocks(self, n, seed):
        """Rows and the stars' hidden scores."""
        for start in range(0, n, BLOCK):
            rows = slice(start, min(start + BLOCK, n))
            rng = np.random.default_rng([seed, start])
            yield rows, rng.standard_normal((rows.stop - start, RANK), "f4"), rng

    def truth(self, n, side, seed):
        """Noise-free flux, (n, m)."""
        out = np.empty((n, self.bases[side].shape[1]), "f4")
        for rows, scores, _ in self.blocks(n, seed):
            out[rows] = 1 + scores @ self.bases[side]
        return out

    def observe(self, n, seed, ivar=None, flux=None):
        """Noisy source and target flux, and inverse variances.

        `ivar` is None for none (all pixels equally noisy), "structured" for star ×
        pixel times a mask, "general" for any. Arrays to write to may be given.
        """
        shapes = [(n, basis.shape[1]) for basis in self.bases]
        flux = [np.empty(s, "f4") for s in shapes] if flux is None else flux
        inverse = [None if ivar is None else np.empty(s, "f4") for s in shapes]
        pixel = [np.random.default_rng(9).uniform(0.7, 1.4, s[1]) for s in shapes]
        for rows, scores, rng in self.blocks(n, seed):
            for side, basis in enumerate(self.bases):
                m = basis.shape[1]
                noise = rng.standard_normal((len(scores), m), "f4")
                noise *= np.float32(NOISE)
                if ivar is not None:
                    star = rng.uniform(0.7, 1.4, (len(scores), 1))
                    sigma = (star * pixel[side]).astype("f4")
                    if ivar == "general":
                        sigma *= rng.uniform(0.7, 1.4, sigma.shape).astype("f4")
                    noise *= sigma
                    w = (NOISE * sigma) ** -2
                    w[rng.random(w.shape, "f4") < MASKED] = 0
                    inverse[side][rows] = w
                noise += 1
                noise += scores @ basis
                if ivar is not None:
                    noise[w == 0] = np.nan
                flux[side][rows] = noise
        return flux, inverse


# ------------------------------------------------------------------------- measuring
class AnonymousMemory:
    """Peak of RssAnon while the block runs, in bytes."""

    def __init__(self, interval=0.005):
        self.interval, self.peak, self._stop = interval, 0, threading.Event()

    def __enter__(self):
        self.start = self.peak = rss_anon()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, rss_anon())

    def _watch(self):
        while not self._stop.wait(self.interval):
            self.peak = max(self.peak, rss_anon())


def rss_anon():
    """Anonymous resident memory of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this runs on Linux only.")


def sgemm_rate(size=4096, repeats=3):
    """Floating-point operations a second of a float32 product of matrices."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, size, size), "f4")
    a @ b
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


def predict_flops(n, p, q, k):
    """Operations of a prediction without noise: scores, then flux."""
    return 2 * n * k * (p + q)


def general_ivar_flops(n, p, q, k, n_iter):
    """Operations of the products and inverses of a fit with general noise.

    First the two packed Gram products: for every star those of the loadings with the
    weights of each source pixel; for every target pixel those of the stars' features
    with the weights of each star. Then the passes that search components, scores, two
    right sides, residuals and leverages of stars left out, shared residuals, and the
    inverses. What works element by element is not counted.
    """
    pairs, with_one = k * (k + 1) / 2, (k + 1) * (k + 2) / 2
    grams = 2 * n * (p * pairs + q * with_one)
    stars_searched = n_iter * n + 8 * min(n, 2400)
    search = 4 * stars_searched * p * (k + 10) + 4 * min(n, 6000) * p * k
    linear = 2 * n * p * k + 8 * n * q * (k + 1)
    shared = min(n, 3000) * q * (4 * (k + 1) + 16 * 25)
    return grams + search + linear + shared + 2 * (n * k**3 + q * (k + 1) ** 3)


def rms(a):
    """Root mean square, without a copy of the whole."""
    return float(np.sqrt(np.mean([np.mean(row.astype(float) ** 2) for row in a])))


# ----------------------------------------------------- the cases, each in a process
def peer_model(k):
    """scikit-learn's own."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    pca = PCA(k, svd_solver="randomized", whiten=True, random_state=0)
    return make_pipeline(pca, Ridge(10.0))


def our_model(k):
    """PCARidge with as many coefficients as the peer."""
    from specxfer.linear import PCARidge

    return PCARidge(k, alpha=10.0, n_products=0)


def run_case(case, n, p, q, k, folder=None):
    """Fit and predict once; a dict of what is measured."""
    surveys = Spectrographs(p, q)
    rate = sgemm_rate()
    if case == "mmap":
        flux, inverse = mapped(folder, n, p, q), (None, None)
    else:
        noise = case if case in ("structured", "general") else None
        flux, inverse = surveys.observe(n, 1, noise)
    X, y = flux
    if case != "peer":
        from specxfer import Spectra

        X, y = (
            Spectra(f, w, wave=5000 + 0.1 * np.arange(f.shape[1]), medium="air")
            for f, w in zip(flux, inverse)
        )
    model = peer_model(k) if case == "peer" else our_model(k)
    n_test = min(n, 4096)
    arrays = [a for a in (*flux, *inverse) if a is not None]
    inputs = 0 if case == "mmap" else sum(a.nbytes for a in arrays)
    with AnonymousMemory() as memory:
        start = time.perf_counter()
        model.fit(X, y)
        fit = time.perf_counter() - start
    (test, _), (test_ivar, _) = surveys.observe(
        n_test, 2, case if inverse[0] is not None else None
    )
    if case != "peer":
        test = Spectra(test, test_ivar, wave=X.wave, medium="air")
    model.predict(test[:10])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        predicted = model.predict(test)
        times.append(time.perf_counter() - start)
    predict = np.median(times)
    n_iter = getattr(model, "n_iter_", 0)
    error = rms(predicted - surveys.truth(n_test, 1, 2))
    return {
        "fit": fit,
        "predict": predict,
        "predict_rate": predict_flops(n_test, p, q, k) / predict,
        "flops": general_ivar_flops(n, p, q, k, n_iter),
        "fit_rate": general_ivar_flops(n, p, q, k, n_iter) / fit,
        "sgemm": rate,
        "rms": error,
        "inputs": inputs,
        "before": memory.start,
        "peak": memory.peak,
    }


def mapped(folder, n, p, q):
    """Read-only memory maps of flux of the two surveys."""
    shapes = {"X": (n, p), "y": (n, q)}
    return [
        np.memmap(Path(folder) / name, "f4", "r", shape=shape)
        for name, shape in shapes.items()
    ]


def write_maps(folder, n, p, q):
    """The files behind `mapped`, a block at a time."""
    flux = [
        np.memmap(Path(folder) / name, "f4", "w+", shape=(n, m))
        for name, m in (("X", p), ("y", q))
    ]
    Spectrographs(p, q).observe(n, 1, flux=flux)
    for array in flux:
        array.flush()


def in_process(case, n, p, q, k, folder=None):
    """`run_case` in a fresh interpreter."""
    command = [sys.executable, "-m", "benchmarks.linear_speed", "--case", case]
    for name, value in {"n": n, "p": p, "q": q, "k": k, "folder": folder}.items():
        command += [] if value is None else [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"case {case!r} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


# --------------------------------------------------------------------------- report
def rounds(cases, n_rounds, *sizes):
    """Results of each case, in turn, `n_rounds` times over."""
    results = {case: [] for case in cases}
    for _ in range(n_rounds):
        for case in cases:
            results[case].append(in_process(case, *sizes))
    return {
        case: {key: np.array([r[key] for r in found]) for key in found[0]}
        for case, found in results.items()
    }


def verdict(what, value, bar, at_least=False):
    """Print a figure beside its bar; whether it is met."""
    met = value >= bar if at_least else value <= bar
    sign = "≥" if at_least else "≤"
    print(f"{what:58} {value:7.2f}  {sign} {bar:g} {'met' if met else 'MISSED'}")
    return bool(met)


def main(n, p, q, k, n_rounds, n_scaling, mmap_gb):
    """Print everything; 1 if a bar is missed."""
    print(f"{n} × {p} → {q}, {k} components, float32, median of {n_rounds} rounds")
    found = rounds(["peer", "plain", "structured", "general"], n_rounds, n, p, q, k)
    print(f"{'':12} {'fit [s]':>8} {'predict [s]':>12} {'rms':>8} {'peak [GB]':>10}")
    for case, r in found.items():
        middle = {key: np.median(values) for key, values in r.items()}
        print(
            f"{case:12} {middle['fit']:8.2f} {middle['predict']:12.3f} "
            f"{middle['rms']:8.5f} {middle['peak'] / GB:10.2f}"
        )
    sgemm = np.median(np.concatenate([r["sgemm"] for r in found.values()]))
    print(f"sgemm {sgemm / 1e9:.1f} GFLOP/s")
    peer = found["peer"]

    def ratio(case, key="fit"):
        return np.median(found[case][key] / peer[key])

    met = [verdict("fit, complete data / peer", ratio("plain"), BARS["fit"])]
    print(f"{'error, complete data / peer':58} {ratio('plain', 'rms'):7.4f}")
    print(f"{'predict, complete data / peer':58} {ratio('plain', 'predict'):7.2f}")
    share = np.median(found["plain"]["predict_rate"] / found["plain"]["sgemm"])
    met.append(verdict("predict rate / sgemm", share, BARS["predict"], True))
    what = "fit, star × pixel noise and masks / peer's complete data"
    met.append(verdict(what, ratio("structured"), BARS["structured"]))
    general = found["general"]
    gflop = np.median(general["flops"]) / 1e9
    print(f"{'general noise: operations counted [GFLOP]':58} {gflop:7.0f}")
    share = np.median(general["fit_rate"] / general["sgemm"])
    what = "general noise: rate over these / sgemm"
    met.append(verdict(what, share, BARS["general"], True))
    for case in ("plain", "structured", "general"):
        r = found[case]
        extra = np.median((r["peak"] - r["before"]) / r["inputs"])
        met.append(verdict(f"memory beyond inputs, {case}", extra, BARS["memory"]))
    if len(n_scaling) > 1:
        met.append(scaling(n_scaling, n_rounds, p, q, k))
    if mmap_gb:
        met.append(from_a_map(mmap_gb, p, q, k))
    return int(not all(met))


def scaling(sizes, n_rounds, p, q, k):
    """Times for several numbers of stars, and the exponent fitted to them."""
    exponents = []
    for case in ("plain", "structured"):
        times = []
        for n in sizes:
            r = rounds([case], n_rounds, n, p, q, k)[case]
            times.append(np.median(r["fit"]))
            print(f"{case}, {n} stars: fit {times[-1]:.2f} s")
        exponents.append(np.polyfit(np.log(sizes), np.log(times), 1)[0])
        print(f"{case}: time ∝ stars^{exponents[-1]:.2f}")
    return verdict("exponent", max(exponents), BARS["exponent"])


def from_a_map(gigabytes, p, q, k):
    """Peak anonymous memory of a fit to files of this size together."""
    n = int(gigabytes * GB / (4 * (p + q)))
    with tempfile.TemporaryDirectory() as folder:
        write_maps(folder, n, p, q)
        r = in_process("mmap", n, p, q, k, folder)
    print(f"{gigabytes:g} GB memory map, {n} stars: fit {r['fit']:.1f} s")
    return verdict("peak RssAnon from the map [GB]", r["peak"] / GB, BARS["mmap"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=24_000, help="stars")
    parser.add_argument("--p", type=int, default=7514, help="source pixels")
    parser.add_argument("--q", type=int, default=14_000, help="target pixels")
    parser.add_argument("--k", type=int, default=100, help="components")
    parser.add_argument("--n-rounds", type=int, default=3)
    parser.add_argument(
        "--n-scaling", type=int, nargs="*", default=[4000, 8000, 16_000, 30_000]
    )
    parser.add_argument("--mmap-gb", type=float, default=10, help="0 leaves it out")
    parser.add_argument("--case", help="run one case and print what it measured")
    parser.add_argument("--folder", help="of the memory maps")
    arguments = vars(parser.parse_args())
    case, folder = arguments.pop("case"), arguments.pop("folder")
    if case:
        sizes = [arguments[name] for name in ("n", "p", "q", "k")]
        print(json.dumps(run_case(case, *sizes, folder)))
    else:
        sys.exit(main(**arguments))
