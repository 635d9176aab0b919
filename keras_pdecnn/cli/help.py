"""What `--help` says beside the docstrings: the groups of options and commands, and the examples of each command."""

from __future__ import annotations

OPTIONS = ("Options", "Data", "Network", "Training", "Devices")
DATA = {
    *("data_dir", "size", "crop", "crop_area", "sampling_rate", "skip_unreadable", "in_memory", "validation"),
    *("task", "mask_colors", "degradation", "patch", "patches"),
    *("batch_size", "drop_remainder", "flip", "pad", "rotate", "zoom", "time_shift", "gain", "noise", "cutout"),
    *("time_mask", "frequency_mask", "mixup", "cutmix", "rand_augment", "rand_augment_magnitude"),
}
NETWORK = {
    *("architecture", "widths", "head_width", "spectrogram", "spectrogram_step", "opening_kernel_size"),
    *("opening_stride", "opening_width", "dropout", "steps", "step_size", "max_step_size", "time_basis", "basis_size"),
    *("kernel_size", "activation", "normalization", "padding", "provable", "lipschitz"),
}
DEVICES = {"strategy", "synchronized", "backprop", "dtype"}

COMMANDS = {
    "Train": ("train", "tune"),
    "Use a trained network": ("evaluate", "predict", "explain", "stability", "export"),
    "Measure": ("benchmark", "describe"),
}

EXAMPLES = {
    "": ("keras-pdecnn train --output runs/digits", "keras-pdecnn explain runs/digits"),
    "train": (
        "keras-pdecnn train  # handwritten digits, without a download",
        "keras-pdecnn train moving_digits  # video, without a download",
        "keras-pdecnn train photos --size 64 --epochs 20 --output runs/photos  # one sub-folder of images per class",
        "keras-pdecnn train cifar10 --architecture parabolic --widths 32,64,112 --strategy mirrored",
        "keras-pdecnn train cells --task segmentation  # folders images and masks",
        "keras-pdecnn train --output runs/photos --resume",
    ),
    "tune": (
        "keras-pdecnn tune digits",
        "keras-pdecnn tune photos --size 64 --search steps=1:6 --search width=16,24,32 --trials 20",
    ),
    "evaluate": ("keras-pdecnn evaluate runs/digits", "keras-pdecnn evaluate runs/photos --data other_photos"),
    "predict": (
        "keras-pdecnn predict runs/photos holiday.jpg",
        "keras-pdecnn predict runs/photos new_photos --format csv",
        "keras-pdecnn predict runs/clips clip.gif clip.mp4",
        "keras-pdecnn predict runs/cells new_images --output masks",
    ),
    "export": (
        "keras-pdecnn export runs/digits",
        "keras-pdecnn export runs/digits --format onnx --output digits.onnx",
    ),
    "explain": ("keras-pdecnn explain runs/digits", "keras-pdecnn explain runs/photos holiday.jpg --output page.html"),
    "stability": (
        "keras-pdecnn stability runs/digits",
        "keras-pdecnn stability runs/digits --attack --epsilon 2,4,8 --examples 360",
    ),
    "benchmark": ("keras-pdecnn benchmark --quick", "keras-pdecnn benchmark --table depth --output depth"),
    "describe": ("keras-pdecnn describe --recipe cifar10",),
}


def group(name: str, is_setting: bool) -> str:
    """Return the title of the group of an option; settings of a recipe that are nothing else belong to the training."""
    if name in DEVICES:
        return "Devices"
    if name in DATA:
        return "Data"
    if name in NETWORK:
        return "Network"
    return "Training" if is_setting else "Options"


def write_examples(name: str, formatter) -> None:
    """Write the examples of a command as the end of its help; they are never wrapped."""
    lines = EXAMPLES.get(name, ())
    if lines:
        with formatter.section("Examples"):
            formatter.write("".join(f"{'':{formatter.current_indent}}{line}\n" for line in lines))
