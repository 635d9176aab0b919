"""Layers with gradients written by hand, which the backend can differentiate by itself for an export."""

from __future__ import annotations

import contextlib

import keras


class Exportable:
    """Mix-in of the layers whose gradients are written by hand; they use plain operations while `_plain` is True."""

    _plain = False

    @contextlib.contextmanager
    def plain_operations(self):
        """Let the backend differentiate calls in this context: a SavedModel cannot hold custom gradients in loops."""
        self._plain = True
        try:
            yield
        finally:
            self._plain = False


@contextlib.contextmanager
def plain_operations(*layers: keras.layers.Layer):
    """Let the backend differentiate the calls of layers and models, and of all layers of these models."""
    with contextlib.ExitStack() as stack:
        for layer in _with_inner(layers):
            if isinstance(layer, Exportable):
                stack.enter_context(layer.plain_operations())
        yield


def _with_inner(layers):
    for layer in layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _with_inner(layer.layers)
