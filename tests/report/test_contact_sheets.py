"""The contact sheets of a clustering."""

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from skscan.images import as_collection
from skscan.report.contact_sheets import (
    N_COLUMNS,
    N_TYPICAL,
    TILE,
    draw_contact_sheet,
    rank_by_typicality,
    write_contact_sheets,
)

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def plain_images(*names):
    return as_collection([Image.new("RGB", (60, 60), COLORS[name]) for name in names])


def center_of_tile(sheet, place, caption_height=46, gap=6):
    row, column = divmod(place, N_COLUMNS)
    x = gap + column * (TILE + gap) + TILE // 2
    y = caption_height + row * (TILE + gap) + TILE // 2
    return sheet.getpixel((x, y))


def graph(distances):
    return csr_matrix(np.array(distances, dtype=float))


def test_images_stand_in_the_given_order():
    sheet = draw_contact_sheet(plain_images("red", "green", "blue"), [2, 0, 1], "Cluster 0")
    shown = [center_of_tile(sheet, place) for place in range(3)]
    assert shown == [COLORS["blue"], COLORS["red"], COLORS["green"]]


def test_large_cluster_ends_with_its_least_certain_images():
    images = plain_images(*["red"] * N_TYPICAL, *["green"] * 5, "blue")
    small = draw_contact_sheet(images, range(N_TYPICAL), "Cluster 0")
    large = draw_contact_sheet(images, range(N_TYPICAL + 6), "Cluster 0")
    assert large.height > small.height
    last_row = large.crop((0, large.height - TILE // 2 - 6, large.width, large.height - TILE // 2))
    assert last_row.getpixel((6 + TILE // 2, 0)) == COLORS["blue"]  # the least certain one first


def test_small_images_are_enlarged():
    pixels = np.full((1, 8, 8), 255, dtype=np.uint8) * np.eye(8, dtype=np.uint8)
    sheet = draw_contact_sheet(as_collection(pixels), [0], "Cluster 0")
    tile = np.asarray(sheet.convert("L"))[46 : 46 + TILE, 6 : 6 + TILE]
    assert tile[5, 5] > 200
    assert tile[5, -5] < 50
    assert tile[-5, -5] > 200


@pytest.mark.parametrize("size", [(500, 40), (40, 500), (1, 1)])
def test_images_of_any_shape_fit_their_tile(size):
    sheet = draw_contact_sheet(as_collection([Image.new("RGB", size, "red")]), [0], "Cluster 0")
    red = (np.asarray(sheet) == COLORS["red"]).all(axis=2).nonzero()
    assert np.ptp(red[0]) < TILE
    assert np.ptp(red[1]) < TILE


def test_image_that_is_gone_is_left_out(tmp_path):
    for name in ("red", "green"):
        Image.new("RGB", (60, 60), COLORS[name]).save(tmp_path / f"{name}.png")
    images = as_collection([str(tmp_path / "red.png"), str(tmp_path / "green.png")])
    (tmp_path / "red.png").unlink()
    sheet = draw_contact_sheet(images, [0, 1], "Cluster 0")
    assert center_of_tile(sheet, 0) == COLORS["green"]


def test_agreeing_neighbors_make_an_image_typical():
    neighbors = graph([[0, 1, 0, 1], [1, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 0]])
    labels = np.array([0, 0, 0, 1])
    confidence = np.ones(4)
    ranked = rank_by_typicality(np.array([0, 1, 2]), confidence, neighbors, labels)
    assert ranked[0] == 1  # both of its neighbors lie in its cluster; half of the others' do


def test_confidence_and_then_density_rank():
    neighbors = graph([[0, 2, 0], [1, 0, 0], [0, 1, 0]])
    labels = np.zeros(3, dtype=int)
    ranked = rank_by_typicality(np.arange(3), np.array([0.99, 0.99, 0.5]), neighbors, labels)
    assert ranked.tolist() == [1, 0, 2]


def test_one_file_for_each_cluster_with_unread_and_empty_ones(tmp_path):
    labels = np.array([0, 0, 2, -1])
    probabilities = np.array([[0.9, 0.1, 0], [0.6, 0.2, 0.2], [0, 0, 1], [np.nan] * 3])
    neighbors = graph([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    images = plain_images("green", "red", "blue", "blue")
    paths = write_contact_sheets(tmp_path / "sheets", images, labels, probabilities, neighbors)
    assert [path.name for path in paths] == ["cluster_00.jpg", "cluster_01.jpg", "cluster_02.jpg"]
    with Image.open(paths[0]) as sheet:
        assert center_of_tile(sheet, 0)[1] > 200  # the confident green one comes first
        assert center_of_tile(sheet, 1)[0] > 200


def test_many_clusters_sort_by_name(tmp_path):
    probabilities = np.full((1, 101), 1 / 101)
    paths = write_contact_sheets(
        tmp_path, plain_images("red"), np.array([0]), probabilities, graph([[0]])
    )
    assert paths == sorted(paths)
    assert paths[0].name == "cluster_000.jpg"
