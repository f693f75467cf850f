"""How `course.py lab` starts JupyterLab: at the first lesson, with the whole repository in the file browser.

Read through `--config`, never by itself. The folder lab_settings holds two settings files: overrides.json turns
the news pop-up off and opens Markdown as preview, page_config.json turns the extension manager off.
"""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parent

c = get_config()  # noqa: F821 - defined by traitlets where it reads this file
c.ServerApp.root_dir = str(ROOT)
c.LabApp.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.LabApp.app_settings_dir = str(ROOT / "lab_settings")
c.LabApp.news_url = None
