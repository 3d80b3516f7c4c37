"""What the page asks for: thumbnails, decisions, classes of new images."""

import base64
import io
import json

import numpy as np
import pytest
from image_factory import encoded, picture, png_that_claims
from PIL import Image
from results_factory import write_photos
from serving_client import client_of
from sklearn.datasets import load_digits

from skscan import load
from skscan.report import Decisions
from skscan.serving import app as serving_app


@pytest.fixture(scope="module")
def shared(shared_server):
    """Ask what leaves the server as it was."""
    client = client_of(shared_server)

    def ask(method, path, **content):
        return client.request(method, shared_server.address + path, **content)

    return ask


# ---- thumbnails


def test_thumbnails_are_made_of_the_images(shared):
    answer = shared("GET", "thumbnails/0/5.jpeg")
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "private" in answer.headers["Cache-Control"]
    image = Image.open(io.BytesIO(answer.content))
    assert image.size == (20, 16)
    assert image.convert("RGB").getpixel((3, 3)) == pytest.approx((100, 100, 155), abs=2)


@pytest.mark.parametrize(
    "name", ["0/12.jpeg", "0/-1.jpeg", f"0/{10**30}.jpeg", "0/1.png", "0/x.jpeg"]
)
def test_there_are_no_other_thumbnails(shared, name):
    assert shared("GET", f"thumbnails/{name}").status_code == 404


def test_an_image_that_is_gone_has_no_thumbnail(serve, results, tmp_path):
    write_photos(tmp_path / "photos")
    server = serve(results, images=tmp_path / "photos")
    (tmp_path / "photos" / "one" / "3.png").unlink()
    (tmp_path / "photos" / "one" / "4.png").write_text("no picture")
    client = client_of(server)
    found = [client.get(f"{server.address}thumbnails/0/{i}.jpeg").status_code for i in (3, 4, 5)]
    assert found == [404, 404, 200]


ESCAPES = [
    "../secret.txt",
    "thumbnails/../../secret.txt",
    "thumbnails/0/%2e%2e%2f%2e%2e%2fsecret.txt",
    "%2e%2e/%2e%2e/etc/passwd",
    "thumbnails/0//etc/passwd",
    "thumbnails/0/..%5c..%5csecret.txt",
    "thumbnails/0/1.jpeg%00.png",
    "file:///etc/passwd",
    "photos/one/0.png",
    "decisions.json",
    "model/model.json",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_other_file_is_given(shared, made_once, path):
    (made_once[0].parent / "secret.txt").write_text("hidden")
    answer = shared("GET", path)
    assert answer.status_code in (403, 404)
    assert "hidden" not in answer.text
    assert "root:" not in answer.text


def test_images_that_have_been_moved_are_found(serve, results, tmp_path):
    write_photos(tmp_path / "elsewhere")
    lost = serve(results, images=tmp_path / "nowhere")
    assert not lost.finds_images
    lost.close()
    found = serve(results, images=tmp_path / "elsewhere")
    assert found.finds_images
    assert client_of(found).get(found.address + "thumbnails/0/5.jpeg").status_code == 200


def test_thumbnails_of_a_sample_are_those_of_its_images(serve, results):
    server = serve(results, max_shown=6)
    client = client_of(server)
    page = client.get(server.address).text
    data = json.loads(page.split('id="page-data">')[1].split("</script>")[0])
    assert (data["n_shown"], data["run"]["n_images"], server.n_images) == (6, 12, 6)
    folders = np.frombuffer(base64.b64decode(data["images"]["folder"]), "<u4")
    for number, name in enumerate(data["images"]["names"]):
        folder = data["images"]["folders"][folders[number]]
        thumbnail = client.get(f"{server.address}thumbnails/0/{number}.jpeg").content
        found = np.asarray(Image.open(io.BytesIO(thumbnail)).convert("RGB"), dtype=int)
        assert np.abs(found - np.asarray(Image.open(folder + name))).max() <= 2
    assert client.get(f"{server.address}thumbnails/0/6.jpeg").status_code == 404


# ---- decisions


def save(client, server, document, based_on):
    sent = {"based_on": based_on, "decisions": document}
    return client.put(server.address + "decisions", json=sent)


def test_decisions_are_on_disk_at_once(client, server, document, results, photos):
    address = server.address + "decisions"
    assert client.get(address).json() == {"version": 0, "decisions": None}
    assert save(client, server, document, 0).json() == {"version": 1}
    kept = Decisions.load(results / "decisions.json", results)
    assert kept.to_labels(photos[:3]).tolist() == ["cats", "Cluster 1", "Cluster 2"]
    assert client.get(address).json() == {"version": 1, "decisions": document | {"version": 1}}


def test_who_was_slower_is_told_what_the_other_decided(client, server, document, results):
    save(client, server, document, 0)
    before = (results / "decisions.json").read_bytes()
    answer = save(client, server, document | {"images": []}, 0)
    assert answer.status_code == 409
    assert answer.json()["version"] == 1
    assert answer.json()["decisions"]["classes"][0]["name"] == "cats"
    assert (results / "decisions.json").read_bytes() == before


DAMAGED = {
    "no decisions": {"format": "other"},
    "another run": {"run": "0" * 16},
    "no classes": {"classes": "many"},
    "same names": {
        "classes": [
            {"id": str(i), "name": "cats", "named": True, "clusters": [i]} for i in range(3)
        ]
    },
    "no steps": {"review": None},
    "steps beyond the last": {"review": {"log": [], "cursor": 1}},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_damaged_decisions_are_not_saved(shared, shared_server, document, damage):
    sent = {"based_on": 0, "decisions": document | damage}
    answer = shared("PUT", "decisions", json=sent)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("not saved: ")
    assert not shared_server.decisions.path.exists()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"based_on": true}']
)
def test_what_is_no_json_is_not_saved(shared, shared_server, body):
    assert shared("PUT", "decisions", content=body).status_code == 422
    assert not shared_server.decisions.path.exists()


def test_decisions_have_a_largest_size(client, server, document, results, monkeypatch):
    monkeypatch.setattr(serving_app, "_MAX_DECISIONS", 100)
    assert save(client, server, document, 0).status_code == 413
    assert not (results / "decisions.json").exists()


def test_a_full_disk_is_told_of(client, server, document, monkeypatch):
    def fail(path, data):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("skscan.serving.decisions_file.write_atomically", fail)
    answer = save(client, server, document, 0)
    assert answer.status_code == 507
    assert "No space left on device" in answer.json()["error"]
    assert client.get(server.address + "decisions").json()["version"] == 0


def test_decisions_on_results_that_were_replaced_are_not_saved(client, server, document, results):
    with (results / "clusters.csv").open("a") as file:
        file.write("another,1,0.5,2\n")
    answer = save(client, server, document, 0)
    assert answer.status_code == 410
    assert "anew" in answer.json()["error"]
    assert not (results / "decisions.json").exists()


# ---- new images


@pytest.fixture
def sorting(serve, results_with_model):
    """Returns what the server says of an uploaded file."""
    server = serve(results_with_model, max_upload=50_000)
    client = client_of(server)

    def send(content, name="new.png"):
        address = server.address + "new-images"
        return client.post(address, params={"name": name}, content=content)

    return send


def test_new_images_get_the_class_that_predict_gives(sorting, results_with_model, tmp_path):
    model = load(results_with_model / "model")
    seen = set()
    for number in range(20, 28):
        file = tmp_path / "new.png"
        Image.fromarray((load_digits().images[number] * 15).astype(np.uint8)).save(file)
        answer = sorting(file.read_bytes()).json()
        expected = model.predict_proba([str(file)])[0]
        found = dict((cluster, share) for cluster, share in answer["clusters"])
        assert found == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-5)
        assert answer["clusters"][0][0] == expected.argmax()
        seen.add(answer["clusters"][0][0])
    assert len(seen) > 1


NO_PICTURES = {
    "nothing": (b"", "empty file"),
    "text": (b"<script>alert(1)</script>", "not an image in spite of its name"),
    "half": (encoded(picture(), "PNG")[:60], "damaged"),
    "bomb": (png_that_claims(60_000, 60_000), "too large"),
}


@pytest.mark.parametrize(("content", "reason"), NO_PICTURES.values(), ids=NO_PICTURES)
def test_what_is_no_picture_is_refused(sorting, caplog, content, reason):
    answer = sorting(content, "../../<b>\nnot.png")
    assert answer.status_code == 415
    assert reason in answer.json()["error"]
    assert "no picture: <b>\\nnot.png" in caplog.text
    assert sorting(encoded(picture(), "PNG")).status_code == 200


def test_large_uploads_are_refused(sorting):
    def in_pieces():
        for _ in range(100):
            yield b"x" * 1_000

    for content in (b"x" * 50_001, in_pieces()):
        answer = sorting(content)
        assert answer.status_code == 413
        assert "too large" in answer.json()["error"]
    assert sorting(encoded(picture(), "PNG")).status_code == 200


def test_a_model_that_fails_leaves_the_server_alive(sorting, monkeypatch):
    def fail(self, X):
        raise RuntimeError("no weights")

    good = encoded(picture(), "PNG")
    with monkeypatch.context() as patch:
        patch.setattr("skscan.clusterer.SCANClusterer.predict_proba", fail)
        answer = sorting(good)
        assert answer.status_code == 500
        assert "no weights" in answer.json()["error"]
    assert sorting(good).status_code == 200


def test_a_run_on_features_sorts_no_images(shared):
    answer = shared("POST", "new-images", content=encoded(picture(), "PNG"))
    assert answer.status_code == 501
    page = shared("GET", "").text
    assert '"serving":{"sorts":false' in page


def test_nothing_else_is_written(sorting, tmp_path):
    def files():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}

    before = files()
    sorting(encoded(picture(), "PNG"), "../../new.png")
    sorting(b"no picture", "/etc/new.png")
    assert files() == before
