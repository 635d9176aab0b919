"""The base of all blocks: N steps of a differential equation as one Keras layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
from keras_pdecnn.ops.integrators import Integrator
from keras_pdecnn.ops.limits import automatic_step, check_gain, known_limit, lipschitz
from keras_pdecnn.ops.propagation import advance_plain, propagate, trajectory, undo
from keras_pdecnn.ops.theta import Theta
from keras_pdecnn.ops.time_basis import TIME_BASES
from keras_pdecnn.regularizers import TimeSmoothness
from keras_pdecnn.utils import arguments

# Undoing the few steps of the paper's networks costs a quarter of the time; two that are stored leave a tenth.
STORED_STEPS = 2


class PDEBlock(Exportable, FieldLayer):
    """N steps of a time integrator at constant width, with weights stacked in time.

    A subclass names the integrator and whether its right-hand side is the symmetric layer (`symmetric`, default True);
    it is a dozen lines.

    Weights: `kernel` (steps, fields, *kernel_size, c, filters), `scale` (with a normalisation) and `bias` (with
    `use_bias`), both (steps, fields, filters). Features: (batch, *space, channels) with one to three space axes, in
    and out. The state is held in the type of the weights; under a mixed policy only F runs in the compute type, and
    the output is float32.

    With a time basis, theta(t) = sum_k phi_k(t) c_k on [0, T], T = N h, and step j takes theta(t_j), t_j = j h. The
    weights are then the coefficients c_k, `basis_size` instead of `steps` on axis 0, and `theta()` gives the values at
    all steps. Regularisers and the constraint act on these: with B_jk = phi_k(t_j), the steps take constraint(B c), and
    the gradient is passed on to B c as it is, as in projected gradient methods. So that the coefficients do not wander,
    they are projected after an update, c + B^+ (constraint(B c) - B c). For `Box` and "constant" that alone would do.

    Args:
        steps: Number N of steps, at least 1.
        step_size: h, positive; default 1. "auto" computes it in every call from the current weights, the same for all
            steps: h = min(max_step_size, 0.9 times the least of the limits that `stability.step_limit` states). With a
            provable `normalization`, steps of a `ParabolicBlock` are then never expansive; with the paper's "tv", and
            for the other blocks, the limit guarantees nothing. No gradient goes through h.
        kernel_size, filters, activation, normalization, epsilon, use_bias, padding: See `FieldLayer`.
        backprop: How the gradient is taken: "reversible" (the default where the integrator allows it), "checkpointed"
            or "stored"; see `ops.propagate`.
        checkpoint_every: Number of steps between two states that "checkpointed" (default ceil(sqrt(steps))) or
            "reversible" (default None: the last state only) keeps. It bounds the digits that undoing steps loses.
        stored_steps: Number of last steps whose activations are kept in every mode; default 2. Their gradient is due
            first, so they cost little memory, the same at any depth, and save computing them again.
        time_basis: Basis of theta(t): "constant" on equal intervals, "linear" between equidistant nodes, "cosine", see
            `ops.time_basis.matrix`; default None, every step has its own weights.
        basis_size: Number of functions of the basis; default as many as steps.
        kernel_initializer: Initializer of one kernel, drawn once and repeated over the steps; default "he_normal".
        kernel_regularizer, scale_regularizer, bias_regularizer: Regularisers, time on axis 0; default None.
        kernel_constraint: Constraint of the kernel; default None.
        max_step_size: Upper bound of an automatic step size, otherwise without effect; default 1.
        max_gain: Upper bound of h L ||K||^2 (second-order: h^2 L ||K||^2) for every kernel, which an automatic step
            size keeps as well; default None. It bounds the Lipschitz constant of the block, see
            `stability.block_bounds`.
        data_format: "channels_last", or "channels_first" for features (batch, channels, *space); default None,
            `keras.config.image_data_format()`.
        **layer_kwargs: name, dtype, trainable of `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is outside its range, if "reversible" is asked of an integrator that cannot be run
            backwards, if there is a basis size and no basis, or if the input has not one to three space axes and a
            suitable number of channels.

    Example:
        >>> class HeatBlock(PDEBlock):
        ...     integrator = keras_pdecnn.ops.forward_euler
        ...
        >>> HeatBlock(steps=3).backprop
        'stored'
    """

    integrator: Integrator

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
        stored_steps: int = STORED_STEPS,
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
        self.steps = arguments.check_positive_integer("steps", steps)
        self.step_size = self._check_step_size(step_size)
        self.max_step_size = arguments.check_positive("max_step_size", max_step_size)
        self.max_gain = None if max_gain is None else arguments.check_positive("max_gain", max_gain)
        if self.step_size == "auto" and self.max_gain is not None:
            check_gain(self.integrator, self.steps, self.max_gain)
        self.backprop = self._check_backprop(backprop)
        self.checkpoint_every = (
            None if checkpoint_every is None else arguments.check_positive_integer("checkpoint_every", checkpoint_every)
        )
        self.stored_steps = arguments.check_non_negative_integer("stored_steps", stored_steps)
        self.time_basis = arguments.check_choice("time_basis", time_basis, (None, *TIME_BASES))
        self.basis_size = self._check_basis_size(basis_size)
        self._basis = InBasis(time_basis, self.steps, self.basis_size) if time_basis and self.basis_size else None

    @classmethod
    def bounded_gain(cls, steps: int) -> float | None:
        """Return a `max_gain` that keeps the Lipschitz constant of the block small at any number of steps.

        A parabolic block needs none. The others amplify by about 1 + c N gain or 1 + c N^2 gain, N the number of steps.
        """
        return None

    def _check_step_size(self, step_size: float | str) -> float | str:
        step_size = arguments.check_step_size("step_size", step_size)
        if not isinstance(step_size, str):
            return step_size
        if known_limit(self.integrator, self.field) is None:
            raise ValueError(
                f"No step size makes a {type(self).__name__} stable: step_size must be a number. "
                f"Received: step_size={step_size!r}"
            )
        lipschitz(self.activation)  # reports one that there is no limit for
        return step_size

    def _check_backprop(self, backprop: str | None) -> str:
        reversible = self.integrator.is_reversible
        if backprop is None:
            return "reversible" if reversible else "stored"
        if backprop == "reversible" and not reversible:
            raise ValueError(
                f"{type(self).__name__} cannot be run backwards: {self.integrator.name} has an update that cannot be "
                f"undone. backprop must be 'stored' or 'checkpointed'. Received: backprop={backprop!r}"
            )
        find_backprop(backprop)  # reports a name that there is none of
        return backprop

    @property
    def _gradient(self) -> Backprop:
        """The way to take the gradient, with its settings."""
        return find_backprop(self.backprop, self.checkpoint_every, self.stored_steps)

    def _check_basis_size(self, size: int | None) -> int | None:
        if self.time_basis is None:
            if size is not None:
                raise ValueError(f"basis_size needs a time_basis. Received: basis_size={size!r}, time_basis=None")
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
        """Return the weights that exist at all steps, as tensors by name, with time, of length `steps`, on axis 0."""
        theta = super().theta()
        if self._basis is None:
            return theta
        constraints = {"kernel": self.kernel_constraint}
        return Theta((name, self._basis.values(weight, constraints.get(name))) for name, weight in theta.items())

    def with_steps(self, steps: int) -> PDEBlock:
        """Return a block of so many steps over the same time T = N h, not built, which the weights of this one fit.

        An automatic step size stays one; its upper bound is scaled. The step size of `TimeSmoothness` regularisers
        changes as that of the block does.

        Args:
            steps: The other number of steps.

        Raises:
            ValueError: If `steps` is no number of steps, or the block has no time basis.
        """
        if self.time_basis is None:
            raise ValueError(
                "The number of steps can only be changed with a time_basis: without one, every step has its own "
                f"weights. Received: steps={steps!r} for {self.name}, time_basis=None"
            )
        factor = self.steps / arguments.check_positive_integer("steps", steps)
        sizes = {"max_step_size": factor * self.max_step_size}
        if not isinstance(self.step_size, str):
            sizes["step_size"] = factor * self.step_size
        block = type(self).from_config({**self.get_config(), "steps": steps, **sizes})
        for name in ("kernel_regularizer", "scale_regularizer", "bias_regularizer"):
            regularizer = getattr(block, name)
            if isinstance(regularizer, TimeSmoothness):
                config = {**regularizer.get_config(), "step_size": factor * regularizer.step_size}
                setattr(block, name, type(regularizer).from_config(config))
        return block

    def call(self, y):
        """Return the features at time N h, of the shape of y."""
        y = layout.to_channels_last(ops.cast(y, self.variable_dtype), self.data_format)
        state = self.integrator.start(y)
        state = advance_plain(*self._equation(), state) if self._plain else self._propagate(state)
        return layout.from_channels_last(self.integrator.finish(state), self.data_format)

    @contextlib.contextmanager
    def plain_operations(self) -> Iterator[None]:
        """Make calls leave the gradient to the backend, and an automatic step size the constant that it is now."""
        self._constant_step_size = float(self.current_step_size())
        try:
            with super().plain_operations():
                yield
        finally:
            self._constant_step_size = None

    def current_step_size(self, theta: Theta | None = None):
        """Return h of the next call: `step_size`, or with "auto" a scalar tensor, computed from the current weights.

        Args:
            theta: What `theta()` returns, if it is there already; default None.
        """
        if not isinstance(self.step_size, str):
            return self.step_size
        if self._constant_step_size is not None:
            return self._constant_step_size
        theta = self.theta() if theta is None else theta
        return automatic_step(self.integrator, self.field, theta, self.max_step_size, self.max_gain)

    def _equation(self) -> tuple[Integrator, Field, Theta, Any]:
        """Return what defines the map from features at time 0 to those at time N h: integrator, field, theta, h."""
        theta = self.theta()
        return self.integrator, self.field, theta, self.current_step_size(theta)

    def trajectory(self, y):
        """Return the features at all times t_0 … t_N, stacked: the shape of y, with an axis of steps + 1 times before.

        The layer is built on y if it has not been.

        Args:
            y: Features at time 0, shape (batch, *space, channels), a tensor or an array of any type.

        Raises:
            ValueError: If y does not have the number of axes or channels that the layer was built for.
        """
        state = self.integrator.start(self._features(y))

        def read(state):
            return layout.from_channels_last(self.integrator.finish(state), self.data_format)

        return trajectory(*self._equation(), state, read)

    def _propagate(self, state: tuple) -> tuple:
        """Return the state at time N h, from the state at time 0."""
        return propagate(*self._equation(), state, self._gradient)

    def _undo(self, state: tuple):
        """Return the features at time 0, from the state at time N h."""
        return layout.from_channels_last(self.integrator.finish(undo(*self._equation(), state)), self.data_format)

    def _features(self, y):
        """Do outside `call` what `__call__` does before it: convert to the type of the state, build, check.

        Returns:
            The features with their channels on the last axis.
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
        }
