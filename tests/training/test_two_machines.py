"""Two machines give the losses of one: two network namespaces with a cable between them."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest
from test_distributed import SCRIPT, Run, begin_by_one, trained_by_one

pytestmark = pytest.mark.slow

_ADDRESSES = ("10.201.77.1", "10.201.77.2")


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def machines():
    """Two namespaces, each with an end of a virtual cable; torn down afterwards."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` (iproute2) to make network namespaces with")
    names = [f"skscan-{os.getpid()}-{i}" for i in range(2)]
    ends = [f"sk{os.getpid() % 100_000}e{i}" for i in range(2)]
    with ExitStack() as undo:
        try:
            for name in names:
                ip("netns", "add", name)
                undo.callback(ip, "netns", "del", name)
            ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
            for name, end, address in zip(names, ends, _ADDRESSES, strict=True):
                ip("link", "set", end, "netns", name)
                ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
                ip("-n", name, "link", "set", end, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here ({error.stderr.strip()})")
        yield list(zip(names, ends, strict=True))


def test_two_machines_give_the_losses_and_weights_of_one(machines, tmp_path, monkeypatch):
    begin_by_one(tmp_path, monkeypatch)
    path = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent.parent)])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])
    processes = []
    for rank, (name, end) in enumerate(machines):
        launcher = [
            *("ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1"),
            *("--master-addr", _ADDRESSES[0], "--master-port", "29511"),
        ]
        processes.append(
            subprocess.Popen(
                [*launcher, str(SCRIPT), str(tmp_path)],
                env={**environment, "GLOO_SOCKET_IFNAME": end},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    run = Run(tmp_path)
    for name in ("simclr", "pairs", "scan"):
        run.check(name, trained_by_one(name))
