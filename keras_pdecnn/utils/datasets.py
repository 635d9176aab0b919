"""Options of `tf.data`."""

from __future__ import annotations


def untuned_options():
    """Return `tf.data.Options` for a dataset whose iterators have no thread that tunes them.

    The end of an iterator waits for that thread, which sleeps for up to a minute and is not always woken (TensorFlow
    2.21).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return options
