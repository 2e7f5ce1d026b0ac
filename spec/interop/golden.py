# golden.py: the captured frames of PROTOCOL A.13, read from spec/fixtures/frames.h, the one place they are kept in.
# SPDX-License-Identifier: MIT
import pathlib
import re
from dataclasses import dataclass
from typing import Any

import msgpack

import notation

PATH = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "frames.h"
_FIELD = re.compile(r'\.(\w+) =\s*((?:"(?:[^"\\]|\\.)*"\s*)+|[\w]+)')


@dataclass
class Frame:
    name: str
    datagram: bool
    raw: bytes
    message: dict  # as decoded, times as msgpack.Timestamp


def _value(text: str) -> Any:
    if not text.startswith('"'):
        return {"true": True, "false": False}[text] if text in ("true", "false") else int(text)
    return "".join(re.sub(r"\\(.)", r"\1", part) for part in re.findall(r'"((?:[^"\\]|\\.)*)"', text))


def _frame(fields: dict) -> Frame:
    message = {
        "command": fields["command"],
        "topic": fields["topic"],
        "data": notation.parse(fields["data"]),
        "timestamp": msgpack.Timestamp(fields["sec"], fields["nsec"]),
        "ttl": fields["ttl"],
        "uuid": fields["uuid"] or None,
    }
    return Frame(fields["name"], fields["datagram"], bytes.fromhex(fields["hex"]), message)


def read() -> list:
    """All captured frames."""
    frames: list = []
    for name, text in _FIELD.findall(PATH.read_text(encoding="utf-8").partition("captured_frames[]")[2]):
        if name == "name":
            frames.append({})
        frames[-1][name] = _value(text)
    return [_frame(fields) for fields in frames]
