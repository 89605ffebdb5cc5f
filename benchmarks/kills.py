"""Kill a small run at random moments and check that it ends with the parameters of an unkilled run.

    python -m benchmarks.kills [--kills=20] [--processes 1 2]

SIGKILL and SIGTERM alternate, each at a moment drawn at random from the length of a run. In a job
of two processes, SIGKILL goes to one, and the other must end by itself; SIGTERM goes to one, and
both must save and end with exit code 0. Every kill is printed. The final parameters and scores are
compared, bit for bit, with those of an undisturbed run with the same number of processes. The exit
code is 1 if they differ.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import numpy as np

from va_jax.train import checkpoints

STEPS = 200
FLAGS = (
    f"--config.train.steps={STEPS}", "--config.checkpoint.every_steps=20",
    "--config.eval.every_steps=40", "--config.train.log_every_steps=20",
    "--config.log.progress=False", "--config.log.writers=('jsonl',)",
)  # fmt: skip
PATIENCE_S = 300


class Job:
    """The processes that one start of a run launches."""

    def __init__(
        self,
        workdir: pathlib.Path,
        data: pathlib.Path,
        processes: int,
        own: Mapping[int, Sequence[str]] = {},  # extra flags for some processes
    ):
        command = [
            sys.executable, "-m", "va_jax.main", "--config=configs/quickstart.py:tiny",
            f"--workdir={workdir}", f"--config.data.dir={data}", *FLAGS,
        ]  # fmt: skip
        job = joining(processes) if processes > 1 else []
        env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        env.setdefault("JAX_COMPILATION_CACHE_DIR", str(data / "compiled"))
        self.outputs = [tempfile.TemporaryFile("w+") for _ in range(processes)]  # noqa: SIM115
        self.running = [
            subprocess.Popen(
                [*command, *job, *([f"--process={n}"] if job else []), *own.get(n, [])],
                env=env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            for n, output in enumerate(self.outputs)
        ]

    def wait(self) -> list[int]:
        """Wait until all processes have ended; return their exit codes."""
        return [process.wait(PATIENCE_S) for process in self.running]

    def output(self) -> str:
        """Return the last lines that each process printed."""
        for output in self.outputs:
            output.seek(0)
        return "\n".join(output.read()[-1500:] for output in self.outputs)


def joining(processes: int) -> list[str]:
    """Return the flags that all processes of a new job share."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    return [f"--coordinator={place}", f"--processes={processes}", "--join_s=30"]


def whole(workdir: pathlib.Path, data: pathlib.Path, processes: int) -> float:
    """Run a job to the end; return the seconds it took, or exit with its output if it fails."""
    start = time.monotonic()
    job = Job(workdir, data, processes)
    if any(job.wait()):
        sys.exit(f"error: the run failed:\n{job.output()}")
    return time.monotonic() - start


def identical(left: pathlib.Path, right: pathlib.Path) -> bool:
    """Return whether two runs ended with the same parameters and scores."""
    (here, _), (there, _) = (checkpoints.read_best(each) for each in (left, right))
    same = [np.array_equal(x, y) for x, y in zip(*map(_leaves, (here, there)), strict=True)]
    scores = [(each / "metrics.json").read_text() for each in (left, right)]
    return all(same) and scores[0] == scores[1]


def _leaves(tree: dict) -> list[np.ndarray]:
    parts = (_leaves(x) if isinstance(x, dict) else [x] for _, x in sorted(tree.items()))
    return [leaf for part in parts for leaf in part]


def kill_again_and_again(folder: pathlib.Path, processes: int, kills: int, seed: int = 0) -> bool:
    """Return whether a run killed `kills` times ends like an undisturbed one; print every kill."""
    draw, data = random.Random(seed), folder / "data"
    one, other = folder / f"whole{processes}", folder / f"killed{processes}"
    whole(folder / f"first{processes}", data, processes)  # fills the compilation cache
    length_s = whole(one, data, processes)
    number, same = 0, True
    while number < kills:
        job = Job(other, data, processes)
        moment_s = draw.uniform(0, length_s)
        time.sleep(moment_s)
        how = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        start = time.monotonic()
        if any(process.poll() is not None for process in job.running):
            job.wait()
            same = same and identical(one, other)
            print(
                f"the run ended before the kill, {'identical' if same else 'NOT identical'}",
                flush=True,
            )
            shutil.rmtree(other)
            continue
        draw.choice(job.running).send_signal(how)
        codes = job.wait()
        steps = sorted(int(x.name) for x in other.glob("checkpoints/*") if x.name.isdecimal())
        print(
            f"{number}: {how.name} after {moment_s:.1f} s, exit codes {codes} "
            f"{time.monotonic() - start:.1f} s later, checkpoints {steps}",
            flush=True,
        )
        if any(codes):
            print(job.output(), flush=True)
        number += 1
    whole(other, data, processes)
    return same and identical(one, other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="kills for each number of processes")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2], help="processes of a job"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = {
            count: kill_again_and_again(pathlib.Path(name), count, args.kills, args.seed)
            for count in args.processes
        }
    for count, same in found.items():
        print(f"{count} process{'es' * (count > 1)}: {'identical' if same else 'NOT identical'}")
    sys.exit(not all(found.values()))


if __name__ == "__main__":
    main()
