"""The launch scripts print their commands, refuse mistakes, and start real processes."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest
import yaml

from benchmarks import kills

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "tpu_scripts"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
PLACE = ("--name=va", "--zone=z")
KUBERNETES = ("--name=va", "--image=i", "--claim=c", "--pods=2")
TPUS = ("--tpus=4", "--accelerator=a", "--topology=2x4")
RUN = ("--", "--config=configs/quickstart.py:a,b", "--workdir=../bucket/r")
TPU = "+ gcloud compute tpus"

COMMANDS = {
    ("create", *PLACE, "--accelerator=v5litepod-16", "--runtime=r", "--spot=true"): [
        f"{TPU} queued-resources create va --node-id=va --accelerator-type=v5litepod-16 "
        "--runtime-version=r --spot --zone=z --quiet"
    ],
    ("create", *PLACE, "--accelerator=a", "--runtime=r", "--project=p"): [
        f"{TPU} queued-resources create va --node-id=va --accelerator-type=a "
        "--runtime-version=r --zone=z --project=p --quiet"
    ],
    ("watch", *PLACE, "--worker=3"): [
        f"{TPU} queued-resources describe va --format=value\\(state.state\\) --zone=z --quiet",
        f"{TPU} tpu-vm ssh va --worker=3 --command=tail\\ -n\\ 30\\ -F\\ run.log --zone=z --quiet",
    ],
    ("collect", *PLACE, "--from=a/b", "--to=/nowhere/c"): [
        f"{TPU} tpu-vm scp --recurse va:a/b /nowhere/c --worker=0 --zone=z --quiet"
    ],
    ("delete", *PLACE): [f"{TPU} queued-resources delete va --force --zone=z --quiet"],
    ("slurm", "--gpus=4", "--nodes=2", "--partition=p", *RUN): [
        "+ sbatch --job-name=va_jax --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 "
        "--cpus-per-task=8 --time=24:00:00 --signal=TERM@120 --requeue --open-mode=append "
        f"--partition=p {FOLDER}/slurm_job.sh .venv/bin/python "
        "--config=configs/quickstart.py:a\\,b --workdir=../bucket/r"
    ],
}


def call(name, *flags, **options):
    return subprocess.run(
        [FOLDER / f"{name}.sh", *flags], capture_output=True, text=True, check=False, **options
    )


def dry(name, *flags):
    place = flags.index("--") if "--" in flags else len(flags)
    done = call(name, *flags[:place], "--dry-run", *flags[place:])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("given", COMMANDS, ids=lambda given: given[0])
def test_a_dry_run_prints_the_commands(given):
    assert dry(*given).splitlines() == COMMANDS[given]


def test_setup_packs_the_last_commit_and_mounts_the_bucket_on_all_workers():
    lines = dry("setup", *PLACE, "--bucket=b").splitlines()
    assert lines[0].startswith("+ git -C ")
    assert lines[0].endswith(" HEAD")
    assert all("--worker=all" in line for line in lines[1:])
    assert ".\\[tpu\\]" in lines[2]
    assert "gcsfuse\\ --implicit-dirs\\ b\\ bucket" in lines[-1]


def test_the_run_gets_every_flag_unchanged():
    (line,) = dry("run", *PLACE, "--", "--config=a.py:x,y", "--workdir=a b").splitlines()
    (command,) = (
        word.removeprefix("--command=")
        for word in subprocess.run(
            ["bash", "-c", f'printf "%s\\n" {line[2:]}'], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        if word.startswith("--command=")
    )
    inner = command[command.index(".venv") : command.index(">>")]
    words = subprocess.run(
        ["bash", "-c", f'printf "%s\\n" {inner}'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words == [
        ".venv/bin/python", "-m", "va_jax.main", "--coordinator=auto", "--config=a.py:x,y",
        "--workdir=a b",
    ]  # fmt: skip


def test_spot_creates_sets_up_and_runs():
    flags = ("--accelerator=a", "--runtime=r", "--bucket=b", "--workdir=runs/x")
    printed = dry("spot", *PLACE, *flags, "--", "--config=c")
    assert [line.split()[4] for line in printed.splitlines() if line.startswith(TPU)] == [
        "queued-resources", "tpu-vm", "tpu-vm", "tpu-vm", "tpu-vm", "tpu-vm",
    ]  # fmt: skip
    assert "--spot" in printed
    assert "--workdir=../bucket/runs/x" in printed


@pytest.mark.parametrize(
    ("flags", "resource", "job"),
    [
        (
            ["--gpus=8"],
            {"nvidia.com/gpu": 8},
            "--coordinator=va-pods-0-0.va:1234 --process=$JOB_COMPLETION_INDEX --processes=2 ",
        ),
        (
            ["--tpus=4", "--accelerator=tpu-v5-lite-podslice", "--topology=2x4"],
            {"google.com/tpu": 4},
            "--coordinator=auto ",
        ),
    ],
)
def test_the_kubernetes_manifest_is_a_jobset_of_pods(flags, resource, job):
    manifest = yaml.safe_load(dry("kubernetes", *KUBERNETES, *flags, *RUN))
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("JobSet", "va")
    (replicated,) = manifest["spec"]["replicatedJobs"]
    inner = replicated["template"]["spec"]
    assert inner["parallelism"] == inner["completions"] == 2
    pod = inner["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == resource
    assert container["command"][2].strip() == (
        f"exec python -m va_jax.main --stopped_code=75 {job}"
        "--config=configs/quickstart.py:a,b --workdir=../bucket/r"
    )
    assert ("nodeSelector" in pod) == ("--tpus=4" in flags)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("create", "--name=a"), "--zone=... is missing; see --help"),
        (("create", "--nam=a"), "unknown flag --nam=a; use --name --zone"),
        (("watch", "zone"), "zone is not --key=value"),
        (("run", *PLACE), "no flags after --"),
        (("slurm", "--gpus=none", *RUN), "--gpus=none is not a whole number"),
        (("kubernetes", *KUBERNETES, *RUN), "pass either --gpus=N or --tpus=N"),
        (("kubernetes", *KUBERNETES, "--tpus=4", *RUN), "--tpus requires --accelerator"),
        (("kubernetes", "--name=Va", *KUBERNETES[1:], "--gpus=1", *RUN), "--name=Va is not valid"),
        (("kubernetes", "--name=" + 51 * "v", *KUBERNETES[1:], "--gpus=1", *RUN), "at most 50"),
        (
            ("kubernetes", *KUBERNETES, "--image=i\n  x: y", "--gpus=1", *RUN),
            "is not valid; expected",
        ),
        (("kubernetes", *KUBERNETES, "--image=a b", "--gpus=1", *RUN), "--image=a b is not valid"),
        (
            ("kubernetes", *KUBERNETES, "--claim=c: d", "--gpus=1", *RUN),
            "--claim=c: d is not valid",
        ),
        (("kubernetes", *KUBERNETES, "--restarts=-1", "--gpus=1", *RUN), "--restarts=-1 is not"),
        (
            ("kubernetes", *KUBERNETES, *TPUS, "--topology=4by4", *RUN),
            "--topology=4by4 is not valid",
        ),
        (
            ("kubernetes", *KUBERNETES, *TPUS, "--accelerator=#", *RUN),
            "--accelerator=# is not valid",
        ),
        (("kubernetes", *KUBERNETES, "--gpus=1", "--", "--a=b\n- c"), "contains a line break"),
        (("collect", *PLACE, "--from=a", f"--to={FOLDER}"), "already exists"),
    ],
)
def test_a_mistake_is_one_line(given, message):
    done = call(*given)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("error: ") == 1
    assert message in done.stderr


HARD = ["--config=ü's.py", '--a=$(HOME) `x` $HOME \\ "', "--b=*", "--c=a b", "--d="]
"""Flags that a shell, YAML or Kubernetes would change if they were not quoted."""


def test_every_flag_reaches_a_pod_unchanged():
    text = dry("kubernetes", "--name=true", *KUBERNETES[1:], "--gpus=1", "--", *HARD)
    manifest = yaml.safe_load(text)
    assert manifest["metadata"]["name"] == "true"  # not a YAML boolean
    (replicated,) = manifest["spec"]["replicatedJobs"]
    (container,) = replicated["template"]["spec"]["template"]["spec"]["containers"]
    program = container["command"][2].replace("$$(", "$(")  # as Kubernetes does
    program = program.replace("exec python", "printf '%s\\n'")
    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-len(HARD) :] == HARD


GCLOUD = """#!/usr/bin/env bash
for word in "$@"; do
  if [[ $word == --command=* ]]; then exec bash -c "${word#--command=}"; fi
done
"""


def tools(folder, **programs):
    """Return an environment whose first folder of programs contains these."""
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_stop_finds_the_run_and_not_its_own_shell(tmp_path):
    search = '#!/bin/sh\nshift\necho shell $PPID\nexec pgrep "$@"\n'
    env = tools(tmp_path, gcloud=GCLOUD, pkill=search)
    run = subprocess.Popen([sys.executable, "-c", "input()", "-m", "va_jax.main"], stdin=-1)
    try:
        done = call("stop", *PLACE, env=env)
    finally:
        run.communicate(b"\n")
    _, shell, *found = done.stdout.splitlines()
    assert str(run.pid) in found
    assert shell.removeprefix("shell ") not in found


OLD = "#!/bin/sh\nexit 1\n"
NEW = """#!/bin/sh
[ "$1" = -c ] && exit 0
mkdir -p .venv/bin
printf '#!/bin/sh\\necho %s "$@" > $HOME/asked\\n' "$(basename "$0")" > .venv/bin/pip
chmod +x .venv/bin/pip
"""
WORKER = """
if [[ $* == *scp* ]]; then exec cp "$5" "$HOME/va_jax.tar.gz"; fi
cd "$HOME" || exit
"""
CURL = """#!/bin/sh
echo 'mkdir -p $HOME/.local/bin && cp "$(command -v uv_stub)" $HOME/.local/bin/uv'
"""


@pytest.mark.parametrize("found", ["python3.12", "python3", "uv"])
def test_setup_takes_a_python_that_is_new_enough(tmp_path, found):
    programs = dict.fromkeys(("python3.13", "python3.12", "python3.11", "python3"), OLD)
    programs |= {"curl": CURL, "uv_stub": NEW, "gcloud": GCLOUD.replace("\n", WORKER, 1)}
    (tmp_path / "bin").mkdir()
    env = tools(tmp_path / "bin", **programs | {found: NEW}) | {"HOME": str(tmp_path)}
    done = call("setup", *PLACE, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text() == f"{found} install --quiet -e .[tpu]\n"


@pytest.mark.parametrize("path", [x for x in SCRIPTS if x.stem not in ("common", "slurm_job")])
def test_help_lists_the_flags(path):
    done = call(path.stem, "--help")
    assert done.returncode == 0
    assert f"{path.name} --" in done.stdout


def test_shellcheck_finds_nothing():
    found = shutil.which("shellcheck", path=f"{pathlib.Path(sys.executable).parent}:{os.defpath}")
    if found is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([found, *SCRIPTS], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


SRUN = """#!/usr/bin/env bash
shift
for ((i = 1; i < SLURM_NTASKS; i++)); do SLURM_PROCID=$i SLURM_LOCALID=$i "$@" & done
SLURM_PROCID=0 SLURM_LOCALID=0 "$@"
status=$?
wait
exit $status
"""


@pytest.mark.slow
def test_the_slurm_job_starts_a_process_for_each_task(tmp_path, tiny_data):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", f"#!/bin/sh\necho $* > {tools}/asked\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "",
        "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2", "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_NUM_NODES": "1", "SLURM_STEPID": "0",
        "SLURM_JOB_NODELIST": "localhost", "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_COORDINATOR_PORT": str(port),
    }  # fmt: skip
    flags = ["--config=configs/quickstart.py:tiny", f"--config.data.dir={tiny_data}", *kills.FLAGS]
    done = call(
        "slurm_job", sys.executable, *flags, f"--workdir={tmp_path}/run", env=env,
        cwd=FOLDER.parent, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "process 0 of 2 on" in done.stdout
    assert "process 1 of 2 on" in done.stdout
    assert (tmp_path / "run" / "metrics.json").exists()
    assert not (tools / "asked").exists()
