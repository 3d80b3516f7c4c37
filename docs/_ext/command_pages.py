"""The help of each command as a page, taken from the command itself: ``docs/commands/``."""

from pathlib import Path

import typer

INTRODUCTION = """# The command line

`skscan --help` shows the commands, `skscan COMMAND --help` what is on their pages here. Results go
to stdout or files; progress, warnings and errors to stderr. Exit codes: 0 success, 1 failed, 2
wrong use, 130 interrupted.

"""


def write_pages(app) -> None:
    """Write a page for each command, and one that lists them."""
    from skscan.cli import app as cli

    folder = Path(app.srcdir) / "commands"
    folder.mkdir(exist_ok=True)
    root = typer.main.get_command(cli)
    outer = typer.Context(root, info_name="skscan")
    pages = {"index.md": INTRODUCTION}
    rows = ["| command | what it does |", "|---|---|"]
    for name, command in root.commands.items():
        if command.hidden:
            continue
        inner = typer.Context(command, info_name=name, parent=outer, terminal_width=88)
        text = command.get_help(inner)
        pages[f"{name}.md"] = f"# skscan {name}\n\n```text\n{text}\n```\n"
        rows.append(f"| [`skscan {name}`]({name}.md) | {command.get_short_help_str(100)} |")
    names = [name.removesuffix(".md") for name in pages if name != "index.md"]
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    pages["index.md"] += "\n".join([*rows, "", toctree, ""])
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:  # else Sphinx would read it again
            path.write_text(text)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()


def setup(app) -> dict:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
