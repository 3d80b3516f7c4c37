"""What only a process of its own shows: imports, pipes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from skscan.cli.cache import cache_folder

SKSCAN = [sys.executable, "-m", "skscan"]
QUICK = ["--effort", "fast", "--backbone", "pixels", "--quiet"]
HEAVY = ("torch", "timm", "torchvision", "sklearn", "scipy", "pandas")


def start(arguments, **options):
    """Start the command with SIGINT as a terminal would have it, whatever the test runs under."""
    return subprocess.Popen(
        [*SKSCAN, *map(str, arguments)],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["cluster", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\n"
        "from skscan.cli import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit:\n"
        f"    print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_json_alone_on_stdout(shared_digits, tmp_path):
    run = subprocess.run(
        [
            *SKSCAN,
            "cluster",
            shared_digits,
            "-k",
            "4",
            "-o",
            tmp_path / "out",
            "--json",
            "--effort",
            "fast",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout)["n_images"] == 200
    assert run.stdout.count("\n") == 1


def test_warnings_are_clean_lines(digits_folder, tmp_path):
    (digits_folder / "empty.png").write_bytes(b"")
    loud = [option for option in QUICK if option != "--quiet"]
    run = subprocess.run(
        [*SKSCAN, "cluster", digits_folder, "-k", "4", "-o", tmp_path / "out", *loud],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stderr.splitlines()
    assert any(line.startswith("warning: 1 of 201 images could not be read") for line in lines)
    assert "Warning" not in run.stderr
    assert ".py:" not in run.stderr


def test_closed_stdout_is_silent(shared_digits, results):
    process = start(["predict", results, shared_digits, "--quiet"], stdout=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)


def test_non_utf8_names_reach_a_pipe_as_they_are(digits_folder, results):
    victim = sorted((digits_folder / "2").glob("*.png"))[0]
    victim.rename(victim.with_name("caf\udce9.png"))
    run = subprocess.run(
        [*SKSCAN, "predict", results, digits_folder, "--quiet"], capture_output=True, check=True
    )
    assert b"/caf\xe9.png," in run.stdout


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        (
            "extraction",
            ["-k", "4", "--backbone", "efficientnet_lite0", "--image-size", "512", "--jobs", "2"],
        ),
        # So many clusters that no machine is past this stage when it is interrupted.
        ("clustering", ["-k", "100", "--backbone", "pixels", "--effort", "best"]),
    ],
)
@pytest.mark.parametrize("whole_group", [False, True])
def test_ctrl_c_ends_within_a_second(shared_digits, tmp_path, stage, options, whole_group):
    command = ["cluster", shared_digits, "-o", tmp_path / "out", *options]
    for _ in range(3):  # a busy machine may stop for longer than that
        exit_code, seconds, said = interrupt(command, stage, whole_group)
        assert exit_code == 130, said
        assert "interrupted: No results were written." in said
        assert "Traceback" not in said
        assert "KeyboardInterrupt" not in said
        if seconds < 1.0:
            return
    raise AssertionError(f"three times not within a second, at last {seconds:.1f}")


def interrupt(command, stage, whole_group):
    """Interrupt a command in a stage; return exit code, seconds that it took, and its stderr."""
    process = start(command, start_new_session=True)
    # Progress bars end in a carriage return, so lines are not waited for.
    seen = b""
    while f"{stage} ".encode() not in seen:
        chunk = os.read(process.stderr.fileno(), 4096)
        assert chunk, seen.decode()
        seen += chunk
    time.sleep(1)
    if whole_group:  # as a terminal does it: workers get the signal too
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    interrupted_at = time.perf_counter()
    exit_code = process.wait(timeout=20)
    seconds = time.perf_counter() - interrupted_at
    return exit_code, seconds, (seen + process.stderr.read()).decode()


@pytest.mark.parametrize(
    "start_workers",
    [
        "from joblib.externals.loky import ProcessPoolExecutor\n"
        "pool = ProcessPoolExecutor(1)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "pool.submit(time.sleep, 100)\n",
        "from multiprocessing import Process\n"
        "worker = Process(target=time.sleep, args=(100,))\n"
        "worker.start()\n"
        "print(worker.pid, flush=True)\n",
    ],
    ids=["loky", "multiprocessing"],
)
def test_leaving_at_once_takes_the_workers_along(start_workers):
    code = (
        f"import os, time\nfrom skscan.cli.interrupt import leave_now\n{start_workers}leave_now()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 130, run.stderr
    worker = int(run.stdout)
    until = time.perf_counter() + 5
    while is_alive(worker) and time.perf_counter() < until:
        time.sleep(0.05)
    assert not is_alive(worker)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = f"/proc/{pid}/stat"
    return not (os.path.exists(status) and " Z " in open(status).read())  # no zombie


def test_a_killed_run_goes_on_from_its_features(digits_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    arguments = ["cluster", digits_folder, "-k", "4", "-o", out, "--effort", "best"]
    process = start([*arguments, "--backbone", "pixels"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size for path in cache_folder().glob("features/*/*.index")) < 201 * 20:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (out / "summary.json").exists()

    run = subprocess.run(
        [*SKSCAN, *map(str, arguments), "--backbone", "pixels", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Extracting features" not in run.stderr
    assert json.loads(run.stdout)["n_images"] == 200


def test_an_import_of_torch_is_left_to_the_watching_thread(monkeypatch):
    from types import SimpleNamespace

    from skscan.cli import interrupt

    spec = SimpleNamespace(_initializing=True)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__spec__=spec))
    interrupt._interrupt(signal.SIGINT, None)  # nothing is raised
    spec._initializing = False
    with pytest.raises(KeyboardInterrupt):
        interrupt._interrupt(signal.SIGINT, None)
