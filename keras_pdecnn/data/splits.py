"""Stratified splits that never change."""

import numpy as np

_STATE = 20190918  # of every split; no argument changes it


def stratified_split(labels: np.ndarray, count: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Sets `count` examples aside, each class in proportion to its size.

    The draw has a fixed random state, so equal labels give equal splits. Shares are rounded by largest
    remainder, and every class keeps at least one example in the rest.

    Args:
        labels: Integer array of shape `(n,)`.
        count: How many examples to set aside.
        where: What is split, for the error message.

    Returns:
        Two sorted arrays of indices: the rest, and the part set aside.

    Raises:
        ValueError: if there are too few examples for that.
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
