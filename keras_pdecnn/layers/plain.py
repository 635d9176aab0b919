"""Layers whose gradient, written by hand, can be left to TensorFlow for an export."""

from __future__ import annotations

import contextlib


class Exportable:
    """Mix-in of the layers with gradients of their own, which read `_plain`."""

    _plain = False

    @contextlib.contextmanager
    def plain_operations(self):
        """Make calls leave the gradient to TensorFlow: a SavedModel cannot hold those written by hand inside a loop."""
        self._plain = True
        try:
            yield
        finally:
            self._plain = False
