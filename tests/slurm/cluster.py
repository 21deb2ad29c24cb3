"""A real SLURM on this machine, for the tests: its own munged, slurmctld and a few nodes, in a temporary directory.

Nothing outside the directory is touched: the daemons are started in the foreground as children of this process, listen
on free ports of 127.0.0.1, and are stopped by their process numbers.  All nodes are this machine; each has a slurmd.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

DAEMONS = ("munged", "slurmctld", "slurmd")
TOOLS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "srun")
SBIN = "/usr/sbin:/usr/local/sbin"
"""Where the daemons are, on machines whose users do not have it on PATH."""

# What differs from a cluster's settings, and why:
#   cred_expire              a requeued job waits for it; the default is two minutes, and less than 5 s means it too
#   proctrack, task, gather  no cgroups and no accounting: they want systemd and a data base
#   config_overrides         nodes have the CPUs and memory that are written here, not those of the machine
#   sched_*, batch_*         jobs start at once
#   FirstJobId               killed ranks of MPICH leave shared memory behind, named after the job's number
#   TmpFS, SlurmdSpoolDir    one for each node: they share a disk
SETTINGS = """\
ClusterName=pvmc
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
FirstJobId={first}
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
TmpFS={directory}/tmp-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=600
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory=64000 State=UNKNOWN\n"
PARTITION = "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"}


def why_not() -> str:
    """Why a SLURM cannot be started here; empty where it can."""
    missing = [name for name in (*DAEMONS, *TOOLS) if _find(name) is None]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)} missing)"
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    return ""


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SBIN}")


class Cluster:
    """A running SLURM; a context manager.

    Attributes:
        environment: variables that lead SLURM's commands to it.
    """

    def __init__(self, nodes: int = 3, cpus: int = 4):
        self.names = [f"n{k + 1}" for k in range(nodes)]
        self.cpus = cpus
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack:
            # Not pytest's directory: the path of a socket may have 107 characters only.
            self.directory = Path(tempfile.mkdtemp(prefix="pvmc-slurm-"))
            self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.directory.chmod(0o755)
            self.environment = os.environ | {"SLURM_CONF": str(self.directory / "slurm.conf")}
            self._configure()
            self._start_daemons()
            self._started = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel_all()
        self._started.close()

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        ports = _free_ports(1 + len(self.names))
        text = SETTINGS.format(host=host, directory=self.directory, ports=ports, first=random.randint(1, 10**7))
        for name, port in zip(self.names, ports[1:], strict=True):
            text += NODE.format(name=name, host=host, port=port, cpus=self.cpus)
            for kind in ("spool", "tmp"):
                (self.directory / f"{kind}-{name}").mkdir()
        (self.directory / "state").mkdir()
        (self.directory / "slurm.conf").write_text(text + PARTITION)
        key = self.directory / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    def _start_daemons(self) -> None:
        here = self.directory
        files = [f"--{kind}-file={here}/munge.{kind}" for kind in ("key", "pid", "log", "seed")]
        # --force: this munged runs as root, not as the user munge.
        self._start("munged", "--foreground", "--force", f"--socket={here}/munge.socket", *files)
        wait_for(lambda: (here / "munge.socket").exists(), 10, "munged's socket")
        self._start("slurmctld", "-D", "-c")
        for name in self.names:
            self._start("slurmd", "-D", "-c", "-N", name)
        idle = str(len(self.names))
        wait_for(lambda: self.output("sinfo", "-h", "-t", "idle", "-o", "%D", check=False).strip() == idle, 30, "nodes")

    def _start(self, name: str, *arguments: str) -> None:
        with open(self.directory / f"{name}.out", "ab") as log:
            daemon = subprocess.Popen(
                [*_ends_with_its_parent(), _find(name) or name, *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the tests reaches the tests only: they stop the daemons in order
            )
        self._stack.callback(_stop, daemon)

    # What tests do with it --------------------------------------------------------------------------------------------

    def output(self, *command: str | Path, check: bool = True, **options: Any) -> str:
        """What a command of SLURM's prints."""
        environment = os.environ | {"SLURM_CONF": self.environment["SLURM_CONF"]}  # with what the test has set
        options = {"env": environment, "timeout": 60} | options
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert not check or done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
        return done.stdout

    def submit(self, *arguments: str | Path, **options: Any) -> str:
        """The number of a job that sbatch takes."""
        return self.output("sbatch", "--parsable", *arguments, **options).strip()

    def facts(self, job: str) -> dict[str, str]:
        """What SLURM knows of a job (N) or an element of an array (N_K)."""
        text = self.output("scontrol", "show", "job", "-o", job).strip()
        return dict(re.findall(r"(\S+?)=(.*?)(?= \S+?=|$)", text))  # values may hold spaces

    def state(self, job: str) -> str:
        """The state of a job, such as "RUNNING"."""
        return self.facts(job)["JobState"]

    def exit_code(self, job: str) -> int:
        """The exit code of a job's batch script."""
        return int(self.facts(job)["ExitCode"].split(":")[0])

    def wait_ended(self, job: str, seconds: float = 100) -> str:
        """The state of a job once it has ended for good."""
        try:
            wait_for(lambda: self.state(job) in ENDED, seconds, f"the end of job {job}")
        except AssertionError as error:
            facts = self.facts(job)
            log = Path(facts["StdOut"])
            told = log.read_text() if log.exists() else "nothing"
            raise AssertionError(
                f"{error}; it is {facts['JobState']} ({facts['Reason']}), its log says: {told}"
            ) from None
        return self.state(job)

    def signal(self, job: str) -> None:
        """What ``--signal=B:USR1@120`` does when the time comes, at once."""
        self.output("scancel", "--batch", "--signal=USR1", job)

    def cancel_all(self) -> None:
        """Cancel what still runs or waits."""
        self.output("scancel", "--user=root", check=False)
        wait_for(lambda: not self.output("squeue", "-h", check=False).strip(), 30, "an empty queue")


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something is so; an error when it takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def _ends_with_its_parent() -> list[str]:
    """What lets a daemon end when the tests are killed before they can stop it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _free_ports(count: int) -> Sequence[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
