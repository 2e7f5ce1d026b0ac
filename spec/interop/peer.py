#!/usr/bin/python3 -B
# peer.py: a controllable node of the original's kind: `peer.py OPTIONS` (JSON, see Node); commands as lines of JSON on
# standard input, {"id": 1, "do": "publish"}; events as lines of JSON on standard output, {"event": "message", ...}.
# Application data stands in both as text in the notation of PROTOCOL A.13. Ends when standard input ends, and after
# `limit` seconds whatever happens. SPDX-License-Identifier: MIT
import asyncio
import json
import os
import sys
import threading
from typing import Any

import notation
import wire
from edge import Edge
from node import Node

LIMIT = 60
LINE_MAX = 1 << 26


def say(event: str, **details: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **details}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class Peer(Node):
    def emit_message(self, message: wire.Message, edge: Edge) -> None:
        say(
            "message",
            topic=message.topic,
            data=notation.write(message.data),
            ttl=message.ttl - 1,
            wire_ttl=message.ttl,
            uuid=message.uuid,
            name=edge.name,
            timestamp=notation.write(message.timestamp),
        )

    def edge_of(self, name: Any) -> Any:
        if name is None:
            return None
        return next(edge for edge in self.edges if edge.name == name)

    # --- commands: each returns what its "done" event says -----------------------------------------------------------
    async def do_connect(self, ip: str, port: int, discovery: float = 0) -> dict:
        await (self.connect_and_discover(ip, port, discovery) if discovery else self.connect(ip, port))
        return {"paired": self.paired}

    async def do_report(self, ip: str, port: int, data: str) -> dict:
        """Dials back, as if a discovery had asked for it."""
        await self.connect(ip, port, report=notation.parse(data))
        return {}

    async def do_close(self, name: Any = None) -> dict:
        edges = [self.edge_of(name)] if name else list(dict.fromkeys(self.edges))
        for edge in edges:
            await self.close(edge)
        return {"closed": len(edges)}

    async def do_edges(self) -> dict:
        return {"edges": [edge.describe() for edge in self.edges], "skipped": self.skipped, "pool": len(self.pool),
                "owed": len(self.handshakes)}

    async def do_publish(self, topic: str, data: str = "nil", times: int = 1, number: bool = False, **envelope) -> dict:
        value = notation.parse(data)
        for i in range(times):
            await self.push(topic, i + 1 if number else value, **envelope)
        return {}

    async def do_write(self, command: str, data: str = "nil", topic: str = "All", name: Any = None, **envelope) -> dict:
        await self.write(command, notation.parse(data), self.edge_of(name), topic, **envelope)
        return {}

    async def do_raw(self, hex: str, name: Any = None) -> dict:
        await self.write_frame(bytes.fromhex(hex), [self.edge_of(name)] if name else list(self.edges))
        return {}

    async def do_first(self, ip: str, port: int, command: str, data: str, topic: str = "All") -> dict:
        """A frame before any handshake, on a connection of its own; returns the answer's command, nil at an end."""
        reader, writer = await asyncio.open_connection(ip, port)
        writer.write(wire.Message(command, topic, notation.parse(data)).frame())
        try:
            data_len, topic_len = wire.HEADER.unpack(await reader.readexactly(wire.HEADER.size))
            rest = await reader.readexactly(topic_len + data_len)
            answer = wire.decode(rest[topic_len:])["command"]
        except (asyncio.IncompleteReadError, OSError):
            answer = None
        writer.close()
        return {"answer": answer}

    async def do_ping(self, size: int = 0, times: int = 1) -> dict:
        """Several times: with nothing read in between."""
        for _ in range(times):
            await self.ping(size)
        return {}

    async def do_handshake(self, response: bool, name: Any = None) -> dict:
        await self.handshake(self.edge_of(name) or self.edges[0], response)
        return {}

    async def do_subscribe(self, topic: str, paired: bool = False) -> dict:
        self.subscribe(topic, paired)
        return {}

    async def do_unsubscribe(self, topic: str) -> dict:
        self.unsubscribe(topic)
        return {}

    async def do_propagation(self, on: bool) -> dict:
        self.propagation = on
        return {}

    async def do_status(self, ip: str, port: int) -> dict:
        return {"status": notation.write(await self.request_status(ip, port))}

    async def do_udp(self, command: str, data: str, ip: str, port: int) -> dict:
        self.send_udp_message(command, notation.parse(data), ip, port)
        return {}

    async def do_udp_raw(self, hex: str, ip: str, port: int) -> dict:
        self.transport.sendto(bytes.fromhex(hex), (ip, port))
        return {}

    async def do_request(self, callback: str, kwargs: str = "{}", name: Any = None) -> dict:
        return {"response": notation.write(await self.request(callback, notation.parse(kwargs), self.edge_of(name)))}

    async def do_discovery(self, on_pair: str = "none", timeout: float = 10, name: Any = None) -> dict:
        alone = await self.discovery(self.edge_of(name), on_pair, timeout)
        return {"alone": alone, "paired": self.paired}

    async def do_paired(self) -> dict:
        return {"paired": self.paired}

    async def do_stop(self) -> dict:
        await self.stop()
        return {"edges": len(self.edges)}


async def obey(peer: Peer, line: bytes) -> None:
    number = None
    try:
        command = json.loads(line)
        number, verb = command.pop("id", None), command.pop("do")
        say("done", id=number, **await getattr(peer, "do_" + verb)(**command))
    except Exception as failure:
        say("failed", id=number, why=f"{type(failure).__name__}: {failure}")


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=LINE_MAX)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(options: dict) -> None:
    peer = Peer(say, options)
    await peer.start()
    lines = await commands()
    say("ready", ip=peer.ip, port=peer.port)
    running = set()
    while line := await lines.readline():
        task = asyncio.create_task(obey(peer, line))
        running.add(task)
        task.add_done_callback(running.discard)


def watch(limit: float) -> None:
    """Ends the process even when the loop hangs."""
    timer = threading.Timer(limit, lambda: os._exit(3))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    given = json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")
    watch(given.get("limit", LIMIT))
    try:
        asyncio.run(main(given))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    sys.stdout.flush()
    os._exit(0)  # connections that are still read end with the process, without a goodbye
