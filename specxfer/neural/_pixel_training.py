"""`PixelTraining`: how the distribution of pixels' errors is learnt through noise."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri

from specxfer.networks import DenoisingError, UNet
from specxfer.networks._denoiser import BLIND, CENTRE, SPREAD
from specxfer.neural._member_training import one_thread
from specxfer.neural._pixel_errors import TOLD, Told
from specxfer.neural._pixel_posterior import pixel_draws
from specxfer.neural._samplers import HALF, solve
from specxfer.neural._shape_training import (
    JUDGED_AT,
    N_DRAWS,
    ShapeTraining,
    logarithmic_score,
)

__all__ = ["NoisyPixels", "PixelTraining", "check_room"]

STARS = 256  # drawn for together
SCORED = 32  # draws by which a round is judged
STEPS = 5  # for these
MONITORED = 256  # stars that epochs are judged by
FEWEST = 64  # rows of a batch: where stars are fewer they come several times


@dataclass(frozen=True)
class PixelTraining(ShapeTraining):
    """Learns a `UNet` of the errors of pixels, which are only known through noise.

    As `ShapeTraining`; what is new is what a star's pixels may be, given its noisy
    target: `pixel_draws`. Judged are the sums of pixels that a target tells most of,
    which are independent and of equal noise.

    Parameters
    ----------
    information : Told
        Of the training stars.
    """

    information: Told

    def _new_network(self):
        shape, width = self.shape, self.settings.shape_width
        return UNet(shape.n_leading, shape.n_conditions, width)

    def _start(self, judges):
        """Gaussians, which are not mixed here."""
        return None, None, None

    def _found(self, state):
        """F of the last round for the draws of some stars; None of Gaussians."""
        if state is None:
            return None
        network, device = self._network(state).eval(), self.device

        def found(x, angle, conditions, repeats):
            told = torch.tensor(np.repeat(conditions, repeats, axis=0), device=device)
            level = torch.full((len(x), 1), float(angle), device=device)
            with torch.no_grad():
                return network.found(torch.tensor(x, device=device), level, told)

        return lambda *given: found(*given).cpu().numpy()

    def _draws(self, state, number):
        """What pixels may be, (n, N_DRAWS, p), by the last round."""
        found, (n, p) = self._found(state), self.information.errors.unit.shape
        draws = np.empty((n, N_DRAWS, p), np.float32)
        with one_thread(True):
            for start in range(0, n, STARS):
                rows = slice(start, start + STARS)
                of_star = None
                if found is not None:

                    def of_star(x, angle, told=self.conditions[rows]):
                        return found(x, angle, told, N_DRAWS)

                rng = np.random.default_rng([self.seed, number, start])
                told = self.information[rows]
                draws[rows] = pixel_draws(of_star, told, N_DRAWS, rng)
        return draws

    def _batches(self, draws, learnt, number):
        return NoisyPixels(
            self.conditions,
            draws,
            self.information.errors,
            self.weight,
            np.flatnonzero(learnt),
            self._batch_size,
            self.seed + number,
            self.device,
        )

    def _monitor(self, draws, choosing):
        """Loss of an epoch on stars that choose, and what it is of Gaussian errors."""
        rows = np.flatnonzero(choosing)[:MONITORED]
        rng = np.random.default_rng([self.seed, MONITORED])
        errors, error = self.information.errors[rows], DenoisingError()
        size = len(rows), len(JUDGED_AT), errors.n_white
        noise = errors.spread(rng.standard_normal(size, np.float32))
        told, noise, pixels, weight = (
            torch.tensor(a, device=self.device, dtype=torch.float32)
            for a in (self.conditions[rows], noise, draws[rows], self.weight[rows])
        )

        def judged(network):
            losses = []
            for i, level in enumerate(JUDGED_AT.tolist()):
                angle = torch.full((len(rows), 1), level, device=self.device)
                some = pixels[:, i % N_DRAWS]
                with torch.no_grad():
                    out = network(told, some, noise[:, i], angle)
                    zero = {**out, "found": torch.zeros_like(out["found"])}
                    losses.append([error(o, {"weight": weight}) for o in (out, zero)])
            found, gaussian = np.mean([[float(a) for a in p] for p in losses], axis=0)
            return {"valid_loss": found, "gaussian_loss": gaussian}

        return judged

    def _scores(self, shape, left_out, axes):
        """Logarithmic score of what the targets of stars left out tell, (n,)."""
        rows = np.flatnonzero(left_out)
        rng = np.random.default_rng([self.seed, self.settings.n_rounds])
        found, scores = self._found(shape.state), []
        for start in range(0, len(rows), STARS):
            some = rows[start : start + STARS]
            told, conditions = self.information[some], self.conditions[some]
            size = len(some), SCORED, told.errors.n_white
            v = told.errors.spread(rng.standard_normal(size, np.float32))
            white = rng.standard_normal(told.seen.shape)
            if found is not None:

                def of_star(x, angle, conditions=conditions):
                    return found(x, angle, conditions, SCORED)

                with one_thread(True):
                    v = solve(of_star, v.reshape(-1, v.shape[2]), STEPS, "heun")
                v = v.reshape(len(some), SCORED, -1)
            noise = np.ones_like(white)
            usual = told.strength.astype(float)
            heard = told.heard(v).astype(float)
            scores.append(logarithmic_score(heard, told.seen, noise, usual, white))
        return np.concatenate(scores)

    def _widened(self, shape, left_out):
        judged = self.information[left_out], self.conditions[left_out]
        return shape.widened(*judged, SCORED, self.seed)


class NoisyPixels:
    """Batches of pixels that stars may have, with noise of a random level.

    Parameters
    ----------
    conditions : ndarray of float32 of shape (n, m)
    draws : ndarray of float32 of shape (n, n_draws, p)
        What the pixels of each star may be.
    errors : PixelErrors of n stars
        As noise is.
    weight : ndarray of shape (n,)
    rows : ndarray of int
        Stars to learn from.
    batch_size : int
    random_state : int
    device : torch.device
    """

    def __init__(
        self, conditions, draws, errors, weight, rows, batch_size, random_state, device
    ):
        self.arrays = conditions, draws, errors, weight
        self.rows, self.batch_size = rows, batch_size
        self.random_state, self.device = random_state, device

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def epoch(self, number):
        """The batches of an epoch, in an order of its own."""
        conditions, draws, errors, weight = self.arrays
        rng = np.random.default_rng([self.random_state, number])
        order = rng.permutation(self.rows)
        copies = -(-FEWEST // self.batch_size)
        for start in range(0, len(order), self.batch_size):
            rows = np.repeat(order[start : start + self.batch_size], copies)
            n = len(rows)
            which = rng.integers(draws.shape[1], size=n)
            white = rng.standard_normal((n, 1, errors.n_white), np.float32)
            # the copies of a star have levels of their own
            share = (np.arange(n) % copies + rng.random(n)) / copies
            level = np.exp(CENTRE + SPREAD * ndtri(share))
            blind = rng.random(n) < BLIND
            inputs = {
                "conditions": conditions[rows],
                "pixels": draws[rows, which],
                "noise": errors[rows].spread(white)[:, 0],
                "angle": np.where(blind, HALF, np.arctan(level))[:, None],
            }
            yield self._tensors(inputs), self._tensors({"weight": weight[rows]})

    def _tensors(self, arrays):
        how = {"device": self.device, "dtype": torch.float32}
        return {name: torch.tensor(array, **how) for name, array in arrays.items()}


def check_room(n_stars, n_pixels, n_directions, memory):
    """Raise unless what is learnt from fits into memory.

    Parameters
    ----------
    n_stars, n_pixels, n_directions : int
        Of the stars' errors.
    memory : int
        Bytes.

    Raises
    ------
    ValueError
    """
    arrays = 2 * TOLD + 5 + N_DRAWS  # of n_pixels
    needed = 4 * n_stars * (arrays * n_pixels + n_directions**2)
    if needed > memory:
        raise ValueError(
            f"space='pixel' with {n_stars} stars and {n_pixels} pixels needs "
            f"{needed / 2**30:.1f} GiB, more than memory={memory} bytes "
            f"({memory / 2**30:.1f} GiB): fit to windows of the target with "
            "compose.TargetWindow, raise memory, or take space='latent'."
        )
