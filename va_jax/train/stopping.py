"""Requests to stop (SIGTERM, preemption), which all processes act on at the same step."""

import os
import signal
import threading

HOLD_S = 20
"""Seconds that a request waits for a job to join; clusters give 30 s. Our choice."""

TERM = bytes([signal.SIGTERM])


class Stopped(Exception):  # noqa: N818, it is not an error
    """The run was asked to stop and ends early; its message is printed."""


class Stopping:
    """Receives requests to stop, from the call of `listen` on.

    A single process ends at once with exit code `code` while nothing is `unsaved`: while it starts,
    compiles, or evaluates a saved state. Otherwise `asked` returns True, and a second request ends
    the process at once with code 143. In a job, any process may get the request: the processes have
    `HOLD_S` to join, and then JAX makes `asked` return True in the same call on all of them.
    """

    def __init__(self, code: int = 0):
        self.unsaved = False
        self.code = code
        self._heard = threading.Event()
        self._joined = threading.Event()
        self._alone = True
        self._calls = 0

    def listen(self, job: bool = False) -> None:
        """Start listening; call it before JAX is imported, which takes seconds.

        A process of a `job` must call `joined` once it has joined the others.
        """
        pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.signal(signal.SIGTERM, _nothing)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)  # written to even while XLA compiles
        if not job:
            self._joined.set()
        threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def joined(self) -> None:
        """Note that the processes have joined; from then on JAX handles SIGTERM."""
        if self._joined.is_set():
            return
        import jax

        self._alone = jax.process_count() == 1
        if self._alone:
            signal.signal(signal.SIGTERM, _nothing)
        self._joined.set()

    def end(self) -> None:
        """Stop listening: a request that comes while Python shuts down changes nothing."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def asked(self) -> bool:
        """Return whether to save and stop now; all processes must call it equally often."""
        if not self._alone and not self._heard.is_set():
            from jax.experimental import multihost_utils

            self._calls += 1
            if multihost_utils.reached_preemption_sync_point(self._calls):
                self._heard.set()
        return self._heard.is_set()

    def check(self) -> None:
        """Raise Stopped if asked to stop."""
        if self.asked():
            raise Stopped("stopped on request; the same command continues the run")

    def _listen(self, pipe: int) -> None:
        with open(pipe, "rb", buffering=0) as numbers:
            requests = (number for number in iter(lambda: numbers.read(1), b"") if number == TERM)
            next(requests)
            threading.Thread(target=self._act, daemon=True).start()
            next(requests)
            os._exit(143)

    def _act(self) -> None:
        """Act on the first request."""
        if not self._joined.wait(HOLD_S) or (self._alone and not self.unsaved):
            _print(b"\nstopped on request, nothing is lost; the same command continues the run\n")
            os._exit(self.code)
        if self._alone:
            self._heard.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)  # JAX now passes it to all processes


def _nothing(*_: object) -> None:
    """Do nothing: without a Python handler, no signal number is written to the pipe."""


def _print(line: bytes) -> None:
    """Print without Python's buffers, which the main thread may hold."""
    os.write(1, line)  # standard output
