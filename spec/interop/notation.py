# notation.py: values as PROTOCOL A.13 writes them, one line each: {k: [1, nil, true, 2.5, "ñ", bin 00ff]},
# ext(-1) SECONDS.NANOSECONDS. Says of a value which MessagePack type it is. SPDX-License-Identifier: MIT
import datetime
import json
import math
import re
from typing import Any

import msgpack

import wire

_TOKEN = re.compile(
    r"\s*(?:(?P<punct>[{}\[\],:])"
    r'|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|bin (?P<bin>[0-9a-f]*)"
    r"|ext\((?P<ext>-?\d+)\) (?P<ext_value>-?[0-9a-f]+(?:\.\d{9})?)"
    r"|(?P<number>[-+]?(?:inf|nan|\d+(?:\.\d+)?(?:e[-+]?\d+)?))(?![A-Za-z_])"
    r"|(?P<word>[A-Za-z_][A-Za-z_0-9]*))"
)
_WORDS = {"nil": None, "true": True, "false": False}


class _Parser:
    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.next()

    def next(self) -> None:
        if not self.text[self.at :].strip():
            self.kind, self.value = "end", ""
            return
        match = _TOKEN.match(self.text, self.at)
        if not match:
            raise ValueError(f"notation: at {self.text[self.at : self.at + 20]!r}")
        self.at = match.end()
        self.match = match
        self.kind = next(k for k in ("punct", "string", "bin", "ext", "number", "word") if match[k] is not None)
        self.value = match[self.kind]

    def take(self, punct: str) -> bool:
        if self.kind != "punct" or self.value != punct:
            return False
        self.next()
        return True

    def expect(self, punct: str) -> None:
        if not self.take(punct):
            raise ValueError(f"notation: {punct} expected, got {self.value!r}")

    def items(self, close: str):
        while not self.take(close):
            yield
            if not self.take(","):
                self.expect(close)
                return

    def pair(self) -> tuple:
        key = self.value if self.kind == "word" and self.value not in _WORDS else self.scalar()
        self.next()
        self.expect(":")
        return key, self.parse()

    def parse(self) -> Any:
        if self.take("{"):
            return dict(self.pair() for _ in self.items("}"))
        if self.take("["):
            return [self.parse() for _ in self.items("]")]
        value = self.scalar()
        self.next()
        return value

    def scalar(self) -> Any:
        if self.kind == "string":
            return json.loads(self.value)
        if self.kind == "bin":
            return bytes.fromhex(self.value)
        if self.kind == "number":
            return int(self.value) if re.fullmatch(r"[-+]?\d+", self.value) else float(self.value)
        if self.kind == "word" and self.value in _WORDS:
            return _WORDS[self.value]
        if self.kind == "ext":
            return self.extension(int(self.value), self.match["ext_value"])
        raise ValueError(f"notation: a value expected, got {self.value!r}")

    @staticmethod
    def extension(code: int, value: str) -> Any:
        if code != -1:
            return msgpack.ExtType(code, bytes.fromhex(value))
        seconds, nanoseconds = value.split(".")
        return msgpack.Timestamp(int(seconds), int(nanoseconds))


def parse(text: str) -> Any:
    """A value; times as msgpack.Timestamp."""
    parser = _Parser(text)
    value = parser.parse()
    if parser.kind != "end":
        raise ValueError(f"notation: the end expected, got {parser.value!r}")
    return value


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return repr(value)


def _map(value: dict) -> str:
    pairs = []
    for key, item in value.items():
        plain = isinstance(key, str) and re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", key) and key not in _WORDS
        pairs.append(f"{key if plain else write(key)}: {write(item)}")
    return "{" + ", ".join(sorted(pairs)) + "}"


def write(value: Any) -> str:
    """The notation of a value; the keys of maps in order, so that equal values have equal texts."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, msgpack.ExtType):  # before the tuple it is
        return f"ext({value.code}) {value.data.hex()}"
    if isinstance(value, (bytes, bytearray)):
        return f"bin {bytes(value).hex()}"
    if isinstance(value, datetime.datetime):
        value = wire.to_timestamp(value)
    if isinstance(value, msgpack.Timestamp):
        return f"ext(-1) {value.seconds}.{value.nanoseconds:09d}"
    if isinstance(value, dict):
        return _map(value)
    items = sorted(map(write, value)) if isinstance(value, (set, frozenset)) else map(write, value)
    return "[" + ", ".join(items) + "]"
