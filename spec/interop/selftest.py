#!/usr/bin/python3 -B
# selftest.py: the peer's own wire code against the captured frames, so that the specs do not compare two errors.
# Prints one line for each check; exits 1 if one fails. SPDX-License-Identifier: MIT
import sys
import traceback
from typing import Any

import msgpack

import golden
import notation
import wire


def equal(expected: Any, got: Any) -> None:
    if expected != got or type(expected) is not type(got):
        raise AssertionError(f"expected {expected!r}, got {got!r}")


def check_decode(frame: golden.Frame) -> None:
    data = frame.raw
    if not frame.datagram:
        topic, data = wire.split_frame(frame.raw)
        equal(frame.message["topic"], wire.decode(topic))
    got = wire.decode(data, times=False)
    equal(list(wire.KEYS), list(got))
    equal(notation.write(frame.message), notation.write(got))


def check_encode(frame: golden.Frame) -> None:
    """The original's bytes, as its keys stand in the order in which we write them."""
    data = frame.raw if frame.datagram else wire.split_frame(frame.raw)[1]
    message = wire.read_message(data, protocol=False)
    equal(frame.raw.hex(), (message.encode() if frame.datagram else message.frame()).hex())


def check_protocol_sets() -> None:
    frame = next(each for each in golden.read() if each.name == "handshake_back")
    message = wire.read_message(wire.split_frame(frame.raw)[1], protocol=True)
    equal({"t", "u"}, message.data["subscriptions"])


def check_times() -> None:
    before_1970, far_future = "c70cff000003e8fffffffffffffffe", "c70cff3b9ac9ff7fffffffffffffff"
    for text in ("d6ff6b038b34", "d7ff202dea406b038b34", before_1970, far_future):
        stamp = wire.decode(bytes.fromhex(text), times=False)
        moment = wire.decode(bytes.fromhex(text))
        equal(stamp.seconds, (moment if isinstance(moment, msgpack.Timestamp) else wire.to_timestamp(moment)).seconds)
    for number in (1795394356, 1795394356.25):
        data = wire.encode({"command": "x", "timestamp": number})
        equal(1795394356, wire.to_timestamp(wire.read_message(data, protocol=False).timestamp).seconds)


def check_defaults() -> None:
    message = wire.read_message(wire.encode({"command": "x", "unknown": 1}), protocol=False)
    equal(("", None, 64, None), (message.topic, message.data, message.ttl, message.uuid))


def check_notation() -> None:
    text = (
        '{"a b": {}, nan: nan, x: [1, -1, nil, true, 2.5, -0.0, inf, "ñ\\"\\n", bin 00ff, bin , '
        "ext(-1) -5.000000001, ext(7) ff, 18446744073709551615]}"
    )
    equal(text, notation.write(notation.parse(text)))
    equal(text, notation.write(wire.decode(wire.encode(notation.parse(text)), times=False)))


def checks() -> list:
    frames = golden.read()
    if len(frames) != 13:
        raise AssertionError(f"13 captured frames expected, {len(frames)} read")
    both = (("decodes", check_decode), ("encodes", check_encode))
    of_frames = [(f"{word} {frame.name}", fn, (frame,)) for frame in frames for word, fn in both]
    others = (check_protocol_sets, check_times, check_defaults, check_notation)
    return of_frames + [(fn.__name__, fn, ()) for fn in others]


def main() -> int:
    failed = 0
    for name, fn, arguments in checks():
        try:
            fn(*arguments)
            print("ok    ", name)
        except Exception:
            failed += 1
            print("failed", name)
            traceback.print_exc(file=sys.stdout)
    print("all checks passed" if not failed else f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
