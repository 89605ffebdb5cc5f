"""Rename arrays according to pairs "OLD -> NEW", the values of `init.rename`."""

import re
from collections.abc import Iterable, Sequence

from va_jax.types import InputError


def rename(names: Iterable[str], pairs: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Apply the pairs to the names, in order.

    Args:
        names: names of arrays.
        pairs: pairs "OLD -> NEW"; OLD is a regular expression that must match a whole name.

    Returns:
        New name -> old name, and the pairs that matched a name.

    Raises:
        InputError: a pair is not legal, or two arrays get the same name.
    """
    current = {name: name for name in names}  # old -> new
    used = []
    for pair in pairs:
        old, arrow, new = (part.strip() for part in pair.partition("->"))
        if not arrow:
            raise InputError(f"init.rename={pair!r}: write it as 'OLD -> NEW'")
        try:
            pattern = re.compile(old)
            matching = {name: pattern.fullmatch(now) for name, now in current.items()}
            changed = {name: match.expand(new) for name, match in matching.items() if match}
        except re.error as error:
            raise InputError(
                f"init.rename={pair!r}: not a valid regular expression ({error}); correct it"
            ) from error
        current |= changed
        used += [pair] if changed else []
    renamed: dict[str, str] = {}
    for old, new in current.items():
        if new in renamed:
            raise InputError(
                f"init.rename: {renamed[new]} and {old} both become {new}; give them different "
                "names"
            )
        renamed[new] = old
    return renamed, used
