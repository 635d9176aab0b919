"""TV normalisation as a layer."""

from __future__ import annotations

import keras

from keras_pdecnn.ops import layout
from keras_pdecnn.ops.tv import tv_normalize
from keras_pdecnn.utils import arguments


@keras.saving.register_keras_serializable(package="keras_pdecnn")
class TVNormalization(keras.layers.Layer):
    """Divide every pixel by the length of its feature vector, then scale and shift each channel (eq. 9).

    N_tv(u) = u / sqrt(sum_c u_c^2 + epsilon),   output = scale * N_tv(u) + bias

    Features have shape (batch, *space, channels), in and out. There are no batch statistics, so the layer does the same
    in training and in inference.

    Args:
        epsilon: Number under the root that keeps the quotient smooth at 0, positive; default 1e-3.
        use_scale: Whether to train a `scale` (channels,), at first 1; default True.
        use_bias: Whether to train a `bias` (channels,), at first 0; default True.
        scale_regularizer: Regulariser of the scale; default None.
        bias_regularizer: Regulariser of the bias; default None.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, Keras does not know a regulariser, or the number of channels of
            the input is not known.

    Example:
        >>> TVNormalization()(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        epsilon=1e-3,
        use_scale=True,
        use_bias=True,
        scale_regularizer=None,
        bias_regularizer=None,
        data_format=None,
        **layer_kwargs,
    ):
        super().__init__(**arguments.check_layer_kwargs(layer_kwargs))
        self.epsilon = arguments.check_positive("epsilon", epsilon)
        self.use_scale = arguments.check_flag("use_scale", use_scale)
        self.use_bias = arguments.check_flag("use_bias", use_bias)
        self.scale_regularizer = arguments.look_up("scale_regularizer", keras.regularizers.get, scale_regularizer)
        self.bias_regularizer = arguments.look_up("bias_regularizer", keras.regularizers.get, bias_regularizer)
        self.data_format = layout.standardize_data_format(data_format)

    def build(self, input_shape):
        axis = layout.channel_axis(self.data_format)
        if len(input_shape) < 2 or not input_shape[axis]:
            raise ValueError(
                f"TVNormalization needs features of shape {layout.feature_axes(self.data_format)} with a known number "
                f"of channels. Received: input_shape={tuple(input_shape)}"
            )
        shape = (input_shape[axis],)
        self.scale = self.bias = None
        if self.use_scale:
            self.scale = self.add_weight(
                name="scale", shape=shape, initializer="ones", regularizer=self.scale_regularizer
            )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=shape, initializer="zeros", regularizer=self.bias_regularizer
            )
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={axis: input_shape[axis]})

    def call(self, u):
        u = tv_normalize(layout.to_channels_last(u, self.data_format), self.epsilon)
        if self.scale is not None:
            u = u * self.scale
        if self.bias is not None:
            u = u + self.bias
        return layout.from_channels_last(u, self.data_format)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    @classmethod
    def from_config(cls, config):
        # Files without a data format are older than the argument: their layers have the channels last.
        return super().from_config({"data_format": "channels_last", **config})

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "use_scale": self.use_scale,
            "use_bias": self.use_bias,
            "scale_regularizer": keras.regularizers.serialize(self.scale_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "data_format": self.data_format,
        }
