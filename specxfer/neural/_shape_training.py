"""`ShapeTraining`: how the distribution of a star's latents is learnt through noise."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp

from specxfer.networks import Denoiser, DenoisingError
from specxfer.neural._batches import Batches
from specxfer.neural._denoiser_arrays import DenoiserArrays
from specxfer.neural._judges import Judges
from specxfer.neural._latents import Information
from specxfer.neural._member_training import one_thread
from specxfer.neural._mixture import Mixture
from specxfer.neural._posterior import given_gaussian, posterior_draws
from specxfer.neural._randomness import OwnRandomness
from specxfer.neural._schedule import Schedule
from specxfer.neural._shape import Shape
from specxfer.neural._training import train
from specxfer.neural._weights import arrays_of

__all__ = ["ShapeTraining", "logarithmic_score"]

CPU = torch.device("cpu")
FIRST_WEIGHTS = 7  # key of the random numbers of initial weights
N_DRAWS = 2  # of what each star's latents may be
STEPS = 10  # for these
STARS = 1024  # drawn for together
SCORED = 128  # draws by which a round is judged
KERNEL = 0.15  # blur of latents that are better known than that
FAINT = 1e-9  # variance of what is not seen at all
JUDGED_AT = np.arctan(np.exp(np.linspace(-2.5, 2.5, 8)))  # noise levels
DECAY = 0.01
BATCHES = 64  # an epoch, unless they would be too small or large
BATCH = 16, 64


@dataclass(frozen=True)
class ShapeTraining:
    """Learns a denoiser of latents that are only known through noise.

    Parameters
    ----------
    settings : DiffusionTranslator
        Whose parameters say how.
    shape : Shape
        Gaussian so far.
    information : Information
        Of the leading latents of the training stars.
    conditions : ndarray of float32 of shape (n, n_conditions)
    stars : ndarray of int of shape (n,)
        The star of each row.
    weight : ndarray of shape (n,)
        Of the stars.
    device : torch.device
    seed : int

    Notes
    -----
    By expectation and maximisation (Rozet et al. 2024, NeurIPS 37, arXiv:2405.13712):
    draws of what each star's latents may be, given its noisy target and what has been
    learnt so far, and a diffusion learnt from these draws, in turn. It begins with a
    mixture of Gaussians, which can be learnt through noise at once, and of which the
    denoiser is known; the network learns what this leaves. A fifth of the stars are
    left out. A third of them choose how many Gaussians there are, and a round (or
    none: the mixture), by how well their noisy latents are foretold, axis by axis, by
    the logarithmic score, a proper one (Gneiting & Raftery 2007, J. Am. Stat. Assoc.
    102, 359), along the axes in which the Gaussians differ most. The others judge what
    was chosen: unless it beats the Gaussian by two standard errors, the Gaussian is
    kept. A round's loss is on draws that it learns from, and lowest at once in a first
    round: so its last epoch is kept, not its best.
    """

    settings: object
    shape: Shape
    information: Information
    conditions: np.ndarray
    stars: np.ndarray
    weight: np.ndarray
    device: torch.device
    seed: int

    def train(self):
        """Train.

        Returns
        -------
        shape : Shape
        history : dict of str to ndarray
            Of the epochs of all rounds: "round", "train_loss", "valid_loss",
            "gaussian_loss", "seconds"; of the rounds, and before them: "score_gain",
            "score_gain_error"; and "round_chosen", 0 if none.
        """
        judges = Judges.of(self.stars, self.seed)
        rounds, d = self.settings.n_rounds, self.shape.n_leading
        if not (d and judges.can_judge):
            return self.shape, {}
        state, draws, axes = self._start(judges)
        before = self._scores(self.shape, judges.left_out, axes)
        found, histories = [replace(self.shape, state=state)], []
        gains = [self._scores(found[0], judges.left_out, axes) - before]
        for number in range(rounds):
            if draws is None:
                draws = self._draws(state, number)
            trained = self._trained(draws, judges, state, number)
            state, draws = trained.state, None
            histories.append(
                trained.history
                | {"round": np.full(len(trained.history["epoch"]), number + 1)}
            )
            found.append(replace(self.shape, state=state))
            gains.append(self._scores(found[-1], judges.left_out, axes) - before)
        best = judges.best(gains)
        kept = found[best] if judges.prove(gains[best]) else self.shape
        if kept.trained:
            kept = self._widened(kept, judges.left_out)
        names = histories[0] if histories else ()
        history = {k: np.concatenate([h[k] for h in histories]) for k in names}
        judged = np.array([judges.gain(g, judges.judging) for g in gains])
        history["score_gain"], history["score_gain_error"] = judged.T
        history["round_chosen"] = np.array([best])
        return kept, history

    def _start(self, judges):
        """Weights before the first round, draws for it, and axes to judge along."""
        learnt, choosing = ~judges.left_out, judges.choosing
        of_stars = self.information[learnt], self.weight[learnt]
        mixture = Mixture.of(*of_stars, self.information[choosing])
        left = given_gaussian(self.information)[1].mean(axis=0)
        axes = mixture.axes(np.eye(len(left)) - left)
        if len(mixture.share) == 1:
            return None, None, axes
        state = arrays_of(self._network(n_gaussians=len(mixture.share)))
        for name, values in mixture.state().items():
            state[f"mixture.{name}"] = values.astype(np.float32)
        rng = np.random.default_rng([self.seed, FIRST_WEIGHTS])
        draws = mixture.draws(self.information, N_DRAWS, rng)
        return state, draws.astype(np.float32), axes

    def _draws(self, state, number):
        """What latents may be, (n, N_DRAWS, d), by the last round."""
        network = None if state is None else DenoiserArrays.of(state)
        n, d = self.information.eta.shape
        draws = np.empty((n, N_DRAWS, d), np.float32)
        for start in range(0, n, STARS):
            rows = slice(start, start + STARS)
            told, slopes = self.conditions[rows], None
            if network is not None and network.trained:

                def slopes(x, angle, told=told):
                    return network.jacobian(x, angle, told, N_DRAWS)

            rng = np.random.default_rng([self.seed, number, start])
            some = self.information[rows]
            draws[rows] = posterior_draws(slopes, some, N_DRAWS, STEPS, rng)
        return draws

    def _widened(self, shape, left_out):
        """With the spread that stars left out call for."""
        judged = self.information[left_out], self.conditions[left_out]
        return shape.widened(*judged, SCORED, self.seed)

    def _network(self, state=None, **sizes):
        """A new network, or that of the last round."""
        if state is not None and "mixture.share" in state:
            sizes["n_gaussians"] = len(state["mixture.share"])
        with OwnRandomness(self.seed, CPU) as own:
            own.reseed(FIRST_WEIGHTS)
            network = self._new_network(**sizes)
        if state is not None:
            network.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
        return network.to(self.device)

    def _new_network(self, **sizes):
        shape = self.shape
        width = self.settings.shape_width
        return Denoiser(shape.n_leading, shape.n_conditions, width, **sizes)

    def _batches(self, draws, learnt, number):
        """Of the stars that are learnt from."""
        return Batches(
            self.conditions,
            None,
            mean_in=np.zeros(self.conditions.shape[1]),
            rows=learnt,
            inputs={"draws": draws},
            targets={"weight": self.weight},
            batch_size=self._batch_size,
            random_state=self.seed + number,
            device=self.device,
        )

    @property
    def _batch_size(self):
        return int(np.clip(len(self.stars) // BATCHES, *BATCH))

    def _trained(self, draws, judges, state, number):
        settings, folder = self.settings, self.settings.checkpoint_dir
        with one_thread(True):
            return train(
                self._network(state),
                DenoisingError(),
                self._batches(draws, ~judges.left_out, number),
                settings=Schedule(
                    max_epochs=settings.shape_epochs,
                    learning_rate=settings.shape_rate,
                    weight_decay=DECAY,
                    patience=None,
                    keep="last",  # the loss is on draws of the round before
                    watch="valid_loss",
                ),
                random_state=self.seed + number,
                verbose=settings.verbose,
                checkpoint_dir=(
                    None if folder is None else Path(folder) / f"shape-{number + 1}"
                ),
                device=self.device,
                monitor=self._monitor(draws, judges.choosing),
            )

    def _monitor(self, draws, choosing):
        """Loss of an epoch on stars that choose, and what it is of Gaussian latents."""
        told = torch.tensor(self.conditions[choosing], device=self.device)
        latents = torch.tensor(draws[choosing], device=self.device)
        weight = torch.tensor(self.weight[choosing], device=self.device)
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        n, _, d = latents.shape
        noise = torch.randn(len(JUDGED_AT), n, d, generator=generator)
        noise = noise.to(self.device)
        error = DenoisingError()

        def judged(network):
            losses = []
            for i, level in enumerate(JUDGED_AT.tolist()):
                angle = torch.full((n, 1), level, device=self.device)
                some = latents[:, i % N_DRAWS]
                with torch.no_grad():
                    out = network.compared(told, some, noise[i], angle)
                    zero = {**out, "found": torch.zeros_like(out["found"])}
                    targets = {"weight": weight}
                    losses.append((error(out, targets), error(zero, targets)))
            found, gaussian = np.mean([[float(a) for a in p] for p in losses], axis=0)
            return {"valid_loss": found, "gaussian_loss": gaussian}

        return judged

    def _scores(self, shape, left_out, axes):
        """Logarithmic score of each star left out, along each of the axes, (n,)."""
        information, told = self.information[left_out], self.conditions[left_out]
        n, d = information.eta.shape
        rng = np.random.default_rng([self.seed, self.settings.n_rounds])
        white, more = rng.standard_normal((n, SCORED, d)), rng.standard_normal((n, d))
        u = shape.drawn(white, told, STEPS, "heun").astype(float)
        seen, left = given_gaussian(information)
        heard = np.eye(d) - left  # u, shrunk so, and noise are the posterior mean
        noise = np.einsum("ij,nik,kj->nj", axes, left @ heard, axes, optimize=True)
        to = heard @ axes
        usual = np.square(to).sum(axis=1) + FAINT
        return logarithmic_score(u @ to, seen @ axes, noise, usual, more)


def logarithmic_score(draws, seen, noise, usual, white):
    """Of noisy numbers, each by itself, summed over those of a star, (n,).

    Draws are blurred by the noise or, where it is less, by `KERNEL` of what is usual,
    the observed numbers with them.

    Parameters
    ----------
    draws : ndarray of shape (n, n_draws, d)
        Without noise.
    seen : ndarray of shape (n, d)
    noise, usual : ndarray of shape (n, d)
        Variance of the noise, and of the numbers without it.
    white : ndarray of shape (n, d)
        N(0, 1).

    Returns
    -------
    ndarray of shape (n,)
    """
    variance = np.maximum(noise, KERNEL**2 * usual)
    seen = seen + np.sqrt(variance - noise) * white
    square = (draws - seen[:, None]) ** 2 / variance[:, None]
    return (logsumexp(-square / 2, axis=1) - np.log(variance) / 2).sum(axis=1)
