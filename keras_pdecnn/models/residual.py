"""The residual network, for comparison."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from keras_pdecnn import layers
from keras_pdecnn.models.model import PDEModel
from keras_pdecnn.models.network import build_network
from keras_pdecnn.models.unet import build_unet


def ResidualCNN(
    input_shape: Sequence[int | None],
    classes: int | None = None,
    widths: Sequence[int] = (32, 64, 112),
    head_width: int | None = None,
    steps: int | Sequence[int] = 3,
    step_size: float | str | Sequence[float | str] = 1.0,
    time_smoothness: float = 0.0,
    weight_decay: float = 0.0,
    box: float | None = None,
    include_top: bool = True,
    include_preprocessing: bool = True,
    classifier_activation: str | Callable | None = "softmax",
    pooling: str | None = None,
    synchronized: bool = False,
    provable: bool = False,
    lipschitz: float = 2.0,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    max_step_size: float | Sequence[float] = 1.0,
    data_format: str | None = None,
    opening_kernel_size: int | Sequence[int] = 3,
    opening_stride: int | Sequence[int] = 1,
    opening_width: int | None = None,
    dropout: float = 0.0,
    spectrogram: int | None = None,
    spectrogram_step: int | None = None,
    pool: int | Sequence[int] = 2,
    orthogonal: bool = False,
    **block_kwargs,
) -> PDEModel:
    """Build a residual network (eq. 3) of the same shape as the others, for comparison.

    y_{j+1} = y_j + h F(theta_j, y_j),   F(theta, y) = K2 sigma(N(K1 y))

    The input passes through an opening 3x3 convolution with batch normalisation and ReLU; then, for each block, N steps
    of the equation at constant width and a connector (1x1 convolution, batch normalisation, ReLU, and average pooling
    by 2 but for the last one); then the average of each channel and a dense classifier. The network works on signals,
    images and video, by the number of axes of `input_shape`.

    Args:
        input_shape: Shape of one example, (*space, channels) with one to three space axes, or (channels, *space) if the
            channels are first. The size of a space axis may be None.
        classes: Number of classes; default None, and needed with `include_top`.
        widths: Width of each block; default (32, 64, 112).
        head_width: Width after the last connector; default widths[-1].
        steps: Number of time steps, one number or one per block; default 3.
        step_size: Step size h, one number or one per block; default 1. It must be a number: no step size is known
            to make the steps of a residual network stable.
        time_smoothness: Factor alpha1 of the regulariser (eq. 13) of kernel, scale and bias of the blocks; default 0.
        weight_decay: Factor alpha2 of the regulariser of every kernel and of the classifier, a part of the loss;
            default 0.
        box: Bound of the absolute value of the kernel entries of the blocks; default None. The paper has 1.
        include_top: Whether the classifier is part of the model; default True.
        include_preprocessing: Whether the model standardises each example itself, so that it takes raw pixels;
            default True.
        classifier_activation: Activation of the classifier; default "softmax", and None for logits.
        pooling: Pooling of the last features of a model without top, "avg" or "max" of each channel; default None, the
            model returns feature maps.
        synchronized: Whether batch statistics are taken over all replicas; default False.
        provable: Argument of the other networks that must be False here, as no residual network is certified; default
            False.
        lipschitz: Argument of the other networks, which belongs to `provable`; default 2.
        weights: Weights that the network starts from: the name "cifar10" for those that come with the package and were
            trained on CIFAR-10, or the path of a .keras file, of a .weights.h5 file or of the folder of a run; default
            None, random weights. Without top, the classifier of the file is left out.
        name: Name of the model; default "residual_cnn".
        max_step_size: Argument of the other networks, which belongs to the step size "auto"; default 1.
        data_format: Place of the channels in `input_shape` and in feature maps, "channels_last" or "channels_first";
            default None, the one of Keras's configuration.
        opening_kernel_size: Size of the opening convolution, an odd integer or one per space axis; default 3.
        opening_stride: Stride of the opening convolution, an integer or one per space axis; default 1. Signals have
            many samples: a stride of 8 keeps every eighth of them.
        opening_width: Width of the opening convolution; a connector from there to the first block, which halves every
            space axis, is then added. Default None, widths[0] without such a connector.
        dropout: Rate of the dropout before the classifier, at least 0 and below 1; default 0.
        spectrogram: Number of samples of a frame; the network then takes signals, (length, channels), and works on
            their logarithmic spectrogram, (frames, frequencies, channels), by `keras.layers.STFTSpectrogram`. Default
            None, no spectrogram.
        spectrogram_step: Number of samples from one frame to the next; default None, half a frame.
        pool: Factor by which every space axis shrinks behind a block, 1 for no pooling; one number, which is not for
            the last block, or one per block; default 2.
        orthogonal: Argument of the other networks, which belongs to `provable`; default False.
        **block_kwargs: Further arguments of every block, see `layers.ResidualBlock`.

    Returns:
        A `PDEModel`, (batch, *space, channels) -> (batch, classes).

    Raises:
        ValueError: If an argument is unknown or outside its range, the input is too small for so many blocks, or
            `weights` do not exist or do not fit the network.

    Example:
        >>> ResidualCNN((32, 32, 3), classes=10).output_shape
        (None, 10)
    """
    return build_network(
        layers.ResidualBlock,
        "ResidualCNN",
        input_shape=input_shape,
        classes=classes,
        widths=widths,
        head_width=head_width,
        steps=steps,
        step_size=step_size,
        time_smoothness=time_smoothness,
        weight_decay=weight_decay,
        box=box,
        include_top=include_top,
        include_preprocessing=include_preprocessing,
        classifier_activation=classifier_activation,
        pooling=pooling,
        synchronized=synchronized,
        provable=provable,
        lipschitz=lipschitz,
        weights=weights,
        name=name or "residual_cnn",
        max_step_size=max_step_size,
        data_format=data_format,
        opening_kernel_size=opening_kernel_size,
        opening_stride=opening_stride,
        opening_width=opening_width,
        dropout=dropout,
        spectrogram=spectrogram,
        spectrogram_step=spectrogram_step,
        pool=pool,
        orthogonal=orthogonal,
        block_kwargs=block_kwargs,
    )


def ResidualUNet(
    input_shape: Sequence[int | None],
    outputs: int | None = None,
    widths: Sequence[int] = (16, 32, 64),
    output_activation: str | Callable | None = None,
    steps: int | Sequence[int] = 3,
    step_size: float | str | Sequence[float | str] = 1.0,
    skip: str = "add",
    restoration: bool = False,
    time_smoothness: float = 0.0,
    weight_decay: float = 0.0,
    box: float | None = None,
    include_preprocessing: bool | None = None,
    synchronized: bool = False,
    provable: bool = False,
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    max_step_size: float | Sequence[float] = 1.0,
    data_format: str | None = None,
    max_value: float = 1.0,
    **block_kwargs,
) -> PDEModel:
    """Build a residual network with outputs for every pixel, without symmetry.

    y_{j+1} = y_j + h K2 sigma(N(K1 y_j))

    The input passes through an opening 3x3 convolution with batch normalisation and ReLU. On the way down, N steps of
    the equation (eq. 3) on each grid and a `layers.Connector` to the next grid, which has half the resolution and the
    next width. On the way up, a `layers.RefiningConnector` back to the finer grid, the skip connection, which adds the
    features that the way down had there, and N steps with weights of their own. At the end, a 1x1 convolution to the
    outputs. The network works on signals, images and video of any size, by the number of axes of `input_shape`: sizes
    that cannot be halved often enough are padded with zeros at the end, and the output is cropped again.

    Args:
        input_shape: Shape of one example, (*space, channels) with one to three space axes, or (channels, *space) if the
            channels are first. The size of a space axis may be None.
        outputs: Number of outputs per pixel; default None, and needed without `restoration`.
        widths: Width on each grid, from the finest to the coarsest; default (16, 32, 64).
        output_activation: Activation of the outputs, such as "softmax"; default None.
        steps: Number of time steps of each block, one number or one per width; default 3.
        step_size: Step size h, one number or one per width; default 1. It must be a number: no step size is
            known to make the steps of a residual network stable.
        skip: Way of the skip connections, "add" (default) or "concatenate", which is followed by a 1x1 connector.
        restoration: Whether the output is the input plus the output of the network, which is then called a correction
            and is 0 at first; default False.
        time_smoothness: Factor alpha1 of the regulariser (eq. 13) of kernel, scale and bias of the blocks; default 0.
        weight_decay: Factor alpha2 of the regulariser of every kernel and of the head, a part of the loss; default 0.
        box: Bound of the absolute value of the kernel entries of the blocks; default None.
        include_preprocessing: Whether the model standardises each example itself, so that it takes raw pixels; default
            None, True unless the network is a restoration or provable. It must be False with `restoration`.
        synchronized: Whether batch statistics are taken over all replicas; default False.
        provable: Argument of the other networks that must be False here, as no residual network is certified; default
            False.
        weights: Path of a .keras file, of a .weights.h5 file or of the folder of a run, with the weights that the
            network starts from; default None, random weights.
        name: Name of the model; default "residual_unet".
        max_step_size: Argument of the other networks, which belongs to the step size "auto"; default 1.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        max_value: Value of white in the images of a restoration, such as 255 in raw ones: the network divides its
            input by it and multiplies its output by it; default 1.
        **block_kwargs: Further arguments of every block, see `layers.ResidualBlock`.

    Returns:
        A `PDEModel`, (batch, *space, channels) -> (batch, *space, outputs).

    Raises:
        ValueError: If an argument is unknown or outside its range, two arguments contradict each other, or `weights` do
            not exist or do not fit the network.

    Example:
        >>> ResidualUNet((None, None, 3), outputs=2).output_shape
        (None, None, None, 2)
        >>> ResidualUNet((32, 32, 3), restoration=True).output_shape
        (None, 32, 32, 3)
    """
    return build_unet(
        layers.ResidualBlock,
        "ResidualUNet",
        input_shape=input_shape,
        outputs=outputs,
        widths=widths,
        output_activation=output_activation,
        steps=steps,
        step_size=step_size,
        skip=skip,
        restoration=restoration,
        max_value=max_value,
        time_smoothness=time_smoothness,
        weight_decay=weight_decay,
        box=box,
        include_preprocessing=include_preprocessing,
        synchronized=synchronized,
        provable=provable,
        weights=weights,
        name=name or "residual_unet",
        max_step_size=max_step_size,
        data_format=data_format,
        block_kwargs=block_kwargs,
    )
