"""Other programs' files: the authors' checkpoints and lists of neighbors, in and out, and ONNX.

>>> from skscan.interop import load_scan_checkpoint  # doctest: +SKIP
>>> checkpoint = load_scan_checkpoint("scan_cifar-10.pth.tar", stem="cifar")  # doctest: +SKIP
>>> clusterer = checkpoint.to_estimator()  # doctest: +SKIP
"""

from skscan.interop.checkpoints import KeyReport, ScanCheckpoint, load_scan_checkpoint
from skscan.interop.estimators import clusterer_from_network, network_and_heads
from skscan.interop.neighbor_files import load_neighbors, read_graph, save_neighbors, write_graph
from skscan.interop.onnx_export import OnnxExport, export_onnx
from skscan.interop.writing import save_scan_checkpoint

__all__ = [
    "KeyReport",
    "OnnxExport",
    "ScanCheckpoint",
    "clusterer_from_network",
    "export_onnx",
    "load_neighbors",
    "load_scan_checkpoint",
    "network_and_heads",
    "read_graph",
    "save_neighbors",
    "save_scan_checkpoint",
    "write_graph",
]
