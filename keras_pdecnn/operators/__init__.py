"""Kernels as differential operators."""

from keras_pdecnn.operators.coefficients import GROUPS, NAMES, coefficients, parts, shares, stencil, summary

__all__ = ["GROUPS", "NAMES", "coefficients", "parts", "shares", "stencil", "summary"]
