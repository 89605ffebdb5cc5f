"""Requests to stop (SIGTERM, Ctrl-C, preemption), handled by all processes at the same step."""

import os
import signal
import threading

HOLD_S = 20
"""Seconds for which a request waits for the processes to join; clusters allow 30 s. Our choice."""

AT_ONCE = {signal.SIGTERM: 143, signal.SIGINT: 130}
"""Signals that request a stop, each with its exit code for ending the process at once."""


class Stopped(Exception):  # noqa: N818, it is not an error
    """Raised when the run ends early because it was asked to stop; the message is printed."""


class Stopping:
    """Receiver of requests to stop, active after `listen` has been called.

    If nothing is `unsaved`, for example during start-up, compilation or the evaluation of a saved
    state, a single process ends at once with exit code `code`. Otherwise `asked` returns True, and
    a second request ends the process at once with its code in `AT_ONCE`. In a job, any process may
    receive the request: the processes have `HOLD_S` seconds to join, and then JAX makes the same
    call to `asked` return True on all of them. Ctrl-C (SIGINT) is also a request, but it sets
    `code` to 130, so that a shell does not run the next command.
    """

    def __init__(self, code: int = 0):
        self.unsaved = False
        self.code = code
        self._heard = threading.Event()
        self._joined = threading.Event()
        self._alone = True
        self._calls = 0

    def listen(self, job: bool = False) -> None:
        """Start listening; call this before importing JAX, which takes a few seconds.

        A process that belongs to a `job` must call `joined` once it has joined the others.
        """
        pipe, end = os.pipe()
        os.set_blocking(end, False)
        signal.signal(signal.SIGTERM, _nothing)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # background jobs ignore it
            signal.signal(signal.SIGINT, _nothing)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)  # written to even while XLA compiles
        if not job:
            self._joined.set()
        threading.Thread(target=self._listen, args=(pipe,), daemon=True).start()

    def joined(self) -> None:
        """Record that the processes have joined; after this, JAX handles SIGTERM."""
        if self._joined.is_set():
            return
        import jax

        self._alone = jax.process_count() == 1
        if self._alone:
            signal.signal(signal.SIGTERM, _nothing)
        self._joined.set()

    def end(self) -> None:
        """Stop listening, so that a request while Python shuts down has no effect."""
        for request in AT_ONCE:
            signal.signal(request, signal.SIG_IGN)

    def asked(self) -> bool:
        """Return whether to save and stop now; all processes must call this equally often."""
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
            received = (number[0] for number in iter(lambda: numbers.read(1), b""))
            requests = (number for number in received if number in AT_ONCE)
            interrupted = next(requests) == signal.SIGINT
            if interrupted:
                self.code = AT_ONCE[signal.SIGINT]
            threading.Thread(target=self._act, args=(interrupted,), daemon=True).start()
            os._exit(AT_ONCE[signal.Signals(next(requests))])

    def _act(self, interrupted: bool) -> None:
        """Handle the first request."""
        if not self._joined.wait(HOLD_S) or (self._alone and not self.unsaved):
            _print(b"\nstopped on request; no work was lost; the same command continues the run\n")
            os._exit(self.code)
        if interrupted:
            _print(b"\nsaving this step; press Ctrl-C again to end at once without saving\n")
        if self._alone:
            self._heard.set()
        else:
            os.kill(os.getpid(), signal.SIGTERM)  # JAX now forwards it to all processes


def _nothing(*_: object) -> None:
    """Do nothing; Python writes signal numbers to the pipe only if a handler is installed."""


def _print(line: bytes) -> None:
    """Print without using Python's buffers, which the main thread may have locked."""
    os.write(1, line)  # standard output
