"""A request to stop, SIGTERM or a preemption, which all processes hear at the same place."""

import os
import signal
import sys
import threading


class Stopped(Exception):  # noqa: N818, for it is no error
    """The run ends before its end, as it was asked to; what it says is for people."""


class Stopping:
    """Hears the request once it listens.

    A single process ends at once, with exit code `code`, as long as nothing is `unsaved`: while it
    starts, compiles or evaluates what is saved, wherever Python is then. Otherwise `asked` tells
    it, and a second request ends it at once with 143, as if it had not been heard. Of several
    processes any may get the request: JAX makes all of them hear it at the same call of `asked`.
    """

    def __init__(self, code: int = 0):
        self.unsaved = False
        self.code = code
        self._heard = threading.Event()
        self._calls = 0

    def listen(self) -> None:
        """From here to the end of the process; before JAX is imported, which takes seconds."""
        pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.signal(signal.SIGTERM, lambda *_: None)  # JAX takes the place of it in a job
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)  # written to even while XLA compiles
        threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def asked(self) -> bool:
        """Whether to save and stop now; all processes must call it equally often."""
        import jax
        from jax.experimental import multihost_utils

        if jax.process_count() > 1 and not self._heard.is_set():
            self._calls += 1
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self._heard.set()
        return self._heard.is_set()

    def check(self) -> None:
        """Raises Stopped if asked to stop."""
        if self.asked():
            raise Stopped("stopped as asked; the same command goes on")

    def _listen(self, pipe: int) -> None:
        with open(pipe, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] != signal.SIGTERM:
                    continue
                if self._heard.is_set():
                    os._exit(143)
                if not self.unsaved:
                    _say(b"\nstopped as asked, nothing is lost; the same command goes on\n")
                    os._exit(self.code)
                self._heard.set()


def _say(line: bytes) -> None:
    """Past Python's buffers, which the main thread may hold."""
    os.write(sys.__stdout__.fileno(), line)
