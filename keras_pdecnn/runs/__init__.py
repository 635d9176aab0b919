"""The folder of a run and its files; the checkpoints in it are in `runs.checkpoints`, which needs Keras."""

from keras_pdecnn.runs.folder import RunFolder, data_name, default_path

__all__ = ["RunFolder", "data_name", "default_path"]
