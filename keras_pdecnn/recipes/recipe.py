"""What a run is: a data set, a network and its training as one frozen dataclass."""

from __future__ import annotations

import dataclasses

from keras_pdecnn.networks import DEFAULT, NETWORKS
from keras_pdecnn.recipes import checks, consistency, phases
from keras_pdecnn.recipes.levels import Level, check_refinement, levels_of
from keras_pdecnn.tasks import DEFAULT as DEFAULT_TASK
from keras_pdecnn.tasks import TASKS, check_task
from keras_pdecnn.utils import arguments

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("piecewise", "cosine", "one_cycle")
DTYPES = ("float32", "mixed_bfloat16", "mixed_float16")

_positive = arguments.check_positive
_whole = arguments.check_positive_integer
_count = arguments.check_non_negative_integer
_non_negative = arguments.check_non_negative
_fraction = arguments.check_fraction
_angle = arguments.check_angle
_flag = arguments.check_flag


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All settings of a run: the data, the network and the training. The defaults are those for the digits.

    The optimiser is by default stochastic gradient descent with momentum. Its learning rate is `learning_rates[i]` for
    `epochs[i]` epochs, i = 0, 1, …. A sequence may be given as a list, and a single value stands for a sequence of one.

    Args:
        data: Name or path of the data, see `data.load`; default "digits". A recipe is kept in a file and cannot hold
            arrays or datasets: save them as an .npz file, or pass them to `data.load` and train with Keras.
        task: Name of the task, one of `tasks.TASKS`: "classification" (default), "multi_label", "regression",
            "segmentation", "restoration", or one that you have added.
        data_dir, size, crop, crop_area, sampling_rate, skip_unreadable, validation, batch_size, drop_remainder: Reading
            of the data, see `data.load`.
        mask_colors, degradation, patch, patches: Masks of a segmentation, degraded images of a restoration, and patches
            of images, see `data.load`.
        in_memory: Whether the examples are held in memory or streamed, see `data.load`; the run is the same, and may be
            resumed in the other way. Default None, in memory up to 512 MiB.
        flip, pad, rotate, zoom, time_shift, gain, noise, cutout, time_mask, frequency_mask: Random changes of the
            training examples, see `data.Augmentation`.
        mixup, cutmix, rand_augment, rand_augment_magnitude: More of them; `mixup` and `cutmix` need the loss
            "classification".
        seed: Seed of the initial weights, of the order of the examples and of their augmentation; default 0.
        architecture: Name of the network, one of `models.NETWORKS`: "hamiltonian" (default), "parabolic",
            "second_order", "residual", or one that you have added.
        widths, head_width, steps, step_size, max_step_size, time_smoothness, weight_decay, box, synchronized: Arguments
            of the network, see `models.HamiltonianCNN`.
        opening_kernel_size, opening_stride, opening_width, dropout, spectrogram, spectrogram_step: More of them.
        provable: Whether the network has a small Lipschitz bound, see `models.HamiltonianCNN`; it needs the
            normalisation None, "scale" or "shrinkage". Default False.
        lipschitz: Lipschitz constant of a provable network, see `models.HamiltonianCNN`; default 2.
        orthogonal: Whether the connectors of a provable network are orthogonal, see `models.HamiltonianCNN`; default
            False.
        time_basis, basis_size, kernel_size, activation, normalization, padding, backprop: Arguments of the blocks, see
            `layers.PDEBlock`.
        dtype: Policy of Keras: "float32" (default), "mixed_bfloat16" or "mixed_float16".
        loss: "classification" (default), the cross-entropy of class probabilities; "least_squares", 1/2 |f - c|^2
            for outputs f without softmax, where c is 1 for the class of the example and 0 for the others; or for a
            provable network one of the losses that ask for margins of logits: "margin" (see
            `losses.MarginCrossEntropy`), "margin_adaptive" (the same with `adaptive`) or "margin_hinge" (see
            `losses.MarginHinge`). Other tasks than a classification have a loss of their own, and keep the default.
        margin: Margin of the logits that those losses ask for, positive; default None, `lipschitz`.
        temperature: Temperature of "margin" and "margin_adaptive", positive; default None, a quarter of `lipschitz`.
        label_smoothing: Share of the target probability that is spread evenly over all classes, in [0, 1); it needs the
            loss "classification". Default 0.
        optimizer: "sgd" (default), or "adamw", with which `weight_decay` acts in the optimiser, apart from the
            gradient, instead of in the loss.
        momentum: Momentum of the optimiser, beta_1 of AdamW; default 0.9.
        nesterov: Whether SGD uses Nesterov's momentum; default False.
        gradient_clip: Largest norm of the whole gradient, which is scaled down to it; default None, no limit.
        ema: Momentum of an exponential average of the weights, in [0, 1), such as 0.999 for an average over about 1,000
            batches. The average is what is validated, evaluated and saved, with batch statistics that are estimated
            again for it. Default 0, no average.
        recalibrate: Whether the statistics of the batch normalisations are estimated again on training batches before
            each validation and at the end, because the moving ones lag behind weights that change fast; `ema` implies
            it. Default False.
        schedule: Learning rate over the training: "piecewise" (default), constant in each phase; "cosine", half a
            cosine from the learning rate down to 0; or "one_cycle", up from 1/25 of the learning rate and then down
            half a cosine to 1/250,000 of it. The last two have one learning rate, the largest, and one number of
            epochs.
        warmup: Fraction of the training over which the rate of "cosine" (from 0) and "one_cycle" rises linearly, in
            [0, 1); default None, 0 for "cosine" and 0.3 for "one_cycle".
        learning_rates, epochs: Learning rate and number of epochs of each phase of the training; default 20 epochs at
            0.05, 6 at 0.01 and 6 at 0.002.
        refinement: Coarser levels that the training begins with, each a text STEPS:EPOCHS or STEPS:EPOCHS:SIZE, such as
            "3:10:1/2" for 10 epochs with 3 steps and images of half the size. The network itself has the other epochs.
            "auto" stands for `training.default_levels`: half of the epochs with a quarter of the steps, a fifth with
            half of them. Default None, no other level.
        evaluate_flipped: Whether the evaluation at the end also averages the outputs for each example and its mirror
            image; metrics.json has the result as `flipped`, beside that of the examples alone. It needs `flip`. Default
            False.

    Raises:
        ValueError: If a setting is outside its range, or settings do not fit together.

    Example:
        >>> Recipe(architecture="parabolic", epochs=5, learning_rates=0.1).epochs
        (5,)
    """

    data: str = checks.setting(
        "digits", checks.check_text, "Data set: digits, a path, or the name of a TensorFlow data set."
    )
    task: str = checks.setting(DEFAULT_TASK, check_task, f"What the network is for: {', '.join(TASKS)}.")
    data_dir: str | None = checks.setting(
        None, checks.optional(checks.check_text), "Folder in which TensorFlow Datasets keeps its data."
    )
    size: int | tuple[int, ...] | None = checks.setting(
        None,
        checks.optional(checks.one_or_more(_whole)),
        "Resize images to a side or height,width, videos to frames,height,width; cut signals to a length.",
    )
    crop: str | None = checks.setting(
        None,
        checks.optional(checks.one_of("center", "random")),
        "Keep the aspect of images: center (a window in the centre) or random (any window, in training); none: do not.",
    )
    crop_area: float = checks.setting(
        0.25, arguments.check_share, "Smallest area of a random window, as a fraction of the image."
    )
    mask_colors: tuple[str, ...] | None = checks.setting(
        None,
        checks.optional(checks.each(arguments.check_color)),
        "Colours of the classes in masks, such as 000000,ff0000, in their order; none: masks hold numbers of classes.",
    )
    degradation: str | None = checks.setting(
        None,
        checks.optional(checks.check_degradation),
        "How images are made worse for a restoration: noise:25, noise:5-50, blur:1.5, downsample:2, half, border:0.2 "
        "or salt_and_pepper:0.1; none: the data have images to restore.",
    )
    patch: int | tuple[int, ...] | None = checks.setting(
        None,
        checks.optional(arguments.check_sizes),
        "Size of the patches that are cut out of training images at random, one or one per axis; smaller images, and "
        "all with none, are taken whole.",
    )
    patches: int = checks.setting(1, _whole, "Number of patches of each training image per epoch.")
    in_memory: bool | None = checks.setting(
        None,
        checks.optional(_flag),
        "Hold the examples in memory, or read them from their files for each batch; default: by their size.",
        opposite="streamed",
        compare=False,
    )
    sampling_rate: int | None = checks.setting(
        None, checks.optional(_whole), "Resample .wav files to so many samples per second; none: keep their own rate."
    )
    skip_unreadable: bool = checks.setting(
        False, _flag, "Leave out images and .wav files that cannot be read, and name them; otherwise, an error."
    )
    validation: float = checks.setting(0.05, _fraction, "Fraction of the training part set aside for validation.")
    batch_size: int = checks.setting(32, _whole, "Examples per batch.")
    drop_remainder: bool = checks.setting(False, _flag, "Leave out a last, smaller batch.")
    flip: bool = checks.setting(False, _flag, "Mirror training examples at random.")
    pad: float = checks.setting(
        0.125, _fraction, "Shift training examples at random by up to this fraction of their size."
    )
    rotate: float = checks.setting(12.0, _angle, "Turn training images at random by up to this angle in degrees.")
    zoom: float = checks.setting(0.1, _fraction, "Enlarge or shrink training images at random by up to this fraction.")
    time_shift: float = checks.setting(
        0.0, _fraction, "Shift training signals at random by up to this fraction of their length, end joined to start."
    )
    gain: float = checks.setting(
        0.0,
        _non_negative,
        "Make training examples louder or softer at random, by factors exp(-gain) to exp(gain).",
    )
    noise: float = checks.setting(
        0.0, _non_negative, "Add noise to training examples, of up to this fraction of their standard deviation."
    )
    cutout: float = checks.setting(
        0.0, _fraction, "Cover a window of training examples at random; its sides are this fraction of theirs."
    )
    time_mask: float = checks.setting(
        0.0, _fraction, "Cover a band of the time axis, the first, of up to this fraction of it, at random."
    )
    frequency_mask: float = checks.setting(
        0.0, _fraction, "Cover a band of the frequency axis of spectrograms, the second, likewise."
    )
    mixup: float = checks.setting(
        0.0, _non_negative, "Mix pairs of training examples and labels in shares drawn from Beta(mixup, mixup)."
    )
    cutmix: float = checks.setting(
        0.0, _non_negative, "Paste windows of training examples into others, in shares drawn from Beta(cutmix, cutmix)."
    )
    rand_augment: int = checks.setting(
        0, _count, "Number of random changes of geometry and colour of each training image (RandAugment)."
    )
    rand_augment_magnitude: float = checks.setting(0.3, _fraction, "Strength of the changes of rand_augment.")
    seed: int = checks.setting(
        0, checks.check_seed, "Seed of the weights, the order of the examples and their augmentation."
    )

    architecture: str = checks.setting(DEFAULT, checks.check_architecture, f"Network: {', '.join(NETWORKS)}.")
    widths: tuple[int, ...] = checks.setting((16, 32), checks.each(_whole), "Width of each block.")
    head_width: int | None = checks.setting(
        None, checks.optional(_whole), "Width after the last block; none: the last width."
    )
    spectrogram: int | None = checks.setting(
        None,
        checks.optional(_whole),
        "Turn signals into spectrograms, which are images, with frames of so many samples; none: no spectrogram.",
    )
    spectrogram_step: int | None = checks.setting(
        None, checks.optional(_whole), "Samples from one frame of the spectrogram to the next; none: half a frame."
    )
    opening_kernel_size: int | tuple[int, ...] = checks.setting(
        3, arguments.check_odd_sizes, "Size of the opening convolution, one or one per space axis."
    )
    opening_stride: int | tuple[int, ...] = checks.setting(
        1, arguments.check_sizes, "Stride of the opening convolution, one or one per space axis."
    )
    opening_width: int | None = checks.setting(
        None,
        checks.optional(_whole),
        "Width of the opening, with a connector that halves every axis behind it; none: the first width, no connector.",
    )
    dropout: float = checks.setting(0.0, _fraction, "Rate of the dropout before the classifier.")
    steps: int | tuple[int, ...] = checks.setting(
        3, checks.one_or_more(_whole), "Number of time steps, one or one per block."
    )
    step_size: float | str | tuple[float | str, ...] = checks.setting(
        1.0,
        checks.one_or_more(arguments.check_step_size),
        "Step size h, one or one per block; auto: as large as the theory allows for the current weights; per_filter: "
        "one for each filter, as large as the theory allows.",
    )
    max_step_size: float | tuple[float, ...] = checks.setting(
        1.0, checks.one_or_more(_positive), "Upper bound of the step size auto, one or one per block."
    )
    time_basis: str | None = checks.setting(
        None,
        checks.one_of(None, "constant", "linear", "cosine"),
        "Basis of the weights in time: constant, linear, cosine; none: every step has its own weights.",
    )
    basis_size: int | None = checks.setting(
        None, checks.optional(_whole), "Number of functions of the basis; none: as many as steps."
    )
    kernel_size: int | tuple[int, ...] = checks.setting(
        3, arguments.check_odd_sizes, "Size of the blocks' kernels, one or one per space axis."
    )
    activation: str = checks.setting(
        "relu", checks.check_activation, "Activation of the blocks, a name that Keras knows."
    )
    normalization: str | None = checks.setting(
        "tv",
        checks.one_of("tv", None, "scale", "shrinkage"),
        "Normalisation of the blocks: tv, none, scale or shrinkage; a provable network needs one of the last three.",
    )
    padding: str = checks.setting(
        "same", checks.one_of("same", "periodic"), "Padding of the blocks: same (zeros) or periodic."
    )
    backprop: str | None = checks.setting(
        None,
        checks.one_of(None, "reversible", "checkpointed", "stored"),
        "How the gradient is taken: reversible, checkpointed or stored; none: reversible where possible.",
    )
    time_smoothness: float = checks.setting(
        0.0, _non_negative, "Strength alpha1 of the regulariser that keeps weights smooth in time."
    )
    weight_decay: float = checks.setting(5e-4, _non_negative, "Strength alpha2 of the decay of all kernels.")
    box: float | None = checks.setting(
        None, checks.optional(_positive), "Bound on the size of every kernel entry of the blocks; none: no bound."
    )
    synchronized: bool = checks.setting(False, _flag, "Take batch statistics over all replicas.")
    provable: bool = checks.setting(
        False, _flag, "Build a network whose robustness can be certified; its normalization is then none by default."
    )
    lipschitz: float = checks.setting(
        2.0, _positive, "Lipschitz constant of a provable network; a smaller one gives larger margins."
    )
    orthogonal: bool = checks.setting(
        False, _flag, "Make the connectors of a provable network orthogonal, which keeps distances where widths allow."
    )
    dtype: str = checks.setting(
        "float32", checks.one_of(*DTYPES), f"Policy of Keras for the numbers: {', '.join(DTYPES)}."
    )

    loss: str = checks.setting(
        "classification",
        checks.check_loss,
        "classification (cross-entropy) or least_squares; for provable networks also margin, margin_adaptive, "
        "margin_hinge.",
    )
    margin: float | None = checks.setting(
        None,
        checks.optional(_positive),
        "Margin of the logits that the losses margin, margin_adaptive and margin_hinge ask for; none: lipschitz.",
    )
    temperature: float | None = checks.setting(
        None,
        checks.optional(_positive),
        "Temperature of the losses margin and margin_adaptive; none: a quarter of lipschitz.",
    )
    label_smoothing: float = checks.setting(
        0.0, _fraction, "Share of the target probability that is spread over all classes."
    )
    optimizer: str = checks.setting(
        "sgd", checks.one_of(*OPTIMIZERS), "sgd or adamw, with which weight_decay acts apart from the gradient."
    )
    momentum: float = checks.setting(0.9, _fraction, "Momentum of the optimiser, beta_1 of AdamW.")
    nesterov: bool = checks.setting(False, _flag, "Use Nesterov's momentum in stochastic gradient descent.")
    gradient_clip: float | None = checks.setting(
        None, checks.optional(_positive), "Largest norm of the gradient; none: no limit."
    )
    ema: float = checks.setting(
        0.0, _fraction, "Momentum of an average of the weights, which is what is evaluated and saved; 0: no average."
    )
    recalibrate: bool = checks.setting(
        False, _flag, "Estimate batch statistics again on training batches before each validation and at the end."
    )
    schedule: str = checks.setting(
        "piecewise",
        checks.one_of(*SCHEDULES),
        "Learning rate over time: piecewise (constant in each phase), cosine or one_cycle (one phase, largest rate).",
    )
    warmup: float | None = checks.setting(
        None,
        checks.optional(_fraction),
        "Fraction of the training over which the rate rises; none: 0 with cosine, 0.3 with one_cycle.",
    )
    learning_rates: tuple[float, ...] = checks.setting(
        (0.05, 0.01, 0.002), checks.each(_positive), "Learning rate of each phase."
    )
    epochs: tuple[int, ...] = checks.setting(
        (20, 6, 6),
        checks.each(_whole),
        "Number of epochs of each phase; one number is divided over the phases of the recipe.",
    )
    refinement: str | tuple[str, ...] | None = checks.setting(
        None,
        check_refinement,
        "Coarser levels to begin with, as STEPS:EPOCHS[:SIZE]: 3:10:1/2,6:5; auto: by the steps and the epochs.",
    )
    evaluate_flipped: bool = checks.setting(
        False, _flag, "Evaluate also with outputs averaged over each example and its mirror image."
    )

    def __post_init__(self):
        for setting in dataclasses.fields(self):
            value = setting.metadata["check"](setting.name, getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)
        consistency.check_network(self)
        consistency.check_margins(self)
        consistency.check_training(self)
        TASKS[self.task].check_recipe(self)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels of the training, of which the last one is the network itself."""
        return levels_of(self.refinement, self.steps, sum(self.epochs))

    @property
    def mixes(self) -> bool:
        """Whether training examples and their labels are mixed, so that labels are probabilities."""
        return bool(self.mixup or self.cutmix)

    @property
    def has_probabilities(self) -> bool:
        """Whether the outputs of a classifier are class probabilities; with "least_squares" they are scores."""
        return self.loss != "least_squares"

    def network_settings(self) -> dict:
        """Return the arguments of the builder of the network, besides those that depend on the data."""
        return TASKS[self.task].network_settings(self)

    def with_settings(self, **changes) -> Recipe:
        """Return the recipe with other settings, and with what follows from them, as the command line does.

        One number of `epochs` is divided over the phases of the recipe in proportion, with at least one epoch each
        where there are enough. A `schedule` other than "piecewise" takes the sum of the epochs and the largest learning
        rate of the recipe; "piecewise" drops its warm-up. `provable=True` takes the normalisation None, as that of the
        recipes has no proof, and whole images in place of patches, as a bound is that of one size. Another `task` drops
        the settings that do not suit it.

        Args:
            **changes: Values by the names of the settings.

        Raises:
            ValueError: If a setting is outside its range, or settings do not fit together.

        Example:
            >>> Recipe().with_settings(epochs=16).epochs
            (10, 3, 3)
        """
        changes = dict(changes)
        if (task := changes.get("task", self.task)) != self.task:
            changes = {**TASKS[check_task("task", task)].defaults, **changes}
        if changes.get("provable"):
            changes.setdefault("normalization", None)
            if TASKS[task].of_pixels:
                changes.setdefault("patch", None)
        if changes.get("schedule") == "piecewise":
            changes.setdefault("warmup", None)
        elif changes.get("schedule") in SCHEDULES:
            changes.setdefault("learning_rates", max(self.learning_rates))
            changes.setdefault("epochs", sum(self.epochs))
        total = phases.single(changes.get("epochs"))
        if total is not None and "learning_rates" not in changes:
            rates, epochs = phases.scaled(self.learning_rates, self.epochs, _whole("epochs", total))
            changes |= {"learning_rates": rates, "epochs": epochs}
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict:
        """Return the settings in types that JSON has; `from_dict` is the inverse."""
        settings = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}

    @classmethod
    def from_dict(cls, settings: dict) -> Recipe:
        """Return the recipe with these settings; a setting that is missing has its default.

        Args:
            settings: Values by the names of the settings.

        Raises:
            ValueError: If `settings` is no dict, or has an unknown key or a value outside its range.
        """
        if not isinstance(settings, dict):
            raise ValueError(f"A recipe must be a dict of settings. Received: {arguments.describe(settings)}")
        known = {setting.name for setting in dataclasses.fields(cls)}
        unknown = [name for name in settings if name not in known]
        if unknown:
            raise ValueError(f"A recipe has no such setting. Received: {', '.join(map(repr, unknown))}")
        return cls(**settings)
