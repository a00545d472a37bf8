"""Sphinx: `make docs` builds guide and API reference from these files and from the docstrings."""

from __future__ import annotations

import layerdisk

project = "layerdisk"
copyright = "the layerdisk authors"
version = release = layerdisk.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"layerdisk {release}"
html_static_path = ["pictures"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # else attributes are described twice, by their docstring and as members
