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
    """The parameter that a line draws, and the part of it."""
    return line.partition("{0}.")[2].partition(",")[0].rstrip(")")


def _function(owner: nn.Module, usual: dict[str, tuple[str, ...]], by_kind: dict[str, dict[str, list[str]]]) -> str:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for kind, lines in usual.items():
        groups[lines].append(kind)
    code = ""
    for number, (lines, kinds) in enumerate(groups.items()):
        told = " | ".join(f"nn.{kind}" for kind in sorted(kinds))
        code += f"    {'el' if number else ''}if isinstance(layer, {told}):\n"
        if any("units" in line for line in lines):
            code += "        units = layer.hidden_size\n"
        modules = [owner.get_submodule(path) for kind in kinds for path in by_kind[kind]]
        before = ""
        for line in sorted(lines, key=lambda line: "_reverse" in line):
            condition = _condition(_parameter(line).partition("[")[0], modules)
            if condition and condition != before:
                code += f"        if {condition}:\n"
            code += ("    " if condition else "") + f"        {line.format('layer')}\n"
            before = condition
    return (_HEAD + code).rstrip("\n")


def _condition(name: str, modules: list[nn.Module]) -> str:
    """What tells the layers that have the parameter, where some have none."""
    if all(getattr(module, name, None) is not None for module in modules):
        return ""
    if not isinstance(modules[0], nn.RNNBase):
        return f"layer.{name} is not None"
    told = []
    if name.endswith("_reverse") and not all(module.bidirectional for module in modules):
        told.append("layer.bidirectional")
    if name.startswith("bias") and not all(module.bias for module in modules):
        told.append("layer.bias")
    return " and ".join(told)
