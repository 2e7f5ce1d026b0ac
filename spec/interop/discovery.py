# discovery.py: the discovery walk as the original does it (PROTOCOL A.7). SPDX-License-Identifier: MIT
import asyncio
from typing import Optional

import wire
from edge import Edge

POLL = 0.005


class Discovery:
    # --- the origin --------------------------------------------------------------------------------------------------
    def _unpaired(self) -> list:
        """Started anew for each edge: only the last one counts."""
        unpaired: list = []
        for edge in self.edges:
            unpaired = []
            for topic in sorted(self.subscriptions):
                if topic in edge.subscriptions:
                    edge.paired = True
                    self.paired[topic] = True
                else:
                    unpaired.append(topic)
        return unpaired

    def _request(self, edge: Edge, topic: str, on_pair: str) -> dict:
        return {
            "origin_ip": self.ip,
            "origin_port": self.port,
            "origin_name": self.name,
            "previous_node": self.name,
            "visited": {self.name},
            "on_pair": on_pair,
            "root_ip": edge.ip,
            "root_port": edge.port,
            "origin_subscription": topic,
            "ttl": self.ttl,
        }

    async def discovery(self, edge: Optional[Edge] = None, on_pair: str = "none", timeout: float = 10) -> list:
        """Returns the topics nobody answered for: paired from then on all the same."""
        for topic in self.paired:
            self.paired[topic] = False
        if not self.edges:
            return []
        alone = []
        unpaired = self._unpaired()
        edge = edge or self.edges[0]
        for topic in unpaired:
            await self.write("discovery", self._request(edge, topic, on_pair), edge)
            if not await self._wait_for_pair(topic, timeout):
                alone.append(topic)
            self.paired[topic] = True
        return alone

    async def _wait_for_pair(self, topic: str, timeout: float) -> bool:
        end = asyncio.get_running_loop().time() + timeout
        while not self.paired[topic] and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(POLL)
        return self.paired[topic]

    async def connect_and_discover(self, ip: str, port: int, timeout: float = 0.5) -> None:
        """connect(address, discovery=True)."""
        await self.connect(ip, port)
        for _ in [topic for topic, paired in self.paired.items() if not paired]:
            await asyncio.sleep(timeout)
            await self.discovery(on_pair="disconnect", timeout=timeout)

    async def on_report_paired(self, message: wire.Message, edge: Edge) -> None:
        data = message.data
        edge.paired = True
        already = self.paired.get(data["paired"])
        self.emit("report_paired", topic=data["paired"], on_pair=data["on_pair"], already=already)
        if self.paired[data["paired"]]:
            await self.close(edge)
            return
        if data["on_pair"] == "disconnect":
            for each in list(self.edges):
                if (each.ip, each.port) == (data["root_ip"], data["root_port"]) and not each.paired and not each.closed:
                    await self.close(each)
        self.paired[data["paired"]] = True

    # --- the others --------------------------------------------------------------------------------------------------
    async def on_discovery(self, message: wire.Message, edge: Edge) -> None:
        data = message.data
        seen = {"ttl": data["ttl"], "previous": data["previous_node"], "visited": sorted(data["visited"])}
        self.emit("discovery", origin=data["origin_name"], topic=data["origin_subscription"], **seen)
        if self.paired.get(data["origin_subscription"]) and not self.root:
            await self._accept(data)
        else:
            await self._forward(data)

    async def _accept(self, data: dict) -> None:
        topic = data["origin_subscription"]
        status = await self.request_status(data["origin_ip"], data["origin_port"])
        if status["paired"][topic] or data["ttl"] == 0:
            return
        sharing = [edge for edge in self.edges if topic in edge.subscriptions]
        if len(sharing) < self.max_connections and topic in self.subscriptions:
            await self.connect(data["origin_ip"], data["origin_port"], report={**data, "paired": topic})

    async def _forward(self, data: dict) -> None:
        """visited is looked at, the ttl is not."""
        if self.name in data["visited"]:
            return
        passed = {data["previous_node"], data["origin_name"]}
        on = {**data, "visited": data["visited"] | {self.name}, "previous_node": self.name, "ttl": data["ttl"] - 1}
        for edge in list(self.edges):
            if edge.name not in passed:
                await self.write("discovery", on, edge)
