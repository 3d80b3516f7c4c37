"""One picture for each cluster: its most typical images, then its least certain ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from skscan._progress import progress
from skscan.exceptions import ImageReadError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from skscan.images import ImageCollection

N_COLUMNS = 8
N_TYPICAL = 5 * N_COLUMNS
N_UNCERTAIN = N_COLUMNS
TILE = 120
_GAP = 6
_MAX_THREADS = 8
_CAPTION_HEIGHT = 46
_SUBTITLE_HEIGHT = 30
_PAPER, _INK, _FAINT = "#ffffff", "#1a1a1a", "#6b6b6b"


def rank_by_typicality(
    members: np.ndarray, confidence: np.ndarray, neighbors: "csr_matrix", labels: np.ndarray
) -> np.ndarray:
    """Return `members` of one cluster, the most typical first.

    Heads are sure of most images, so that their probability alone hardly ranks. It is
    multiplied with the share of an image's nearest neighbors that lie in the same cluster;
    among equals, the image in the denser place comes first.

    Parameters
    ----------
    members : ndarray of shape (n_members,)
        Indices of the cluster's images.
    confidence : ndarray of shape (n_samples,)
        Probability of each image's own cluster.
    neighbors : CSR matrix of shape (n_samples, n_samples)
        Distances to the nearest neighbors.
    labels : ndarray of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_members,)
    """
    rows = neighbors[members]
    count = np.maximum(np.diff(rows.indptr), 1)
    row_of_entry = np.repeat(np.arange(len(members)), np.diff(rows.indptr))
    same = labels[rows.indices] == labels[members][row_of_entry]
    agreement = np.bincount(row_of_entry, weights=same, minlength=len(members)) / count
    distance = np.bincount(row_of_entry, weights=rows.data, minlength=len(members)) / count
    typicality = np.round(confidence[members] * agreement, 2)  # 0.997 and 0.999 are equals
    return members[np.lexsort((members, distance, -typicality))]


def write_contact_sheets(
    folder: Path,
    images: "ImageCollection",
    labels: np.ndarray,
    probabilities: np.ndarray,
    neighbors: "csr_matrix",
    *,
    verbose: int = 0,
) -> list[Path]:
    """Write ``cluster_00.jpg``, ``cluster_01.jpg``, ... into `folder`, one for each cluster.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    images : ImageCollection
        The images that were clustered, n_samples of them.
    labels : ndarray of shape (n_samples,)
        Cluster of each image, -1 where it could not be read.
    probabilities : ndarray of shape (n_samples, n_clusters)
    neighbors : CSR matrix of shape (n_samples, n_samples)
        Distances to the nearest neighbors, as `SCANClusterer.neighbors_`.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    list of Path
        The files written, in the order of the clusters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_clusters = probabilities.shape[1]
    n_digits = max(2, len(str(n_clusters - 1)))
    confidence = probabilities[np.arange(len(labels)), labels]

    def write(cluster: int) -> Path:
        members = np.flatnonzero(labels == cluster)
        ranked = rank_by_typicality(members, confidence, neighbors, labels)
        sheet = draw_contact_sheet(images, ranked, caption=_caption(cluster, confidence[members]))
        path = folder / f"cluster_{cluster:0{n_digits}d}.jpg"
        sheet.save(path, quality=90)
        return path

    with ThreadPoolExecutor(min(joblib.cpu_count(), _MAX_THREADS)) as executor:
        drawn = executor.map(write, range(n_clusters))
        return list(progress(drawn, total=n_clusters, desc="contact sheets", verbose=verbose))


def _caption(cluster: int, confidence: np.ndarray) -> str:
    if len(confidence) == 0:
        return f"Cluster {cluster}: no image"
    images = "1 image" if len(confidence) == 1 else f"{len(confidence):,} images"
    return f"Cluster {cluster}: {images}, mean confidence {confidence.mean():.2f}"


def draw_contact_sheet(
    images: "ImageCollection", ranked: Sequence[int] | np.ndarray, caption: str
) -> Image.Image:
    """Return a picture of a cluster whose images are `ranked`, the most typical first.

    Up to 40 typical images fill its rows; where the cluster has more, a last row shows the 8
    least certain of them. Images that can no longer be read are left out.
    """
    typical = _tiles(images, ranked[:N_TYPICAL])
    rest = ranked[N_TYPICAL:]
    uncertain = _tiles(images, rest[-N_UNCERTAIN:][::-1])
    step = TILE + _GAP
    typical_height = -(-len(typical) // N_COLUMNS) * step
    height = _CAPTION_HEIGHT + typical_height + _GAP
    if uncertain:
        height += _SUBTITLE_HEIGHT + step
    sheet = Image.new("RGB", (N_COLUMNS * step + _GAP, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, caption, middle=_CAPTION_HEIGHT // 2, size=26, color=_INK)
    _paste(sheet, typical, top=_CAPTION_HEIGHT)
    if uncertain:
        top = _CAPTION_HEIGHT + typical_height
        _write(pen, "Least certain", middle=top + _SUBTITLE_HEIGHT // 2, size=18, color=_FAINT)
        _paste(sheet, uncertain, top=top + _SUBTITLE_HEIGHT)
    return sheet


def _write(pen: ImageDraw.ImageDraw, text: str, *, middle: int, size: int, color: str) -> None:
    pen.text((_GAP, middle), text, color, font=ImageFont.load_default(size), anchor="lm")


def _paste(sheet: Image.Image, tiles: list[Image.Image], top: int) -> None:
    step = TILE + _GAP
    for place, tile in enumerate(tiles):
        row, column = divmod(place, N_COLUMNS)
        left_margin = (TILE - tile.width) // 2
        top_margin = (TILE - tile.height) // 2
        sheet.paste(tile, (_GAP + column * step + left_margin, top + row * step + top_margin))


def _tiles(images: "ImageCollection", indices: Sequence[int] | np.ndarray) -> list[Image.Image]:
    tiles = []
    for index in indices:
        try:
            image = images.read(int(index), min_side=TILE)
        except ImageReadError:  # it was readable when it was clustered, and is gone since
            continue
        tiles.append(ImageOps.contain(image, (TILE, TILE)))
    return tiles
