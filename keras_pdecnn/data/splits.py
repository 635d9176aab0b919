"""Stratified splits that depend on the labels alone."""

import numpy as np

_STATE = 20190918  # the random state of every split; no argument changes it


def stratified_split(labels: np.ndarray, count: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into two parts that have the classes in the same proportions.

    The random state is fixed, so equal labels give equal splits. Shares are rounded by the largest-remainder method,
    and every class keeps at least one example in the first part.

    Args:
        labels: Integer array of shape `(n,)`.
        count: Number of examples of the second part.
        where: Name of the data in the error message.

    Returns:
        Two sorted arrays of indices: the first part, with all other examples, and the second part.

    Raises:
        ValueError: If there are too few examples.
    """
    classes, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if not 0 < count <= len(labels) - len(classes):
        raise ValueError(
            f"{where}: too few examples to split; the part set aside needs at least one, and every class keeps "
            f"at least one. Received: {len(labels)} examples of {len(classes)} classes, {count} to set aside"
        )
    share = sizes * (count / len(labels))
    take = np.minimum(share.astype(int), sizes - 1)
    while take.sum() < count:
        take[np.argmax(np.where(take < sizes - 1, share - take, -np.inf))] += 1
    random = np.random.RandomState(_STATE)  # its stream is frozen, unlike that of a Generator
    aside = np.zeros(len(labels), bool)
    for index, number in enumerate(take):
        aside[random.permutation(np.flatnonzero(inverse == index))[:number]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)
