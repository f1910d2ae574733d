"""A Starlette application with the inference server below /ml."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import onnxpress


async def home(request: Request) -> PlainTextResponse:
    """The application's own page."""
    return PlainTextResponse("rents: /ml/v2/models/rents")


app = Starlette(routes=[Route("/", home), Mount("/ml", onnxpress.asgi_app("models"))])
