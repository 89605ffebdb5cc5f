"""Operations between devices, read from the text of a compiled program."""

import math
import re
from typing import NamedTuple

COLLECTIVE = re.compile(
    r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(-start)?\("
)
SHAPE = re.compile(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


USED = re.compile(r"\bUsed ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm")
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
    """Return the bytes of a result; for most started operations, the operands are listed first."""
    sizes = [
        max(int(bits or 8) // 8, 1) * math.prod(int(n) for n in dims.split(",") if n)
        for _, bits, dims in SHAPE.findall(shapes)
    ]
    return sum(sizes[len(sizes) // 2 :] if started and kind != "all-reduce" else sizes)


def memory_used(error: BaseException) -> int | None:
    """Return the bytes per device that a program which does not fit would take; None if unknown."""
    found = USED.search(str(error))
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2] or " ")) if found else None
