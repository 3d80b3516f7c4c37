"""Decisions on disk: none is lost, whatever happens."""

import json
import random
import subprocess
import sys
import time

import pytest

from skscan.report import Decisions
from skscan.report.files import run_id
from skscan.serving.decisions_file import DecisionsFile, StaleVersionError


@pytest.fixture
def file(results):
    return DecisionsFile(results, run_id(results))


def test_versions_go_on_after_a_restart(file, results, document):
    assert file.version == 0
    assert file.save(0, document) == 1
    again = DecisionsFile(results, run_id(results))
    assert again.version == 1
    assert again.document["review"] == document["review"]
    assert again.save(1, document) == 2
    with pytest.raises(StaleVersionError):
        again.save(1, document)


def test_what_a_page_from_disk_has_exported_is_taken_up(results, document):
    exported = {name: value for name, value in document.items() if name != "review"}
    (results / "decisions.json").write_text(json.dumps(exported | {"version": 7}))
    file = DecisionsFile(results, run_id(results))
    assert file.version == 0
    assert file.document["classes"] == document["classes"]
    assert file.save(0, document) == 1


def test_decisions_on_an_earlier_run_are_set_aside(results, document):
    for number in range(2):
        text = json.dumps(document | {"run": "abc123", "saved": number})
        (results / "decisions.json").write_text(text)
        file = DecisionsFile(results, run_id(results))
        assert file.document is None
        assert file.set_aside.read_text() == text
    assert sorted(path.name for path in results.glob("decisions*")) == [
        "decisions-abc123-2.json",
        "decisions-abc123.json",
    ]


def test_the_name_of_a_run_leads_nowhere_else(results, document):
    (results / "decisions.json").write_text(json.dumps(document | {"run": "../../run"}))
    assert DecisionsFile(results, run_id(results)).set_aside == results / "decisions-other.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("notes", "cannot be read as decisions"),
        ('{"format": "other"}', "cannot be read as decisions"),
        (None, "is damaged"),
    ],
)
def test_what_is_not_understood_is_left_alone(results, document, text, message):
    text = json.dumps(document | {"version": "x"}) if text is None else text
    (results / "decisions.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        DecisionsFile(results, run_id(results))
    assert (results / "decisions.json").read_text() == text


def test_a_link_to_another_place_is_replaced_and_not_followed(results, document, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(document | {"version": 3}))
    before = outside.read_text()
    (results / "decisions.json").symlink_to(outside)
    DecisionsFile(results, run_id(results)).save(3, document)
    assert outside.read_text() == before
    assert not (results / "decisions.json").is_symlink()


SAVING = """
import json, sys
from pathlib import Path
from skscan.report.files import run_id
from skscan.serving.decisions_file import DecisionsFile
results = Path(sys.argv[1])
document = json.loads(Path(sys.argv[2]).read_text())
file = DecisionsFile(results, run_id(results))
print("ready", flush=True)
while True:
    print(file.save(file.version, document), flush=True)
"""


def test_a_kill_in_the_middle_of_a_save_loses_nothing(results, document, tmp_path, photos):
    step = document["review"]["log"][0]
    document["review"] |= {"log": [step] * 20_000, "cursor": 20_000}
    (tmp_path / "document.json").write_text(json.dumps(document))
    command = [sys.executable, "-c", SAVING, str(results), str(tmp_path / "document.json")]
    draw = random.Random(0)
    acknowledged = 0
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            acknowledged = int(process.stdout.readline())
            time.sleep(draw.uniform(0, 0.1))
            process.kill()
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        kept = Decisions.load(results / "decisions.json", results)
        assert kept.to_labels(photos[:1]).tolist() == ["cats"]
    file = DecisionsFile(results, run_id(results))
    assert file.version in (acknowledged, acknowledged + 1)
    assert len(file.document["review"]["log"]) == 20_000
    assert not list(results.glob(".skscan-*"))
    assert file.save(file.version, document) == file.version


def test_one_server_for_one_folder(results, request):
    pytest.importorskip("filelock")
    pytest.importorskip("starlette")
    serve = request.getfixturevalue("serve")
    first = serve(results)
    with pytest.raises(ValueError, match="served by another"):
        serve(results)
    first.close()
    serve(results)
