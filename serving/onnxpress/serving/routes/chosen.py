"""Routes besides the protocols' own: those that settings ask for, each imported when it is first asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onnxpress.serving.settings import ServerSettings

if TYPE_CHECKING:
    from onnxpress.serving.routes.call import Call
    from onnxpress.serving.service import Service

Route = Callable[["Service", "Call", Sequence[str]], None]
"""answers a path, given in its parts; raises Refusal"""


class _WhenAsked:
    """A route that is made for the first request to it."""

    def __init__(self, make: Callable[[], Route]) -> None:
        self._make, self._route = make, None

    _route: Route | None

    def __call__(self, service: Service, call: Call, parts: Sequence[str]) -> None:
        """Answer; raises Refusal."""
        if self._route is None:
            self._route = self._make()
        self._route(service, call, parts)


def chosen(settings: ServerSettings) -> dict[str, Route]:
    """What a path begins with → the route that answers it."""

    def openapi() -> Route:
        from onnxpress.serving.routes.openapi.route import OpenApiRoute

        return OpenApiRoute(settings)

    found: dict[str, Route] = {"openapi.json": _WhenAsked(openapi)}
    if settings.answers.plain_rows:
        found |= dict.fromkeys(("health", "predict", "models"), _WhenAsked(_plain))
    if page_wanted(settings):
        found |= dict.fromkeys(("", "page"), _WhenAsked(_page))
    return found


def page_wanted(settings: ServerSettings) -> bool:
    """Whether there is a page: where it is asked for, and where nobody but this machine can see it."""
    return settings.answers.page or (
        settings.address.unix is None and all(_is_loopback(host) for host in settings.address.host)
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _page() -> Route:
    from onnxpress.serving.routes.page import PageRoute

    return PageRoute()


def _plain() -> Route:
    from onnxpress.serving.routes import plain

    return plain.route
