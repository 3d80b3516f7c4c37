import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from image_factory import pixel_arrays, write_pictures, write_zip
from numpy.testing import assert_array_equal

from skscan.exceptions import SkscanWarning
from skscan.images import as_collection, loading
from skscan.images.arrays import array_to_rgb
from skscan.images.collection import FileImages
from skscan.images.loading import iter_batches
from skscan.images.transforms import to_square


class ProcessIds(FileImages):
    """Images that tell where they were read."""

    def read(self, i, min_side=None):
        with open(os.path.join(os.path.dirname(self.names[i]), f"{os.getpid()}.pid"), "w"):
            pass
        return super().read(i, min_side)


class ThreadNames(FileImages):
    """Images that know which threads read them."""

    def __init__(self, paths):
        super().__init__(paths)
        self.seen = set()

    def read(self, i, min_side=None):
        self.seen.add(threading.current_thread().name)
        time.sleep(0.002)
        return super().read(i, min_side)


class Deadly(FileImages):
    """Kills the process that reads image 5, as the system does when memory is out."""

    def read(self, i, min_side=None):
        if i == 5:
            self.die()
        return super().read(i, min_side)

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)


class DeadlyOnce(Deadly):
    """Kills the first process that reads image 5."""

    def die(self):
        mark = Path(self.names[0]).parent / "died"
        if not mark.exists():
            mark.touch()
            super().die()


def collected(images, **options):
    batches = list(iter_batches(images, 16, **{"batch_size": 4, **options}))
    rows = np.concatenate([batch.rows for batch in batches])
    pixels = np.concatenate([batch.pixels for batch in batches])
    return rows, pixels, [skipped for batch in batches for skipped in batch.skipped]


@pytest.mark.parametrize("n_jobs", [None, 1, 2, -1])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_workers_and_batches_change_nothing(tmp_path, n_jobs, batch_size):
    paths = write_pictures(tmp_path, 9)
    for broken in (2, 7):
        (tmp_path / f"{broken}.png").write_bytes(b"")
        paths[broken] = str(tmp_path / f"{broken}.png")
    images = as_collection(paths)
    rows, pixels, skipped = collected(images, n_jobs=n_jobs, batch_size=batch_size)
    good = [i for i in range(9) if i not in (2, 7)]
    assert rows.tolist() == good
    assert_array_equal(pixels, [to_square(images.read(i, 16), 16) for i in good])
    assert [(s.index, s.name, s.reason) for s in skipped] == [
        (i, paths[i], "empty file (0 bytes)") for i in (2, 7)
    ]


@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_images_in_memory_never_leave_the_process(n_jobs):
    pixels = pixel_arrays(10)
    images = as_collection(pixels)
    images.__reduce__ = None  # Pickling it would fail.
    rows, loaded, _ = collected(images, n_jobs=n_jobs)
    assert rows.tolist() == list(range(10))
    assert_array_equal(loaded, [to_square(images.read(i), 16) for i in range(10)])


def test_batches_count_their_images(tmp_path):
    batches = iter_batches(as_collection(write_pictures(tmp_path, 9)), 16, 4)
    assert [batch.n_images for batch in batches] == [4, 4, 1]


def test_large_files_are_shared_by_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(loading.joblib, "cpu_count", lambda: 4)
    path = write_pictures(tmp_path, 1)[0]
    small = ThreadNames([path] * 80)
    collected(small, batch_size=32)
    assert len(small.seen) == 1
    monkeypatch.setattr(loading, "_LARGE_FILE_BYTES", 10)
    large = ThreadNames([path] * 80)
    collected(large, batch_size=32)
    assert len(large.seen) == 4


def test_processes_are_for_whoever_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_LARGE_FILE_BYTES", 10)
    path = write_pictures(tmp_path, 1)[0]
    for n_jobs, elsewhere in [(None, False), (1, False), (2, True)]:
        folder = Path(path).parent
        collected(ProcessIds([path] * 40), n_jobs=n_jobs)
        seen = {entry.name for entry in folder.glob("*.pid")}
        assert seen
        assert (f"{os.getpid()}.pid" not in seen) is elsewhere
        for name in seen:
            (folder / name).unlink()


def test_sizes_are_estimated_from_a_few_files(tmp_path):
    paths = write_pictures(tmp_path, 5)
    sizes = [os.path.getsize(path) for path in paths]
    assert as_collection(paths).estimate_bytes() == sum(sizes)
    assert as_collection(paths[:1] * 1000).estimate_bytes() == 1000 * sizes[0]
    assert as_collection(["missing.png", "missing.zip/1.png"]).estimate_bytes() == 0
    archive = write_zip(tmp_path / "photos.zip", {"1.png": bytes(10_000)})
    assert 0 < as_collection([f"{archive}/1.png"]).estimate_bytes() < 1000


def test_zip_is_read_by_processes(tmp_path):
    entries = {path: Path(path).read_bytes() for path in write_pictures(tmp_path, 8)}
    entries = {os.path.basename(path): content for path, content in entries.items()}
    images = as_collection(write_zip(tmp_path / "photos.zip", entries))
    images.read(0)
    assert_array_equal(collected(images, n_jobs=2)[1], collected(images, n_jobs=1)[1])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_only_a_few_batches_are_loaded_ahead(n_jobs):
    read = []

    class Counting(type(as_collection(pixel_arrays(1)))):
        def read(self, i, min_side=None):
            read.append(i)
            return super().read(i, min_side)

    batches = iter_batches(Counting(pixel_arrays(100, 8, 8)), 9, 2, n_jobs)
    next(batches)
    time.sleep(0.3)
    assert len(read) <= 2 * (2 * n_jobs + 2)
    batches.close()


def test_what_waits_is_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(loading, "_MAX_BYTES_AHEAD", 5 * 2 * 9 * 9 * 3)
    seen = []
    monkeypatch.setattr(
        loading, "_load_with_threads", lambda images, size, plan, n: iter(seen.append(plan) or [])
    )
    images = as_collection(pixel_arrays(100, 8, 8))
    for n_jobs in (1, 2, 8):
        list(iter_batches(images, 9, 2, n_jobs))
    list(iter_batches(images, 90, 2, 8))
    assert [plan.n_ahead for plan in seen] == [2, 4, 5, 1]


def test_workers_share_a_batch(tmp_path):
    paths = write_pictures(tmp_path, 5)
    (tmp_path / "broken.png").write_bytes(b"")
    images = as_collection([*paths, str(tmp_path / "broken.png")] * 10)
    loaded = [collected(images, batch_size=50, n_jobs=n_jobs) for n_jobs in (1, 2)]
    assert_array_equal(loaded[0][0], loaded[1][0])
    assert_array_equal(loaded[0][1], loaded[1][1])
    assert loaded[0][2] == loaded[1][2]
    assert len(loaded[0][2]) == 10


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x[..., 0],
        lambda x: x[..., :1],
        lambda x: x / np.float32(255),
        lambda x: x[..., 0] > 128,
        lambda x: x[:, :, ::-1],
    ],
)
def test_squares_of_the_right_size_are_taken_as_they_are(convert):
    array = convert(pixel_arrays(10, 16, 16))
    expected = [to_square(array_to_rgb(image), 16) for image in array]
    _, pixels, _ = collected(as_collection(array))
    assert pixels.flags.c_contiguous
    assert_array_equal(pixels, expected)


def test_arrays_in_memory_are_not_copied(tmp_path):
    array = pixel_arrays(10, 16, 16)
    batches = list(iter_batches(as_collection(array), 16, 4))
    assert all(np.shares_memory(batch.pixels, array) for batch in batches)


def test_arrays_in_files_are_read_ahead(tmp_path):
    array = pixel_arrays(10, 16, 16)
    np.save(tmp_path / "images.npy", array)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    batches = list(iter_batches(as_collection(mapped), 16, 4))
    assert not any(np.shares_memory(batch.pixels, mapped) for batch in batches)
    assert all(batch.pixels.flags.writeable for batch in batches)
    assert_array_equal(np.concatenate([batch.pixels for batch in batches]), array)


def test_leaving_early_ends_threads():
    before = threading.active_count()
    batches = iter_batches(as_collection(pixel_arrays(100)), 16, 2, n_jobs=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def children() -> set[str]:
    """Ids of the processes that this one has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # It may end just now.
            pid, rest = stat.parent.name, stat.read_text().rpartition(")")[2].split()
            state, parent = rest[:2]
            if parent == str(os.getpid()) and state != "Z":
                found.add(pid)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_leaving_early_ends_processes(tmp_path):
    images = as_collection(write_pictures(tmp_path, 1) * 500)
    batches = iter_batches(images, 16, 2, n_jobs=2)
    next(batches)
    n_workers = len(children())
    batches.close()
    deadline = time.monotonic() + 10
    while len(children()) > n_workers - 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(children()) <= n_workers - 2


def test_what_a_killed_worker_left_is_done_by_another(tmp_path):
    paths = write_pictures(tmp_path, 40)
    with pytest.warns(SkscanWarning, match=r"ended unexpectedly.*memory.*Nothing is lost"):
        rows, pixels, _ = collected(DeadlyOnce(paths), n_jobs=2, batch_size=2)
    assert rows.tolist() == list(range(40))
    assert_array_equal(pixels, collected(as_collection(paths))[1])


@pytest.mark.filterwarnings("ignore:a process that decoded")
def test_an_image_that_kills_every_worker_is_named(tmp_path):
    paths = write_pictures(tmp_path, 12)
    batches = iter_batches(Deadly(paths), 16, 2, n_jobs=2)
    assert [next(batches).rows.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match=r"ended unexpectedly.*memory.*n_jobs=1") as caught:
        next(batches)
    assert paths[4] in str(caught.value)
    assert paths[5] in str(caught.value)


def count_in_daemon(paths, queue):
    queue.put(len(collected(as_collection(paths), n_jobs=2)[0]))


def test_daemons_load_without_children(tmp_path):
    paths = write_pictures(tmp_path, 9)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=count_in_daemon, args=(paths, queue), daemon=True)
    process.start()
    assert queue.get(timeout=30) == 9
    process.join()


def child_processes_of_worker(paths):
    images = ProcessIds(paths)
    collected(images, n_jobs=2)
    return os.getpid()


def test_joblib_workers_load_without_children(tmp_path):
    path = write_pictures(tmp_path, 1)[0]
    pids = joblib.Parallel(n_jobs=2)(
        joblib.delayed(child_processes_of_worker)([path] * 20) for _ in range(2)
    )
    seen = {entry for entry in os.listdir(os.path.dirname(path)) if entry.endswith(".pid")}
    assert seen == {f"{pid}.pid" for pid in pids}


SCRIPT = """
import sys
from skscan.exceptions import SkscanWarning
from skscan.images import as_collection, loading
from skscan.images.arrays import array_to_rgb
from skscan.images.loading import iter_batches

# No `if __name__ == "__main__"`, as in a notebook or a quick script.
n = 0
for batch in iter_batches(as_collection([sys.argv[1]] * int(sys.argv[2])), 64, 8, n_jobs=2):
    n += batch.n_images
    print(n, flush=True)
"""


def test_scripts_need_no_main_guard(tmp_path):
    path = write_pictures(tmp_path, 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, path, "40"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "40"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, path, "40"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split().count("8") == 1


def test_ctrl_c_ends_at_once_and_workers_stay_silent(tmp_path):
    path = write_pictures(tmp_path, 1)[0]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, path, "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    process.stdout.readline()
    begin = time.monotonic()
    # As a terminal does: to all processes of the group.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")
