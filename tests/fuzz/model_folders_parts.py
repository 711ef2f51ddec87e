"""What a model folder is spoilt with: values, texts, bytes, headers of safetensors, and pickles that act."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

CANARY = "canary"
# Where a link leads.
OUTSIDE = "outside"
Place: TypeAlias = tuple[str | int, ...]


class Raw:
    """Words that are written into JSON as they are, though they be none."""

    def __init__(self, words: str) -> None:
        self.words = words


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 8, 16, 24, 0.5, 1.0, 2.0, 3.0, 6.0, 16.0, -0.0, 1e-300, 5e-324, 1e308),
    *(2**31, 2**63 - 1, 2**63, 2**64, 10**9, 10**400, -(2**63)),
    *(Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"), Raw("9" * 5000), Raw("0x10"), Raw("1_6"), Raw("01")),
    *("", "0", "16", "nan", "flair", "t1", "all", "FLAIR", "flair+flair", "raw", "z-score", "supervised", "dropout"),
    *("gkd", "sigmoid-regions", "unet", "__init__", "os.system", "../..", "..", ".", "/etc/passwd", "/dev/zero"),
    *(
        "weights-x.safetensors",
        "a\nb",
        "a\x1b[31m",
        "\u202egnp",
        "\x00",
        "e\u0301",
        "x" * 300,
        "x" * 100_000,
        "{0.__class__}",
    ),
    *(Raw('"\\ud800"'), Raw('"\\u0000"'), "%s%n", "🧠" * 50, "a" * 64, "A" * 64, "0" * 64),
    *(
        [],
        [[]],
        [None],
        ["flair"],
        ["flair", "t1"],
        ["t1"],
        [16, 16],
        [16, 16, 16, 16],
        [16, 16, 24],
        [0, 0, 0],
        [1] * 3,
    ),
    *([8, 8, 8], [16.0, 16, 16], [True, 16, 16], [10**9] * 3, [1024] * 3, [-16, 16, 16], list(range(3000))),
    *({}, {"a": 1}, {"": {}}, {"__class__": "os.system"}, {"name": "x"}, {"width": 8}, {"weights-0.safetensors": "0"}),
    *({"../../x.safetensors": "0" * 64}, {"/etc/weights-0.safetensors": "0" * 64}, Raw("[" * 200 + "]" * 200)),
]


def leaves(content: Any, above: Place = ()) -> list[Place]:
    """Where every value of JSON stands, those that hold others too, the whole excepted."""
    found = [above] if above else []
    if isinstance(content, dict):
        found += [place for key, part in content.items() for place in leaves(part, (*above, key))]
    elif isinstance(content, list):
        found += [place for index, part in enumerate(content) for place in leaves(part, (*above, index))]
    return found


def place_in(content: Any, place: Place, new: Any) -> None:
    """Put a value where another stands."""
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] = new


def text_of(content: Any) -> str:
    """JSON, in which raw words stand as they are."""
    raw: list[str] = []

    def written(value: Any) -> Any:
        if not isinstance(value, Raw):
            raise TypeError(type(value))
        raw.append(value.words)
        return f"@raw{len(raw) - 1}@"

    text = json.dumps(content, default=written, indent=1, ensure_ascii=False)
    for index, words in enumerate(raw):
        text = text.replace(f'"@raw{index}@"', words)
    return text + "\n"


def rewrite(path: Path, content: str | bytes) -> None:
    """Put a new file in the place of one that may be linked elsewhere."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)


def twice(text: str, rng: random.Random) -> str:
    """A card's text with one of its names standing twice."""
    name = rng.choice(sorted(json.loads(text)))
    other = rng.choice(("null", "1", '"x"', "[]", json.dumps(json.loads(text)[name])))
    if rng.random() < 0.5:
        return text.replace("{", f'{{"{name}": {other}, ', 1)
    return text.rstrip()[:-1] + f', "{name}": {other}}}\n'


def with_bytes_changed(content: bytes, rng: random.Random) -> bytes:
    """A few bytes are others, are gone, or are new."""
    spoilt = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        where = rng.randrange(len(spoilt))
        how = rng.randrange(4)
        if how == 0:
            spoilt[where] = rng.randrange(256)
        elif how == 1:
            del spoilt[where : where + rng.choice((1, 1, 10, 200))]
        elif how == 2:
            spoilt[where:where] = rng.choice((b"\0", b'"', b"{", b"[", b"9", b"\xff", b"\xed\xa0\x80", b"e5", b"\n"))
        else:
            spoilt[where] = ord(rng.choice('0123456789[]{}",:.-eE tfn'))
        if not spoilt:
            break
    return bytes(spoilt)


# --- safetensors ------------------------------------------------------------------------------------------------------


def other_header(content: bytes, rng: random.Random) -> bytes:
    """A file of safetensors with another header before the same bytes."""
    length = int.from_bytes(content[:8], "little")
    head, tensors = json.loads(content[8 : 8 + length]), content[8 + length :]
    changed = rng.choice(HEADERS)(head, rng)
    text = changed if isinstance(changed, bytes) else text_of(changed).encode("utf-8", "surrogatepass")
    announced = rng.choice((0, 1, 7, 2**31, 2**63, 2**64 - 1, len(text) + 1)) if rng.random() < 0.1 else len(text)
    return announced.to_bytes(8, "little") + text + tensors


def _field(head: dict[str, Any], rng: random.Random) -> Any:
    place_in(head, rng.choice(leaves(head)), rng.choice(VALUES))
    return head


def _shape(head: dict[str, Any], rng: random.Random) -> Any:
    one = head[_tensor(head, rng)]
    one["shape"] = rng.choice(
        (one["shape"][::-1], [*one["shape"], 1], one["shape"][1:], [2**62, 2**62], [0], [2**31] * 8, [1] * 10_000)
    )
    return head


def _dtype(head: dict[str, Any], rng: random.Random) -> Any:
    head[_tensor(head, rng)]["dtype"] = rng.choice(("F64", "I32", "U8", "F8_E4M3", "f32", "C64", "torch.float32", "O"))
    return head


def _offsets(head: dict[str, Any], rng: random.Random) -> Any:
    one = head[_tensor(head, rng)]
    start, stop = one["data_offsets"]
    step = rng.choice((1, 4, 2**20, 2**40, 2**63))
    one["data_offsets"] = rng.choice(
        ([start + step, stop + step], [stop, start], [-4, stop], [start, 2**64], [start, stop, stop], [0, stop - start])
    )
    return head


def _name(head: dict[str, Any], rng: random.Random) -> Any:
    head[rng.choice(("", "a\nb", "__metadata__", "x" * 100_000, "../x", "\u202e"))] = head.pop(_tensor(head, rng))
    return head


def _exchanged(head: dict[str, Any], rng: random.Random) -> Any:
    one, other = rng.sample(sorted(name for name in head if name != "__metadata__"), 2)
    head[one], head[other] = head[other], head[one]
    return head


def _fewer(head: dict[str, Any], rng: random.Random) -> Any:
    del head[_tensor(head, rng)]
    return head


def _more(head: dict[str, Any], rng: random.Random) -> Any:
    end = max(one["data_offsets"][1] for name, one in head.items() if name != "__metadata__")
    count = rng.choice((1, 1000, 30_000))
    return {**head, **{f"n{i}": {"dtype": "F32", "shape": [0], "data_offsets": [end, end]} for i in range(count)}}


def _metadata(head: dict[str, Any], rng: random.Random) -> Any:
    return {"__metadata__": rng.choice(({"format": "pt"}, {"a": 1}, [], "x", {"__reduce__": "os.system"})), **head}


def _twofold(head: dict[str, Any], rng: random.Random) -> Any:
    return twice(text_of(head), rng).encode()


def _no_json(head: dict[str, Any], rng: random.Random) -> Any:
    return rng.choice((b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"a":' * 5000, b"\xff\xfe", b"{" + b" " * 2**22))


HEADERS: tuple[Callable[[dict[str, Any], random.Random], Any], ...] = (
    *(_field, _field, _shape, _dtype, _offsets, _name, _exchanged, _fewer, _more, _metadata, _twofold, _no_json),
)


def _tensor(head: dict[str, Any], rng: random.Random) -> str:
    return rng.choice(sorted(name for name in head if name != "__metadata__"))


# --- pickles ----------------------------------------------------------------------------------------------------------


class _Acting:
    """An object whose pickle writes a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def _plain(canary: Path) -> bytes:
    return pickle.dumps(_Acting(canary))


def _zipped(canary: Path) -> bytes:
    """As torch writes it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", _plain(canary))
        archive.writestr("archive/version", "3\n")
    return stream.getvalue()


def _array(canary: Path) -> bytes:
    """As NumPy writes an array of objects."""
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + _plain(canary)


def _inside(canary: Path) -> bytes:
    """Within what otherwise is safetensors."""
    content = _plain(canary)
    head = json.dumps({"stem.weight": {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}})
    return len(head).to_bytes(8, "little") + head.encode() + content


PICKLES: tuple[Callable[[Path], bytes], ...] = (_plain, _zipped, _array, _inside)
