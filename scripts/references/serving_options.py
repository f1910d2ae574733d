"""docs/serving-options.md: the server's settings by their groups, in every way in which they can be given."""

from __future__ import annotations

import msgspec
from scripts.references.markdown import MADE, table, value

from onnxpress.core.fields import Field, fields_of, kind_words, range_words
from onnxpress.serving.settings import GROUPS

_INTRODUCTION = """\
# The server's options

{made}

Every setting of `onnxpress serve` can be given in three ways. The command line goes before the environment. The
environment goes before the file.

| way | for `max_body` |
| --- | --- |
| option | `--max-body 1048576` |
| environment variable | `ONNXPRESS_MAX_BODY=1048576` |
| file, named by `--config FILE` or `ONNXPRESS_CONFIG` | `max_body` in the table `limits` |

The file is TOML where its name ends in `.toml`, JSON where it ends in `.json`, else YAML. YAML needs
`pip install pyyaml`. The file has a table for each group of settings, and `path`, where the models are:

```toml
path = "models"

[address]
host = "0.0.0.0"
port = 8080

[limits]
max_body = 1048576
```

- Paths in the file are taken from the file's folder.
- A name that is not known is refused. So is a value out of its range.
- In the environment, several values are separated by blanks, several paths by `:`. A flag is `true` or `false`.
- The models' path is `ONNXPRESS_PATH` there.
- Kubernetes sets `ONNXPRESS_PORT` to `tcp://...` for a Service that is named `onnxpress`. Such a value is ignored.

In Python the groups are structs. `onnxpress.serve(settings)` serves until it is told to stop.

```python
from pathlib import Path

from onnxpress.serving.settings import Address, ConnectionLimits, ServerSettings

settings = ServerSettings(path=Path("models"), address=Address(port=8080), limits=ConnectionLimits(max_body=1 << 20))
```
"""


def page() -> str:
    """The whole page."""
    sections = [_group(name, struct) for name, struct in GROUPS.items()]
    return "\n".join([_INTRODUCTION.format(made=MADE.format(what="fields in serving/settings.py")), *sections])


def _group(name: str, struct: type[msgspec.Struct]) -> str:
    title, _, words = str(struct.__doc__).partition(": ")
    rows = [_row(field) for field in fields_of(struct)]
    intro = f"{words[:1].upper()}{words[1:]} In a file the table `{name}`, in Python `{struct.__name__}`."
    body = table(["setting", "option", "variable", "takes", "default", "what it is", "past it"], rows)
    return f"## {title}\n\n{intro}\n\n{body}\n"


def _row(field: Field) -> list[str]:
    spelled = field.name.replace("_", "-")
    option, variable = f"`--{spelled}`", f"`ONNXPRESS_{field.name.upper()}`"
    if not field.extra.get("option", True):
        option, variable = "", ""
    elif field.kind is bool and field.default:
        option += f", `--no-{spelled}`"
    unit = field.extra.get("unit")
    return [
        f"`{field.name}`",
        option,
        variable,
        ", ".join(filter(None, [kind_words(field.annotation), range_words(field.annotation), unit])),
        _default(field, unit),
        field.description,
        field.extra.get("past", ""),
    ]


def _default(field: Field, unit: str | None) -> str:
    if "default" in field.extra:
        return f"{field.extra['default']} s" if unit == "seconds" else str(field.extra["default"])
    return value(field.default, unit)
