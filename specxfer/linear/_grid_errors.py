"""Errors of stars left out, from their normal equations alone."""

from dataclasses import replace

import numpy as np

from specxfer._threads import in_parallel
from specxfer.linear._grams import unpacked
from specxfer.linear._normal_equations import CHUNK, JITTER
from specxfer.linear._penalties import free_intercept

LEARNT = "auto"


def weighted_gram(u, weight):
    return (u * weight[:, None]).T @ u


def shared_errors(gram, gram_test, right, right_test, alphas):
    """``Σ bᵀ G b − 2 b·r`` of the test rows, over all pixels, for each penalty.

    With ``b = A r₀`` it is ``tr(A G A r₀ r₀ᵀ) − 2 tr(A r₀ rᵀ)``, and A is diagonal in
    the eigenvectors of the training rows' matrix, whatever the penalty.
    """
    values, axes = np.linalg.eigh(gram)
    shift = JITTER * np.maximum(np.trace(gram), np.finfo(float).tiny)
    filters = 1 / (np.maximum(values, 0) + shift + alphas[:, None])
    turned = axes.T @ right
    cross = (turned * (axes.T @ right_test)).sum(axis=1)
    quadratic = (axes.T @ gram_test @ axes) * (turned @ turned.T)
    return ((filters @ quadratic) * filters).sum(axis=1) - 2 * filters @ cross


def learnt_coef(problem):
    """Coefficients for the flux less its mean, with penalties learnt."""
    if problem.learns:
        coef = problem.solve()[2]
    else:
        coef = problem.equations.solve(free_intercept(len(problem.turn), 1.0))[0]
    coef[-1] -= problem.equations.mean
    return problem.turn @ coef


def turned_back(problem):
    """The equations for the features as they were, not turned."""
    equations, k = problem.equations, len(problem.turn)
    back = np.linalg.inv(problem.turn)
    upper = np.triu_indices(k)
    p = len(equations.gram)
    alike = equations.alike
    gram = np.empty((1 if alike else p, equations.gram.shape[1]), equations.gram.dtype)

    def one(start):
        pixels = slice(start, min(start + CHUNK, len(gram)))
        full = back.T @ unpacked(equations.gram[pixels], k) @ back
        gram[pixels] = full[:, upper[0], upper[1]]

    in_parallel(one, range(0, len(gram), CHUNK))
    if alike:
        gram = np.broadcast_to(gram[0], equations.gram.shape)
    return replace(equations, gram=gram, right=back.T @ equations.right)


def pixel_errors(problem, test, alphas, seen):
    """Errors on the test rows, from equations of every pixel.

    Parameters
    ----------
    problem : Problem
    test : NormalEquations
    alphas : list
    seen : ndarray of bool of shape (n_pixels,)

    Returns
    -------
    errors : ndarray of shape (n_alphas,)
    total : float
        That of the mean spectrum.
    """
    train, k = turned_back(problem), len(problem.turn)
    pixels = np.flatnonzero(seen & (test.scale > 0))
    learnt = learnt_coef(problem) if LEARNT in alphas else None
    diagonal = np.arange(k)

    def solved(equations, at, penalties):
        """Coefficients of pixels, (n, k), for each penalty."""
        full = unpacked(equations.gram[at], k)
        right = equations.right[:, at].T[:, :, None]
        trace = np.trace(full, axis1=1, axis2=2)
        full[:, diagonal, diagonal] += (JITTER * trace + (trace == 0))[:, None]
        for penalty in penalties:
            matrix = full.copy()
            matrix[:, diagonal, diagonal] += penalty
            yield np.linalg.solve(matrix, right)[:, :, 0]

    numbers = [i for i, alpha in enumerate(alphas) if alpha != LEARNT]
    penalties = [free_intercept(k, alphas[i])[:, 0] for i in numbers]

    def one(start):
        at = pixels[start : start + CHUNK]
        coef = np.empty((len(at), k, len(alphas)))
        for i, found in zip(numbers, solved(train, at, penalties)):
            coef[:, :, i] = found
        if learnt is not None:
            of_learnt = [i for i in range(len(alphas)) if i not in numbers]
            coef[:, :, of_learnt] = learnt[:, at].T[:, :, None]
        fitted = np.matmul(unpacked(test.gram[at], k), coef)
        fitted -= 2 * test.right[:, at].T[:, :, None]
        error = test.square[at, None] + (coef * fitted).sum(axis=1)
        return (np.maximum(error, 0) / test.scale[at, None]).sum(axis=0)

    errors = sum(in_parallel(one, range(0, len(pixels), CHUNK)))
    return errors, (test.square[pixels] / test.scale[pixels]).sum()
