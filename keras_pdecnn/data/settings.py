"""What `load` is given besides a source: seed, size, window and settings of pixels, checked."""

from __future__ import annotations

import operator

from keras_pdecnn.data.crops import Crop
from keras_pdecnn.tasks import Degradation, Task, to_degradation
from keras_pdecnn.utils import arguments


def check_seed(seed) -> int:
    """Return the seed as an integer of at most 64 bits."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError(f"`seed` must be an integer of at most 64 bits. Received: seed={arguments.describe(seed)}")
    return number


def check_size(size) -> tuple[int, ...] | None:
    """Return the size of the examples, one to three numbers; None if none is given."""
    if size is None:
        return None
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    try:
        sizes = tuple(arguments.check_positive_integer("size", number) for number in sizes)
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 3:
        raise ValueError(
            "`size` must be a positive integer, (height, width) or (frames, height, width). "
            f"Received: size={arguments.describe(size)}"
        )
    return sizes


def check_crop(crop, crop_area, size, in_memory: bool | None) -> Crop | None:
    """Return the window of images, None if it is the whole image."""
    arguments.check_share("crop_area", crop_area)
    if crop is None:
        return None
    window = Crop(crop, crop_area)
    if size is None:
        raise ValueError(f"`crop` needs the `size` that images are resized to. Received: crop={crop!r}, size=None")
    if window.is_random and in_memory:
        raise ValueError(
            "Random windows are read from the files of the images for each batch. "
            f"Received: crop={crop!r}, in_memory=True"
        )
    return window


def check_pixels(task: Task, degradation, patch, mask_colors, classes) -> Degradation | None:
    """Return the degradation of the images; raise ValueError for a setting that the task does not have."""
    if classes is not None and not task.has_labels:
        raise ValueError(f"`classes` is for classification. Received: classes={classes}, task={task.name!r}")
    if patch is not None and not task.of_pixels:
        raise ValueError(f"`patch` is for segmentation and restoration. Received: patch={patch}, task={task.name!r}")
    if mask_colors is not None and task.partner != "masks":
        raise ValueError(
            "`mask_colors` is for segmentation. "
            f"Received: mask_colors={arguments.describe(mask_colors)}, task={task.name!r}"
        )
    if degradation is None:
        return None
    worse = to_degradation("degradation", degradation)
    if task.needs_targets or not task.of_pixels:
        raise ValueError(f"`degradation` is for restoration. Received: degradation={degradation!r}, task={task.name!r}")
    return worse


def check_patch(patch, space: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the sizes of patches, one per space axis; None if the examples are not larger."""
    sizes = arguments.per_entry("patch", arguments.check_sizes("patch", patch), len(space), "space axis")
    sizes = tuple(min(size, n) for size, n in zip(sizes, space, strict=True))
    return None if sizes == tuple(space) else sizes
