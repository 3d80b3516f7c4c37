"""Limits on threads, also of a torch that is imported under them."""

import subprocess
import sys

IMPORTED_INSIDE = """
import sklearn.cluster
from threadpoolctl import threadpool_info
from skscan._preloading import preload
from skscan._threads import limit_threads, limit_torch

preload("torch")
with limit_threads(1, torch_later=True):
    limit_torch()
    import torch
    assert torch.get_num_threads() == 1
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    with limit_threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1
free = torch.get_num_threads()
print(free)
"""

USUALLY = "import torch; print(torch.get_num_threads())"


def output(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


def test_a_torch_that_is_imported_under_a_limit_is_held_to_it_and_freed():
    assert output(IMPORTED_INSIDE) == output(USUALLY)


def test_the_device_is_found_without_torch_as_with_it():
    code = "import sys; from skscan._device import resolve_device; print(resolve_device('auto'))"
    first, second = output(code), output(f"import torch; {code}")
    assert first == second


def test_torch_is_not_imported_where_there_is_no_accelerator():
    code = (
        "import sys; from skscan._device import resolve_device\n"
        "print(resolve_device('auto') == 'cpu', 'torch' in sys.modules)"
    )
    on_cpu, imported = output(code).split()
    assert on_cpu == "False" or imported == "False" or sys.platform == "darwin"
