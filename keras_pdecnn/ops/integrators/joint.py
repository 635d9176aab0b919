"""Joint bounds of all steps of shears with monotone right-hand sides, from quadratic forms of a few numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from keras_pdecnn.ops.integrators.update import StateUpdate

MARGIN = 1e-10
"""Part of the largest entry of a matrix that is subtracted from its diagonal, more than its rounding errors."""


class JointForm:
    """The distance of two states after all steps as a quadratic form of the distances before and of the increments.

    Let d be the differences of the parts of two states at first, and g_k those of the increments of all updates that
    evaluate F, in order. All later differences are sums of multiples of d and g_k. Let s_k be that of the source of
    update k. If F is minus the gradient of a convex function, with the Lipschitz constant a_k times the factor of the
    update, then <g_k, s_k> >= ||g_k||^2 / a_k, with the sign of g_k chosen accordingly (Baillon and Haddad 1977). So
    for all multipliers t_k >= 0,

        ||difference at the end||^2 <= <(d, g), M (d, g)>
        M = C^T C + sum_k t_k (g_k s_k^T + s_k g_k^T - 2 / a_k g_k g_k^T),

    where C and the vectors g_k, s_k of numbers express the differences in terms of d and g. If the block of M that
    belongs to g is negative definite, the largest value for given d follows by elimination of g (Schur complement), and
    the bound is the root of the largest eigenvalue of a matrix with one row for each part of d. This is independent of
    the number of pixels and channels. The semidefinite program whose variables are t_k is that of Fazlyab et al. 2019
    (LipSDP), for this structure.

    Args:
        updates: Updates of one step.
        gains: Gains a_k >= 0, shape (steps, updates); that of an update without F is its factor.
        start: Matrix (parts of the state, parts of d), the state at first.
        finish: Indices of the parts whose distance is bounded.
    """

    def __init__(self, updates: tuple[StateUpdate, ...], gains: np.ndarray, start: np.ndarray, finish: Sequence[int]):
        fields = [update.field is not None for update in updates]
        self.parts, count = start.shape[1], len(gains) * sum(fields)
        state = np.hstack([start, np.zeros((len(start), count))])
        self.sources = np.zeros((count, self.parts + count))
        k = 0
        for step in gains:
            for update, gain in zip(updates, step, strict=True):
                if update.field is None:
                    state[update.target] += gain * state[update.source]
                    continue
                # The variables are g_k / sqrt(a_k), so that all terms are of the same size.
                self.sources[k] = math.sqrt(gain) * state[update.source]
                state[update.target, self.parts + k] -= math.sqrt(gain) * np.sign(update.factor(1.0))
                k += 1
        self.final = state[list(finish)]

    def matrix(self, multipliers: np.ndarray) -> np.ndarray:
        """Return M for multipliers t_k, one for each increment in order."""
        cross = np.zeros((self.sources.shape[1],) * 2)
        cross[self.parts :] = multipliers[:, None] * self.sources
        diagonal = np.concatenate([np.zeros(self.parts), -2 * multipliers])
        return self.final.T @ self.final + cross + cross.T + np.diag(diagonal)

    def bound(self, multipliers: np.ndarray) -> float:
        """Return the bound for multipliers, infinity if they give none."""
        matrix, p = self.matrix(multipliers), self.parts
        negative = -matrix[p:, p:]
        negative -= MARGIN * np.abs(negative).max(initial=0.0) * np.eye(len(negative))
        try:
            np.linalg.cholesky(negative)
        except np.linalg.LinAlgError:
            return math.inf
        reduced = matrix[:p, :p] + matrix[:p, p:] @ np.linalg.solve(negative, matrix[p:, :p])
        return math.sqrt(max(0.0, float(np.linalg.eigvalsh(reduced)[-1])))
