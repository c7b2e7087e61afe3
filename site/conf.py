"""Sphinx's configuration: pages as they were executed, nothing from the network."""

project = "DRCap, reproduced in notebooks"
html_title = "DRCap"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/icon.svg"
html_copy_source = html_show_copyright = html_show_sphinx = False
extensions = ["myst_nb", "sphinx.ext.mathjax"]
mathjax_path = "mathjax/tex-chtml.js"  # staged, with its fonts
nb_execution_mode = "off"
nb_render_markdown_format = "myst"  # tables and formulae in outputs
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
