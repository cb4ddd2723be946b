"""The weighted normal equations of every pixel, and their solution."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from specxfer._threads import in_parallel
from specxfer.linear._algebra import CPU, Algebra
from specxfer.linear._grams import SmoothGrams, packed_products, taken_off, unpacked

JITTER = 1e-10  # keeps normal equations solvable at alpha = 0, relative to their trace
ROWS = 2048  # that are worked on at a time
PIXELS = 1024
CHUNK = 64  # pixels, or rows, that a thread works on


class Tile:
    """A block of rows and columns of a target, its weights worked out once.

    Parameters
    ----------
    block : Spectra in memory, shape (n, n_pixels)
    pixels : slice
    scatter : ndarray of shape (n_pixels,) or (n, n_pixels)
        Intrinsic variance of these pixels.
    """

    def __init__(self, block, pixels, scatter):
        self.flux = block.flux[:, pixels]
        if block.has_noise:
            self.weight = block.ivar[:, pixels].copy()
            np.copyto(self.weight, 0, where=np.isnan(self.flux))
            self.noise = np.divide(
                1, self.weight, out=np.zeros_like(self.weight), where=self.weight > 0
            )
            self.weight /= 1 + scatter * self.weight
        else:
            self.weight = np.isfinite(self.flux).astype(self.flux.dtype)
            self.noise = None

    def residual(self, model):
        """Flux less a model of it, 0 where masked; may be changed."""
        left = np.subtract(self.flux, model)
        np.copyto(left, 0, where=self.weight == 0)
        return left


def pixel_panels(n_pixels):
    """Slices of pixels that are worked on side by side."""
    return [slice(at, at + PIXELS) for at in range(0, n_pixels, PIXELS)]


def over_tiles(y, function):
    """Call ``function(rows, pixels, block)`` for all of y, pixels side by side."""
    pixels = pixel_panels(y.shape[1])
    for rows, block in y.iter_blocks(ROWS):
        in_parallel(lambda cols, r=rows, b=block: function(r, cols, b), pixels)


def shared_inverse(u, star_weight, penalty):
    """Inverse of the normal equations of a pixel that all stars have alike."""
    gram = (u * star_weight[:, None]).T @ u + np.diag(penalty)
    return linalg.inv(gram + JITTER * np.trace(gram) * np.eye(len(gram)))


def first_fit(u, y, sums, star_weight, penalty):
    """A ridge on the better pixels, unweighted, for a first guess.

    Masked pixels are left out of the right side, which is scaled for it.

    Returns the scatter of each pixel, the coefficients (k, n_pixels), and the standard
    deviation of its residuals.
    """
    k, p = u.shape[1], y.shape[1]
    least = 0.25 * sums.usual
    right, square, noise, count = np.zeros((k, p)), *np.zeros((3, p))
    v = (u * star_weight[:, None]).astype(y.dtype)

    def add(rows, pixels, block):
        tile = Tile(block, pixels, y.dtype.type(0))
        good = tile.weight > least[pixels]
        s = star_weight[rows].astype(y.dtype)
        left = tile.flux - sums.mean[pixels]
        np.copyto(left, 0, where=~good)
        right[:, pixels] += v[rows].T @ left
        left *= left
        square[pixels] += s @ left
        count[pixels] += s @ good.astype(y.dtype)
        if tile.noise is not None:
            np.copyto(tile.noise, 0, where=~good)
            noise[pixels] += s @ tile.noise

    over_tiles(y, add)
    total = star_weight.sum()
    count = np.where(count > 0, count, 1)
    right *= total / count
    gram = (u * star_weight[:, None]).T @ u
    coef = shared_inverse(u, star_weight, penalty) @ right
    fitted = 2 * (coef * right).sum(axis=0) - (coef * (gram @ coef)).sum(axis=0)
    variance = np.maximum(square / count - fitted / total, 0)
    variance *= ((count + k) / count) ** 2  # k features fit some of the scatter away
    scatter = np.maximum(variance - noise / count, 0).astype(y.dtype)
    coef = coef.astype(y.dtype)
    coef[-1] += sums.mean
    return scatter, coef, np.sqrt(variance)


@dataclass
class NormalEquations:
    """Every pixel's normal equations, weights scaled to a mean of 1.

    Parameters
    ----------
    gram : ndarray of shape (n_pixels, k (k + 1) / 2)
        Packed; the same memory for all pixels where they are alike.
    right : ndarray of shape (k, n_pixels)
        Of the flux less `mean`.
    mean : ndarray of shape (n_pixels,)
    square : ndarray of shape (n_pixels,)
        Weighted sum of squares of the flux less `mean`.
    scale : ndarray of shape (n_pixels,)
        What the weights were multiplied with; 0 where there are none.
    count : ndarray of shape (n_pixels,)
        Stars, by their weight, that have the pixel.
    complete : bool
        Whether there is neither noise nor a masked pixel.
    algebra : Algebra
    """

    gram: np.ndarray
    right: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    scale: np.ndarray
    count: np.ndarray
    complete: bool = False
    algebra: Algebra = CPU

    @property
    def alike(self):
        """Whether all pixels have the same matrix."""
        return self.gram.strides[0] == 0

    @classmethod
    def of(cls, u, y, sums, star_weight, scatter, algebra=CPU):
        """Accumulate them in one pass over the target.

        Parameters
        ----------
        u : ndarray of shape (n, k)
            Features; the last is 1.
        y : Spectra of shape (n, n_pixels)
        sums : PixelSums
        star_weight : ndarray of shape (n,)
        scatter : ndarray of shape (n_pixels,)
        algebra : Algebra, optional
        """
        k, p = u.shape[1], y.shape[1]
        v = u.astype(y.dtype)
        if not y.has_noise:
            scatter = np.zeros(p, y.dtype)  # stars weigh alike
        right, square, total, count = np.zeros((k, p)), *np.zeros((3, p))
        amplitude = sums.amplitude
        others = amplitude == 0
        n_packed = k * (k + 1) // 2
        sum_of_others = np.zeros((p if others.any() else 0, n_packed), y.dtype)
        shared = not sums.complete and not others.all()
        masks = _Masks(len(u) if shared else 0, p)

        def add_complete(rows, pixels, block):
            left = block.flux[:, pixels] - sums.mean[pixels]
            s = star_weight[rows].astype(y.dtype)
            right[:, pixels] += algebra.matmul((v[rows] * s[:, None]).T, left)
            np.multiply(left, left, out=left)
            square[pixels] += s @ left

        def add(rows, pixels, block):
            tile = Tile(block, pixels, scatter[pixels])
            if masks.n:
                masks.set(rows, pixels, (tile.weight == 0) & ~others[rows, None])
            tile.weight *= star_weight[rows, None].astype(y.dtype)
            count[pixels] += star_weight[rows].astype(y.dtype) @ (
                tile.weight > 0
            ).astype(y.dtype)
            total[pixels] += tile.weight.sum(axis=0, dtype=float)
            left = tile.residual(sums.mean[pixels])
            weighted = left * tile.weight
            right[:, pixels] += algebra.matmul(v[rows].T, weighted)
            weighted *= left
            square[pixels] += weighted.sum(axis=0, dtype=float)
            if len(products):
                weight = tile.weight[others[rows]].T
                sum_of_others[pixels] += algebra.matmul(weight, products)

        pixels = pixel_panels(p)
        for rows, block in y.iter_blocks(ROWS):
            products = packed_products(v[rows][others[rows]])
            one = add_complete if sums.complete else add
            in_parallel(lambda cols, f=one, r=rows, b=block: f(r, cols, b), pixels)
        if sums.complete:
            total[:] = count[:] = star_weight.sum()
        scale = np.divide(count, total, out=np.zeros(p), where=total > 0)
        right *= scale
        square *= scale
        if others.all():
            gram = sum_of_others
        else:
            gram = _shared(v, amplitude, sums.profile, star_weight, scatter, masks, p)
            if others.any():
                gram = gram + sum_of_others
        if gram.strides[0] != 0:
            gram *= scale[:, None].astype(y.dtype)
        return cls(gram, right, sums.mean, square, scale, count, sums.complete, algebra)

    def solve(self, penalty, exact=None):
        """Coefficients, and inverses of the matrices.

        Parameters
        ----------
        penalty : ndarray of shape (k, n_pixels) or (k, 1)
        exact : ndarray of bool of shape (n_pixels,), optional
            Pixels whose inverse is wanted whole.

        Returns
        -------
        coef : ndarray of shape (k, n_pixels)
        diagonal : ndarray of shape (k, n_pixels) or (k, 1)
            Of the inverse.
        inverse : ndarray of shape (k (k + 1) / 2, n_exact)
            Packed, off-diagonals doubled.
        """
        k, p = self.right.shape
        i, j = np.triu_indices(k)
        twice = np.where(i == j, 1, 2)
        exact = np.zeros(p, bool) if exact is None else exact
        inverse = np.empty((len(i), np.count_nonzero(exact)), self.gram.dtype)
        place = np.cumsum(exact) - 1

        def inverted(pixels, penalty):
            full = unpacked(self.gram[pixels], k)
            trace = np.trace(full, axis1=1, axis2=2)
            full[:, np.arange(k), np.arange(k)] += (
                penalty.T + (JITTER * trace + (trace == 0))[:, None]
            )
            return self.algebra.inv(full)

        if self.alike and penalty.shape[1] == 1:
            inv = inverted(slice(0, 1), penalty)[0]
            coef = inv @ self.right
            coef[-1] += self.mean
            inverse[:] = (inv[i, j] * twice)[:, None]
            return coef, np.diag(inv)[:, None], inverse
        coef, diagonal = np.empty((2, k, p))
        penalty = np.broadcast_to(penalty, (k, p))

        def one(start):
            pixels = slice(start, start + CHUNK)
            inv = inverted(pixels, penalty[:, pixels])
            coef[:, pixels] = np.matmul(inv, self.right[:, pixels].T[:, :, None])[
                :, :, 0
            ].T
            diagonal[:, pixels] = inv[:, np.arange(k), np.arange(k)].T
            wanted = exact[pixels]
            if wanted.any():
                inverse[:, place[pixels][wanted]] = (
                    inv[wanted][:, i, j].T * twice[:, None]
                )

        in_parallel(one, range(0, p, CHUNK))
        coef[-1] += self.mean
        return coef, diagonal, inverse


def _shared(v, amplitude, profile, star_weight, scatter, masks, p):
    """Sums over the stars whose noise is star × pixel × mask, packed."""
    c = scatter * profile
    if masks.n == 0:  # neither noise nor masks: pixels are alike
        gram = (v * star_weight[:, None].astype(v.dtype)).T @ v
        packed = gram[np.triu_indices(v.shape[1])]
        return np.broadcast_to(packed, (p, len(packed)))
    if not c.any() and np.ptp(amplitude) == 0:
        c = c[:1]
    packed = SmoothGrams(v, amplitude, star_weight, c).packed(c)
    if len(packed) < p:
        packed = np.repeat(packed, p, axis=0)
        c = np.broadcast_to(c, (p,))
    packed *= profile[:, None]

    def weight(j, rows):
        ivar = amplitude[rows] * profile[j]
        return star_weight[rows] * ivar / (1 + scatter[j] * ivar)

    taken_off(packed, masks.get, v, weight)
    return packed


class _Masks:
    """Which stars lack a pixel, in bits, for sums over a pixel's stars."""

    def __init__(self, n, p):
        self.n = n
        self._bits = np.zeros((p, -(-n // 8)), np.uint8) if n else None

    def set(self, rows, pixels, masked):
        start = rows.start // 8
        packed = np.packbits(masked, axis=0).T
        self._bits[pixels, start : start + packed.shape[1]] = packed

    def get(self, j):
        return np.unpackbits(self._bits[j], count=self.n).view(bool)
