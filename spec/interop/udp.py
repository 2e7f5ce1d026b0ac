# udp.py: the node's datagrams (PROTOCOL A.8): status and response, on the port number of the listener.
# SPDX-License-Identifier: MIT
import asyncio
import socket
import uuid
from typing import Any

import wire


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, received):
        self.received = received

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        self.received(data, addr)


class Datagrams:
    def init_datagrams(self) -> None:
        self.responses: dict = {}  # by id, asked for or not; unasked ones are never removed
        self.transport: Any = None

    async def open_datagrams(self, ip: str, port: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((ip, port))
        except OSError:
            sock.close()
            raise
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self._datagram), sock=sock)

    def close_datagrams(self) -> None:
        self.transport.close()

    def send_udp_message(self, command: str, data: Any, ip: str, port: int) -> None:
        message = wire.Message(command, "", data, ttl=64, uuid=None)
        self.transport.sendto(message.encode(), (ip, port))

    def _datagram(self, data: bytes, address: tuple) -> None:
        try:
            message = wire.read_message(data, protocol=True)
        except Exception as failure:
            self.emit("bad_datagram", why=f"{type(failure).__name__}: {failure}")
            return
        if message.command == "status":
            self.emit("status_asked", size=len(data), ip=address[0], port=address[1])
            self.send_udp_message("response", {**self.status(), "id": message.data["id"]}, *address)
        elif message.command == "response":
            self.responses[message.data["id"]] = message.data
            self.emit("response", size=len(data), ip=address[0], port=address[1])

    def status(self) -> dict:
        """As a ChaskiStreamer has it: without a name."""
        return {
            "paired": dict(self.paired),
            "serving": self.serving,
            "reconnecting": self.reconnecting,
            "allow_incoming_files": False,
        }

    async def request_status(self, ip: str, port: int) -> dict:
        """Waits for ever."""
        request = str(uuid.uuid4())
        self.send_udp_message("status", {"id": request}, ip, port)
        while request not in self.responses:
            await asyncio.sleep(0.005)
        return self.responses.pop(request)
