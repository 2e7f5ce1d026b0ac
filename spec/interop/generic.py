# generic.py: request_udp and response_udp, which go over TCP (PROTOCOL A.9). SPDX-License-Identifier: MIT
import asyncio
import uuid
from typing import Any, Optional

import wire
from edge import Edge


async def give_back(**kwargs: Any) -> Any:
    return kwargs


async def fail(**kwargs: Any) -> Any:
    raise RuntimeError("this callback fails")


class Requests:
    def init_requests(self) -> None:
        self.requests: dict = {}
        # The original runs any of its methods; these are all that can be named here.
        self.callbacks = {"_test_generic_response_udp": give_back, "echo": give_back, "fail": fail}

    async def request(self, callback: str, kwargs: dict, edge: Optional[Edge] = None) -> Any:
        """No timeout; without an edge to all, and the first answer wins."""
        request = str(uuid.uuid4())
        answer = self.requests[request] = asyncio.get_running_loop().create_future()
        await self.write("request_udp", {"id": request, "callback": callback, "kwargs": kwargs}, edge)
        return await answer

    async def on_request_udp(self, message: wire.Message, edge: Edge) -> None:
        """An unknown callback is a KeyError, and a failing one raises: both end the connection."""
        response = await self.callbacks[message.data["callback"]](**message.data["kwargs"])
        await self.write("response_udp", {**message.data, "response": response}, edge)

    async def on_response_udp(self, message: wire.Message, _: Edge) -> None:
        answer = message.data["response"]
        self.requests.pop(message.data["id"]).set_result(answer)
