"""The files of the authors' code of SCAN, in and out: checkpoints and lists of neighbors.

>>> from skscan.interop import load_scan_checkpoint  # doctest: +SKIP
>>> checkpoint = load_scan_checkpoint("scan_cifar-10.pth.tar", stem="cifar")  # doctest: +SKIP
>>> clusterer = checkpoint.to_estimator()  # doctest: +SKIP
"""

from skscan.interop.checkpoints import KeyReport, ScanCheckpoint, load_scan_checkpoint
from skscan.interop.neighbor_files import load_neighbors, save_neighbors
from skscan.interop.writing import save_scan_checkpoint

__all__ = [
    "KeyReport",
    "ScanCheckpoint",
    "load_neighbors",
    "load_scan_checkpoint",
    "save_neighbors",
    "save_scan_checkpoint",
]
