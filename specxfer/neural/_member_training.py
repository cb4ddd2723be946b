"""`MemberTraining`: how the networks of a `CNNTranslator` are trained."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from specxfer.networks import QuadraticError
from specxfer.neural._augmentation import Augmentation
from specxfer.neural._batches import Batches
from specxfer.neural._matched_features import MatchedFeatures, left_out_scores
from specxfer.neural._members import Members
from specxfer.neural._number_format import NumberFormat, choose_format
from specxfer.neural._schedule import Schedule
from specxfer.neural._target_scores import TargetScores
from specxfer.neural._training import train
from specxfer.spectra import Spectra

__all__ = ["MemberTraining"]

CONV_OUT = 64  # numbers that an encoder of spectra gives
N_COPIES = 4  # perturbed copies of every star's scores
SOME = 2000  # stars that tell how large deviations and noise are
MOST_JUDGING = 4000  # stars: more would take longer to judge by than to train on
VALIDATION_ROWS = 1024
TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class MemberTraining:
    """All members at once, each on the stars that are not its own to be judged by.

    Parameters
    ----------
    settings : CNNTranslator
        Whose parameters say how.
    X : Spectra of shape (n, n_pixels)
    matched : MatchedFeatures
    scores : ndarray of float32 of shape (n, k)
        Features of each star by filters that have not seen it.
    parts : list of ndarray of int
        The stars that each filter has not seen.
    target : TargetScores
    left_out : ndarray of bool of shape (n, n_members)
        Stars that each member is not trained on.
    weight : ndarray of shape (n,)
        Of the stars.
    device : torch.device
    seed : int
    """

    settings: object
    X: Spectra
    matched: MatchedFeatures
    scores: np.ndarray
    parts: list
    target: TargetScores
    left_out: np.ndarray
    weight: np.ndarray
    device: torch.device
    seed: int

    def train(self):
        """Train.

        Returns
        -------
        members : Members
        trained : Trained
        number_format : NumberFormat
        """
        settings, members = self.settings, self._new_members()
        batches = self._batches(members, True)
        network = members.new(self.seed).to(self.device)
        criterion = QuadraticError()
        if settings.number_format == "auto":
            form = choose_format(network, criterion, next(batches.epoch(0)))
        else:
            form = NumberFormat(settings.number_format)
        with one_thread(members.conv is None):
            trained = self._trained(members, network, criterion, batches, form)
        return replace(members, state=trained.state), trained, form

    def _trained(self, members, network, criterion, batches, form):
        settings = self.settings
        return train(
            network,
            criterion,
            batches,
            settings=Schedule(
                max_epochs=settings.max_epochs,
                learning_rate=settings.learning_rate,
                weight_decay=settings.weight_decay,
                patience=settings.patience,
                watch="valid_loss",
            ),
            random_state=self.seed,
            verbose=settings.verbose,
            checkpoint_dir=settings.checkpoint_dir,
            device=self.device,
            autocast=form.name,
            monitor=self._monitor(self._batches(members, False), form),
        )

    def _new_members(self):
        settings = self.settings
        sizes = {
            "n_in": self.scores.shape[1],
            "n_out": self.target.projection.shape[1],
            "n_members": settings.n_members,
            "n_leading": settings.n_leading,
            "width": settings.width,
        }
        if settings.encoder == "matched":
            return Members(sizes)
        mean_in = self.matched.matched.mean_.astype(float)
        some = self.X[:: -(-len(self.X) // SOME)]
        ivar = some.weights()
        flux = np.where(ivar > 0, some.flux - mean_in, 0)
        conv = {
            "n_pixels": self.X.shape[1],
            "n_out": CONV_OUT,
            "flux_scale": float(np.sqrt((flux**2).sum() / (ivar > 0).sum())) or 1.0,
            "typical_ivar": float(np.median(ivar[ivar > 0])),
        }
        beside = settings.encoder == "both"
        sizes["n_in"] = CONV_OUT + beside * sizes["n_in"]
        return Members(sizes, conv, beside, mean_in)

    def _batches(self, members, training):
        targets = {f"gram {i}": gram for i, gram in enumerate(self.target.grams)}
        targets["projection"] = self.target.projection
        if training:
            targets["judges"] = (~self.left_out * self.weight[:, None]).astype("f4")
        how = {
            "targets": targets,
            "batch_size": self.settings.batch_size if training else VALIDATION_ROWS,
            "shuffle": training,
            "rows": None if training else self._judging,
            "random_state": self.seed,
            "memory": self.settings.memory,
            "device": self.device,
        }
        augment = self._augmentation() if training else None
        if members.conv is None:
            if augment is not None:
                how["inputs"] = {"copies": self._copies(augment)}
                how["augmentation"] = one_of_copies
            none = np.zeros(self.scores.shape[1])
            return Batches(self.scores, None, mean_in=none, **how)
        if members.beside:
            how["inputs"] = {"scores": self.scores}
        how["augmentation"] = augment
        return Batches(self.X, None, mean_in=members.mean_in, **how)

    @cached_property
    def _judging(self):
        """Stars by which an epoch is judged, those of the same members together."""
        stars = np.flatnonzero(self.left_out.any(axis=1))
        if len(stars) > MOST_JUDGING:
            rng = np.random.default_rng(self.seed)
            stars = np.sort(rng.choice(stars, MOST_JUDGING, replace=False))
        return stars[np.lexsort(self.left_out[stars].T[::-1])]

    def _augmentation(self):
        """What perturbs source spectra, or None."""
        s = self.settings
        if not (s.velocity or s.noise or s.masked):
            return None
        if s.noise and not self.X.has_noise:
            raise ValueError(
                f"noise={s.noise} adds so many times the source's own noise, and "
                "X came without its ivar: give X as Spectra with ivar, or noise=0."
            )
        if s.velocity and self.X.wave is None:
            raise ValueError(
                f"velocity={s.velocity} km/s needs wavelengths, and X has none: "
                "give X as Spectra, or velocity=0."
            )
        return Augmentation(
            s.velocity,
            noise=s.noise,
            masked=s.masked,
            wave=self.X.wave,
            chip=None if self.X.wave is None else self.X.chip,
            mean_in=self.matched.matched.mean_,
        )

    def _copies(self, augment):
        """Features of perturbed spectra, (n, N_COPIES, k)."""
        mean = np.nan_to_num(self.matched.matched.mean_)
        generator = torch.Generator().manual_seed(self.seed % 2**63)

        def perturbed(block):
            ivar = block.weights().astype("f4")
            flux = np.where(ivar > 0, block.flux - mean, 0).astype("f4")
            inputs = {"flux": torch.from_numpy(flux), "ivar": torch.from_numpy(ivar)}
            augment(inputs, generator)
            flux = np.where(ivar > 0, flux + mean, np.nan).astype(block.dtype)
            return block.replace(flux=flux, ivar=ivar if block.has_noise else None)

        copies = [
            left_out_scores(self.matched.matched, self.X, self.parts, perturbed)[0]
            for _ in range(N_COPIES)
        ]
        turned = [self.matched.turned(scores) for scores in copies]
        return np.stack(turned, axis=1).astype("f4")

    def _monitor(self, validation, form):
        """Loss of an epoch, and error over the lines or all pixels.

        Each star is judged by the members that it is left out of, and passes through
        no other.
        """
        rows, criterion = self._judging, QuadraticError()
        groups, of_star = np.unique(self.left_out[rows], axis=0, return_inverse=True)
        of_star = of_star.ravel()  # numpy 2.0 gives it a second axis
        judges = self.weight[rows] * self.left_out[rows].sum(axis=1)
        cast = torch.autocast(self.device.type, torch.bfloat16, form.name == "bfloat16")

        def judged(module):
            some = [module.some(np.flatnonzero(group).tolist()) for group in groups]
            found, start = [], 0
            for batch in validation.epoch(0):
                here = of_star[start : start + len(batch[0]["flux"])]
                start += len(here)
                for group in np.unique(here):
                    part = slice(*np.searchsorted(here, [group, group + 1]))
                    inputs, targets = (
                        {name: values[part] for name, values in side.items()}
                        for side in batch
                    )
                    with cast:
                        outputs = some[group](**inputs)
                    parts = criterion.of_parts(outputs, targets)
                    found.append(torch.stack(parts).mean(dim=2))
            parts = torch.cat(found, dim=1).double().cpu().numpy()
            loss = 1 + parts.mean(axis=0)
            return {
                "valid_loss": judges @ loss / max(judges.sum(), TINY),
                "valid_error": self.target.error(parts[-1], judges, rows),
            }

        return judged


@contextmanager
def one_thread(wanted):
    """Torch computes on one thread: for small products several only wait."""
    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_of_copies(inputs, generator):
    """Scores of the star as it was observed, or of one of its perturbed copies."""
    copies = inputs.pop("copies")
    n, n_copies, _ = copies.shape
    which = torch.randint(
        n_copies + 1, (n,), generator=generator, device=generator.device
    )
    some = copies[torch.arange(n, device=which.device), which.clamp(min=1) - 1]
    inputs["flux"] = torch.where(which[:, None] > 0, some, inputs["flux"])
