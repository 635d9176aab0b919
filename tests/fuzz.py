"""Damaged and hostile files for `predict`, `evaluate` and `train`: `python tests/fuzz.py --cases 4000`.

Every file must be refused by a message with its name and exit code 1 or 2, or be used as a whole: no traceback, no
hang, bounded memory, and no part of a file taken for all of it. Cases are numbered; the number of a case is its seed.
Workers run them in their own processes, so that a crash or a hang is one more failure. A sample of the cases is part of
the tests (test_loading.py).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import pathlib
import random
import resource
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import wave
import zipfile
import zlib

import click.testing
import numpy as np
from PIL import Image

from keras_pdecnn import cli

SECONDS = 60  # for one command
MEMORY = 2 * 2**30  # beyond what the process had at first
BATCH = 20  # files of one command `predict`
NETWORK = ["--architecture", "parabolic", "--widths", "4", "--steps", "1", "--pad", "0", "--batch-size", "16"]
NETWORK += ["--epochs", "1", "--learning-rates", "0.01", "--verbose", "0"]
IMAGES = ("png", "jpg", "bmp", "gif", "webp")
CHECKED = ("npz", "png", "keras")  # formats with checksums


def invoke(*arguments):
    return click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))


# Whole files.


class Originals:
    """Whole files of every kind in a folder, and what a small network predicts for them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        rng = np.random.default_rng(0)
        self.runs, self.content = {}, {}
        for rank, space in ((1, (64,)), (2, (8, 8))):
            x = rng.integers(0, 200, (24, *space, 1)).astype(np.uint8 if rank == 2 else np.int16)
            y = np.arange(24) % 2
            x[y == 1, : space[0] // 2] //= 4
            np.savez(self.folder / f"data{rank}.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
            self.runs[rank] = self.folder / f"run{rank}"
            done = invoke("train", self.folder / f"data{rank}.npz", *NETWORK, "--output", self.runs[rank])
            assert done.exit_code == 0, done.output
        self.content["data"] = (self.folder / "data2.npz").read_bytes()
        self.content["keras"] = (self.runs[2] / "model.keras").read_bytes()
        x = rng.integers(0, 255, (3, 8, 8, 1), dtype=np.uint8)
        for kind, save in (("npz", np.savez), ("deflated.npz", np.savez_compressed)):
            save(self.folder / f"x.{kind}", x=x, other=np.arange(20.0))
            self.content[kind] = (self.folder / f"x.{kind}").read_bytes()
        for kind in IMAGES:
            Image.fromarray(rng.integers(0, 255, (16, 12), dtype=np.uint8)).save(self.folder / f"x.{kind}")
            self.content[kind] = (self.folder / f"x.{kind}").read_bytes()
        for width in (1, 2, 3):
            with wave.open(str(self.folder / f"x{width}.wav"), "wb") as file:
                file.setparams((1, width, 8000, 0, "NONE", ""))
                file.writeframes(rng.integers(0, 255, 80 * width, dtype=np.uint8).tobytes())
            self.content[f"{width}.wav"] = (self.folder / f"x{width}.wav").read_bytes()
        files = {kind: self.folder / f"x.{kind}" for kind in ("npz", "deflated.npz", *IMAGES)}
        files |= {f"{width}.wav": self.folder / f"x{width}.wav" for width in (1, 2, 3)}
        self.expected = {kind: self.predict(kind, [path])[0][str(path)] for kind, path in files.items()}
        image = self.folder / "x.png"
        self.expected["keras"] = self.expected["png"]
        self.image = image

    def predict(self, kind, paths, model=None):
        """Return {file: [(class, probability), …]} and the outcome of one command `predict`."""
        done = invoke("predict", model or self.runs[1 if kind.endswith("wav") else 2], *paths, "--format", "json")
        rows = collections.defaultdict(list)
        with contextlib.suppress(ValueError):
            for row in json.loads(done.stdout)["predictions"]:
                rows[row["file"]].append((row["class"], row["probability"]))
        return rows, done


# Damages. Each takes the content of a file and a generator and returns (content, whether it is the damage of a file
# that was whole: then a checksum or the length must show it).


def truncate(content, rng, _):
    return content[: rng.randrange(len(content))], True


def flip(content, rng, _):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed), True


def overwrite(content, rng, _):
    start, length = rng.randrange(len(content)), rng.choice((1, 4, 16, 100))
    filling = rng.choice((b"\0" * length, b"\xff" * length, rng.randbytes(length)))
    return content[:start] + filling[: len(content) - start] + content[start + length :], True


def cut_out(content, rng, _):
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.choice((1, 2, 7, 64)) :], True


def another(_, rng, originals):
    others = [b"", b"\0" * 1000, rng.randbytes(500), b"text\n" * 50, b"PK\5\6" + b"\0" * 18, b"[" * 10**5, b"\x80\4."]
    return rng.choice([*others, *originals.content.values()]), False


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def to_zip(entries, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def other_archive(content, rng, originals):
    """An archive whose checksums are right, with a damaged, missing, doubled or additional member."""
    entries = list(members(content).items())
    index = rng.randrange(len(entries))
    name, inner = entries[index]
    match rng.randrange(4):
        case 0:
            entries[index] = name, rng.choice((truncate, flip, overwrite, cut_out, another))(inner, rng, originals)[0]
        case 1:
            del entries[index]
        case 2:
            entries.append((rng.choice(("assets/x", "../../x.npy", "/x.npy", "x" * 300, name + ".npy")), inner))
        case 3:
            entries[index] = name, inner + rng.randbytes(rng.choice((1, 100)))
    return to_zip(entries, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))), False


def bomb(content, rng, _):
    """An archive with a member that is small in the file and large in memory."""
    entries = dict(members(content))
    name = rng.choice(list(entries))
    entries[name] = entries[name] + b"\0" * rng.choice((10**6, 3 * 10**7))
    changed = bytearray(to_zip(entries.items(), zipfile.ZIP_DEFLATED))
    if rng.random() < 0.5:  # the size that the directory declares
        with zipfile.ZipFile(io.BytesIO(changed)) as archive:
            start = archive.start_dir + 24
        changed[start : start + 4] = struct.pack("<I", rng.choice((2**32 - 2, 2**31, 0)))
    return bytes(changed), False


def header(content, rng, _):
    """An array whose header declares another shape or type than its data have."""
    entries = dict(members(content))
    name = rng.choice(list(entries))
    array = np.lib.format.read_array(io.BytesIO(entries[name]))
    shapes = [
        (10**9, *array.shape[1:]),
        (10**5,) * 4,
        (2**63,),
        (2**64, 2),
        (-1, 8),
        (0,),
        (),
        (True,),
        array.shape[::-1],
    ]
    types = ["|O", "<f8", "<c16", "|S8", "<U1000000", "|V8", "<M8[s]", [("a", "<f8")], ">i2", "garbage"]
    head = {"descr": array.dtype.str, "fortran_order": rng.random() < 0.3, "shape": array.shape}
    head |= rng.choice(({"shape": rng.choice(shapes)}, {"descr": rng.choice(types)}, {"extra": 1}))
    text = (repr(head) if rng.random() < 0.9 else "__import__('os').abort()").encode() + b"\n"
    entries[name] = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + array.tobytes()
    return to_zip(entries.items()), False


def configuration(content, rng, _):
    """A model with one entry of its configuration changed, and right checksums."""
    entries = dict(members(content))
    config = json.loads(entries["config.json"])
    places = []

    def walk(node):
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(config)
    named = [place for place in places if place[1] in ("module", "class_name", "registered_name")]
    numbers = [place for place in places if isinstance(place[0][place[1]], int | float)]
    node, key = rng.choice(rng.choice((places, named, numbers)))
    values = [None, True, -1, 0, 2**31, 10**9, 10**30, 1e308, float("nan"), "", "x" * 10**5, [], {}, [[]] * 9]
    values += ["os", "system", "Lambda", "TFSMLayer", "keras.layers", "builtins", "keras_pdecnn>Box", "__lambda__"]
    values += [{"class_name": "__lambda__", "config": {"value": ["YQ==", None, None]}}, {"class_name": "function"}]
    node[key] = rng.choice(values)
    entries["config.json"] = json.dumps(config).encode()
    return to_zip(entries.items()), False


def pixels(content, rng, _):
    """A PNG that declares another size, with right checksums; other formats are flipped near their head."""
    if not content.startswith(b"\x89PNG"):
        changed = bytearray(content)
        changed[rng.randrange(min(64, len(changed)))] = rng.randrange(256)
        return bytes(changed), False
    sizes = [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (9_000, 9_000), (0, 5), (12, 17), (12, 1000), (2**31, 1)]
    fields = struct.pack(">II", *rng.choice(sizes)) + content[24:29]
    return content[:16] + fields + struct.pack(">I", zlib.crc32(b"IHDR" + fields)) + content[33:], False


def sound(content, rng, _):
    """A .wav file with one field of its head changed."""
    offset, size = rng.choice(((4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)))
    value = rng.choice((0, 1, 3, 8, 2**16 - 1, 2**31, 2**32 - 1, 7, 65534)) % 2 ** (8 * size)
    return content[:offset] + value.to_bytes(size, "little") + content[offset + size :], False


ANY = (truncate, flip, overwrite, cut_out, another)
DAMAGES = {
    "npz": (*ANY, other_archive, bomb, header, header),
    "deflated.npz": (*ANY, other_archive, bomb),
    "data": (*ANY, other_archive, bomb, header, header),
    "keras": (*ANY, other_archive, bomb, configuration, configuration, configuration),
    **dict.fromkeys(IMAGES, (*ANY, pixels)),
    **{f"{width}.wav": (*ANY, sound, sound) for width in (1, 2, 3)},
}
COMMANDS = {  # command: kinds of files, and how often it is tried
    "predict npz": (("npz", "deflated.npz"), 4),
    "predict image": (IMAGES, 5),
    "predict wav": (("1.wav", "2.wav", "3.wav"), 3),
    "predict keras": (("keras",), 3),
    "evaluate keras": (("keras",), 1),
    "evaluate npz": (("data",), 1),
    "evaluate image": (IMAGES, 1),
    "train npz": (("data",), 1),
    "train image": (IMAGES, 1),
}


# Running the cases.


def command_of(number):
    names = [name for name, (_, often) in COMMANDS.items() for _ in range(often)]
    # The files of one command `predict` follow each other.
    return random.Random(number // BATCH).choice(names)


def damaged(number, originals):
    """Return (kind, name of the damage, content, whether a whole file was damaged) of a case."""
    rng = random.Random(number)
    kind = rng.choice(COMMANDS[command_of(number)][0])
    damage = rng.choice(DAMAGES[kind])
    content, is_damage = damage(originals.content[kind], rng, originals)
    return kind, damage.__name__, content, is_damage and content != originals.content[kind]


def run_group(numbers, originals, folder):
    """Run the cases of one group; yield (number, what it was, outcome), the outcome "refused", "used" or a failure."""
    command = command_of(numbers[0])
    files = {}
    for number in numbers:
        kind, damage, content, whole = damaged(number, originals)
        path = folder / f"{number}.{kind if kind != 'data' else 'npz'}"
        path.write_bytes(content)
        files[path] = number, kind, f"{command}, {kind}, {damage}", whole
    if command.startswith("predict") and command != "predict keras":
        yield from predict_files(files, originals)
        return
    for path, (number, kind, title, whole) in files.items():
        yield number, title, one_command(command, path, kind, whole, originals, folder / str(number))


def predict_files(files, originals):
    kind = next(iter(files.values()))[1]
    start = time.monotonic()
    rows, done = originals.predict(kind, list(files))
    failure = check(done, start)
    lines = done.stderr.splitlines()
    for path, (number, kind, title, whole) in files.items():
        reported = any(line.startswith(f"{path}: ") for line in lines)
        found = rows.get(str(path))
        outcome = "refused" if reported else "used"
        if failure:
            outcome = failure
        elif reported == bool(found):
            outcome = f"reported: {reported}, predicted: {found}"
        elif found and whole and kind.endswith(CHECKED) and not same(found, originals.expected[kind]):
            outcome = f"a damaged file was predicted as {found}"
        elif found and "truncate" in title and not same(found, originals.expected[kind]):
            outcome = f"a part of a file was predicted as {found}"
        yield number, title, outcome


def one_command(command, path, kind, whole, originals, folder):
    start = time.monotonic()
    if command == "predict keras":
        rows, done = originals.predict("png", [originals.image], path)
        if done.exit_code == 0 and whole and not same(rows[str(originals.image)], originals.expected["keras"]):
            return f"a damaged model predicted {rows}"
    elif command == "evaluate keras":
        folder.mkdir()
        shutil.copy(originals.runs[2] / "config.json", folder)
        path = path.rename(folder / "model.keras")
        done = invoke("evaluate", folder, "--data", originals.folder / "data2.npz")
    else:
        source = path
        if kind in IMAGES:
            for name in ("a", "b"):
                (folder / name).mkdir(parents=True)
                for i in range(4):
                    shutil.copy(originals.folder / f"x.{kind}", folder / name / f"{i}.{kind}")
            path = path.rename(folder / "a" / path.name)
            source = folder
        if command.startswith("evaluate"):
            done = invoke("evaluate", originals.runs[2], "--data", source)
        else:
            size = ["--size", "8"] if kind in IMAGES else []
            done = invoke("train", source, *NETWORK, *size, "--output", f"{folder}-run")
            written = os.path.exists(f"{folder}-run")
            if written != (done.exit_code == 0):
                return f"exit code {done.exit_code}, run folder: {written}"
    failure = check(done, start)
    if failure or done.exit_code == 0:
        return failure or "used"
    # Data that can be read but do not suit the network are reported by the name of the data set.
    named = path.name in done.stderr or str(folder) in done.stderr
    return "refused" if named else f"the message does not name the file: {done.stderr}"


def check(done, start):
    """Return what is wrong with the outcome of a command, None if nothing is."""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return f"{type(done.exception).__name__}: {str(done.exception)[:300]}"
    if "Traceback" in done.output or done.exit_code not in (0, 1, 2):
        return f"exit code {done.exit_code}: {done.output[-300:]}"
    if done.exit_code and not done.stderr.strip():
        return "no message"
    if time.monotonic() - start > SECONDS:
        return f"it took {time.monotonic() - start:.0f} seconds"
    return None


def same(found, expected):
    return len(found) == len(expected) and all(
        a == b and abs(p - q) < 1e-5 for (a, p), (b, q) in zip(found, expected, strict=True)
    )


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_cases(first, last, report):
    """Run the cases first … last - 1 in this process; report(number, title, outcome) is called for each."""
    with tempfile.TemporaryDirectory() as folder:
        originals = Originals(folder)
        start = peak()
        for group in range(first // BATCH, -(-last // BATCH)):
            numbers = [n for n in range(group * BATCH, (group + 1) * BATCH) if first <= n < last]
            place = pathlib.Path(folder, "cases")
            place.mkdir()
            for number, title, outcome in run_group(numbers, originals, place):
                grown = peak() - start
                report(number, title, outcome if grown < MEMORY else f"{grown / 2**20:.0f} MiB of memory")
                start += max(0, grown - MEMORY)
            shutil.rmtree(place)
        return peak() - start


# Workers.


def work(first, last):
    def report(*case):
        print(json.dumps(case), flush=True)

    grown = run_cases(first, last, report)
    print(json.dumps([last, "memory", f"{grown / 2**20:.0f}"]), flush=True)


def supervise(first, last, end):
    """Run workers until all cases are done, or until the time `end`; return the counted outcomes and the failures."""
    counts, failures, memory = collections.Counter(), [], None
    while first < last:
        command = [sys.executable, __file__, "--work", str(first), str(last)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        limit = 5 * SECONDS  # for its start
        while select.select([process.stdout], [], [], limit)[0] and (line := process.stdout.readline()):
            if time.monotonic() > end:
                break
            limit = 2 * SECONDS
            with contextlib.suppress(ValueError):
                number, title, outcome = json.loads(line)
                if title == "memory":
                    memory = max(memory or 0, int(outcome))
                    continue
                kind = outcome if outcome in ("refused", "used") else "FAILED"
                counts[title, kind] += 1
                first = number + 1
                if kind == "FAILED":
                    failures.append((number, title, outcome))
                    print(f"case {number}, {title}: {outcome}", flush=True)
        process.kill()
        code = process.wait()
        if time.monotonic() > end:
            break
        if first < last:
            failures.append((first, command_of(first), f"the process ended ({code}) or hung"))
            print(f"case {first} or one of its group: the process ended ({code}) or hung", flush=True)
            first = (first // BATCH + 1) * BATCH
    return counts, failures, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=4000, help="how many")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--work", type=int, nargs=2, help="be a worker for these cases")
    arguments = parser.parse_args()
    if arguments.work:
        return work(*arguments.work)
    end = time.monotonic() + arguments.seconds
    counts, failures, memory = supervise(arguments.first, arguments.first + arguments.cases, end)
    totals = collections.Counter()
    for (title, outcome), count in counts.items():
        totals[title.rsplit(",", 1)[0], outcome] += count
    print("| files | refused | used | failed |\n|---|---|---|---|")
    for title in sorted({title for title, _ in totals}):
        print(f"| {title} | {totals[title, 'refused']} | {totals[title, 'used']} | {totals[title, 'FAILED']} |")
    # A worker that was stopped has not said it, but was held to the limit after every group.
    grown = f"at most {MEMORY // 2**20}" if memory is None else memory
    print(f"{sum(counts.values())} cases, {len(failures)} failures, memory grew by {grown} MiB")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
