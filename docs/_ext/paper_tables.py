"""``{paper-table} cifar10 ...``: the paper's figures as the recipes hold them, beside ours."""

from docutils import nodes
from docutils.parsers.rst import Directive


class PaperTable(Directive):
    """A table with the stages of the named rows of the paper, and what was run of them here."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        from skscan.recipes import load_recipe

        lines = [("data set", "stage", "score", "the paper's, %", "ours, %")]
        for name in self.arguments[0].split():
            recipe = load_recipe(name)
            title = recipe.title
            for stage in recipe.stages:
                for published in recipe.published_for(stage):
                    shown = {
                        label: published.figures[score]
                        for score, label in _SCORES.items()
                        if score in published.figures
                    }
                    if not shown:
                        continue
                    figures = " / ".join(_per_cent(figure) for figure in shown.values())
                    row = published.row
                    lines.append((title, row, " / ".join(shown), figures, "not run at full scale"))
                    title = ""
        return [table_of(lines)]


_SCORES = {"accuracy": "ACC", "many_to_one_accuracy": "ACC, majority", "nmi": "NMI", "ari": "ARI"}


def _per_cent(figure) -> str:
    text = f"{100 * figure.value:.1f}"
    if figure.std is not None:
        text += f" ± {100 * figure.std:.1f}"
    return text if figure.verified else f"{text}*"


def table_of(lines: list[tuple[str, ...]]) -> nodes.Node:
    """Return a table whose first line is its head."""
    table = nodes.table(classes=["paper-table"])
    group = nodes.tgroup(cols=len(lines[0]))
    table += group
    for _ in lines[0]:
        group += nodes.colspec(colwidth=1)
    head, body = nodes.thead(), nodes.tbody()
    group += [head, body]
    for number, line in enumerate(lines):
        row = nodes.row()
        for text in line:
            entry = nodes.entry()
            entry += nodes.paragraph(text=text)
            row += entry
        (body if number else head).append(row)
    return table


def setup(app) -> dict:
    """Register with Sphinx."""
    app.add_directive("paper-table", PaperTable)
    return {"parallel_read_safe": True}
