"""The networks as a table of records, which everything else reads. It needs neither Keras nor TensorFlow."""

from keras_pdecnn.networks.record import Network
from keras_pdecnn.networks.table import DEFAULT, NETWORKS, label, record_of

__all__ = ["DEFAULT", "NETWORKS", "Network", "label", "record_of"]
