"""The documentation site: Sphinx reads the Markdown pages of the repository; `make docs` builds it, with warnings as errors."""

project = "regproxy"
author = "The regproxy maintainers"
copyright = author  # noqa: A001  Sphinx's name for it
extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/*.md", "bench/results/*.md", "deploy/**/*.md"]
root_doc = "docs/index"
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}  # the site's root leads to docs/index
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings are checked too
nitpicky = True
html_theme = "furo"
html_title = "regproxy"
html_copy_source = False
