"""What all connections of one server share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxpress.serving.exchange import Handler
from onnxpress.serving.http_date import http_date
from onnxpress.serving.settings import ConnectionLimits
from onnxpress.serving.transports.held import HeldBytes
from onnxpress.serving.transports.request_head import KnownHeads
from onnxpress.serving.transports.response import ok_json

if TYPE_CHECKING:
    from onnxpress.serving.transports.floods import Floods


class Shared:
    """Whom their requests go to, the limits, the heads seen before, the bytes that large bodies hold, and the clock."""

    def __init__(self, handler: Handler, limits: ConnectionLimits) -> None:
        self.handler, self.traffic, self.limits = handler, handler.traffic, limits
        self.headers_read = handler.headers_read
        self.held = HeldBytes(limits.max_held)
        self.floods: Floods | None = None
        """once there was one"""
        self.answer_bytes = 0
        """of the last large answer; half of it after each second, so that it is forgotten"""
        self.heads = KnownHeads()
        self.seconds = 0
        """since the server began; a tick a second"""
        self.date = http_date()
        self.ok_json = ok_json(self.date)
        """see there"""

    def tick(self) -> None:
        """A second has passed."""
        self.seconds += 1
        self.answer_bytes >>= 1
        if self.floods is not None:
            self.floods.tick()
        # The time of day is for the header alone: whatever is timed is timed by the seconds that have passed.
        self.date = http_date()
        self.ok_json = ok_json(self.date)
