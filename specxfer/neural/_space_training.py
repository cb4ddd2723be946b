"""`SpaceTraining`: how the space of an `AlignmentTranslator` is trained."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from specxfer.networks import AlignmentLoss
from specxfer.neural._batches import Batches
from specxfer.neural._canonical import Canonical
from specxfer.neural._member_training import one_thread
from specxfer.neural._schedule import Schedule
from specxfer.neural._space import Space
from specxfer.neural._target_scores import TargetScores
from specxfer.neural._training import train
from specxfer.neural._weights import arrays_of

__all__ = ["SourceSide", "SpaceTraining"]


@dataclass(frozen=True)
class SourceSide:
    """What the source says of stars.

    Parameters
    ----------
    coefficients : ndarray of shape (n, k)
        The target's, predicted.
    features : ndarray of shape (n, m)
        Its matched features.
    """

    coefficients: np.ndarray
    features: np.ndarray


@dataclass(frozen=True)
class SpaceTraining:
    """The space, from what is predicted of stars left out and what was observed.

    Coefficients of training stars come from networks that have not seen them, so what
    networks have learnt by heart cannot make partners look closer than they are.

    Parameters
    ----------
    settings : AlignmentTranslator
        Whose parameters say how.
    source : SourceSide
        Of the paired stars.
    target : TargetScores
        Of the same.
    stars : ndarray of int of shape (n,)
        The star of each row.
    weight : ndarray of shape (n,)
        Of the stars.
    source_alone : SourceSide or None
        Of stars that the target survey has not seen.
    target_alone : TargetScores or None
        Of stars that the source survey has not seen.
    device : torch.device
    seed : int
    """

    settings: object
    source: SourceSide
    target: TargetScores
    stars: np.ndarray
    weight: np.ndarray
    source_alone: SourceSide | None
    target_alone: TargetScores | None
    device: torch.device
    seed: int

    def train(self):
        """Train.

        Returns
        -------
        space : Space
        history : dict of str to ndarray of shape (n_epochs,)
        """
        settings, folder = self.settings, self.settings.checkpoint_dir
        space = self._new_space()
        if not settings.space_epochs:
            return replace(space, state=arrays_of(space.new(self.seed))), {}
        with one_thread(True):
            trained = train(
                space.new(self.seed).to(self.device),
                AlignmentLoss(
                    settings.contrastive, settings.cross, settings.reconstruction
                ),
                self._batches(space.canonical),
                settings=Schedule(
                    max_epochs=settings.space_epochs,
                    learning_rate=settings.space_rate,
                    weight_decay=0.0,
                    patience=None,
                ),
                random_state=self.seed,
                verbose=settings.verbose,
                checkpoint_dir=None if folder is None else Path(folder) / "space",
                device=self.device,
            )
        return replace(space, state=trained.state), trained.history

    def _new_space(self):
        settings, observed = self.settings, self.target.posterior
        canonical = Canonical.of(self.source.coefficients, observed, self.weight)
        n = settings.n_embedding - 1
        spread = canonical.coordinates(observed).var(axis=0) * canonical.size**2
        sizes = {
            "n_in": len(canonical.mean),
            "n_target": len(canonical.mean),
            "n_source": self.source.features.shape[1],
            "n_embedding": settings.n_embedding,
            "n_private": settings.n_private,
            "width": settings.space_width,
            "n_leading": settings.n_leading,
            "radius": max(float(np.sqrt(spread[:n].sum())), 1.0),
        }
        return Space(canonical, sizes)

    def _batches(self, canonical):
        source = [s for s in (self.source, self.source_alone) if s is not None]
        target = [t for t in (self.target, self.target_alone) if t is not None]
        n, n_source = len(self.stars), sum(len(s.features) for s in source)
        n_all = n_source + sum(len(t.posterior) for t in target) - n
        of_source, of_target = np.arange(n_source), np.r_[:n, n_source:n_all]

        def spread_out(parts, rows):
            values = np.concatenate(parts)
            out = np.zeros((n_all, *values.shape[1:]), "f4")
            out[rows] = values
            return out

        x, y = (
            spread_out([canonical.coordinates(c) for c in coefficients], rows)
            for coefficients, rows in (
                ([s.coefficients for s in source], of_source),
                ([t.posterior for t in target], of_target),
            )
        )
        typical = self.weight.mean()
        has = np.zeros((n_all, 2), "f4")
        has[of_source, 0] = has[of_target, 1] = typical
        has[:n] = self.weight[:, None]
        pair = np.zeros(n_all, "f4")
        pair[:n] = self.weight * self.target.known()
        features = spread_out([s.features for s in source], of_source)
        targets = {
            "features": features,
            "has": has,
            "pair": pair,
            "star": np.r_[self.stars, np.arange(n, n_all) + self.stars.max() + 1],
            "projection": spread_out(
                [t.in_units_of(self.target).projection for t in target], of_target
            ),
        }
        for i in range(len(self.target.grams)):
            grams = [t.in_units_of(self.target).grams[i] for t in target]
            targets[f"gram {i}"] = spread_out(grams, of_target)
        return Batches(
            x,
            None,
            mean_in=np.zeros(x.shape[1]),
            inputs={"target": y},
            targets=targets,
            batch_size=self.settings.space_batch,
            random_state=self.seed,
            device=self.device,
        )
