"""Sphinx's settings: strict, offline, nothing from another host. `tools/docs.py` makes the pages and calls Sphinx."""

project = "LedgerLink"
author = "LedgerLink"
html_title = "LedgerLink"
root_doc = "index"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns: list[str] = []

nitpicky = True
# What a block shows may be shortened by "…", which no grammar knows.
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "none"
smartquotes = False  # a quotation mark in code-like prose stays what it is
pygments_style = "friendly"
pygments_dark_style = "github-dark"

myst_heading_anchors = 6
myst_enable_extensions: list[str] = []
myst_links_external_new_tab = False

html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b53", "color-brand-content": "#0b6b53"},
    "dark_css_variables": {"color-brand-primary": "#5fd0ae", "color-brand-content": "#5fd0ae"},
    "sidebar_hide_name": False,
}
html_static_path = ["_static"]
html_css_files = ["ledgerlink.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
html_search_language = "en"
