"""`skscan report`, and the report at the end of `skscan cluster`."""

import json
import shutil

QUICK = ["--effort", "fast", "--backbone", "pixels", "--quiet"]


def test_clustering_ends_with_a_report(results):
    page = (results / "report.html").read_text()
    assert "<title>digits: classes</title>" in page
    summary = json.loads((results / "summary.json").read_text())
    assert summary["report"] == str(results / "report.html")
    assert summary["seconds"]["report"] > 0


def test_report_is_made_again(skscan, results):
    before = (results / "report.html").stat().st_mtime_ns
    run = skscan("report", results, "--json", "--quiet")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout) == {
        "report": str(results / "report.html"),
        "n_images": 200,
        "n_missing": 0,
    }
    assert (results / "report.html").stat().st_mtime_ns > before


def test_results_without_a_report_keep_none_of_an_earlier_run(skscan, shared_digits, tmp_path):
    out = tmp_path / "out"
    arguments = ["cluster", shared_digits, "-k", 4, "-o", out, *QUICK]
    assert skscan(*arguments).exit_code == 0
    assert (out / "report.html").is_file()
    (out / "report_files").mkdir()
    assert skscan(*arguments, "--seed", 1, "--no-report").exit_code == 0
    assert not (out / "report.html").exists()
    assert not (out / "report_files").exists()


def test_folder_without_results_is_refused(skscan, tmp_path):
    for command in (["report", tmp_path], ["apply", tmp_path, "d.json", "--to", "x"]):
        run = skscan(*command)
        assert run.exit_code == 2
        assert "holds no results" in run.stderr


def test_results_of_a_later_version_are_refused(skscan, results, tmp_path):
    later = shutil.copytree(results, tmp_path / "later")
    summary = json.loads((later / "summary.json").read_text())
    (later / "summary.json").write_text(json.dumps({**summary, "format_version": 7}))
    run = skscan("report", later)
    assert run.exit_code != 0
    assert "has format_version 7" in run.stderr


def test_incomplete_calls_of_apply_say_what_is_missing(skscan, results, tmp_path):
    for arguments, missing in (
        (["d.json"], "--to NEWFOLDER"),
        (["--to", tmp_path / "new", "--mode", "copy"], "DECISIONS"),
        (["d.json", "--to", tmp_path / "new"], "--mode"),
        (["d.json", "--to", tmp_path / "new", "--mode", "copy"], "no such file"),
    ):
        run = skscan("apply", results, *arguments)
        assert run.exit_code == 2
        assert missing in run.stderr
