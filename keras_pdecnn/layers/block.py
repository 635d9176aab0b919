"""The base of all blocks: N steps of a differential equation as one Keras layer."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras import ops

from keras_pdecnn.initializers import ConstantInTime
from keras_pdecnn.layers.field import FieldLayer
from keras_pdecnn.layers.in_basis import InBasis
from keras_pdecnn.layers.plain import Exportable
from keras_pdecnn.ops import layout
from keras_pdecnn.ops.backprop import Backprop
from keras_pdecnn.ops.backprop import backprop as find_backprop
from keras_pdecnn.ops.fields import Field
from keras_pdecnn.ops.integrators import Integrator, can_be_coupled, reversible
from keras_pdecnn.ops.limits import (
    automatic_step,
    check_gain,
    known_limit,
    lipschitz,
    per_filter_step,
    per_filter_theta,
)
from keras_pdecnn.ops.propagation import advance_plain, propagate, trajectory, undo
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.ops.time_basis import SAMPLINGS, TIME_BASES
from keras_pdecnn.regularizers import TimeSmoothness
from keras_pdecnn.utils import arguments


def default_stored_steps(steps: int) -> int:
    """Return the default of `stored_steps` of a block of so many steps.

    Blocks of the paper's networks have three steps. To undo them costs a quarter of the time of training the CIFAR-10
    network, and to keep what they need costs a sixth of its memory. In deep blocks each step weighs less.
    """
    return steps if steps <= 3 else 2


class PDEBlock(Exportable, FieldLayer):
    """N steps of a time integrator at constant width, with weights stacked in time.

    This is the base class of all blocks. A subclass sets three class attributes: `integrator`, `symmetric`, whether its
    right-hand side is the symmetric layer (default True), and `schemes`, other integrators by name (default none).

    Features have the shape (batch, *space, channels) with one to three space axes, in input and output. The weights are
    `kernel` (steps, fields, *kernel_size, c, filters), and with the shape (steps, fields, filters) `scale` (if the
    normalisation has one) and `bias` (with `use_bias`). The state has the type of the weights. Under a mixed policy
    only F is computed in the compute type, and the output is float32.

    With `step_size="per_filter"`, a diagonal matrix T^(-1) takes the place of the number h,

        y_{j+1} = y_j - h K^T T^(-1/2) sigma(N(T^(-1/2) K y_j)),   T_i = L / 2 sum_k |K K^T|_ik

    and h = 1 unless `max_step_size` or `max_gain` is smaller. One filter with a large norm then does not make the steps
    of all others small, and no norm has to be computed. For ReLU, a bias b of these kernels is the bias T^(1/2) b of
    the step y_j - h K^T T^(-1) sigma(K y_j + T^(1/2) b). The norms of the filters are free and act as weights q_i in
    T_i = sum_k |K K^T|_ik q_k / q_i. This is the layer of Araujo, Havens, Delattre, Allauzen and Hu (A Unified
    Algebraic Perspective on Lipschitz Neural Networks, 2023), with the sums of Prach and Lampert (Almost-Orthogonal
    Layers, 2022) for convolutions.

    With a `time_basis`, the weights are functions of time, theta(t) = sum_k phi_k(t) c_k on [0, T], T = N h, and step j
    uses theta(t_j), t_j = j h. The variables of the layer are then the coefficients c_k, with `basis_size` instead of
    `steps` entries on axis 0, and the method `theta()` returns the values at all steps. Regularisers and the constraint
    act on these values, not on the coefficients. With B_jk = phi_k(t_j), the steps use constraint(B c), and the
    gradient passes through the constraint unchanged, as in projected gradient methods. After each update the
    coefficients are projected, c + B^+ (constraint(B c) - B c), so that they do not drift away from what the steps use.

    Args:
        steps: Number N of steps, at least 1.
        step_size: Step size h, positive; default 1. With "auto", every call computes one step size for all steps from
            the current weights, h = min(max_step_size, 0.9 times the smallest limit of `stability.step_limit`). Steps
            of a `ParabolicBlock` with a provable `normalization` then never move two inputs apart. With "tv", the
            default, and for the other blocks, the limit guarantees nothing. No gradient passes through h. With
            "per_filter", every filter i has a step size of its own, min(max_step_size, 1) 2 / (L t_i) with t_i the
            largest sum of `ops.row_sums`, through which gradients pass; see below.
        kernel_size: Odd integer, or one per space axis; default 3.
        filters: Inner width of F; default None, the number of channels that F acts on.
        activation: Pointwise function sigma without weights and without random numbers; default "relu".
        normalization: Name of the normalisation, "tv" (default), None, "scale" or "shrinkage", see `FieldLayer`.
        epsilon: Positive number that smooths "tv"; default 1e-3.
        use_bias: Whether a trainable bias is added before the activation; default True.
        padding: Continuation of the features at the border, "same" (zeros, default) or "periodic".
        backprop: Gradient mode, "reversible", "checkpointed" or "stored", see `ops.propagate`. Default None:
            "reversible" if the integrator can be run backwards, otherwise "stored". A block with one part whose
            integrator cannot be run backwards then takes `ops.reversible` of it, which is another map.
        checkpoint_every: Number of steps between two kept states; default None. "checkpointed" then takes
            ceil(sqrt(steps)), and "reversible" keeps only the last state. A number limits the loss of digits of
            "reversible".
        stored_steps: Number of steps at the end that no mode undoes or computes again; default None, all steps of a
            block of up to three, and two of a longer one. They keep their activations; under TensorFlow, only x and
            N(K x) for each evaluation F(x). Their gradient is due first, so they save time and need little memory, the
            same for longer blocks.
        time_basis: Basis of theta(t), "constant" on equal intervals, "linear" between equidistant nodes, or "cosine",
            see `ops.time_basis.matrix`; default None, every step has its own weights.
        basis_size: Number of functions of the basis; default None, as many as steps.
        scheme: Name of the integrator, one of `schemes` of the class; default None, the one of the paper.
        sampling: Times of theta(t) with a basis, "left" (default), where steps begin, or "midpoint".
        coupling: Number lambda of `ops.reversible`; default None, exp(-2 / steps), so that undoing all steps enlarges
            rounding errors by a factor of 7.4.
        kernel_initializer: Initializer of one kernel, drawn once and repeated over the steps; default "he_normal".
        kernel_regularizer: Regulariser of the kernel, with time on axis 0; default None.
        scale_regularizer: Regulariser of the scale, with time on axis 0; default None.
        bias_regularizer: Regulariser of the bias, with time on axis 0; default None.
        kernel_constraint: Constraint of the kernel; default None.
        max_step_size: Upper bound of an automatic step size; default 1. It has no effect on a fixed one.
        max_gain: Upper bound of h L ||K||^2 (second-order blocks: h^2 L ||K||^2) for every kernel, which also limits an
            automatic step size; default None. It bounds the Lipschitz constant of the block, see
            `stability.block_bounds`.
        data_format: Place of the channels in input and output, "channels_last" or "channels_first"; default None, the
            one of Keras's configuration.
        **layer_kwargs: Arguments name, dtype and trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, the integrator cannot be run backwards and `backprop` is
            "reversible", there is a basis size without a basis, or the input does not have one to three space axes and
            a suitable number of channels.

    Example:
        >>> class HeatBlock(PDEBlock):
        ...     integrator = keras_pdecnn.ops.forward_euler
        ...
        >>> block = HeatBlock(steps=3)
        >>> block(keras.ops.ones((1, 8, 8, 4))).shape
        TensorShape([1, 8, 8, 4])
        >>> block.backprop
        'stored'
    """

    integrator: Integrator
    schemes: Mapping[str, Integrator] = types.MappingProxyType({})

    def __init__(
        self,
        steps: int,
        step_size: float | str = 1.0,
        kernel_size: int | tuple[int, ...] = 3,
        filters: int | None = None,
        activation: str | Callable = "relu",
        normalization: str | None = "tv",
        epsilon: float = 1e-3,
        use_bias: bool = True,
        padding: str = "same",
        backprop: str | None = None,
        checkpoint_every: int | None = None,
        stored_steps: int | None = None,
        time_basis: str | None = None,
        basis_size: int | None = None,
        kernel_initializer: str | Callable = "he_normal",
        kernel_regularizer: str | Callable | None = None,
        scale_regularizer: str | Callable | None = None,
        bias_regularizer: str | Callable | None = None,
        kernel_constraint: str | Callable | None = None,
        max_step_size: float = 1.0,
        max_gain: float | None = None,
        data_format: str | None = None,
        scheme: str | None = None,
        sampling: str = "left",
        coupling: float | None = None,
        **layer_kwargs,
    ):
        super().__init__(
            kernel_size=kernel_size,
            filters=filters,
            activation=activation,
            normalization=normalization,
            epsilon=epsilon,
            use_bias=use_bias,
            padding=padding,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=kernel_regularizer,
            scale_regularizer=scale_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            data_format=data_format,
            **layer_kwargs,
        )
        self._constant_step_size: float | None = None
        self.scheme = arguments.check_choice("scheme", scheme, (None, *self.schemes))
        if scheme is not None:
            self.integrator = self.schemes[scheme]
        self.integrator.check_field(self.field)
        self.coupling = None if coupling is None else arguments.check_positive("coupling", coupling)
        self.steps = arguments.check_positive_integer("steps", steps)
        self.backprop = self._check_backprop(backprop)
        self.step_size = self._check_step_size(step_size)
        self.max_step_size = arguments.check_positive("max_step_size", max_step_size)
        self.max_gain = None if max_gain is None else arguments.check_positive("max_gain", max_gain)
        if isinstance(self.step_size, str) and self.max_gain is not None:
            check_gain(self.integrator, self.steps, self.max_gain)
        self.checkpoint_every = (
            None if checkpoint_every is None else arguments.check_positive_integer("checkpoint_every", checkpoint_every)
        )
        self.stored_steps = (
            None if stored_steps is None else arguments.check_non_negative_integer("stored_steps", stored_steps)
        )
        self.time_basis = arguments.check_choice("time_basis", time_basis, (None, *TIME_BASES))
        self.basis_size = self._check_basis_size(basis_size)
        self.sampling = arguments.check_choice("sampling", sampling, SAMPLINGS)
        if time_basis is None and sampling != "left":
            raise ValueError(f"sampling needs a time_basis. Received: sampling={sampling!r}, time_basis=None")
        self._basis = None
        if time_basis and self.basis_size:
            self._basis = InBasis(time_basis, self.steps, self.basis_size, self.sampling)

    @classmethod
    def bounded_gain(cls, steps: int) -> float | None:
        """Return a `max_gain` that keeps the Lipschitz constant of the block small for any number of steps.

        A parabolic block needs none. With N steps, the other blocks enlarge distances by a factor of about 1 + c N gain
        or 1 + c N^2 gain.

        Args:
            steps: Number N of steps.
        """
        return None

    @classmethod
    def default_backprop(cls, scheme: str | None = None) -> str:
        """Return the gradient mode of a block for which none is given: "reversible" where it can be, or "stored".

        Args:
            scheme: Name of the integrator; default None, the one of the paper.
        """
        integrator = cls.integrator if scheme is None else cls.schemes.get(scheme, cls.integrator)
        return "reversible" if integrator.is_reversible else "stored"

    def _check_step_size(self, step_size: float | str) -> float | str:
        step_size = arguments.check_step_size("step_size", step_size)
        if not isinstance(step_size, str):
            return step_size
        if step_size == "per_filter" and self.normalization == "scale":
            raise ValueError(
                "A block with one step size per filter has no use for one scale per filter: normalization must be None "
                "or 'shrinkage'. Received: normalization='scale', step_size='per_filter'"
            )
        if known_limit(self.integrator, self.field) is None:
            raise ValueError(
                f"No step size makes a {type(self).__name__} stable, so step_size must be a number. "
                f"Received: step_size={arguments.describe(step_size)}"
            )
        lipschitz(self.activation)  # Raises ValueError if no limit is known for the activation.
        return step_size

    def _check_backprop(self, backprop: str | None) -> str:
        """Return the gradient mode; one that the integrator does not allow takes the coupled integrator instead."""
        if backprop is None:
            return self.default_backprop(self.scheme)
        find_backprop(backprop)  # Raises ValueError if there is no mode of this name.
        if backprop == "reversible" and not self.integrator.is_reversible:
            if not can_be_coupled(self.integrator):
                raise ValueError(
                    f"{type(self).__name__} cannot be run backwards: {self.integrator.name} has an update that cannot "
                    "be undone. backprop must be 'stored' or 'checkpointed'. "
                    f"Received: backprop={arguments.describe(backprop)}"
                )
            coupling = math.exp(-2 / self.steps) if self.coupling is None else self.coupling
            self.integrator = reversible(self.integrator, coupling)
        return backprop

    @property
    def _gradient(self) -> Backprop:
        """Gradient mode with its settings."""
        stored = default_stored_steps(self.steps) if self.stored_steps is None else self.stored_steps
        return find_backprop(self.backprop, self.checkpoint_every, stored)

    def _check_basis_size(self, size: int | None) -> int | None:
        if self.time_basis is None:
            if size is not None:
                raise ValueError(
                    f"basis_size needs a time_basis. Received: basis_size={arguments.describe(size)}, time_basis=None"
                )
            return None
        return self.steps if size is None else arguments.check_positive_integer("basis_size", size)

    def build(self, input_shape):
        fields = self.integrator.fields
        # K1 and K2 of the general layer are stored as two fields of the kernel; they share scale and bias.
        kernels = fields if self.symmetric else 2 * fields
        times = self.basis_size or self.steps
        self._add_field_weights(
            input_shape,
            parts=self.integrator.parts,
            kernel_axes=(times, kernels),
            vector_axes=(times, fields),
            initializer=ConstantInTime(self.kernel_initializer),
        )

    def _add_theta(self, *, initializer, regularizer=None, constraint=None, **settings):
        if self._basis is not None:
            initializer = self._basis.initializer(initializer)
            regularizer = regularizer and self._basis.regularizer(regularizer, constraint)
            constraint = constraint and self._basis.constraint(constraint)
        return super()._add_theta(initializer=initializer, regularizer=regularizer, constraint=constraint, **settings)

    def theta(self) -> Theta:
        """Return the weights at all steps, a `Theta`: tensors by name, with time on axis 0.

        With the step size "per_filter", the kernels are T^(-1/2) K, those that the steps use.
        """
        theta = super().theta()
        if self._basis is not None:
            constraints = {"kernel": self.kernel_constraint}
            theta = Theta((name, self._basis.values(weight, constraints.get(name))) for name, weight in theta.items())
        return per_filter_theta(self.field, theta) if self.step_size == "per_filter" else theta

    def with_steps(self, steps: int) -> PDEBlock:
        """Return a block with another number of steps over the same time T, which is N h for most integrators.

        The new block is not built. With a time basis it has weights of the same shapes; without one, it has as many
        entries as steps, and `PDEModel.with_steps` interpolates them. Its step size is scaled by the quotient of the
        times that the integrator reaches with both numbers of steps, and that of `TimeSmoothness` regularisers by the
        quotient of these numbers. An automatic step size keeps T, too: the new upper bound is the current step size
        of this block (its upper bound, if it is not built), scaled, and `max_gain` is scaled with the power of h that
        the gain has. More steps then have the same T, and fewer steps a shorter one if the theory does not allow steps
        of that size.

        Regularisers of Keras, such as L2, act on the values at all steps and are not scaled: with twice as many steps,
        their sum is twice as large.

        Args:
            steps: Number of steps of the new block.

        Returns:
            A block of the same class.

        Raises:
            ValueError: If `steps` is not a positive integer.
        """
        factor = self.steps / arguments.check_positive_integer("steps", steps)
        sizes = self._scaled_step_size(self.integrator.time(self.steps) / self.integrator.time(steps))
        block = type(self).from_config({**self.get_config(), "steps": steps, **sizes})
        for name in ("kernel_regularizer", "scale_regularizer", "bias_regularizer"):
            regularizer = getattr(block, name)
            if isinstance(regularizer, TimeSmoothness):
                config = {**regularizer.get_config(), "step_size": factor * regularizer.step_size}
                setattr(block, name, type(regularizer).from_config(config))
        return block

    def _scaled_step_size(self, factor: float) -> dict:
        """Return the arguments that give steps of another size, all of them scaled by the same factor."""
        if not isinstance(self.step_size, str):
            return {"step_size": factor * self.step_size, "max_step_size": factor * self.max_step_size}
        current = float(self.current_step_size()) if self.built else self.max_step_size
        sizes = {"max_step_size": factor * (current if 0 < current < math.inf else self.max_step_size)}
        if self.max_gain is not None:
            powers = [update.factor.power for update in self.integrator.updates if update.field is not None]
            sizes["max_gain"] = self.max_gain * min(factor**power for power in powers)
        return sizes

    def call(self, y):
        """Return the features at time N h, of the shape of y."""
        y = layout.to_channels_last(ops.cast(y, self.variable_dtype), self.data_format)
        state = self.integrator.start(y)
        state = self._advance_plain(state) if self._plain else self._propagate(state)
        return layout.from_channels_last(self.integrator.finish(state), self.data_format)

    @contextlib.contextmanager
    def plain_operations(self, convolution_dtype: str | None = None) -> Iterator[None]:
        """Let the backend differentiate the calls in this context; an automatic step size keeps its current value."""
        self._constant_step_size = float(self.current_step_size())
        try:
            with super().plain_operations(convolution_dtype):
                yield
        finally:
            self._constant_step_size = None

    def current_step_size(self, theta: Theta | None = None):
        """Return the step size h of the next call.

        It is `step_size`, or for "auto" a scalar tensor that is computed from the current weights. For "per_filter" it
        is the number that multiplies the step sizes of all filters, at most 1 in a `ParabolicBlock`.

        Args:
            theta: Result of `theta()`, if it has been computed already; default None.
        """
        if not isinstance(self.step_size, str):
            return self.step_size
        if self.step_size == "per_filter":
            return per_filter_step(self.integrator, self.field, self.steps, self.max_step_size, self.max_gain)
        if self._constant_step_size is not None:
            return self._constant_step_size
        theta = self.theta() if theta is None else theta
        return automatic_step(self.integrator, self.field, theta, self.max_step_size, self.max_gain)

    def _equation(self) -> tuple[Integrator, Field, Theta, Any]:
        """Return integrator, field, theta and h, which define the map from features at time 0 to those at time N h."""
        theta = self.theta()
        return self.integrator, self.field, theta, self.current_step_size(theta)

    def trajectory(self, y):
        """Return the features at all times t_0 … t_N, stacked along a new axis 0.

        A layer that is not built yet is built for the shape of y.

        Args:
            y: Features at time 0, shape (batch, *space, channels), a tensor or an array of any type.

        Returns:
            Tensor of shape (steps + 1, batch, *space, channels).

        Raises:
            ValueError: If y does not have the number of axes or channels that the layer was built for.
        """
        state = self.integrator.start(self._features(y))

        def read(state):
            return layout.from_channels_last(self.integrator.finish(state), self.data_format)

        return trajectory(*self._equation(), state, read)

    def _propagate(self, state: tuple) -> tuple:
        """Return the state at time N h for a state at time 0."""
        return propagate(*self._equation(), state, self._gradient)

    def _advance_plain(self, state: tuple) -> tuple:
        """Return the state at time N h, computed in plain operations."""
        integrator, field, theta, h = self._equation()
        field = dataclasses.replace(field, convolution_dtype=self._convolution_dtype or field.convolution_dtype)
        return advance_plain(integrator, field, theta, h, state)

    def _undo(self, state: tuple):
        """Return the features at time 0 for a state at time N h."""
        return layout.from_channels_last(self.integrator.finish(undo(*self._equation(), state)), self.data_format)

    def _features(self, y):
        """Prepare features as `__call__` does before `call`: convert to the type of the state, build the layer, check.

        Returns:
            Features with the channels on the last axis.
        """
        y = ops.convert_to_tensor(y, dtype=self.variable_dtype)
        if not self.built:
            self.build(tuple(y.shape))
        rank, axis = self.input_spec.ndim, layout.channel_axis(self.data_format)
        channels = self.input_spec.axes[axis]
        if len(y.shape) != rank or y.shape[axis] not in (None, channels):
            raise ValueError(
                f"{self.name} was built for features with {rank} axes and {channels} channels. "
                f"Received: shape {tuple(y.shape)}"
            )
        return layout.to_channels_last(y, self.data_format)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "steps": self.steps,
            "step_size": self.step_size,
            "max_step_size": self.max_step_size,
            "max_gain": self.max_gain,
            "backprop": self.backprop,
            "checkpoint_every": self.checkpoint_every,
            "stored_steps": self.stored_steps,
            "time_basis": self.time_basis,
            "basis_size": self.basis_size,
            "scheme": self.scheme,
            "sampling": self.sampling,
            "coupling": self.coupling,
        }
