"""The code that draws a torch model's first weights as Keras draws them: one function, and lines for what differs."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from torch import nn

_HEAD = '''def like_keras(layer):
    """First weights as Keras draws them."""
'''
_SCALED_NORMAL = '''def scaled_normal_(weight, scale, fan="fan_in"):
    """Keras's: of the variance scale / fan, cut off at two deviations."""
    fan_in, fan_out = weight[0].numel(), weight.numel() // weight.shape[1]
    variance = scale / {"fan_in": fan_in, "fan_avg": (fan_in + fan_out) / 2}[fan]
    deviation = variance**0.5 / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)'''


class LikeKeras:
    """Of one model: `starts` are the lines that draw each layer, with {0} for it, by its path."""

    def __init__(self, owner: nn.Module, starts: Mapping[str, list[str]]) -> None:
        self._owner, self._starts = owner, starts
        self._still = _second_biases(owner, [path for path, lines in starts.items() if lines])
        self.settled = frozenset(name for names in self._still.values() for name in names)
        """parameters that the function freezes, so that `__init__` need not"""

    def code(self, classes: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """(the functions of the module, the last lines of the model's `__init__`).

        `classes` says of which class the block at a path is written.
        """
        by_kind: dict[str, dict[str, list[str]]] = defaultdict(dict)
        for path, lines in self._starts.items():
            if lines:
                by_kind[type(self._owner.get_submodule(path)).__name__][path] = lines
        usual: dict[str, tuple[str, ...]] = {}
        left: list[tuple[str, str]] = []
        for kind, of_paths in by_kind.items():
            usual[kind] = _usual(of_paths)
            left += [(path, line) for path, lines in of_paths.items() for line in lines if line not in usual[kind]]
        if not usual:
            return [], [line.format(f"self.{path}") for path, line in left]
        of_classes, last = _by_class(left, classes)
        function = _function(self._owner, usual, of_classes, self._still.keys())
        scaled = [_SCALED_NORMAL] if any("scaled_normal_(" in line for line in (function, *last)) else []
        return [*scaled, function], ["self.apply(like_keras)", *last]


def _second_biases(owner: nn.Module, paths: list[str]) -> dict[str, list[str]]:
    """The kind → the names of second biases, of recurrent layers of which each has only these frozen."""
    found: dict[str, list[str]] = {}
    for kind in {type(owner.get_submodule(path)).__name__ for path in paths}:
        modules = {path: m for path in paths if type(m := owner.get_submodule(path)).__name__ == kind}
        if not all(isinstance(m, nn.RNNBase) for m in modules.values()):
            continue
        every = [(p, n, v.requires_grad) for p, m in modules.items() for n, v in m.named_parameters()]
        if any(learns != (not name.startswith("bias_hh")) for _, name, learns in every):
            continue
        found[kind] = [f"{path}.{name}" for path, name, learns in every if not learns]
    return {kind: names for kind, names in found.items() if names}


def _usual(of_paths: dict[str, list[str]]) -> tuple[str, ...]:
    """For each parameter the line of most layers, one without numbers before others."""
    whole = max(of_paths.values(), key=len)
    found = []
    for name in map(_parameter, whole):
        counts = Counter(line for lines in of_paths.values() for line in lines if _parameter(line) == name)
        found.append(max(counts, key=lambda line: (not re.search(r"[ =]-?\d", line), counts[line])))
    return tuple(found)


def _by_class(left: list[tuple[str, str]], classes: Mapping[str, str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """What all objects of one class have in common, by class; and lines for each layer of the others."""
    by_block: dict[str, list[str]] = defaultdict(list)
    last = []
    for path, line in left:
        block = max((one for one in classes if one and path.startswith(f"{one}.")), key=len, default="")
        if block:
            by_block[block].append(line.format("{0}." + path.removeprefix(f"{block}.")))
        else:
            last.append(line.format(f"self.{path}"))
    common: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(classes[block] for block in by_block):
        each = {tuple(by_block.get(block, ())) for block, kind in classes.items() if kind == name and block}
        if len(each) == 1:
            common[name] = each.pop()
    for block, lines in by_block.items():
        if classes[block] not in common:
            last += [line.format(f"self.{block}") for line in lines]
    return common, last


def _parameter(line: str) -> str:
    """The parameter that a line draws, and the part of it."""
    return line.partition("{0}.")[2].partition(",")[0].rstrip(")")


def _function(
    owner: nn.Module,
    usual: dict[str, tuple[str, ...]],
    of_classes: dict[str, tuple[str, ...]],
    still: Collection[str],
) -> str:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for kind, lines in usual.items():
        groups[lines].append(kind)
    code = ""
    for number, (lines, kinds) in enumerate(groups.items()):
        told = " | ".join(f"nn.{kind}" if hasattr(nn, kind) else kind for kind in sorted(kinds))
        code += f"    {'el' if number else ''}if isinstance(layer, {told}):\n"
        if any("units" in line for line in lines):
            code += "        units = layer.hidden_size\n"
        modules = [module for module in owner.modules() if type(module).__name__ in kinds]
        before = ""
        if kinds[0] in still:
            frozen = [
                line.replace("nn.init.zeros_(", "").replace(")", "") for line in lines if "zeros_({0}.bias_hh" in line
            ]
            lines = (*lines, *(f"{name}.requires_grad_(False)" for name in frozen))
        for line in sorted(lines, key=lambda line: "_reverse" in line):
            parameter = _parameter(line).partition("[")[0].removesuffix(".requires_grad_(False")
            condition = _condition(parameter, modules)
            if condition and condition != before:
                code += f"        if {condition}:\n"
            code += ("    " if condition else "") + f"        {line.format('layer')}\n"
            before = condition
    for name, lines in of_classes.items():
        code += f"    elif isinstance(layer, {name}):\n"
        code += "".join(f"        {line.format('layer')}\n" for line in lines)
    head = _HEAD.replace(" them.", " them; of two biases the second stays.") if still else _HEAD
    return (head + code).rstrip("\n")


def _has(module: nn.Module, name: str) -> bool:
    held = module
    for part in name.split("."):
        held = getattr(held, part, None)
    return held is not None


def _condition(name: str, modules: list[nn.Module]) -> str:
    """What tells the layers that have the parameter, where some have none."""
    if all(_has(module, name) for module in modules):
        return ""
    if not isinstance(modules[0], nn.RNNBase):
        return f"layer.{name} is not None"
    told = []
    if name.endswith("_reverse") and not all(module.bidirectional for module in modules):
        told.append("layer.bidirectional")
    if name.startswith("bias") and not all(module.bias for module in modules):
        told.append("layer.bias")
    return " and ".join(told)
