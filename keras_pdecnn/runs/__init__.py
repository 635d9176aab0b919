"""The folder of a run: its files, and the checkpoints in it (`runs.checkpoints`, which needs Keras)."""

from keras_pdecnn.runs.folder import RunFolder, data_name, default_path

__all__ = ["RunFolder", "data_name", "default_path"]
