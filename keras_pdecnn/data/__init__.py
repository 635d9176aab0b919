"""Labelled data sets, held in memory or streamed, and fed in batches."""

from keras_pdecnn.data.augmentation import Augmentation
from keras_pdecnn.data.calls import ReadError
from keras_pdecnn.data.dataset import Data, Info
from keras_pdecnn.data.images import read_image
from keras_pdecnn.data.loading import load
from keras_pdecnn.data.memory import MEMORY_LIMIT, STREAMING_LIMIT
from keras_pdecnn.data.video import read_video

__all__ = [
    "MEMORY_LIMIT",
    "STREAMING_LIMIT",
    "Augmentation",
    "Data",
    "Info",
    "ReadError",
    "load",
    "read_image",
    "read_video",
]
