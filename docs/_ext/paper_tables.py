"""``{paper-table} cifar10 ...``: the paper's figures as the recipes hold them, beside ours."""

from docutils import nodes
from docutils.parsers.rst import Directive

STAGES = {
    "pretext": "pretext + k-means",
    "scan": "SCAN",
    "self-label": "self-labelling",
    "overcluster": "twice the clusters, majority",
    "few-labels": "few labels",
}
SCORES = (("accuracy", "many_to_one_accuracy"), ("nmi",), ("ari",))


class PaperTable(Directive):
    """A table with the stages of the named rows of the paper, and what was run of them here."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        from skscan.recipes import load_recipe

        lines = [("data set", "stage", "figures", "ACC, %", "NMI, %", "ARI, %", "ours")]
        for name in self.arguments[0].split():
            recipe = load_recipe(name)
            title = recipe.title
            for stage, stage_title in STAGES.items():
                for published in recipe.published_for(stage) if stage in recipe.stages else ():
                    cells = [
                        next(
                            (
                                per_cent(published.figures[s])
                                for s in names
                                if s in published.figures
                            ),
                            "",
                        )
                        for names in SCORES
                    ]
                    if any(cells):
                        lines.append(
                            (title, stage_title, published.row, *cells, "not\N{NO-BREAK SPACE}run")
                        )
                        title = stage_title = ""
        return [table_of(lines)]


def per_cent(figure) -> str:
    """Return a figure of a recipe, with an asterisk if it was not confirmed at its source."""
    text = f"{100 * figure.value:.1f}"
    if figure.std is not None:
        text += f" ± {100 * figure.std:.1f}"
    text = text.replace(" ", "\N{NO-BREAK SPACE}")
    return text if figure.verified else f"{text}*"


def table_of(lines: list[tuple[str, ...]]) -> nodes.Node:
    """Return a table whose first line is its head."""
    table = nodes.table()
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
