"""The names of the front door, `import onnxpress`, and where each is when somebody asks for it.

A table of words, as the command line's: nothing here is imported before it is used. `__init__.pyi` beside this says
the same to type checkers and editors; a test holds the two together.
"""

from sys import modules

NAMES = {
    "AsyncClient": "onnxpress.serving.client.asynchronous:AsyncClient",
    "BadData": "onnxpress.core.errors:BadData",
    "BadModel": "onnxpress.core.errors:BadModel",
    "Client": "onnxpress.serving.client.blocking:Client",
    "CorruptVersion": "onnxpress.core.errors:CorruptVersion",
    "MissingExtra": "onnxpress.core.errors:MissingExtra",
    "NotEquivalent": "onnxpress.core.errors:NotEquivalent",
    "OnnxpressError": "onnxpress.core.errors:OnnxpressError",
    "ProcessLost": "onnxpress.core.errors:ProcessLost",
    "ServerError": "onnxpress.core.errors:ServerError",
    "ServerSettings": "onnxpress.serving.settings:ServerSettings",
    "UsageError": "onnxpress.core.errors:UsageError",
    "__version__": "",
    "asgi_app": "onnxpress.serving.transports.asgi:application",
    "export": "onnxpress.export",
    "load": "onnxpress.serving.engine.loading:load",
    "measure": "onnxpress.export.equivalence.api:measure",
    "serve": "onnxpress.serving.server:run",
}
"""name → `module:attribute`, or a module that is called itself"""


def __getattr__(name: str) -> object:
    """The attribute of the package that is not there yet; it is from now on."""
    if name not in NAMES:
        raise AttributeError(f"module 'onnxpress' has no attribute {name!r}")
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("onnxpress")
    else:
        from importlib import import_module

        module, _, attribute = NAMES[name].partition(":")
        found = import_module(module)
        if attribute:
            found = getattr(found, attribute)
    vars(modules["onnxpress"])[name] = found
    return found


def __dir__() -> list[str]:
    """What completion shows."""
    return sorted({*vars(modules["onnxpress"]), *NAMES})
