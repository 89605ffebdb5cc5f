"""Refuse the content of a weight file, with a reason, and limit the memory that it may take."""

EXPANSION = 8
"""Largest number of bytes in memory per byte of a file (our choice). Compressed weights need at
most 3: float16 becomes float32, and compression hardly shrinks trained values."""

SMALLEST = 16 * 2**20
"""Bytes that the content of any file may take, however small the file is (our choice)."""


class ContentError(ValueError):
    """The reason for refusing a file's content; the caller adds the path and a remedy."""


class Budget:
    """The memory that the content of a file may still take; a small file cannot claim much."""

    def __init__(self, limit: int):
        """Start with `limit` bytes."""
        self.limit = self.left = limit

    def spend(self, size: int) -> None:
        """Take `size` bytes; raise ContentError if fewer are left."""
        self.left -= size
        if self.left < 0:
            raise ContentError(
                f"its content takes more than {self.limit / 2**20:,.0f} MiB of memory, far "
                "more than the weights in a file of this size need"
            )


def limit(file_size: int, needed: int = 0) -> int:
    """Return the bytes that a file's content may take for a network that needs `needed` bytes."""
    return max(EXPANSION * file_size, 2 * needed, SMALLEST)
