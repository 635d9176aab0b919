"""The spectrogram of signals, which a network on two space axes works on in place of the samples."""

from __future__ import annotations

import keras

from keras_pdecnn.utils import arguments


class Spectrogram:
    """The logarithm of the magnitudes of a short-time Fourier transform: signals become images.

    (batch, length, channels) -> (batch, frames, frequencies, channels)

    It is Keras's `STFTSpectrogram` with weights that are not trained, for Hann windows and frames inside the signal.

    Args:
        frame_length: Number of samples of a frame, at least 2.
        frame_step: Number of samples from one frame to the next, at most `frame_length`; None for half a frame.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def __init__(self, frame_length: int, frame_step: int | None):
        self.frame_length = arguments.check_positive_integer("spectrogram", frame_length)
        if self.frame_length < 2:
            raise ValueError(f"spectrogram must be at least 2 samples. Received: spectrogram={frame_length}")
        if frame_step is None:
            self.frame_step = self.frame_length // 2
        else:
            self.frame_step = arguments.check_positive_integer("spectrogram_step", frame_step)
        if self.frame_step > self.frame_length:
            raise ValueError(
                "spectrogram_step must be at most the length of a frame, so that no sample is left out. "
                f"Received: spectrogram={frame_length}, spectrogram_step={frame_step}"
            )

    def layer(self, **settings) -> keras.layers.Layer:
        """Return the Keras layer; its weights are the window and the waves, and are not trained."""
        return keras.layers.STFTSpectrogram(
            mode="log",
            frame_length=self.frame_length,
            frame_step=self.frame_step,
            expand_dims=True,
            data_format="channels_last",
            trainable=False,
            name="spectrogram",
            **settings,
        )

    def output_shape(self, input_shape: tuple) -> tuple:
        """Return the shape (frames, frequencies, channels) of the spectrogram of one signal (length, channels).

        Raises:
            ValueError: If the input is no signal, its length is not known, or it is shorter than a frame.
        """
        if len(input_shape) != 2 or input_shape[0] is None or input_shape[0] < self.frame_length:
            raise ValueError(
                "A spectrogram needs signals of a known length, and at least one frame in it. "
                f"Received: input_shape={tuple(input_shape)}, spectrogram={self.frame_length}"
            )
        return tuple(self.layer().compute_output_shape((None, *input_shape)))[1:]
