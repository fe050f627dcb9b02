"""What MkDocs is told besides mkdocs.yml: pages made when the site is built, and links that lead out of the site."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).parents[1]
#: Page of the site -> file beside the README, where a stranger looks for it first.
_FROM_ROOT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that no file in docs/ holds."""
    sys.path.insert(0, str(_ROOT / "docs"))
    import cli_page

    files.append(File.generated(config, "reference/cli.md", content=cli_page.markdown()))
    for page, name in _FROM_ROOT.items():
        text = (_ROOT / name).read_text().replace("](docs/", "](")
        for other, file in _FROM_ROOT.items():
            text = text.replace(f"]({file}", f"]({other}")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Keep the text of a link to a file of the repository that the site does not hold, and drop the link."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+(?:src|fuzz|tests|examples|benchmarks|training)/[^)]*\)", r"\1", markdown)


def on_post_build(config: Any) -> None:
    """Refuse a site that tells where it was built."""
    for page in Path(config["site_dir"]).rglob("*.html"):
        if str(_ROOT) in page.read_text():
            raise PluginError(f"{page.name} holds a path of this machine")
