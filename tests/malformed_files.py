"""A corpus of files that no program should trust, made from nothing: each must be refused in one line.

A generator yields ``Case``s; ``make`` writes into an empty folder and returns what is to be read. Nothing is random
that is not seeded. What leaves its folder points at ``outside``, a folder beside those of the cases that holds good
images.
"""

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import tifffile
import zarr
from PIL import Image

from morphogen.images.endings import format_of

VOLUME = np.arange(3 * 9 * 11, dtype=np.uint16).reshape(3, 9, 11)
"""What the good files hold, that the bad ones are made of."""

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


@dataclass(frozen=True)
class Case:
    """One thing that is wrong."""

    group: str
    name: str
    make: Callable[[Path, Path], Path]


@cache
def good(ending: str) -> bytes:
    """A good file of a format, as bytes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        module = format_of(ending)
        if ending == ".png":
            module.write(path, NOISE[None], (2.0, 2.0))
        elif ending == ".jpg":
            Image.fromarray(NOISE).save(path)
        else:
            module.write_volume(path, VOLUME[None], (2.0, 2.0, 2.0))
        return path.read_bytes()


def _file(name: str, data: bytes) -> Callable[[Path, Path], Path]:
    def make(folder: Path, outside: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def _raw(
    header: str | bytes | None, data: bytes = VOLUME.tobytes(), ending: str = ".json"
) -> Callable[[Path, Path], Path]:
    def make(folder: Path, outside: Path) -> Path:
        (folder / "x.raw").write_bytes(data)
        if header is not None:
            (folder / f"x{ending}").write_bytes(header.encode() if isinstance(header, str) else header)
        return folder / "x.raw"

    return make


def truncated() -> Iterator[Case]:
    """Cut off at every kind of boundary: within the magic, the header, between header and pixels, within these."""
    header = {".tif": 8, ".png": 33, ".jpg": 20, ".h5": 96, ".nii": 352, ".nii.gz": 10, ".nrrd": 0, ".mha": 0,
              ".npy": 128, ".npz": 30}  # fmt: skip
    for ending, end in header.items():
        data = good(ending)
        end = end or data.index(b"\n\n" if ending == ".nrrd" else b"LOCAL")
        cuts = {0, 1, 4, end // 2, end - 1, end, end + 1, (end + len(data)) // 2, len(data) - 100, len(data) - 9}
        if ending == ".tif":
            cuts = {cut for cut in cuts if cut < 1000}  # the directories of further planes, which ImageJ never reads
        for cut in sorted(cut for cut in cuts if 0 <= cut < len(data) - 8):
            yield Case("truncated", f"{ending}-{cut}", _file(f"x{ending}", data[:cut]))
    for cut in (0, 1, 100, VOLUME.nbytes - 1):
        header_file = '{"shape": [3, 9, 11], "type": "uint16", "byte_order": "little"}'
        yield Case("truncated", f".raw-{cut}", _raw(header_file, VOLUME.tobytes()[:cut]))
    for kind, cut in ((".mhd", 0), (".mhd", 300), (".nhdr", 0), (".nhdr", 300)):

        def make(folder: Path, outside: Path, kind: str = kind, cut: int = cut) -> Path:
            format_of(kind).write_volume(folder / f"x{kind}", VOLUME[None], (2.0, 2.0, 2.0))
            (folder / "x.raw").write_bytes(VOLUME.tobytes()[:cut])
            return folder / f"x{kind}"

        yield Case("truncated", f"{kind}-{cut}", make)


def wrong_magic() -> Iterator[Case]:
    """Files that are something else than their names say."""
    contents = {
        "text": b"this is not an image\n" * 20,
        "zeros": bytes(4000),
        "noise": NOISE.tobytes(),
        "page": b"<!DOCTYPE html><html><body>404 not found</body></html>\n" * 9,
        "document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(500),
        "png": good(".png"),
        "numpy": good(".npy"),
        "zip": good(".npz"),
    }
    for ending in (".tif", ".png", ".jpg", ".h5", ".nii", ".nii.gz", ".nrrd", ".mha", ".npy", ".npz"):
        for what, data in contents.items():
            if what not in {".png": ("png",), ".npy": ("numpy",), ".npz": ("zip",)}.get(ending, ()):
                yield Case("wrong magic", f"{what}{ending}", _file(f"x{ending}", data))


def nifti() -> Iterator[Case]:
    """Headers of NIfTI that lie."""

    def with_(*changes: tuple[int, bytes]) -> bytes:
        data = bytearray(good(".nii"))
        for offset, new in changes:
            data[offset : offset + len(new)] = new
        return bytes(data)

    def dims(*numbers: int) -> tuple[int, bytes]:
        return 40, struct.pack("<8h", *numbers, *[1] * (8 - len(numbers)))

    for name, change in {
        "absurd": dims(3, 32767, 32767, 32767), "absurd 7": dims(7, *[32767] * 7), "zero": dims(3, 11, 0, 3),
        "negative": dims(3, 11, -9, 3), "all negative": dims(3, -11, -9, -3), "none": dims(0),
        "eight": dims(8, 11, 9, 3),
        "minus one": dims(-1, 11, 9, 3), "one": dims(1, 297), "times": dims(4, 11, 9, 1, 3),
        "too large": dims(3, 12, 9, 3),
        "type": (70, struct.pack("<h", 999)), "complex": (70, struct.pack("<hh", 32, 64)),
        "no type": (70, struct.pack("<hh", 0, 0)), "wide": (70, struct.pack("<hh", 64, 64)),
        "offset NaN": (108, struct.pack("<f", float("nan"))), "offset inf": (108, struct.pack("<f", float("inf"))),
        "offset negative": (108, struct.pack("<f", -400.0)), "offset far": (108, struct.pack("<f", 1e12)),
        "pair": (344, b"ni1\0"), "no magic": (344, b"\0\0\0\0"), "size": (0, struct.pack("<i", 349)),
    }.items():  # fmt: skip
        yield Case("nifti", name, _file("x.nii", with_(change)))
        if name in ("absurd", "zero", "negative", "too large", "type", "offset NaN", "offset far"):
            zipped = zlib.compressobj(wbits=31)
            yield Case("nifti", f"{name} zipped", _file("x.nii.gz", zipped.compress(with_(change)) + zipped.flush()))
    yield Case("nifti", "bomb", _file("x.nii.gz", _gzipped(with_(dims(3, 2000, 2000, 1000))[:352], 2**30 * 8 // 1000)))
    data = bytearray(good(".nii.gz"))
    data[-8] ^= 255
    yield Case("nifti", "checksum", _file("x.nii.gz", bytes(data)))
    data = bytearray(good(".nii.gz"))
    data[len(data) // 2] ^= 255
    yield Case("nifti", "damaged stream", _file("x.nii.gz", bytes(data)))


def _gzipped(start: bytes, zeros: int) -> bytes:
    """A gzip stream of a beginning and many zeros, without the work of compressing them all."""
    stream = zlib.compressobj(wbits=31)
    first = stream.compress(start) + stream.flush(zlib.Z_FULL_FLUSH)
    block = stream.compress(bytes(2**20)) + stream.flush(zlib.Z_FULL_FLUSH)
    return first + block * (zeros // 2**20)


_NRRD = "NRRD0004\ntype: uint16\ndimension: 3\nsizes: 11 9 3\nendian: little\nencoding: raw\n"


def nrrd() -> Iterator[Case]:
    """Headers of NRRD that lie."""
    for name, (old, new) in {
        "absurd": ("11 9 3", "100000 100000 100"), "beyond integers": ("11 9 3", "99999999999999999999 9 3"),
        "zero": ("11 9 3", "11 0 3"), "negative": ("11 9 3", "11 -9 3"), "negative twice": ("11 9 3", "-11 -9 3"),
        "too large": ("11 9 3", "12 9 3"), "words": ("11 9 3", "eleven nine three"), "fewer sizes": ("11 9 3", "11 9"),
        "no sizes": ("sizes: 11 9 3\n", ""), "no type": ("type: uint16\n", ""), "no encoding": ("encoding: raw\n", ""),
        "block": ("uint16", "block"), "long": ("uint16", "uint64"), "type": ("uint16", "quaternion"),
        "no order": ("endian: little\n", ""), "strange order": ("little", "middle"), "hex": ("raw", "hex"),
        "text": ("raw", "ascii"), "encoding": ("raw", "brotli"), "no dimension": ("dimension: 3\n", ""),
        "one": ("3\nsizes: 11 9 3", "1\nsizes: 297"), "five": ("3\nsizes: 11 9 3", "5\nsizes: 11 3 3 3 1"),
        "no colon": ("endian: little", "endian little"), "twice": ("endian: little\n", "endian: little\nendian: big\n"),
        "negative skip": ("raw\n", "raw\nbyte skip: -3\n"), "far skip": ("raw\n", "raw\nbyte skip: 999999999999\n"),
        "lines skipped": ("raw\n", "raw\nline skip: 4\n"), "units": ("raw\n", 'raw\nspacings: 1 1 1\nunits: "mm"\n'),
        "unquoted": ("raw\n", 'raw\nspacings: 1 1 1\nunits: "mm mm mm\n'),
        "kind": ("raw\n", "raw\nkinds: list domain\n"),
        "directions": ("raw\n", "raw\nspace dimension: 3\nspace directions: (1,0) (x) none\n"),
        "not gzip": ("raw", "gzip"), "not bzip2": ("raw", "bzip2"),
    }.items():  # fmt: skip
        yield Case("nrrd", name, _file("x.nrrd", _NRRD.replace(old, new).encode() + b"\n" + VOLUME.tobytes()))
    header = _NRRD.replace("raw", "gzip").replace("11 9 3", "100000 1000 1000").encode() + b"\n"
    yield Case("nrrd", "bomb", _file("x.nrrd", header + _gzipped(b"", 2**33 // 1000)))
    header = _NRRD.replace("raw", "gzip").encode() + b"\n"
    yield Case("nrrd", "bomb in little", _file("x.nrrd", header + _gzipped(b"", 2**28)))
    for name, place in _places_outside().items():
        yield Case("nrrd", f"data {name}", _detached("x.nhdr", _NRRD + "data file: {}\n", place))
    for name, place in {
        "missing": "there.raw",
        "list": "LIST",
        "pattern": "x%03d.raw 1 3 1",
        "empty": " ",
        "nul": "a\0b",
    }.items():
        yield Case("nrrd", f"data {name}", _file("x.nhdr", f"{_NRRD}data file: {place}\n\n".encode()))


def _places_outside() -> dict[str, Callable[[Path, Path], str]]:
    """Ways to name the file ``good.raw`` in ``outside``."""

    def link(folder: Path, outside: Path) -> str:
        (folder / "inside.raw").symlink_to(outside / "good.raw")
        return "inside.raw"

    def folder_link(folder: Path, outside: Path) -> str:
        (folder / "below").symlink_to(outside)
        return "below/good.raw"

    return {
        "above": lambda folder, outside: os.path.relpath(outside / "good.raw", folder),
        "absolute": lambda folder, outside: str(outside / "good.raw"),
        "up and down": lambda folder, outside: f"no/../{os.path.relpath(outside / 'good.raw', folder)}",
        "link": link,
        "link of a folder": folder_link,
    }


def _detached(name: str, header: str, place: Callable[[Path, Path], str]) -> Callable[[Path, Path], Path]:
    def make(folder: Path, outside: Path) -> Path:
        (folder / name).write_text(header.format(place(folder, outside)) + "\n")
        return folder / name

    return make


_META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "DimSize = 11 9 3\nElementType = MET_USHORT\nElementDataFile = LOCAL\n"
)


def metaimage() -> Iterator[Case]:
    """Headers of MetaImage that lie."""
    for name, (old, new) in {
        "absurd": ("11 9 3", "100000 100000 100"), "beyond integers": ("11 9 3", "99999999999999999999 9 3"),
        "zero": ("11 9 3", "11 0 3"), "negative": ("11 9 3", "11 -9 3"), "negative twice": ("11 9 3", "-11 -9 3"),
        "too large": ("11 9 3", "12 9 3"), "words": ("11 9 3", "eleven 9 3"), "no size": ("DimSize = 11 9 3\n", ""),
        "fewer": ("11 9 3", "11 9"), "five": ("NDims = 3", "NDims = 5"), "one": ("3\n", "1\n"),
        "type": ("MET_USHORT", "MET_QUATERNION"), "no type": ("ElementType = MET_USHORT\n", ""),
        "text": ("BinaryData = True", "BinaryData = False"),
        "not zlib": ("CompressedData = False", "CompressedData = True"),
        "no data": ("ElementDataFile = LOCAL\n", ""), "empty data": ("= LOCAL", "="), "list": ("= LOCAL", "= LIST"),
        "pattern": ("= LOCAL", "= x%03d.raw 1 3 1"), "missing": ("= LOCAL", "= there.raw"),
        "nul": ("= LOCAL", "= a\0b"),
        "negative offset": ("ElementType", "HeaderSize = -7\nElementType"),
        "far offset": ("ElementType", "HeaderSize = 999999999999\nElementType"),
        "channels": ("ElementType", "ElementNumberOfChannels = 7\nElementType"),
        "no channels": ("ElementType", "ElementNumberOfChannels = 0\nElementType"),
        "minus channels": ("ElementType", "ElementNumberOfChannels = -2\nElementType"),
        "no equals": ("NDims = 3", "NDims"),
    }.items():  # fmt: skip
        yield Case("metaimage", name, _file("x.mha", _META.replace(old, new).encode() + VOLUME.tobytes()))
    zipped = _META.replace("CompressedData = False", "CompressedData = True")
    yield Case("metaimage", "cut stream", _file("x.mha", zipped.encode() + zlib.compress(VOLUME.tobytes())[:-20]))
    yield Case("metaimage", "bomb", _file("x.mha", zipped.encode() + zlib.compress(bytes(2**22))))
    large = zipped.replace("11 9 3", "100000 1000 100").encode()
    yield Case("metaimage", "large bomb", _file("x.mha", large + zlib.compress(bytes(2**24), 1)))
    for name, place in _places_outside().items():
        yield Case("metaimage", f"data {name}", _detached("x.mhd", _META.replace("LOCAL", "{}"), place))


def raw() -> Iterator[Case]:
    """Headers of raw files that say nothing, too much, or what is not so."""
    start = {"shape": [3, 9, 11], "type": "uint16", "byte_order": "little"}
    for name, change in {
        "absurd": {"shape": [2**40, 2**40, 2**40]}, "terabyte": {"shape": [10000, 10000, 10000]},
        "too large": {"shape": [4, 9, 11]}, "too small": {"shape": [2, 9, 11]}, "zero": {"shape": [3, 0, 11]},
        "negative": {"shape": [3, -9, 11]}, "flat": {"shape": [297]}, "four": {"shape": [3, 3, 3, 11]},
        "no shape": {"shape": None}, "words": {"shape": "large"}, "fraction": {"shape": [3, 9, 10.5]},
        "type": {"type": "uint12"}, "objects": {"type": "object"}, "no order": {"byte_order": None},
        "order": {"byte_order": "middle"}, "offset": {"offset": -8}, "far": {"offset": 10**9},
        "beyond": {"offset": 2**70},
        "channels": {"channels": 9}, "pixel": {"pixel_size_um": 0}, "negative pixel": {"pixel_size_um": -1},
        "endless pixel": {"pixel_size_um": float("inf")}, "pixels": {"pixel_size_um": [1, 1]}, "key": {"shpae": 3},
        "wide": {"type": "float64"},
    }.items():  # fmt: skip
        yield Case("raw", name, _raw(json.dumps(start | change)))
    bomb = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for name, header, ending in (
        ("missing", None, ".json"), ("empty", "", ".json"), ("list", "[1, 2]", ".json"),
        ("open", '{"shape": [3', ".json"),
        ("deep", "[" * 20000, ".json"), ("number", "3", ".json"), ("bytes", b"\xff\xfe\0\0", ".json"),
        ("long", " " * 70000, ".json"),
        ("no yaml", "shape: [3", ".yaml"), ("tag", "!!python/object/apply:os.system ['true']", ".yaml"),
        ("bomb", bomb, ".yaml"),
        ("deep yaml", "[" * 3000, ".yaml"), ("prose", "a scan of a rock", ".txt"), ("nothing", "", ".txt"),
    ):  # fmt: skip
        yield Case("raw", f"header {name}", _raw(header, ending=ending))

    def two(folder: Path, outside: Path) -> Path:
        (folder / "x.txt").write_text("shape: [3, 9, 11]")
        return _raw(json.dumps(start))(folder, outside)

    def linked(folder: Path, outside: Path) -> Path:
        (folder / "x.json").symlink_to(outside / "good.json")
        return _raw(None)(folder, outside)

    yield Case("raw", "two headers", two)
    yield Case("raw", "header elsewhere", linked)


def _npy(descr: str = "'<u2'", shape: str = "(3, 9, 11)", order: str = "False", version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + VOLUME.tobytes()


def numpy_files() -> Iterator[Case]:
    """Arrays and archives that lie, hide or execute."""
    for name, data in {
        "terabyte": _npy(shape="(10000, 10000, 10000)"), "too large": _npy(shape="(4, 9, 11)"),
        "zero": _npy(shape="(3, 0, 11)"),
        "negative": _npy(shape="(3, -9, 11)"), "negative twice": _npy(shape="(-3, -9, 11)"),
        "beyond": _npy(shape=f"({2**70}, 2)"),
        "flat": _npy(shape="(297,)"), "none": _npy(shape="()"), "five": _npy(shape="(3, 3, 3, 11, 1)"),
        "words": _npy(shape="('a', 'b')"), "objects": _npy(descr="'|O'"), "complex": _npy(descr="'<c8'"),
        "text": _npy(descr="'<U2'"),
        "record": _npy(descr="[('a', '<u2')]"), "dates": _npy(descr="'<M8[s]'"), "type": _npy(descr="'<q9'"),
        "call": _npy(descr="__import__('os').getcwd()"), "order": _npy(order="maybe"),
        "version": _npy(version=b"\x09\x00"),
        "channels": _npy(shape="(3, 11, 9, 1, 1)"), "wide": _npy(descr="'<u4'"),
        "deep": _npy(shape="(" * 500 + ")" * 500),
    }.items():  # fmt: skip
        yield Case("numpy", name, _file("x.npy", data))
    long = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{" * 999
    yield Case("numpy", "long header", _file("x.npy", long))

    class Calls:
        def __reduce__(self):
            return os.mkdir, ("executed",)

    pickled = io.BytesIO()
    np.save(pickled, np.array([Calls()], dtype=object), allow_pickle=True)
    yield Case("numpy", "pickle", _file("x.npy", pickled.getvalue()))
    array = good(".npy")
    for name, members in {
        "two": {"a.npy": array, "b.npy": array}, "none": {}, "other": {"a.txt": b"hello"}, "empty": {"a.npy": b""},
        "cut": {"a.npy": array[:200]}, "above": {"../../above.npy": array}, "absolute": {"/tmp/absolute.npy": array},
        "control": {"a\x1b[31m.npy": array}, "terabyte": {"a.npy": _npy(shape="(10000, 10000, 10000)")},
        "objects": {"a.npy": pickled.getvalue()}, "more": {"a.npy": array + bytes(9)},
        "nested": {"a.npz": good(".npz")},
        "bomb": {"a.npy": _npy(shape="(3, 9, 11)") + bytes(2**24)},
    }.items():  # fmt: skip
        yield Case("zip", name, _file("x.npz", _zip(members)))
    nested = array
    for _ in range(60):
        nested = _zip({"a.npz": nested})
    yield Case("zip", "nested deep", _file("x.npz", nested))
    yield Case("zip", "bzip2", _file("x.npz", _zip({"a.npy": array}, zipfile.ZIP_BZIP2)))
    yield Case("zip", "lzma", _file("x.npz", _zip({"a.npy": array}, zipfile.ZIP_LZMA)))
    plain = bytearray(_zip({"a.npy": array}, zipfile.ZIP_STORED))
    for name, place, new in (
        ("checksum", 14, b"\0\0\0\0"), ("encrypted", 6, b"\x01\0"), ("pixels", 400, b"\xff\xff"), ("name", 30, b"b"),
    ):  # fmt: skip
        data = bytearray(plain)
        data[place : place + len(new)] = new
        central = data.index(b"PK\x01\x02")
        if name == "encrypted":
            data[central + 8 : central + 10] = new
        if name == "checksum":
            data[central + 16 : central + 20] = new
        yield Case("zip", name, _file("x.npz", bytes(data)))
    for name, place, new in (("size", 24, struct.pack("<I", 2**32 - 2)), ("start", 42, struct.pack("<I", 2**31))):
        data = bytearray(plain)
        central = data.index(b"PK\x01\x02")
        data[central + place : central + place + 4] = new
        yield Case("zip", name, _file("x.npz", bytes(data)))
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a.npy", array)
        archive.filelist.append(archive.filelist[0])
    yield Case("zip", "twice", _file("x.npz", twice.getvalue()))


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def hdf5() -> Iterator[Case]:
    """HDF5 that holds nothing, too much, half, or points out of itself."""

    def case(name: str, fill: Callable[[h5py.File, Path, Path], object], inside: str = "") -> Case:
        def make(folder: Path, outside: Path) -> Path:
            with h5py.File(folder / "x.h5", "w") as file:
                fill(file, folder, outside)
            return Path(f"{folder / 'x.h5'}{inside}")

        return Case("hdf5", name, make)

    def damaged(name: str, spoil: Callable[[bytearray], object], **options: object) -> Case:
        def make(folder: Path, outside: Path) -> Path:
            with h5py.File(folder / "x.h5", "w") as file:
                file.create_dataset("exchange/data", data=np.tile(NOISE, (4, 1, 1)), **options)
            data = bytearray((folder / "x.h5").read_bytes())
            spoil(data)
            (folder / "x.h5").write_bytes(data)
            return folder / "x.h5"

        return Case("hdf5", name, make)

    def external(file: h5py.File, folder: Path, outside: Path) -> None:
        file["exchange/data"] = h5py.ExternalLink(str(outside / "good.h5"), "/exchange/data")

    def group_elsewhere(file: h5py.File, folder: Path, outside: Path) -> None:
        file["exchange"] = h5py.ExternalLink(os.path.relpath(outside / "good.h5", folder), "/exchange")

    def through(file: h5py.File, folder: Path, outside: Path) -> None:
        file["far"] = h5py.ExternalLink(str(outside / "good.h5"), "/")
        file["exchange/data"] = h5py.SoftLink("/far/exchange/data")

    def virtual(file: h5py.File, folder: Path, outside: Path) -> None:
        layout = h5py.VirtualLayout((3, 9, 11), np.uint16)
        layout[:] = h5py.VirtualSource(str(outside / "good.h5"), "exchange/data", (3, 9, 11))
        file.create_virtual_dataset("exchange/data", layout)

    def stored_elsewhere(file: h5py.File, folder: Path, outside: Path) -> None:
        parts = [(str(outside / "good.raw"), 0, VOLUME.nbytes)]
        file.create_dataset("exchange/data", (3, 9, 11), np.uint16, external=parts)

    def half_written(file: h5py.File, folder: Path, outside: Path) -> None:
        file.create_dataset("exchange/data", (8, 40, 50), np.uint8, chunks=(1, 40, 50))[:5] = NOISE

    def wide_chunk(file: h5py.File, folder: Path, outside: Path) -> None:
        file.create_dataset("exchange/data", (40, 50), np.uint8, chunks=(40, 50), maxshape=(None, None))

    def bomb(file: h5py.File, folder: Path, outside: Path) -> None:
        stored = file.create_dataset("exchange/data", (40, 50), np.uint8, chunks=(40, 50), compression="gzip")
        stored.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**24)))

    data = "exchange/data"
    yield case("bomb", bomb)
    yield case("empty", lambda f, a, b: None)
    yield case("words", lambda f, a, b: f.create_dataset("a", data="hello"))
    yield case("number", lambda f, a, b: f.create_dataset("a", data=3))
    yield case("row", lambda f, a, b: f.create_dataset("a", data=np.arange(99)))
    yield case("records", lambda f, a, b: f.create_dataset("a", data=np.zeros((9, 9), [("x", "u1"), ("y", "u1")])))
    yield case("named records", lambda f, a, b: f.create_dataset("a", data=np.zeros((9, 9), [("x", "u1")])), ":/a")
    yield case("complex", lambda f, a, b: f.create_dataset(data, data=np.zeros((9, 9), complex)), ":/exchange/data")
    yield case("several", lambda f, a, b: [f.create_dataset(n, data=VOLUME) for n in ("a", "b", "c/d")])
    yield case("many", lambda f, a, b: [f.create_dataset(f"s{k}", data=VOLUME) for k in range(40)])
    yield case("five", lambda f, a, b: f.create_dataset(data, data=np.zeros((2, 3, 4, 5, 6))))
    yield case("times", lambda f, a, b: f.create_dataset(data, data=np.zeros((3, 4, 5, 6))))
    yield case("zero", lambda f, a, b: f.create_dataset(data, (3, 0, 9), np.uint16), ":/exchange/data")
    yield case("null", lambda f, a, b: f.create_dataset(data, data=h5py.Empty("f")), ":/exchange/data")
    yield case("terabyte", lambda f, a, b: f.create_dataset(data, (10000, 10000, 10000), np.uint16))
    yield case("terabyte in chunks", lambda f, a, b: f.create_dataset(data, (10**4,) * 3, np.uint16, chunks=(64,) * 3))
    yield case("large chunks", lambda f, a, b: f.create_dataset(data, (30000, 30000), np.uint8, chunks=(30000, 30000)))
    yield case("unwritten", lambda f, a, b: f.create_dataset(data, (3, 40, 50), np.uint16, chunks=(1, 40, 50)))
    yield case("half written", half_written)
    yield case("not begun", wide_chunk)
    yield case("no numbers", lambda f, a, b: f.create_dataset(data, data=np.full((9, 9), np.nan, np.float32)))
    yield case("endless", lambda f, a, b: f.create_dataset(data, data=np.full((9, 9), np.inf)))
    yield case("digits", lambda f, a, b: f.create_dataset(data, data=np.full((9, 9), 2**40 + 1)))
    yield case("most negative", lambda f, a, b: f.create_dataset(data, data=np.full((9, 9), -(2**63))))
    yield case("nothing there", lambda f, a, b: f.create_dataset(data, data=VOLUME), ":/exchange/dark")
    yield case("a group", lambda f, a, b: f.create_dataset(data, data=VOLUME), ":/exchange")
    yield case("beyond a data set", lambda f, a, b: f.create_dataset(data, data=VOLUME), ":/exchange/data/more")
    yield case("dots", lambda f, a, b: f.create_dataset(data, data=VOLUME), ":/../../exchange/data")
    yield case("circle", lambda f, a, b: f.update({"a": h5py.SoftLink("/b"), "b": h5py.SoftLink("/a")}), ":/a")
    yield case("dangling", lambda f, a, b: f.update({data: h5py.SoftLink("/nowhere")}))
    for name, fill in {
        "external link": external, "external group": group_elsewhere, "soft to external": through, "virtual": virtual,
        "external storage": stored_elsewhere,
    }.items():  # fmt: skip
        yield case(name, fill)
        yield case(f"{name}, named", fill, ":/exchange/data")
    chunked = {"chunks": (1, 40, 50)}
    yield damaged("cut in a chunk", lambda d: d.__delitem__(slice(len(d) - 3000, None)), **chunked, compression="gzip")
    yield damaged("chunk", lambda d: d.__setitem__(slice(-3000, -2000), bytes(1000)), **chunked, compression="gzip")
    yield damaged("checksum", lambda d: d.__setitem__(slice(-3000, -2990), bytes(10)), **chunked, fletcher32=True)
    yield damaged("superblock", lambda d: d.__setitem__(slice(8, 16), b"\xff" * 8))
    yield damaged("root", lambda d: d.__setitem__(slice(96, 200), b"\xff" * 104))
    yield damaged("end", lambda d: d.__setitem__(slice(40, 48), struct.pack("<Q", 2**60)))
    yield damaged("zeroed", lambda d: d.__setitem__(slice(96, 800), bytes(704)))


def zarr_stores() -> Iterator[Case]:
    """Stores of both formats that lie, execute or leave their folder."""

    def case(name: str, spoil: Callable[[Path, Path], object], form: int = 2, **options: object) -> Case:
        def make(folder: Path, outside: Path) -> Path:
            store = folder / "x.zarr"
            settings = {"data": np.tile(NOISE, (4, 1, 1)), "chunks": (2, 40, 50)} | options
            zarr.open_group(store, mode="w", zarr_format=form).create_array("a", **settings)
            spoil(store, outside)
            return store

        return Case(f"zarr {form}", name, make)

    def metadata(form: int) -> str:
        return ".zarray" if form == 2 else "zarr.json"

    def edited(form: int, change: Callable[[dict], object]) -> Callable[[Path, Path], object]:
        def spoil(store: Path, outside: Path) -> None:
            file = store / "a" / metadata(form)
            told = json.loads(file.read_text())
            change(told)
            file.write_text(json.dumps(told))

        return spoil

    def chunk(form: int, change: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
        def spoil(store: Path, outside: Path) -> None:
            file = store / "a" / ("0.0.0" if form == 2 else "c/0/0/0")
            file.write_bytes(change(file.read_bytes()))

        return spoil

    def remove_chunks(store: Path, outside: Path) -> None:
        for file in sorted((store / "a").rglob("*")):
            if file.is_file() and file.name not in (".zarray", ".zattrs", "zarr.json"):
                file.unlink()

    def write(name: str, data: str | bytes) -> Callable[[Path, Path], object]:
        return lambda store, outside: (store / name).write_bytes(data.encode() if isinstance(data, str) else data)

    def linked(name: str, target: str) -> Callable[[Path, Path], object]:
        def spoil(store: Path, outside: Path) -> None:
            if (store / name).is_dir():
                (store / name).rename(store.parent / "moved")
            else:
                (store / name).unlink()
            (store / name).symlink_to(outside / target)

        return spoil

    def image(axes: list, path: str, scale: list | None, more: dict | None = None) -> Callable[[Path, Path], object]:
        steps = [] if scale is None else [{"type": "scale", "scale": scale}]
        told = {
            "multiscales": [
                {"axes": axes, "datasets": [{"path": path, "coordinateTransformations": steps}]} | (more or {})
            ]
        }
        return write(".zattrs", json.dumps(told))

    for form in (2, 3):
        for what, value in {
            "absurd": [10000, 10000, 10000], "zero": [4, 0, 50], "negative": [4, -40, 50], "words": ["a", 40, 50],
            "flat": [40],
            "none": [], "beyond": [2**70, 40, 50], "five": [1, 2, 2, 40, 50],
        }.items():  # fmt: skip
            yield case(what, edited(form, lambda told, v=value: told.update({"shape": v})), form)
        yield case("cut chunk", chunk(form, lambda data: data[: len(data) // 2]), form)
        yield case("empty chunk", chunk(form, lambda data: b""), form)
        yield case("noise for a chunk", chunk(form, lambda data: NOISE.tobytes()), form)
        yield case("oversized chunk", chunk(form, lambda data: data + bytes(2**21)), form)
        yield case("no chunks", remove_chunks, form)
        yield case("bad JSON", write(f"a/{metadata(form)}", '{"zarr_format": '), form)
        yield case("list", write(f"a/{metadata(form)}", "[1]"), form)
        yield case("deep", write(f"a/{metadata(form)}", "[" * 100000), form)
        yield case("bytes", write(f"a/{metadata(form)}", b"\xff\xfe"), form)
        yield case("empty", write(f"a/{metadata(form)}", "{}"), form)
        yield case("long", write(f"a/{metadata(form)}", " " * (2**24 + 1)), form)
        yield case("chunk elsewhere", linked("a/0.0.0" if form == 2 else "a/c/0/0/0", "good.raw"), form)
        yield case("chunks elsewhere", linked("a", "good.zarr/0"), form)
        yield case("metadata elsewhere", linked(f"a/{metadata(form)}", "good.zarr/0/.zarray"), form)
        yield case(
            "several", lambda s, o: zarr.open_group(s, mode="a").create_array("b", shape=(9, 9), dtype="u1"), form
        )
        yield case("plain oversized chunk", chunk(form, lambda data: data + bytes(9)), form, compressors=None)
    for what, change in {
        "pickle": {"filters": [{"id": "pickle"}]}, "compressor": {"compressor": {"id": "brotli"}},
        "objects": {"dtype": "|O"},
        "records": {"dtype": [["a", "|u1"], ["b", "|u1"]]}, "text": {"dtype": "<U4"}, "dates": {"dtype": "<M8[s]"},
        "chunks": {"chunks": [1, 40]}, "zero chunks": {"chunks": [0, 40, 50]}, "absurd chunks": {"chunks": [10**5] * 3},
        "tiny chunks": {"chunks": [1, 1, 1], "shape": [1000, 1000, 1000]}, "version": {"zarr_format": 7},
        "json": {"filters": [{"id": "json2"}]}, "order": {"order": "Q"}, "wider": {"dtype": "<u4"},
    }.items():  # fmt: skip
        yield case(what, edited(2, lambda told, c=change: told.update(c)))
    for what, change in {
        "codec": {"codecs": [{"name": "numcodecs.pickle"}]}, "no codecs": {"codecs": []},
        "type": {"data_type": "string"},
        "raw type": {"data_type": {"name": "numpy.datetime64"}}, "node": {"node_type": "tree"},
        "chunks": {"chunk_grid": {}},
        "zero chunks": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 40, 50]}}},
        "absurd chunks": {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [10**5] * 3}}},
        "wider": {"data_type": "float64"}, "version": {"zarr_format": 9},
    }.items():  # fmt: skip
        yield case(what, edited(3, lambda told, c=change: told.update(c)), 3)
    bomb = _gzipped(b"", 2**30)
    gzipped = {"compressors": {"name": "gzip", "configuration": {"level": 1}}}
    yield case("bomb", chunk(3, lambda data: bomb), 3, **gzipped, chunks=(4, 40, 50))
    yield case("blosc bomb", chunk(3, lambda d: d[:4] + struct.pack("<I", 2**31 - 1) + d[8:]), 3,
               compressors={"name": "blosc", "configuration": {"cname": "zstd"}})  # fmt: skip
    zyx = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    for what, spoil in {
        "above": image(zyx, "../../../outside/good.zarr/0", [1, 1, 1]),
        "absolute": image(zyx, "/tmp/good.zarr", [1, 1, 1]),
        "not there": image(zyx, "9", [1, 1, 1]), "fewer axes": image(zyx[1:], "a", [1, 1]),
        "axes": image(zyx[:2] * 2, "a", None),
        "times": image([{"name": "t"}, *zyx[1:]], "a", [1, 1, 1]), "fewer scales": image(zyx, "a", [1, 1]),
        "words": image(zyx, "a", ["a", "b", "c"]), "nothing": image(zyx, "a", None, {"datasets": []}),
        "no name": image([{"type": "space"}] * 3, "a", None), "no datasets": write(".zattrs", '{"multiscales": [{}]}'),
        "no list": write(".zattrs", '{"multiscales": 3}'), "attributes": write(".zattrs", "[]"),
    }.items():  # fmt: skip
        yield case(f"image {what}", spoil)
    yield Case("zarr 2", "empty folder", lambda folder, outside: _made(folder / "x.zarr"))
    yield Case("zarr 2", "a file", _file("x.zarr", b"hello"))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def png_and_jpeg() -> Iterator[Case]:
    """Chunks and segments that lie."""
    data = good(".png")

    def header(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
        body = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
        return data[:12] + body + struct.pack(">I", zlib.crc32(body)) + data[33:]

    for name, changed in {
        "absurd": header(2**31 - 1, 2**31 - 1), "wide": header(100000, 100000), "zero": header(0, 40),
        "no height": header(50, 0),
        "negative": header(2**32 - 50, 40), "bits": header(50, 40, 7), "colour": header(50, 40, 8, 5),
        "taller": header(50, 80),
        "deep colour": header(50, 40, 16, 6), "checksum": data[:29] + bytes(4) + data[33:],
        "no pixels": data[:33] + data[-12:], "no header": data[:8] + data[33:],
        "long chunk": data[:33] + b"\x7f\xff\xff\xff" + data[37:],
        "damaged": data[:-200] + bytes(100) + data[-100:], "palette": header(50, 40, 8, 3),
    }.items():  # fmt: skip
        yield Case("png", name, _file("x.png", changed))
    data = good(".jpg")
    frame = data.index(b"\xff\xc0") + 5

    def size(height: int, width: int) -> bytes:
        return data[:frame] + struct.pack(">HH", height, width) + data[frame + 4 :]

    for name, changed in {
        "absurd": size(65500, 65500), "zero": size(40, 0), "no frame": data.replace(b"\xff\xc0", b"\xff\xef"),
        "no tables": data[:2] + data[frame - 5 :], "half": data[: len(data) // 2],
    }.items():  # fmt: skip
        yield Case("jpeg", name, _file("x.jpg", changed))
    cmyk = io.BytesIO()
    Image.new("CMYK", (20, 20)).save(cmyk, "JPEG")
    yield Case("jpeg", "four inks", _file("x.jpg", cmyk.getvalue()))


def tiff() -> Iterator[Case]:
    """Directories that lie."""
    plain = io.BytesIO()
    tifffile.imwrite(plain, NOISE, photometric="minisblack", metadata=None)
    data = plain.getvalue()
    first = struct.unpack("<I", data[4:8])[0]
    entries = {
        struct.unpack("<H", data[at : at + 2])[0]: at
        for at in range(first + 2, first + 2 + 12 * struct.unpack("<H", data[first : first + 2])[0], 12)
    }

    def tag(*changes: tuple[int, int]) -> bytes:
        changed = bytearray(data)
        for code, value in changes:
            at = entries[code]
            changed[at + 2 : at + 12] = struct.pack("<HII", 4, 1, value & 0xFFFFFFFF)
        return bytes(changed)

    for name, changed in {
        "absurd": tag((256, 1000000), (257, 1000000)), "more absurd": tag((256, 2**31 - 1), (257, 2**31 - 1)),
        "zero": tag((256, 0)), "no height": tag((257, 0)), "taller": tag((257, 400)), "negative": tag((257, -40)),
        "strip far away": tag((273, 2**31)), "strip beyond": tag((273, len(data) - 5)),
        "samples": tag((277, 999)), "compression": tag((259, 12345)),
        "offset": data[:4] + struct.pack("<I", 2**31) + data[8:],
        "offset in header": data[:4] + struct.pack("<I", 2) + data[8:],
        "no directory": data[:4] + bytes(4) + data[8:], "version": data[:2] + b"\x2f\0" + data[4:],
        "entries": data[:first] + b"\xff\xff" + data[first + 2 :], "large cut": b"II\x2b\0\x08\0\0\0" + bytes(8),
    }.items():  # fmt: skip
        yield Case("tiff", name, _file("x.tif", changed))
    stack = io.BytesIO()
    tifffile.imwrite(stack, VOLUME, imagej=True, metadata={"axes": "ZYX"})
    told = stack.getvalue()
    yield Case("tiff", "missing planes", _file("x.tif", told[:-400]))
    for compression in ("zlib", "lzw", "zstd"):
        packed = io.BytesIO()
        tifffile.imwrite(packed, NOISE, compression=compression, rowsperstrip=8, metadata=None)
        spoilt = bytearray(packed.getvalue())
        middle = spoilt.index(b"tifffile.py") + 200
        spoilt[middle : middle + 400] = bytes(400)
        if compression != "lzw":
            yield Case("tiff", f"damaged {compression}", _file("x.tif", bytes(spoilt)))


def folders() -> Iterator[Case]:
    """Folders whose names, links, tables and manifests lead elsewhere, and sets that are not of one kind."""

    def case(name: str, fill: Callable[[Path, Path], object]) -> Case:
        def make(folder: Path, outside: Path) -> Path:
            place = folder / "set"
            place.mkdir()
            (place / "good.png").write_bytes(good(".png"))
            fill(place, outside)
            return place

        return Case("folder", name, make)

    def named(name: str | bytes) -> Callable[[Path, Path], object]:
        def fill(place: Path, outside: Path) -> None:
            (place / os.fsdecode(name)).write_bytes(good(".png"))

        return fill

    def below(place: Path, outside: Path) -> None:
        (place / "images").mkdir()
        (place / "good.png").rename(place / "images" / "good.png")

    def in_order(*steps: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
        return lambda place, outside: [step(place, outside) for step in steps]

    def link(name: str, target: str) -> Callable[[Path, Path], object]:
        return lambda place, outside: (place / name).symlink_to(outside / target)

    def text(name: str, content: str) -> Callable[[Path, Path], object]:
        return lambda place, outside: (place / name).write_text(content)

    def file(name: str, data: bytes) -> Callable[[Path, Path], object]:
        return lambda place, outside: (place / name).write_bytes(data)

    for name in ("red\x1b[31m.png", "two\nlines.png", "bell\x07.png", "right\u202eleft.png", "delete\x7f.png",
                 "tab\t.png",
                 b"latin\xe4.png", "title\x1b]0;owned\x07.png", "c1\x9b31m.png", "null\u200b.png"):  # fmt: skip
        yield case(f"name {name!r}", named(name))
    yield case("link away", link("a.png", "good.png"))
    yield case("link to nowhere", link("a.png", "nothing.png"))
    yield case("link up", lambda place, outside: (place / "a.png").symlink_to("../../outside/good.png"))
    yield case("store away", link("a.zarr", "good.zarr"))
    yield case(
        "images away",
        lambda place, outside: ((place / "good.png").unlink(), link("images", "set/images")(place, outside)),
    )
    yield case(
        "class away",
        lambda place, outside: ((place / "good.png").unlink(), link("class", "set/images")(place, outside)),
    )
    yield case("masks away", in_order(below, link("masks", "set/images")))
    yield case("mask away", in_order(below, lambda p, o: (p / "masks").mkdir(), link("masks/good.png", "good.png")))
    yield case("labels away", link("labels.csv", "labels.csv"))
    yield case("captions away", link("captions.csv", "captions.csv"))
    yield case("labels above away", in_order(below, link("labels.csv", "labels.csv")))
    yield case("manifest away", link("manifest.json", "manifest.json"))
    yield case("manifest deep", text("manifest.json", "[" * 100000))
    yield case("manifest dots", text("manifest.json", json.dumps({
        "fingerprint": "", "pictures": [{"file": "../good.png", "specimen": "a", "spacing_um": [1, 1]}]})))  # fmt: skip
    yield case("labels dots", text("labels.csv", "file,porosity\n../../outside/good.png,0.2\n"))
    yield case("labels control", text("labels.csv", "file,porosity\na\x1b[31m.png,0.2\n"))
    yield case("labels nul", text("labels.csv", "file,porosity\n\0,0.2\n"))
    yield case("labels of a row", text("labels.csv", "file,porosity\ngood.png\n"))
    yield case("two sizes of numbers", lambda p, o: tifffile.imwrite(p / "a.tif", VOLUME[0]))
    yield case("grey and colour", lambda p, o: Image.new("RGB", (9, 9)).save(p / "a.png"))
    yield case("one is empty", file("a.png", b""))
    yield case("one is cut", file("a.png", good(".png")[:500]))
    yield case(
        "mask of another size",
        in_order(
            below,
            lambda p, o: (p / "masks").mkdir(),
            lambda p, o: Image.new("L", (9, 9)).save(p / "masks" / "good.png"),
        ),
    )
    yield case(
        "mask is cut",
        in_order(
            below,
            lambda p, o: (p / "masks").mkdir(),
            lambda p, o: (p / "masks" / "good.png").write_bytes(good(".png")[:500]),
        ),
    )
    for name, place in {"missing": "there.raw", "nul": "a\0b", "itself": "a.mhd", "long": "a" * 5000}.items():
        yield case(f"data {name}", text("a.mhd", _META.replace("LOCAL", place)))
    yield case("nothing", lambda place, outside: (place / "good.png").unlink())
    yield case("only text", lambda place, outside: (place / "good.png").rename(place / "a.txt"))
    yield case("no numbers", lambda p, o: tifffile.imwrite(p / "a.tif", np.full((9, 9), np.nan, np.float32)))
    yield Case("folder", "not there", lambda folder, outside: folder / "nothing")
    yield Case("folder", "dots to nothing", lambda folder, outside: folder / ".." / "nothing" / "a.png")
    yield Case("folder", "no format", _file("x.doc", b"hello"))
    yield Case("folder", "a program", _file("x.exe", b"MZ"))
    yield Case("folder", "inside of an image", lambda f, o: Path(f"{_file('x.png', good('.png'))(f, o)}:/a"))


def corpus() -> list[Case]:
    """All of it."""
    generators = (truncated, wrong_magic, nifti, nrrd, metaimage, raw, numpy_files, hdf5, zarr_stores, png_and_jpeg,
                  tiff, folders)  # fmt: skip
    return [case for generator in generators for case in generator()]


def write_outside(outside: Path) -> None:
    """Good files that nobody may open."""
    outside.mkdir()
    (outside / "good.png").write_bytes(good(".png"))
    (outside / "good.h5").write_bytes(good(".h5"))
    (outside / "good.raw").write_bytes(VOLUME.tobytes())
    (outside / "good.json").write_text('{"shape": [3, 9, 11], "type": "uint16", "byte_order": "little"}')
    (outside / "labels.csv").write_text("file,porosity\ngood.png,0.2\n")
    (outside / "captions.csv").write_text("file,caption\ngood.png,a rock\n")
    (outside / "manifest.json").write_text('{"fingerprint": "", "pictures": []}')
    format_of(".zarr").write_volume(outside / "good.zarr", VOLUME[None], (1.0, 1.0, 1.0))
    (outside / "set" / "images").mkdir(parents=True)
    (outside / "set" / "images" / "good.png").write_bytes(good(".png"))
