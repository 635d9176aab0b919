"""Video: reading clips, predicting them, and every command for a network of video."""

import os
import sys

import click.testing
import numpy as np
import pytest
from PIL import Image

from keras_pdecnn import cli, data, inference
from keras_pdecnn.data import video
from keras_pdecnn.inference import limits

VALUES = (0, 40, 80, 120, 160, 200)


def write_gif(path, values=VALUES, size=(20, 10), mode="L"):
    """Write frames, each of one grey value."""
    frames = [Image.new(mode, size, value if mode == "L" else (value,) * 3) for value in values]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    return path


def write_mp4(path, values=VALUES, size=(32, 16), codec="mpeg4"):
    av = pytest.importorskip("av", reason="needs keras-pdecnn[video]")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for value in values:
            image = Image.new("RGB", size, (value,) * 3)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


def values_of(x):
    """Return the value of each frame, all of whose pixels have nearly the same one."""
    x = x.astype(int)
    assert np.ptp(x, axis=(1, 2, 3)).max() <= 4
    return x.mean(axis=(1, 2, 3))


@pytest.mark.parametrize(
    ("frames", "picked"),
    [
        (6, range(6)),
        (3, (1, 3, 5)),
        (1, (3,)),
        (4, (0, 2, 3, 5)),
        (12, np.repeat(range(6), 2)),
        (8, (0, 1, 1, 2, 3, 4, 4, 5)),
    ],
)
@pytest.mark.parametrize("write", [write_gif, write_mp4])
def test_frames_are_those_in_the_middle_of_equal_parts(tmp_path, write, frames, picked):
    path = write(tmp_path / ("clip.gif" if write is write_gif else "clip.mp4"))
    for channels in (1, 3):
        x = data.read_video(path, (frames, 8, 6, channels))
        assert x.shape == (frames, 8, 6, channels) and x.dtype == np.uint8
        np.testing.assert_allclose(values_of(x), np.array(VALUES)[list(picked)], atol=4)


def test_frames_of_an_animation_count_as_long_as_they_are_shown(tmp_path):
    path = write_gif(tmp_path / "clip.gif", (0, 0, 0, 100, 200, 200))  # Pillow writes three frames of other durations
    assert video.measure_video(path)[0] == 3
    np.testing.assert_array_equal(values_of(data.read_video(path, (6, 8, 8, 1))), (0, 0, 0, 100, 200, 200))


def test_frames_are_resized_as_images_are(tmp_path, rng):
    pixels = rng.integers(0, 255, (2, 12, 10), dtype=np.uint8)
    images = [Image.fromarray(frame) for frame in pixels]
    images[0].save(tmp_path / "clip.webp", save_all=True, append_images=images[1:], lossless=True)
    images[1].save(tmp_path / "second.png")
    x = data.read_video(tmp_path / "clip.webp", (2, 5, 4, 1))
    np.testing.assert_array_equal(x[1], data.read_image(tmp_path / "second.png", (5, 4, 1)))
    assert video.measure_video(tmp_path / "clip.webp")[:3] == (2, 12, 10)


@pytest.mark.parametrize("name", ["still.gif", "still.png", "still.mp4"])
def test_an_image_is_no_video(tmp_path, name):
    (write_mp4 if name.endswith("mp4") else write_gif)(tmp_path / name, values=(7,))
    with pytest.raises(ValueError, match=rf"one frame is an image.*Received: '.*{name}', .*\(4, 8, 8, 1\)$"):
        data.read_video(tmp_path / name, (4, 8, 8, 1))
    assert data.read_video(tmp_path / name, (1, 8, 8, 1)).shape == (1, 8, 8, 1)


def test_files_that_are_no_video(tmp_path):
    for name in ("text.mp4", "text.gif", "text", "empty.webm"):
        (tmp_path / name).write_text("" if name.startswith("empty") else "no video\n" * 100)
        if not name.endswith(".gif"):
            pytest.importorskip("av", reason="needs keras-pdecnn[video]")
        with pytest.raises(ValueError, match=rf"^Not a readable video \(.*\)\. Received: '.*{name}'$"):
            data.read_video(tmp_path / name, (4, 8, 8, 1))
    with pytest.raises(ValueError, match=r"The file does not exist. Received: '.*none.mp4'"):
        data.read_video(tmp_path / "none.mp4", (4, 8, 8, 1))
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ValueError, match=r"it is not a regular file"):
        data.read_video(tmp_path / "pipe.mp4", (4, 8, 8, 1))
    with pytest.raises(ValueError, match=r"`shape` must be .*Received: shape=\(8, 8, 1\)"):
        data.read_video(tmp_path / "text.gif", (8, 8, 1))


def test_a_playlist_opens_no_other_file(tmp_path):
    """FFmpeg would follow the entries of a playlist, whatever the file is called."""
    write_mp4(tmp_path / "clip.mp4")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'clip.mp4'}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile clip.mp4\n")
    for name in ("list.mp4", "concat.mp4"):
        with pytest.raises(ValueError, match=rf"Not a readable video .*{name}"):
            data.read_video(tmp_path / name, (4, 8, 8, 1))


def test_a_file_without_frames(tmp_path):
    av = pytest.importorskip("av", reason="needs keras-pdecnn[video]")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match=r"\(it has no frames\)\. Received: '.*sound.mp4'"):
        data.read_video(tmp_path / "sound.mp4", (4, 8, 8, 1))


def test_a_damaged_clip_is_refused_or_read_as_a_whole(tmp_path):
    content = write_mp4(tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"^Not a readable video \(.*\)\. Received: '.*cut.mp4'$"):
        data.read_video(tmp_path / "cut.mp4", (4, 8, 8, 1))
    content = write_gif(tmp_path / "clip.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(content[:30])
    with pytest.raises(ValueError, match=r"^Not a readable video \(.*\)\. Received: '.*cut.gif'$"):
        data.read_video(tmp_path / "cut.gif", (4, 8, 8, 1))


def test_frames_of_too_many_pixels(tmp_path, monkeypatch):
    paths = write_gif(tmp_path / "clip.gif"), write_mp4(tmp_path / "clip.mp4")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for path in paths:
        with pytest.raises(ValueError, match=r"pixels, more than 100\)\. Received: '.*clip"):
            data.read_video(path, (4, 8, 8, 1))


def test_the_extra_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"needs the extra keras-pdecnn\[video\]\. Received: '.*clip.mp4', no module av"
    ):
        data.read_video(tmp_path / "clip.mp4", (4, 8, 8, 1))
    assert data.read_video(write_gif(tmp_path / "clip.gif"), (4, 8, 8, 1)).shape == (4, 8, 8, 1)


# Prediction.


def test_video_is_for_networks_of_video(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Video is for models of video.*clip.mp4', for a model of shape \(8, 8, 1\)"):
        inference.read_examples(tmp_path / "clip.mp4", (8, 8, 1))
    write_gif(tmp_path / "clip.gif")
    with pytest.raises(ValueError, match=r"one or three channels. Received: '.*clip.gif'"):
        inference.read_examples(tmp_path / "clip.gif", (4, 8, 8, 2))
    # Networks of images see the first frame of an animation, those of video all of them.
    assert inference.read_examples(tmp_path / "clip.gif", (8, 8, 1)).max() == VALUES[0]
    assert inference.read_examples(tmp_path / "clip.gif", (6, 8, 8, 1)).max() == VALUES[-1]


def test_clips_keep_their_sizes_where_the_network_has_none(tmp_path, monkeypatch):
    write_gif(tmp_path / "clip.gif")
    assert inference.read_examples(tmp_path / "clip.gif", (None, None, None, 3)).shape == (1, 6, 10, 20, 3)
    assert inference.read_examples(tmp_path / "clip.gif", (None, 4, None, 1)).shape == (1, 6, 4, 20, 1)
    monkeypatch.setattr(limits, "_LARGEST_EXAMPLE", 1000)
    with pytest.raises(ValueError, match=r"at most 1,000 values. Received: '.*clip.gif', of shape \(6, 10, 20, 1\)"):
        inference.read_examples(tmp_path / "clip.gif", (None, None, None, 1))


def test_clips_of_a_folder_are_found_for_networks_of_video(tmp_path):
    for name in ("a.mp4", "b.gif", "c.MOV", "d.txt"):
        (tmp_path / name).write_bytes(b"")
    found = [os.path.basename(file) for file in inference.find([tmp_path], videos=True)]
    assert found == ["a.mp4", "b.gif", "c.MOV"]
    assert [os.path.basename(file) for file in inference.find([tmp_path])] == ["b.gif"]


# The commands.


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a small network of video, with two classes: clips that become bright, or dark."""
    path = tmp_path_factory.mktemp("runs")
    y = np.arange(80) % 2
    light = np.linspace(0, 200, 8)[:, None, None, None]
    noise = np.random.default_rng(0).integers(0, 20, (80, 8, 8, 8, 1))
    x = np.where(y[:, None, None, None, None] == 0, light, light[::-1]) + noise
    np.savez(path / "light.npz", x=x.astype(np.uint8), y=np.array(["brighter", "darker"])[y])
    options = "--widths 4 --opening-width none --steps 1 --epochs 8 --batch-size 8 --learning-rates 0.05 --verbose 0"
    done = invoke("train", path / "light.npz", *options.split(), "--output", path / "run")
    assert done.exit_code == 0, done.output
    return path / "run"


@pytest.mark.pictures
def test_a_run_of_video_has_its_pictures(run):
    done = invoke("evaluate", run)
    assert done.exit_code == 0 and "accuracy: 100.00 %" in done.output, done.output
    for name in ("predictions", "confusion_matrix", "training_curves"):
        assert (run / f"{name}.png").stat().st_size > 5_000


def test_predict_clips(run, tmp_path):
    rising = tuple(range(0, 240, 20))
    (tmp_path / "clips").mkdir()
    write_gif(tmp_path / "clips" / "dawn.gif", rising, size=(16, 16))
    write_gif(tmp_path / "clips" / "dusk.gif", rising[::-1], size=(16, 16))
    write_mp4(tmp_path / "clips" / "dawn.mp4", rising)
    Image.new("L", (8, 8)).save(tmp_path / "clips" / "still.png")
    done = invoke("predict", run, tmp_path / "clips", "--format", "csv")
    assert done.exit_code == 1
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    said = {os.path.basename(row[0]): row[3] for row in rows}
    assert said == {"dawn.gif": "brighter", "dawn.mp4": "brighter", "dusk.gif": "darker"}
    (line,) = done.stderr.splitlines()
    assert "still.png: A file with one frame is an image" in line


@pytest.mark.pictures
def test_explain_and_export_video(run, tmp_path):
    clip = write_gif(tmp_path / "clip.gif", range(0, 240, 20))
    for arguments in ((), (clip, "--output", tmp_path / "page.html")):
        done = invoke("explain", run, *arguments)
        assert done.exit_code == 0, done.output
    assert "Four slices along the first" in (tmp_path / "page.html").read_text()
    done = invoke("export", run, "--output", tmp_path / "export")
    assert done.exit_code == 0, done.output
    served = invoke("predict", tmp_path / "export", clip, "--format", "csv")
    network = invoke("predict", run, clip, "--format", "csv")
    assert served.stdout.splitlines()[1].split(",")[3] == "brighter", served.output
    assert float(served.stdout.split(",")[-1]) == pytest.approx(float(network.stdout.split(",")[-1]), abs=1e-5)


# Folders of clips.


@pytest.fixture
def clips(tmp_path):
    """Return a folder of ten clips of two classes."""
    for index in range(10):
        folder = tmp_path / "clips" / ("dark", "light")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = range(100 * (index % 2), 100 * (index % 2) + 60, 10)
        write_gif(folder / f"{index}.gif", values, size=(20, 10 + index))
    return tmp_path / "clips"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_clips(clips, in_memory):
    loaded = data.load(clips, 10, size=(3, 8, 6), validation=0, in_memory=in_memory)
    assert loaded.info.input_shape == (3, 8, 6, 3)
    assert loaded.info.sizes == {"train": 8, "validation": 0, "test": 2}
    ((x, y),) = loaded.train.as_numpy_iterator()
    for example, label in zip(x, y, strict=True):
        np.testing.assert_array_equal(values_of(example), 100 * label + np.array([10, 30, 50]))
    # Without a number of frames, animated images are images.
    assert data.load(clips, size=8).info.input_shape == (8, 8, 3)


def test_clips_that_differ_need_a_size(clips):
    for folder in clips.iterdir():
        for file in folder.iterdir():
            file.unlink()
        for index in range(3):
            write_mp4(folder / f"{index}.mp4", VALUES[: 4 + index])
    with pytest.raises(ValueError, match=r"videos of '.*clips' differ in size; give `size`.*\(4, 16, 32\)"):
        data.load(clips)
    with pytest.raises(ValueError, match=r"must be \(frames, height, width\) for videos. Received: .*size=\(8, 8\)"):
        data.load(clips, size=(8, 8))
    with pytest.raises(ValueError, match=r"`crop` is for images. Received: .*with videos, crop='center'"):
        data.load(clips, size=(4, 8, 8), crop="center")
    assert data.load(clips, size=(4, 8, 8), validation=0).info.input_shape == (4, 8, 8, 3)


def test_a_number_of_frames_is_for_video(clips, tmp_path):
    for source in ("mnist", "digits"):
        with pytest.raises(ValueError, match=rf"`size` .*Received: source='{source}', size=\(4, 8, 8\)"):
            data.load(source, size=(4, 8, 8))
    for file in clips.rglob("*.gif"):
        file.rename(file.with_suffix(".png"))
    with pytest.raises(ValueError, match=r"a side or \(height, width\) for images. Received: .*size=\(4, 8, 8\)"):
        data.load(clips, size=(4, 8, 8))
    with pytest.raises(
        ValueError, match=r"\(height, width\) or \(frames, height, width\). Received: size=\(1, 2, 3, 4\)"
    ):
        data.load(clips, size=(1, 2, 3, 4))


def test_a_run_on_a_folder_of_clips(clips, tmp_path):
    options = "--size 3,8,8 --recipe moving_digits --widths 4 --steps 1 --epochs 1 --batch-size 4 --verbose 0"
    done = invoke("train", clips, *options.split(), "--output", tmp_path / "run")
    assert done.exit_code == 0, done.output
    done = invoke("evaluate", tmp_path / "run", "--data", clips)
    assert done.exit_code == 0, done.output
    done = invoke("predict", tmp_path / "run", clips, "--format", "csv")
    assert done.exit_code == 0 and len(done.stdout.splitlines()) == 11, done.output
