from onnxpress.core.errors import BadData as BadData
from onnxpress.core.errors import BadModel as BadModel
from onnxpress.core.errors import CorruptVersion as CorruptVersion
from onnxpress.core.errors import MissingExtra as MissingExtra
from onnxpress.core.errors import NotEquivalent as NotEquivalent
from onnxpress.core.errors import OnnxpressError as OnnxpressError
from onnxpress.core.errors import ProcessLost as ProcessLost
from onnxpress.core.errors import ServerError as ServerError
from onnxpress.core.errors import UsageError as UsageError
from onnxpress.export.api import export as export
from onnxpress.export.equivalence.api import measure as measure
from onnxpress.serving.client.asynchronous import AsyncClient as AsyncClient
from onnxpress.serving.client.blocking import Client as Client
from onnxpress.serving.engine.loading import load as load
from onnxpress.serving.server import run as serve
from onnxpress.serving.settings import ServerSettings as ServerSettings
from onnxpress.serving.transports.asgi import application as asgi_app

__version__: str

__all__ = [
    "AsyncClient",
    "BadData",
    "BadModel",
    "Client",
    "CorruptVersion",
    "MissingExtra",
    "NotEquivalent",
    "OnnxpressError",
    "ProcessLost",
    "ServerError",
    "ServerSettings",
    "UsageError",
    "__version__",
    "asgi_app",
    "export",
    "load",
    "measure",
    "serve",
]
