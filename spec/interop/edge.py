# edge.py: one connection as the original keeps it: its streams, what the peer said of itself, its latency (A.4).
# SPDX-License-Identifier: MIT
import asyncio
from typing import Optional

FIRST_JITTER = 100.0


class Edge:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader = reader
        self.writer = writer
        self.name = ""
        self.ip = ""
        self.port = 0
        self.subscriptions: set = set()
        self.paired = False
        self.owes_pong = False
        self.closed = False  # by this node, or after a failed write
        self.task: Optional[asyncio.Task] = None  # reads
        self.latency = 0.0
        self.jitter = FIRST_JITTER
        self.sampled = False

    def identify(self, data: dict) -> None:
        """Raises KeyError when the peer leaves something out."""
        self.name = data["name"]
        self.ip = data["ip"]
        self.port = data["port"]
        self.subscriptions = set(data["subscriptions"])

    def sample(self, latency: float) -> None:
        """The first sample as it is; then the prior N(latency, jitter) and N(sample, 100) combined."""
        if not self.sampled:
            self.latency, self.jitter, self.sampled = latency, FIRST_JITTER, True
            return
        prior, new = 1 / self.jitter**2, 1 / FIRST_JITTER**2
        self.latency = (self.latency * prior + latency * new) / (prior + new)
        self.jitter = (prior + new) ** -0.5

    def describe(self) -> dict:
        return {
            "name": self.name,
            "ip": self.ip,
            "port": self.port,
            "subscriptions": sorted(self.subscriptions),
            "paired": self.paired,
            "owes_pong": self.owes_pong,
            "latency": self.latency,
            "jitter": self.jitter,
        }
