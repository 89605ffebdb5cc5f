"""A request to stop, SIGTERM or a preemption, which all processes hear at the same place."""

import os
import signal
import sys
import threading

HOLD_S = 20
"""So long a request is held for a job to join, of the 30 s that clusters give; ours."""

TERM = bytes([signal.SIGTERM])


class Stopped(Exception):  # noqa: N818, for it is no error
    """The run ends before its end, as it was asked to; what it says is for people."""


class Stopping:
    """Hears the request once it listens.

    A process that is alone ends at once, with exit code `code`, as long as nothing is `unsaved`:
    while it starts, compiles or evaluates what is saved, wherever Python is then. Otherwise `asked`
    tells it, and a second request ends it at once with 143, as if it had not been heard. Of the
    processes of a job any may get the request: they have `HOLD_S` to join, and then JAX makes all
    of them hear it at the same call of `asked`.
    """

    def __init__(self, code: int = 0):
        self.unsaved = False
        self.code = code
        self._heard = threading.Event()
        self._joined = threading.Event()
        self._alone = True
        self._calls = 0

    def listen(self, job: bool = False) -> None:
        """From here to the end of the process; before JAX is imported, which takes seconds.

        A process of a `job` joins others, and must then say so.
        """
        pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.signal(signal.SIGTERM, _nothing)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)  # written to even while XLA compiles
        if not job:
            self._joined.set()
        threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def joined(self) -> None:
        """The processes of a job are together, and JAX has taken SIGTERM over."""
        if self._joined.is_set():
            return
        import jax

        self._alone = jax.process_count() == 1
        if self._alone:
            signal.signal(signal.SIGTERM, _nothing)
        self._joined.set()

    def end(self) -> None:
        """All is done: a request that comes while Python takes itself apart changes nothing."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def asked(self) -> bool:
        """Whether to save and stop now; all processes must call it equally often."""
        if not self._alone and not self._heard.is_set():
            from jax.experimental import multihost_utils

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
            requests = (number for number in iter(lambda: numbers.read(1), b"") if number == TERM)
            next(requests)
            threading.Thread(target=self._act, daemon=True).start()
            next(requests)
            os._exit(143)

    def _act(self) -> None:
        """Follow the first request."""
        if not self._joined.wait(HOLD_S) or (self._alone and not self.unsaved):
            _say(b"\nstopped as asked, nothing is lost; the same command goes on\n")
            os._exit(self.code)
        if self._alone:
            self._heard.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)  # now to JAX, which tells it to all


def _nothing(*_: object) -> None:
    """A handler of Python's, without which no number is written to the pipe."""


def _say(line: bytes) -> None:
    """Past Python's buffers, which the main thread may hold."""
    os.write(sys.__stdout__.fileno(), line)
