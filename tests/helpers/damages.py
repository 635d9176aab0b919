"""Ways to damage a file: each takes its content, a generator and the contents of all kinds, and returns another.

A damage returns (content, whole): `whole` says that something was done to a file that was whole, which the checksum or
the length must show. The content is bytes, or what there is instead of a file, one of `SPECIAL`.
"""

from __future__ import annotations

import functools
import io
import json
import os
import struct
import wave
import zipfile
import zlib

import h5py
import numpy as np

SPECIAL = ("folder", "pipe", "endless", "loop", "nothing")
IMAGES = ("png", "jpg", "bmp", "gif", "webp")


def write(path, content):
    """Write a damaged file."""
    match content:
        case bytes():
            path.write_bytes(content)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "endless":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)


# Damages of any file.


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


def another(_, rng, contents):
    others = [b"", b"\0" * 1000, rng.randbytes(500), b"text\n" * 50, b"PK\5\6" + b"\0" * 18, b"[" * 10**5, b"\x80\4."]
    return rng.choice([*others, *contents.values()]), False


def special(_, rng, __):
    return rng.choice(SPECIAL), False


# Archives.


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def to_zip(entries, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def false_zip(entries, name, size):
    """Return an archive whose directory declares another size of one member, also one of more than 32 bits."""
    content, directory = to_zip(entries), b""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos, start = archive.infolist(), archive.start_dir
    for info in infos:
        declared = size if info.filename == name else info.file_size
        extra, field = b"", declared
        if declared >= 2**32 - 1:
            extra, field = struct.pack("<HHQ", 1, 8, declared), 2**32 - 1
        file = info.filename.encode()
        numbers = 45, 45, 0, info.compress_type, 0, 33, info.CRC, info.compress_size, field, len(file), len(extra)
        directory += b"PK\1\2" + struct.pack("<HHHHHHIIIHHHHHII", *numbers, 0, 0, 0, 0, info.header_offset)
        directory += file + extra
    end = struct.pack("<HHHHIIH", 0, 0, len(infos), len(infos), len(directory), start, 0)
    return content[:start] + directory + b"PK\5\6" + end


def other_archive(content, rng, contents):
    """An archive whose checksums are right, with a damaged, missing, doubled or additional member, or with many."""
    entries = list(members(content).items())
    index = rng.randrange(len(entries))
    name, inner = entries[index]
    match rng.randrange(5):
        case 0:
            entries[index] = name, rng.choice((truncate, flip, overwrite, cut_out, another))(inner, rng, contents)[0]
        case 1:
            del entries[index]
        case 2:
            entries.append((rng.choice(("assets/x", "../../x.npy", "/x.npy", "x" * 300, name + ".npy")), inner))
        case 3:
            entries[index] = name, inner + rng.randbytes(rng.choice((1, 100)))
        case 4:
            entries += [(f"{i}.npy", inner[:200]) for i in range(rng.choice((300, 3000)))]
    return to_zip(entries, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))), False


def bomb(content, rng, _):
    """An archive with a member that is small in the file and large in memory, or is said to be."""
    entries = members(content)
    name = rng.choice(list(entries))
    if rng.random() < 0.5:
        return false_zip(entries.items(), name, rng.choice((0, 2**31, 2**32 - 2, 10**10, 2**63))), False
    entries[name] = entries[name] + b"\0" * rng.choice((10**6, 3 * 10**7, 3 * 10**8))
    return to_zip(entries.items(), zipfile.ZIP_DEFLATED), False


def npy(array, **changes):
    """Return an array as a .npy file, with entries of its header changed."""
    head = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **changes}
    text = repr(head).encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + array.tobytes()


def header(content, rng, _):
    """An array whose header declares another shape or type than its data have."""
    entries = members(content)
    name = rng.choice(list(entries))
    array = np.lib.format.read_array(io.BytesIO(entries[name]))
    rest = array.shape[1:]
    shapes = [(10**9, *rest), (10**5,) * 4, (2**63,), (2**64, 2), (-1, 8), (0,), (), (True,), array.shape[::-1]]
    types = ["|O", "<f8", "<c16", "|S8", "<U1000000", "|V8", "<M8[s]", [("a", "<f8")], ">i2", "garbage"]
    change = rng.choice(({"shape": rng.choice(shapes)}, {"descr": rng.choice(types)}, {"extra": 1}))
    entries[name] = npy(array, fortran_order=rng.random() < 0.3, **change)
    if rng.random() < 0.1:
        text = b"__import__('os').abort()\n"
        entries[name] = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    return to_zip(entries.items()), False


def declared(content, rng, _):
    """An array that both its header and the directory declare to be large."""
    entries = members(content)
    name = rng.choice(list(entries))
    array = np.lib.format.read_array(io.BytesIO(entries[name]))
    count = rng.choice((10**7, 9 * 10**8, 10**9, 9 * 10**9, 10**15)) // array.dtype.itemsize
    rest = rng.choice((array.shape[1:], ()))
    shape = rng.choice(((max(1, count // max(1, int(np.prod(rest)))), *rest), (1, count, 1, 1)))
    entries[name] = npy(array, shape=shape)
    head = len(entries[name]) - array.nbytes
    size = head + int(np.prod(shape, dtype=object)) * array.dtype.itemsize
    return false_zip(entries.items(), name, size), False


@functools.cache
def zeros(shape, name):
    """Return an archive with an array of zeros that are really there, in a thousandth of their size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open(name, "w") as out:
        out.write(npy(np.empty(0, np.uint8), shape=shape))
        for first in range(0, int(np.prod(shape)), 10**7):
            out.write(bytes(min(10**7, int(np.prod(shape)) - first)))
    return file.getvalue()


def unpacks(_, rng, __):
    shapes = [(1, 10**4, 10**4, 1), (3, 10**8), (10**8, 1, 1, 1), (12 * 10**8,), (150 * 10**5, 8, 10, 1)]
    return zeros(rng.choice(shapes), rng.choice(("x.npy", "x_test.npy"))), False


def changed_json(config, rng):
    """Change one entry of nested dicts and lists."""
    places = []

    def walk(node):
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            places.append((node, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(config)
    named = [place for place in places if place[1] in ("module", "class_name", "registered_name")] or places
    numbers = [place for place in places if isinstance(place[0][place[1]], int | float)]
    node, key = rng.choice(rng.choice((places, named, numbers)))
    values = [None, True, -1, 0, 2**31, 10**9, 10**30, 1e308, float("nan"), "", "x" * 10**5, [], {}, [[]] * 9]
    values += ["os", "system", "Lambda", "TFSMLayer", "keras.layers", "builtins", "keras_pdecnn>Box", "__lambda__"]
    values += [{"class_name": "__lambda__", "config": {"value": ["YQ==", None, None]}}, {"class_name": "function"}]
    node[key] = rng.choice(values)
    return json.dumps(config).encode()


def configuration(content, rng, _):
    """A model with one entry of its configuration changed, and right checksums."""
    entries = members(content)
    entries["config.json"] = changed_json(json.loads(entries["config.json"]), rng)
    return to_zip(entries.items()), False


def setting(content, rng, _):
    return changed_json(json.loads(content), rng), False


def weights(content, rng, _):
    """A model whose HDF5 file has one array replaced, and right checksums."""
    entries = members(content)
    file = io.BytesIO(entries["model.weights.h5"])
    with h5py.File(file, "r+") as archive:
        names = []
        archive.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = rng.choice(names)
        old = archive[name]
        shape, dtype = old.shape, old.dtype
        del archive[name]
        match rng.randrange(7):
            case 0:
                archive.create_dataset(name, (10**9,), "f4", compression="gzip")
            case 1:
                archive.create_dataset(name, shape, dtype, external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
            case 2:
                archive[name] = h5py.ExternalLink(rng.choice(("/dev/zero", "/etc/passwd", "none.h5")), "/x")
            case 3:
                archive[name] = h5py.SoftLink(rng.choice((f"/{name}", f"/{rng.choice(names)}", "/")))
            case 4:
                layout = h5py.VirtualLayout(shape, dtype)
                layout[...] = h5py.VirtualSource("none.h5", "x", shape)
                archive.create_virtual_dataset(name, layout)
            case 5:
                archive[name] = rng.choice((np.full(shape, np.nan, "f4"), np.zeros((3, *shape)), np.bytes_(b"text")))
            case 6:
                archive.create_group(name)
    entries["model.weights.h5"] = file.getvalue()
    return to_zip(entries.items()), False


# Images and sound.


def chunk(kind, data, length=None):
    """Return a chunk of a PNG file, maybe one that declares another length."""
    return (
        struct.pack(">I", len(data) if length is None else length)
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
    )


@functools.cache
def blank_png(width, height, depth):
    """Return a PNG file of black pixels, which are really there."""
    rows = zlib.compress(bytes((1 + -(-width * depth // 8)) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)),
            chunk(b"IDAT", rows),
            chunk(b"IEND", b""),
        )
    )


def pixels(content, rng, _):
    """An image that declares another size than it has, or has more than its file lets expect."""
    size = rng.choice([(50_000, 50_000), (65_535, 65_535), (9_000, 9_000), (0, 5), (12, 17), (12, 1000), (1, 60_000)])
    changed = bytearray(content)
    if content.startswith(b"\x89PNG"):
        fields = struct.pack(">II", *rng.choice((size, size, (2**31 - 1, 2**31 - 1), (2**31, 1)))) + content[24:29]
        packed = zlib.compress(bytes(5 * 10**7), 1)
        text = rng.choice((chunk(b"zTXt", b"a\0\0" + packed), chunk(b"iCCP", b"a\0\0" + packed)))
        return rng.choice(
            (
                content[:8] + chunk(b"IHDR", fields) + content[33:],
                content[:33]
                + rng.choice((text, chunk(b"abCd", b"x", 2**31 - 1), chunk(b"tEXt", b"a\0b") * 20_000))
                + content[33:],
                blank_png(*rng.choice(((9_400, 9_400, 8), (9_400, 9_400, 1), (30_000, 30_000, 1), (10**6, 80, 8)))),
            )
        ), False
    if rng.random() < 0.3:
        changed[rng.randrange(min(64, len(changed)))] = rng.randrange(256)
    elif content.startswith(b"GIF"):
        place = rng.choice((6, content.index(b",") + 5))  # of the screen, of the frame
        changed[place : place + 4] = struct.pack("<HH", *size)
    elif content.startswith(b"BM"):
        changed[18:26] = struct.pack("<ii", *rng.choice((size, (2**31 - 1, 2**31 - 1), (12, -16), (-12, 16))))
    elif content.startswith(b"\xff\xd8"):
        place = content.index(b"\xff\xc0") + 5
        changed[place : place + 4] = struct.pack(">HH", *size)
    elif content.startswith(b"RIFF"):
        changed[26:30] = struct.pack("<HH", *(n % 2**14 for n in size))
    return bytes(changed), False


def sound(content, rng, _):
    """A .wav file with one field of its head changed, or with chunks that are not what they say."""
    if rng.random() < 0.5:
        offset, size = rng.choice(((4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2), (40, 4)))
        value = rng.choice((0, 1, 3, 8, 2**16 - 1, 2**31, 2**32 - 1, 7, 65534, 384_000)) % 2 ** (8 * size)
        return content[:offset] + value.to_bytes(size, "little") + content[offset + size :], False
    head, form, samples = content[:12], content[12:36], content[36:]
    declared = rng.choice((2**31, 2**32 - 1, 2**32 - 2, 10**6, 101))
    return rng.choice(
        (
            head + form + b"LIST" + struct.pack("<I", declared) + b"x" * 100 + samples,
            head + form + (b"LIST" + struct.pack("<I", 0)) * 50_000 + samples,
            head + samples + form,
            head + form * 2 + samples * 2,
            head + b"fmt " + struct.pack("<I", declared) + form[8:] + samples,
            head + form + b"data" + struct.pack("<I", declared) + samples[8:],
            head + form + b"data" + struct.pack("<I", 0) + samples,
            b"RIFX" + content[4:],
            long_sound(rng.choice((1, 7, 8_000, 384_000))),
        )
    ), False


@functools.cache
def long_sound(rate):
    """Return a whole .wav file of two million samples at a rate, of which one second may be a million times as long."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 1, rate, 0, "NONE", ""))
        out.writeframes(bytes(2 * 10**6))
    return file.getvalue()


ANY = (truncate, flip, overwrite, cut_out, another, special)
ARRAYS = (*ANY, other_archive, bomb, header, header, declared, unpacks)
DAMAGES = {
    "npz": ARRAYS,
    "deflated.npz": (*ANY, other_archive, bomb, declared),
    "data": ARRAYS,
    "keras": (*ANY, other_archive, bomb, configuration, configuration, configuration, weights, weights),
    "config": (*ANY, setting, setting, setting),
    **dict.fromkeys(IMAGES, (*ANY, pixels, pixels)),
    **{f"{width}.wav": (*ANY, sound, sound) for width in (1, 2, 3)},
}
