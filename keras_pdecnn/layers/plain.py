"""Layers whose gradient, written by hand, can be left to the backend for an export."""

from __future__ import annotations

import contextlib

import keras


class Exportable:
    """Mix-in of the layers with gradients of their own, which read `_plain`."""

    _plain = False

    @contextlib.contextmanager
    def plain_operations(self):
        """Make calls leave the gradient to the backend: a SavedModel cannot hold those written by hand in a loop."""
        self._plain = True
        try:
            yield
        finally:
            self._plain = False


@contextlib.contextmanager
def plain_operations(model: keras.Model):
    """Make calls of all layers of a model, those of models in it too, leave the gradient to the backend."""
    with contextlib.ExitStack() as stack:
        for layer in _layers(model):
            if isinstance(layer, Exportable):
                stack.enter_context(layer.plain_operations())
        yield


def _layers(model: keras.Model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
