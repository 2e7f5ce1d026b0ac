# node.py: a node that does on the wire what PROTOCOL part A says the original does, its faults included: streams,
# handshake, ping, keep-alive, ends of connections, messages and their propagation. What it does not know: who uses it.
# SPDX-License-Identifier: MIT
import asyncio
import datetime
import os
import random
import socket
import uuid
from typing import Any, Callable, Optional

import wire
from discovery import Discovery
from edge import Edge
from generic import Requests
from udp import Datagrams

PROPAGATED = ("ChaskiMessage", "ChaskiStorageRequest")
KEEP_ALIVE = 7.0
REDIAL_AFTER = 5.0
RETRY_AFTER = 0.1  # the reader's, after an end of the stream it does not understand
SKIP = 65536


class Pool(list):
    """The ids of messages seen: a list of maxsize + 1 entries."""

    def __init__(self, maxsize: int):
        super().__init__()
        self.maxsize = maxsize

    def append(self, item: Any) -> None:
        if item in self:
            self.remove(item)
        super().append(item)
        if len(self) > self.maxsize + 1:
            del self[0]


class Node(Discovery, Requests, Datagrams):
    def __init__(self, emit: Callable, options: dict):
        get = options.get
        self.emit = emit  # emit(event, **details)
        self.name = get("name", "python")
        self.ip = get("ip", "127.0.0.1")
        self.port = get("port", 0)
        self.ttl = get("ttl", 64)
        self.root = get("root", False)
        self.reuse_address = get("reuse_address", False)  # of the listener; the original does not
        self.max_connections = get("max_connections", 5)
        self.reconnections = get("reconnections", 0)  # the original's default is 32
        self.redial_after = get("redial_after", REDIAL_AFTER)
        self.keep_alive = get("keep_alive", 0)  # seconds, 0 for none; the original's default is KEEP_ALIVE
        self.answers_pings = get("answers_pings", True)
        self.propagation = get("propagation", True)
        self.pool = Pool(get("messages_pool_maxsize", 128))
        self.edges: list = []
        self.connections: set = set()  # every Edge that is read, in the list or not
        self.handshakes: dict = {}
        self.pings: dict = {}
        self.serving = False
        self.reconnecting = False
        self.skipped = 0
        self.subscriptions: set = set()
        self.paired: dict = {}
        for topic in get("subscriptions", []):
            self.subscribe(topic, get("paired", False) or self.root)
        if self.root:
            self.subscribe("@", True)
        self.init_requests()
        self.init_datagrams()

    def subscribe(self, topic: str, paired: bool = False) -> None:
        """Neighbours learn of it from the next pong."""
        self.subscriptions.add(topic)
        self.paired[topic] = paired

    def unsubscribe(self, topic: str) -> None:
        self.subscriptions.discard(topic)
        self.paired.pop(topic, None)

    # --- start and stop ----------------------------------------------------------------------------------------------
    async def start(self) -> None:
        for _ in range(20):
            try:
                await self._listen()
                break
            except OSError:
                if self.port:
                    raise
        self.serving = True
        self.keeper = asyncio.create_task(self._keep_alive())

    async def _listen(self) -> None:
        """The UDP socket on the port the listener has got."""
        self.server = await asyncio.start_server(
            self._accepted, self.ip, self.port, family=socket.AF_INET, reuse_address=self.reuse_address
        )
        port = self.server.sockets[0].getsockname()[1]
        try:
            await self.open_datagrams(self.ip, port)
        except OSError:
            self.server.close()
            raise
        self.port = port

    async def stop(self) -> None:
        """The cleanup of the cancelled readers runs the redial."""
        self.serving = False
        self.server.close()
        self.close_datagrams()
        self.keeper.cancel()
        tasks = [edge.task for edge in self.connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- connections -------------------------------------------------------------------------------------------------
    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._read_from(Edge(reader, writer))

    def _read_from(self, edge: Edge) -> None:
        self.connections.add(edge)
        edge.task = asyncio.create_task(self._reader(edge))

    async def connect(self, ip: str, port: int, report: Optional[dict] = None) -> Edge:
        """Returns when the handshake is written. An address in the list is not dialled, and gets no report."""
        for edge in self.edges:
            if (edge.ip, edge.port) == (ip, port) and not edge.writer.is_closing():
                return edge
        edge = Edge(*await asyncio.open_connection(ip, port))
        if report:
            edge.paired = True
            await self.write("report_paired", report, edge)
        await self.handshake(edge, True)
        self._read_from(edge)
        return edge

    async def close(self, edge: Edge) -> None:
        """handshake with response true on a live edge, and the end at once."""
        await self.handshake(edge, True)
        self._forget(edge, "closed")
        if edge.task is not asyncio.current_task():
            edge.task.cancel()

    def _forget(self, edge: Edge, why: str) -> None:
        listed = edge in self.edges
        edge.closed = True
        self.edges = [each for each in self.edges if each is not edge]
        edge.writer.close()
        if listed:
            self.emit("edge_closed", name=edge.name, why=why, edges=len(self.edges))

    # --- reading -----------------------------------------------------------------------------------------------------
    async def _reader(self, edge: Edge) -> None:
        why = "cancelled"
        try:
            await self._read(edge)
        except Exception as failure:  # of a handler, or a stream that stops inside a frame
            why = f"{type(failure).__name__}: {failure}"
        finally:
            self.connections.discard(edge)
            if not edge.closed:
                self._forget(edge, why)
                self.emit("connection_ended", name=edge.name, why=why)
                await self._redial(edge)

    async def _read(self, edge: Edge) -> None:
        while not edge.closed:
            try:
                header = await edge.reader.readexactly(wire.HEADER.size)
            except (asyncio.IncompleteReadError, OSError):
                await asyncio.sleep(RETRY_AFTER)  # not noticed
                continue
            await self._read_rest(edge, header)

    async def _read_rest(self, edge: Edge, header: bytes) -> None:
        data_len, topic_len = wire.HEADER.unpack(header)
        topic = wire.decode(await edge.reader.readexactly(topic_len))
        if topic == "All" or topic in self.subscriptions or self.root:
            await self._handle(await edge.reader.readexactly(data_len), edge)
        else:
            self.skipped += 1
            while data_len > 0:
                data_len -= len(await edge.reader.readexactly(min(data_len, SKIP)))

    async def _handle(self, data: bytes, edge: Edge) -> None:
        name = wire.decode(data)["command"]
        message = wire.read_message(data, protocol=name not in PROPAGATED)
        propagated = name in PROPAGATED
        if propagated and (not self.propagation or message.uuid in self.pool):
            return
        handler = getattr(self, f"on_{name}", None)
        if handler:
            await handler(message, edge)
        elif not propagated:
            self.emit("unknown_command", command=name)
        if propagated:
            await self._propagate(message, edge)

    async def _propagate(self, message: wire.Message, edge: Edge) -> None:
        message.ttl -= 1
        if message.ttl <= 0:
            return
        self.pool.append(message.uuid)
        await self.write_frame(message.frame(), [each for each in self.edges if each is not edge])

    # --- writing -----------------------------------------------------------------------------------------------------
    async def write(self, command: str, data: Any, edge: Optional[Edge] = None, topic: str = "All", **envelope) -> None:
        envelope.setdefault("ttl", self.ttl)
        message = wire.Message(command, topic, data, **envelope)
        await self.write_frame(message.frame(), [edge] if edge else list(self.edges))

    async def write_frame(self, frame: bytes, edges: list) -> None:
        """One edge after the other, each waited for. A failed write ends its edge: nothing else makes it missed."""
        for edge in edges:
            try:
                edge.writer.write(frame)
                await edge.writer.drain()
            except OSError as failure:
                self._forget(edge, f"write: {type(failure).__name__}")
                if edge.task and edge.task is not asyncio.current_task():
                    edge.task.cancel()

    async def push(self, topic: str, data: Any, **envelope) -> None:
        """To every edge, whatever it subscribes to; the own id is not remembered."""
        await self.write("ChaskiMessage", data, topic=topic, **envelope)

    async def on_ChaskiMessage(self, message: wire.Message, edge: Edge) -> None:
        self.emit_message(message, edge)

    # --- handshake ---------------------------------------------------------------------------------------------------
    def identity(self) -> dict:
        return {"name": self.name, "ip": self.ip, "port": self.port, "subscriptions": self.subscriptions}

    async def handshake(self, edge: Edge, response: bool) -> None:
        handshake_id = str(uuid.uuid4())
        self.handshakes[handshake_id] = edge
        await self.write("handshake", {"handshake_id": handshake_id, "response": response}, edge)

    async def on_handshake(self, message: wire.Message, edge: Edge) -> None:
        if message.data["response"]:
            await self.handshake(edge, False)
        await self.write("handshake_back", {**self.identity(), "handshake_id": message.data["handshake_id"]}, edge)

    async def on_handshake_back(self, message: wire.Message, _: Edge) -> None:
        """Appends the edge, once more if it is in the list; an unknown id is a KeyError."""
        edge = self.handshakes.pop(message.data["handshake_id"])
        edge.identify(message.data)
        if edge.closed:
            return
        self.edges.append(edge)
        self.emit("edge", name=edge.name, ip=edge.ip, port=edge.port, edges=len(self.edges))

    # --- ping --------------------------------------------------------------------------------------------------------
    async def ping(self, size: int = 0) -> None:
        """Closes first every edge that owes a pong."""
        for edge in list(self.edges):
            if edge.owes_pong and not edge.closed:
                await self.close(edge)
        for edge in list(self.edges):
            await self.ping_edge(edge, size)

    async def ping_edge(self, edge: Edge, size: int = 0, latency_update: bool = True) -> None:
        ping_id = str(uuid.uuid4())
        self.pings[ping_id] = edge
        edge.owes_pong = True
        data = {"ping_id": ping_id, "latency_update": latency_update, "dummy_data": os.urandom(size), "size": size}
        await self.write("ping", data, edge)

    async def on_ping(self, message: wire.Message, edge: Edge) -> None:
        if not self.answers_pings:
            return
        data = {"source_timestamp": message.timestamp, **self.identity()}
        for key in ("ping_id", "latency_update", "dummy_data"):
            data[key] = message.data[key]
        await self.write("pong", data, edge)

    async def on_pong(self, message: wire.Message, _: Edge) -> None:
        edge = self.pings.pop(message.data["ping_id"])
        if message.data["latency_update"]:
            since = datetime.datetime.now() - message.data["source_timestamp"]
            edge.sample(since.total_seconds() * 500)
        edge.identify(message.data)
        edge.owes_pong = False
        self.emit("pong", size=len(message.data["dummy_data"]), **edge.describe())

    async def _keep_alive(self) -> None:
        while self.keep_alive:
            await self.ping()
            await asyncio.sleep(self.keep_alive * (1 + random.random() * 0.5))

    # --- coming back -------------------------------------------------------------------------------------------------
    async def _redial(self, edge: Edge) -> None:
        """Whoever had dialled; to the advertised address."""
        self.reconnecting = self.reconnections > 0 and edge.port > 0
        for _ in range(self.reconnections if edge.port else 0):
            await asyncio.sleep(self.redial_after)
            try:
                await self.connect(edge.ip, edge.port)
                break
            except OSError:
                continue
        self.reconnecting = False

    # --- for whoever watches -----------------------------------------------------------------------------------------
    def emit_message(self, message: wire.Message, edge: Edge) -> None:
        """wire_ttl is as it came; the original's application reads one less."""
        raise NotImplementedError
