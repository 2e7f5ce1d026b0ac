# wire.py: frames and messages (PROTOCOL A.1, A.2): MessagePack with the mapping of Part A, length-prefixed on streams.
# Knows no sockets and no commands' meaning. SPDX-License-Identifier: MIT
import datetime
import struct
import uuid
from dataclasses import dataclass, field
from typing import Any, Optional

import msgpack

HEADER = struct.Struct(">II")  # length of the data, length of the topic: but the topic comes first
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
KEYS = ("command", "topic", "data", "timestamp", "ttl", "uuid")
SETS = ("subscriptions", "visited")  # what data of the protocol's commands has as a set


# --- values ----------------------------------------------------------------------------------------------------------
def to_timestamp(moment: datetime.datetime) -> msgpack.Timestamp:
    """A naive moment is local time."""
    since = moment.astimezone(datetime.timezone.utc) - EPOCH
    return msgpack.Timestamp(since.days * 86400 + since.seconds, since.microseconds * 1000)


def to_datetime(stamp: msgpack.Timestamp) -> Any:
    """A naive local moment to the microsecond; the timestamp itself where datetime has no such year."""
    try:
        moment = EPOCH + datetime.timedelta(seconds=stamp.seconds, microseconds=stamp.nanoseconds // 1000)
        return moment.astimezone().replace(tzinfo=None)
    except (OverflowError, ValueError):
        return stamp


def _encode_other(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return to_timestamp(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"cannot be serialised: {value!r}")


def encode(value: Any) -> bytes:
    return msgpack.packb(value, default=_encode_other, use_bin_type=True)


def _native(value: Any) -> Any:
    return to_datetime(value) if isinstance(value, msgpack.Timestamp) else value


def decode(data: bytes, times: bool = True) -> Any:
    """times=False leaves timestamps as msgpack.Timestamp, to the nanosecond."""
    hooks: dict = {}
    if times:
        hooks["list_hook"] = lambda items: [_native(item) for item in items]
        hooks["object_hook"] = lambda items: {key: _native(item) for key, item in items.items()}
    value = msgpack.unpackb(data, raw=False, strict_map_key=False, timestamp=0, **hooks)
    return _native(value) if times else value


def _seconds_to_datetime(value: Any) -> Any:
    """A plain number is taken as seconds since the epoch."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.datetime.fromtimestamp(value)
    return value


# --- messages --------------------------------------------------------------------------------------------------------
@dataclass
class Message:
    command: str
    topic: str = ""
    data: Any = None
    timestamp: Any = field(default_factory=datetime.datetime.now)
    ttl: int = 64
    uuid: Optional[str] = field(default_factory=lambda: str(uuid.uuid4()))

    def encode(self) -> bytes:
        return encode({key: getattr(self, key) for key in KEYS})

    def frame(self) -> bytes:
        return frame(encode(self.topic), self.encode())


def _with_sets(data: Any) -> Any:
    if isinstance(data, dict):
        for key in SETS:
            if isinstance(data.get(key), list):
                data[key] = set(data[key])
        if "source_timestamp" in data:
            data["source_timestamp"] = _seconds_to_datetime(data["source_timestamp"])
    return data


def read_message(data: bytes, protocol: bool) -> Message:
    """Raises on what is no message: whoever reads it ends the connection. protocol: a command of the protocol's own."""
    value = decode(data)
    message = Message(
        value["command"],
        value.get("topic", ""),
        value.get("data"),
        _seconds_to_datetime(value.get("timestamp", 0)),
        value.get("ttl", 64),
        value.get("uuid"),
    )
    if protocol:
        message.data = _with_sets(message.data)
    return message


def frame(topic: bytes, data: bytes) -> bytes:
    return HEADER.pack(len(data), len(topic)) + topic + data


def split_frame(raw: bytes) -> tuple:
    """(topic, data) of exactly one frame."""
    data_len, topic_len = HEADER.unpack_from(raw)
    if len(raw) != HEADER.size + topic_len + data_len:
        raise ValueError("not one whole frame")
    return raw[HEADER.size : HEADER.size + topic_len], raw[HEADER.size + topic_len :]
