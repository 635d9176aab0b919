"""A measurement as a program of its own, which reads its settings and prints its result as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import keras


def run_as_program(measure: Callable):
    """Call a function with the settings of the command line, and print what it returns.

    Features have their channels last, whatever the configuration of Keras says.

    Args:
        measure: Function of keyword arguments that returns a row or a list of rows.
    """
    keras.config.set_image_data_format("channels_last")
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
