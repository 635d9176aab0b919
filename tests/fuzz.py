"""Damaged and hostile files for `predict`, `evaluate` and `train`: `python tests/fuzz.py FOLDER --cases 4000`.

Every file must be refused by one line with its name and exit code 1 or 2, or be used as a whole: no traceback, no
hang, bounded memory, and no part of a file taken for all of it. Cases are numbered; the number of a case is its seed,
and helpers/damages.py says what is done to the file. Outcomes are lines of FOLDER/cases.jsonl; the same command
continues after the last of them. Workers run the cases in processes of their own, so that a crash or a hang is one more
failure. A sample of the cases is part of the tests (test_loading.py).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import wave

import click.testing
import numpy as np
from helpers import damages
from PIL import Image

SECONDS = 60  # for one command
MEMORY = 2**30  # for one command, beyond what the process had before
ADDRESSES = 12 * 2**30  # for the process; nothing may ask for more than the 8 GiB of a data set
LINE = 4000  # characters of a message
BATCH = 20  # files of one command `predict`
NETWORK = ["--architecture", "parabolic", "--widths", "4", "--steps", "1", "--pad", "0", "--batch-size", "16"]
NETWORK += ["--epochs", "1", "--learning-rates", "0.01", "--verbose", "0"]
CHECKED = ("npz", "data", "png", "keras")  # formats with checksums
COMMANDS = {  # command and input: kinds of files, and how often it is tried
    "predict npz": (("npz", "deflated.npz"), 4),
    "predict image": (damages.IMAGES, 5),
    "predict wav": (("1.wav", "2.wav", "3.wav"), 4),
    "predict keras": (("keras",), 4),
    "predict run": (("config",), 1),
    "evaluate keras": (("keras",), 1),
    "evaluate run": (("config",), 1),
    "evaluate npz": (("data",), 1),
    "evaluate image": (damages.IMAGES, 1),
    "train npz": (("data",), 1),
    "train image": (damages.IMAGES, 1),
}


class Outcome:
    """What a command did, how long it took and how much memory it needed beyond what there was."""

    def __init__(self, *arguments):
        from keras_pdecnn import cli  # here, so that the process that watches need not wait for TensorFlow

        before, start = reset_memory(), time.monotonic()
        done = click.testing.CliRunner().invoke(cli.main, list(map(str, arguments)))
        self.seconds, self.memory = time.monotonic() - start, max(0, memory("VmHWM") - before)
        self.code, self.exception = done.exit_code, done.exception
        self.stdout, self.stderr = done.stdout, done.stderr

    @property
    def accuracy(self):
        """The line with the accuracy and the loss, None if there is none."""
        return next((line for line in self.stdout.splitlines() if line.startswith("Test accuracy")), None)

    def failure(self, together=False):  # noqa: PLR0911  one line for each
        """Return what is wrong whatever the file was, None if nothing is."""
        lines = self.stderr.splitlines()
        if self.exception is not None and not isinstance(self.exception, SystemExit):
            return f"{type(self.exception).__name__}: {str(self.exception)[:300]}"
        if "Traceback" in self.stdout + self.stderr or self.code not in (0, 1, 2):
            return f"exit code {self.code}: {self.stderr[-300:]}"
        if (not lines) if self.code else lines:
            return f"exit code {self.code} with the messages {lines}"
        if len(lines) > 1 and not together:
            return f"{len(lines)} lines: {self.stderr[:600]}"
        if any(len(line) > LINE for line in lines):
            return f"a message of {max(map(len, lines)):,} characters: {max(lines, key=len)[:300]}"
        if "Unable to allocate" in self.stderr or "MemoryError" in self.stderr:
            return f"too much memory was asked for: {self.stderr[:300]}"
        if self.seconds > SECONDS:
            return f"it took {self.seconds:.0f} seconds"
        if self.memory > MEMORY:
            return f"it took {self.memory / 2**20:.0f} MiB"
        if self.code and self.accuracy:
            return f"exit code {self.code} and a result: {self.stdout[:300]}"
        return None


def memory(field):
    """Return a field of the memory of this process in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def reset_memory():
    """Let the peak of memory begin anew; return what is in use."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return memory("VmRSS")


class Originals:
    """Whole files of every kind in a folder, and what a small network makes of them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        self.runs, self.content, self.accuracies = {}, {}, {}
        for rank, space in ((1, (64,)), (2, (8, 8))):
            x = rng.integers(0, 200, (24, *space, 1)).astype(np.uint8 if rank == 2 else np.int16)
            y = np.arange(24) % 2
            x[y == 1, : space[0] // 2] //= 4
            np.savez(self.folder / f"data{rank}.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
            self.runs[rank] = self.folder / f"run{rank}"
            if not self.runs[rank].exists():  # from an earlier worker
                new = self.folder / "new"
                shutil.rmtree(new, ignore_errors=True)
                done = Outcome("train", self.folder / f"data{rank}.npz", *NETWORK, "--output", new)
                assert done.code == 0, done.stderr
                new.rename(self.runs[rank])
        self.content["data"] = (self.folder / "data2.npz").read_bytes()
        self.content["keras"] = (self.runs[2] / "model.keras").read_bytes()
        self.content["config"] = (self.runs[2] / "config.json").read_bytes()
        x = rng.integers(0, 255, (3, 8, 8, 1), dtype=np.uint8)
        for kind, save in (("npz", np.savez), ("deflated.npz", np.savez_compressed)):
            save(self.folder / f"x.{kind}", x=x, other=np.arange(20.0))
        for kind in damages.IMAGES:
            Image.fromarray(rng.integers(0, 255, (16, 12), dtype=np.uint8)).save(self.folder / f"x.{kind}")
        for width in (1, 2, 3):
            with wave.open(str(self.folder / f"x.{width}.wav"), "wb") as file:
                file.setparams((1, width, 8000, 0, "NONE", ""))
                file.writeframes(rng.integers(0, 255, 80 * width, dtype=np.uint8).tobytes())
        files = {path.name[2:]: path for path in sorted(self.folder.glob("x.*"))}
        self.content |= {kind: path.read_bytes() for kind, path in files.items()}
        self.image = self.folder / "x.png"
        self.expected = {kind: self.predict(kind, [path])[0][str(path)] for kind, path in files.items()}
        self.expected["keras"] = self.expected["config"] = self.expected["png"]

    def predict(self, kind, paths, model=None, options=()):
        """Return {file: [(class, probability), …]}, the files said to be unreadable, and the outcome."""
        done = Outcome(
            "predict", model or self.runs[1 if kind.endswith("wav") else 2], *paths, "--format=json", *options
        )
        rows, unreadable = collections.defaultdict(list), []
        with contextlib.suppress(ValueError):  # no JSON: then nothing was predicted
            content = json.loads(done.stdout)
            unreadable = [row["file"] for row in content["unreadable"]]
            for row in content["predictions"]:
                rows[row["file"]].append((row["class"], row["probability"]))
        return rows, unreadable, done

    def accuracy(self, command, kind, place):
        """Return what `evaluate` and `train` print for whole files."""
        if (command, kind) not in self.accuracies:
            done = self.run(command, kind, self.content[kind], place / f"whole-{command}-{kind}")[0]
            assert done.code == 0, done.stderr
            self.accuracies[command, kind] = done.accuracy
        return self.accuracies[command, kind]

    def run(self, command, kind, content, place):
        """Run `evaluate` or `train` on a file in a new folder; return the outcome and the names it may report."""
        place.mkdir()
        arguments = [self.runs[2], "--data", self.folder / "data2.npz"]
        if kind in ("keras", "config"):
            run = place / "run"
            shutil.copytree(self.runs[2], run)
            path = run / ("model.keras" if kind == "keras" else "config.json")
            path.unlink()
            arguments[0] = run
        elif kind == "data":
            path = arguments[2] = place / "data.npz"
        else:
            arguments[2] = place / "images"
            for name in ("a", "b"):
                (place / "images" / name).mkdir(parents=True)
                for i in range(4):
                    shutil.copy(self.folder / f"x.{kind}", place / "images" / name / f"{i}.{kind}")
            path = place / "images" / "a" / f"x.{kind}"
        damages.write(path, content)
        if command.startswith("train"):
            size = ["--size", "8"] if kind in damages.IMAGES else []
            arguments = [arguments[2], *NETWORK, *size, "--output", place / "new"]
        done = Outcome(command.split()[0], *arguments)
        # Data that can be read but do not suit the network are reported by the name of the data set.
        return done, (str(path), str(arguments[0]), str(arguments[-1]))


# Running the cases.


def command_of(number):
    """Return the command of a case; the files of one command `predict` follow each other."""
    names = [name for name, (_, often) in COMMANDS.items() for _ in range(often)]
    return random.Random(number // BATCH).choice(names)


def damaged(number, originals):
    """Return (kind, name of the damage, content, whether a whole file was damaged) of a case."""
    rng = random.Random(number)
    kind = rng.choice(COMMANDS[command_of(number)][0])
    damage = rng.choice(damages.DAMAGES[kind])
    content, whole = damage(originals.content[kind], rng, originals.content)
    # Without a checksum only a file that ends too early can be told from a whole one.
    must_show = whole and (kind.endswith(CHECKED) or damage is damages.truncate)
    return kind, damage.__name__, content, must_show and content != originals.content[kind]


def run_group(numbers, originals, folder):
    """Run the cases of one group; yield a dict for each, its outcome "refused", "used" or a failure."""
    command = command_of(numbers[0])
    cases = [(number, *damaged(number, originals)) for number in numbers]
    if command in ("predict npz", "predict image", "predict wav"):
        yield from predict_together(command, cases, originals, folder)
        return
    for number, kind, damage, content, must_show in cases:
        place = folder / str(number)
        if command.startswith("predict"):
            outcome, done = predict_with(kind, content, must_show, originals, place)
        else:
            outcome, done = evaluate_or_train(command, kind, content, must_show, originals, place)
        yield line(number, command, kind, damage, outcome, done)


def line(number, command, kind, damage, outcome, done):
    costs = {"seconds": round(done.seconds, 2), "memory": round(done.memory / 2**20)}
    return {"number": number, "command": command, "kind": kind, "damage": damage, "outcome": outcome, **costs}


def predict_together(command, cases, originals, folder):
    paths = [folder / f"{number}.{kind}" for number, kind, *_ in cases]
    for path, (_, _, _, content, _) in zip(paths, cases, strict=True):
        damages.write(path, content)
    options = ["--sampling-rate", "8000"] if command.endswith("wav") and cases[0][0] // BATCH % 2 else []
    rows, unreadable, done = originals.predict(cases[0][1], paths, options=options)
    lines = done.stderr.splitlines()
    failure = done.failure(together=True)
    if not failure and len(lines) != len(unreadable):
        failure = f"{len(unreadable)} unreadable files, but: {done.stderr[:600]}"
    if not failure and done.code != ((1 if rows else 2) if unreadable else 0):
        failure = f"exit code {done.code} with {len(rows)} files predicted and {len(unreadable)} unreadable"
    for path, (number, kind, damage, _, must_show) in zip(paths, cases, strict=True):
        said = [text for text in lines if text.startswith(f"{path}: ")]
        found = rows.get(str(path))
        outcome = "refused" if said else "used"
        if failure:
            outcome = failure
        elif [str(path)] * len(said) != [file for file in unreadable if file == str(path)] or bool(said) == bool(found):
            outcome = f"said {said}, predicted {found}"
        elif said and said[0].count(str(path)) < 2:  # before the colon, and as what was received
            outcome = f"the message does not say what was received: {said[0]}"
        elif found and must_show and not same(found, originals.expected[kind]):
            outcome = f"a damaged file was predicted as {found}"
        yield line(number, command, kind, damage, outcome, done)


def predict_with(kind, content, must_show, originals, place):
    """Predict a whole image with a damaged model."""
    if kind == "config":
        shutil.copytree(originals.runs[2], place)
        model, path = place, place / "config.json"
        path.unlink()
    else:
        model = path = place.with_suffix(".keras")
    damages.write(path, content)
    rows, _, done = originals.predict("png", [originals.image], model)
    found = rows[str(originals.image)]
    if failure := done.failure():
        return failure, done
    if done.code and not found:
        names = path, model, originals.image  # the image: finite weights can have an output that is not
        return "refused" if any(str(name) in done.stderr for name in names) else unnamed(done), done
    right = found and (not must_show or same(found, originals.expected[kind]))
    return "used" if right else f"a damaged model predicted {found}", done


def evaluate_or_train(command, kind, content, must_show, originals, place):
    done, names = originals.run(command, kind, content, place)
    if failure := done.failure():
        return failure, done
    if command.startswith("train") and os.path.exists(place / "new") != (done.code == 0):
        return f"exit code {done.code}, run folder: {os.path.exists(place / 'new')}", done
    if done.code:
        return "refused" if any(name in done.stderr for name in names) else unnamed(done), done
    if not done.accuracy or (must_show and done.accuracy != originals.accuracy(command, kind, place)):
        return f"a damaged file was used: {done.stdout}", done
    return "used", done


def unnamed(done):
    return f"the message does not name the file: {done.stderr[:600]}"


def same(found, expected):
    return len(found) == len(expected) and all(
        a == b and abs(p - q) < 1e-5 for (a, p), (b, q) in zip(found, expected, strict=True)
    )


# Workers.


def work(path, first, last):
    """Run the cases first … last - 1 that are not done in this process and append a line for each to a file."""
    done = {case["number"] for case in read(path)}
    with tempfile.TemporaryDirectory() as folder, open(path, "a", encoding="utf-8") as lines:
        originals = Originals(path.parent / "originals")
        limit = memory("VmSize") + ADDRESSES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        while first < last:
            end = min(last, (first // BATCH + 1) * BATCH)
            place = pathlib.Path(folder, "cases")
            place.mkdir()
            if numbers := [number for number in range(first, end) if number not in done]:
                for case in run_group(numbers, originals, place):
                    lines.write(json.dumps(case) + "\n")
                    lines.flush()
            shutil.rmtree(place)
            first = end


def read(path):
    """Return the cases that were run; a last line that was interrupted is none."""
    cases = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                cases.append(json.loads(text))
    return cases


def supervise(path, first, last, end):
    """Run workers until all cases are done, or until the time `end`."""
    while time.monotonic() < end:
        numbers = {case["number"] for case in read(path)}
        first = next((number for number in range(first, last) if number not in numbers), last)
        if first == last:
            return
        process = subprocess.Popen(
            [sys.executable, __file__, str(path.parent), "--work", str(first), str(last)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        size, since = 0, time.monotonic()
        limit = 5 * SECONDS  # for its start
        while process.poll() is None and time.monotonic() < min(end, since + limit):
            time.sleep(0.2)
            if path.exists() and path.stat().st_size != size:
                limit = 2 * SECONDS if size else limit
                size, since = path.stat().st_size, time.monotonic()
        stopped = time.monotonic() >= end
        process.kill()
        code = process.wait()
        numbers = {case["number"] for case in read(path)}
        missing = next((number for number in range(first, last) if number not in numbers), None)
        if missing is not None and not stopped:
            outcome = f"the process ended ({code}) or hung"
            together = command_of(missing).split()[1] in ("npz", "image", "wav")
            end_of_group = (missing // BATCH + 1) * BATCH if together else missing + 1
            with open(path, "a", encoding="utf-8") as lines:
                for number in range(missing, min(last, end_of_group)):
                    case = {"number": number, "command": command_of(number), "kind": "", "damage": ""}
                    lines.write("\n" + json.dumps({**case, "outcome": outcome, "seconds": 0, "memory": 0}) + "\n")


def report(cases):
    """Print the failures and a table; return how many failures there are."""
    failures = [case for case in cases if case["outcome"] not in ("refused", "used")]
    for case in failures:
        print(f"case {case['number']}, {case['command']}, {case['kind']}, {case['damage']}: {case['outcome']}")
    print("| command | input | cases | refused | used | failed | peak memory, MiB | longest, s |\n" + 8 * "|---" + "|")
    for name in COMMANDS:
        if chosen := [case for case in cases if case["command"] == name]:
            counts = collections.Counter(case["outcome"] for case in chosen)
            failed = len(chosen) - counts["refused"] - counts["used"]
            costs = max(case["memory"] for case in chosen), max(case["seconds"] for case in chosen)
            row = (*name.split(), len(chosen), counts["refused"], counts["used"], failed, costs[0], f"{costs[1]:.1f}")
            print("| " + " | ".join(map(str, row)) + " |")
    print(f"{len(cases)} cases, {len(failures)} failures")
    return len(failures)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="folder of the outcomes; a run in it goes on")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=4000, help="how many")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--work", type=int, nargs=2, help="be a worker for these cases")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / "cases.jsonl"
    if arguments.work:
        return work(path, *arguments.work)
    supervise(path, arguments.first, arguments.first + arguments.cases, time.monotonic() + arguments.seconds)
    sys.exit(1 if report(read(path)) else 0)


if __name__ == "__main__":
    main()
