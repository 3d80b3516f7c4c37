"""How Sphinx builds the documentation: ``make docs``; ``make gallery`` runs the examples too."""

import sys
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import skscan  # noqa: E402

# Some examples are such cases; the warning would show the paths of whoever builds.
warnings.filterwarnings("ignore", message="Self-labelling was undone")

project = "skscan"
author = "The skscan developers"
copyright = f"2026, {author}"
version = release = skscan.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
    "command_pages",
    "paper_tables",
    "quality_summary",
]
exclude_patterns = ["_build", "_ext", "**/README.md", "**/sg_execution_times.rst"]
toc_object_entries_show_parents = "hide"
suppress_warnings = [
    "config.cache",  # the gallery's settings hold a function
]

autosummary_generate = True
templates_path = ["_templates"]
autodoc_typehints = "none"  # types stand in the descriptions
autodoc_mock_imports = ["starlette"]  # of the extra "serve", which no page needs
numpydoc_show_class_members = False  # the template of a class lists them
numpydoc_class_members_toctree = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "gallery_order.TeachingOrder",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 0,
    "doc_module": ("skscan",),
    "backreferences_dir": "api/backreferences",
    "inspect_global_variables": False,
    "default_thumb_file": str(HERE / "_static" / "example.svg"),
    "plot_gallery": "False",  # `make gallery` says otherwise
}

html_theme = "pydata_sphinx_theme"
html_title = "skscan"
html_static_path = ["_static"]
html_css_files = ["skscan.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skscan"},
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_prev_next": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"get_started": [], "faq": [], "index": []}
copybutton_exclude = ".linenos, .gp, .go"
