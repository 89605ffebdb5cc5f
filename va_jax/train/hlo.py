"""Operations between devices, read from the text of a compiled program."""

import math
import re
from typing import NamedTuple

COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\("
)
"""A collective operation: the shapes of its result, its kind, and whether it only starts here."""

SHAPE = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


USED = re.compile(r"Used ([\d.]+)([KMGT]?) of|required for [\w ]+ \(([\d.]+)([KMGT]?)\) exceeds")
"""Memory that a program would take, in the text of the TPU compiler's error."""


class Collective(NamedTuple):
    """An operation in which devices exchange data."""

    kind: str  # such as "all-reduce"
    bytes: int  # size of its result on each device
    asynchronous: bool  # whether it can overlap with other work


def collectives(text: str) -> list[Collective]:
    """Return the collective operations in the text of an optimised program, in order."""
    return [
        Collective(kind, _bytes(shapes, kind, bool(start)), bool(start))
        for shapes, kind, start in COLLECTIVE.findall(text)
    ]


def _bytes(shapes: str, kind: str, started: bool) -> int:
    """Return the bytes of a result, without the operands that some started operations list."""
    sizes = [
        max(int(bits or 8) // 8, 1) * math.prod(int(n) for n in dims.split(",") if n)
        for _, bits, dims in SHAPE.findall(shapes)
    ]
    if not started or kind == "all-reduce":
        return sum(sizes)
    if kind == "collective-permute":
        return sizes[1]  # operand, result and two numbers
    return sum(sizes[len(sizes) // 2 :])  # operands and results


def memory_used(error: BaseException) -> int | None:
    """Return the bytes per device that a program which does not fit would take; None if unknown."""
    found = USED.search(str(error))
    if not found:
        return None
    number, unit = found[1] or found[3], found[2] or found[4]
    return int(float(number) * 1024 ** " KMGT".index(unit or " "))
