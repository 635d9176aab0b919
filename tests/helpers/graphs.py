"""What a graph of TensorFlow computes with."""

import tensorflow as tf


def nodes(graph) -> list:
    """Return the nodes of a GraphDef and of its functions."""
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def types_by_operation(graph) -> dict[str, set]:
    """Return the types of each kind of operation in a GraphDef and its functions."""
    found: dict[str, set] = {}
    for node in nodes(graph):
        if node.attr["T"].type:
            found.setdefault(node.op, set()).add(tf.dtypes.as_dtype(node.attr["T"].type).name)
    return found
