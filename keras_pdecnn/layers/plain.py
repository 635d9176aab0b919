"""Layers with gradients written by hand, which the backend can differentiate by itself for an export."""

from __future__ import annotations

import contextlib

import keras


class Exportable:
    """Mix-in of the layers whose gradients are written by hand; they use plain operations while `_plain` is True."""

    _plain = False
    _convolution_dtype: str | None = None

    @contextlib.contextmanager
    def plain_operations(self, convolution_dtype: str | None = None):
        """Let the backend differentiate calls in this context: a SavedModel cannot hold custom gradients in loops.

        Args:
            convolution_dtype: Type of the convolutions in these calls; default None, that of the features.
        """
        self._plain, self._convolution_dtype = True, convolution_dtype
        try:
            yield
        finally:
            self._plain, self._convolution_dtype = False, None


@contextlib.contextmanager
def plain_operations(*layers: keras.layers.Layer, convolution_dtype: str | None = None):
    """Let the backend differentiate the calls of layers and models, and of all layers of these models."""
    with contextlib.ExitStack() as stack:
        for layer in _with_inner(layers):
            if isinstance(layer, Exportable):
                stack.enter_context(layer.plain_operations(convolution_dtype))
        yield


def _with_inner(layers):
    for layer in layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _with_inner(layer.layers)
