"""The code that draws a torch model's first weights as Keras draws them: one function, and lines for what differs."""

from __future__ import annotations

from collections import Counter, defaultdict

from torch import nn

_HEAD = '''def like_keras(layer):
    """First weights as Keras draws them."""
'''


def code(owner: nn.Module, starts: dict[str, list[str]]) -> tuple[list[str], list[str]]:
    """(the functions of the module, the last lines of the model's `__init__`)."""
    by_kind: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for path, lines in starts.items():
        if lines:
            by_kind[type(owner.get_submodule(path)).__name__][path] = lines
    usual: dict[str, tuple[str, ...]] = {}
    last: list[str] = []
    for kind, of_paths in by_kind.items():
        whole = max(of_paths.values(), key=len)
        names = [_parameter(line) for line in whole]
        counts = {
            name: Counter(line for lines in of_paths.values() for line in lines if _parameter(line) == name)
            for name in names
        }
        usual[kind] = tuple(counts[name].most_common(1)[0][0] for name in names)
        for path, lines in of_paths.items():
            last += [line.format(f"self.{path}") for line in lines if line not in usual[kind]]
    if not usual:
        return [], last
    return [_function(owner, usual, by_kind)], ["self.apply(like_keras)", *last]


def _parameter(line: str) -> str:
    """The parameter that a line draws."""
    return line.partition("{}.")[2].partition(",")[0].rstrip(")")


def _function(owner: nn.Module, usual: dict[str, tuple[str, ...]], by_kind: dict[str, dict[str, list[str]]]) -> str:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for kind, lines in usual.items():
        groups[lines].append(kind)
    code = ""
    for number, (lines, kinds) in enumerate(groups.items()):
        told = " | ".join(f"nn.{kind}" for kind in sorted(kinds))
        code += f"    {'el' if number else ''}if isinstance(layer, {told}):\n"
        for line in lines:
            name = _parameter(line)
            some_have_none = any(
                getattr(owner.get_submodule(path), name.partition("[")[0], None) is None
                for kind in kinds
                for path in by_kind[kind]
            )
            if some_have_none:
                code += f"        if layer.{name} is not None:\n    "
            code += f"        {line.format('layer')}\n"
    return (_HEAD + code).rstrip("\n")
