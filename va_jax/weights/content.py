"""Refusing the content of a weight file: the reason, and a limit on the memory it may take."""

EXPANSION = 8
"""Bytes in memory that a byte of a file may become. Compressed weights need 3 at most: float16
becomes float32, and trained values hardly shrink. Our choice."""

SMALLEST = 16 * 2**20
"""Bytes that the content of any file may take, however small it is. Our choice."""


class ContentError(ValueError):
    """The reason why a file's content is refused; the caller adds the path and a remedy."""


class Budget:
    """Memory that the content of a file may still take; small files cannot claim a lot."""

    def __init__(self, limit: int):
        """Start with `limit` bytes."""
        self.limit = self.left = limit

    def spend(self, size: int) -> None:
        """Take `size` bytes; ContentError if there are not as many left."""
        self.left -= size
        if self.left < 0:
            raise ContentError(
                f"its content takes more than {self.limit / 2**20:,.0f} MiB of memory, which no "
                "weights in a file of this size need"
            )


def limit(file_size: int, needed: int = 0) -> int:
    """Return the bytes that a file's content may take, if the network that asks needs `needed`."""
    return max(EXPANSION * file_size, 2 * needed, SMALLEST)
