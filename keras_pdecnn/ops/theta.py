"""The weights of a block at all its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from keras import ops


class Theta(Mapping):
    """The weights of a block at all its steps: a mapping of names to tensors whose axis 0 is time.

    `kernel` has the shape (steps, fields, *kernel_size, c, filters). `scale` and `bias`, where they exist, have the
    shape (steps, fields, filters). `theta()` of a block returns such an object.

    Args:
        weights: Mapping of names to tensors, or an iterable of pairs (name, tensor). It must contain "kernel".

    Example:
        >>> theta = Theta({"kernel": keras.ops.ones((5, 1, 3, 3, 4, 4))})
        >>> theta.steps, theta.at(0)["kernel"].shape
        (5, TensorShape([1, 3, 3, 4, 4]))
    """

    def __init__(self, weights):
        self._weights = dict(weights)

    def __getitem__(self, name: str):
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    @property
    def steps(self) -> int:
        """Number N of steps."""
        return self["kernel"].shape[0]

    def at(self, j) -> dict:
        """Return the weights at time t_j, a dict of tensors without the time axis; j may be a scalar tensor."""
        return {name: weight[j] for name, weight in self.items()}

    def window(self, first, steps: int) -> Theta:
        """Return the weights at the times t_first … t_{first+steps-1}; `first` may be a scalar tensor."""
        return Theta(
            (name, ops.slice(weight, (first, *[0] * (len(weight.shape) - 1)), (steps, *weight.shape[1:])))
            for name, weight in self.items()
        )
