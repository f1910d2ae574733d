"""`make docs`: the site in build/site/html, from README and docs/. Fetches nothing. A warning ends it with exit 1.

The pages are copied to build/site/source as they lie in the repository, with the files that they link to. So one link
serves GitHub and the site.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "build" / "site" / "source"
SITE = ROOT / "build" / "site" / "html"

_LINK = re.compile(r"\]\(([^)#\s]+)")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_FETCHED = re.compile(rb'<(?:link|script|img)[^>]+(?:href|src)="(https?://[^"]+)"')


def pages() -> list[Path]:
    """Every Markdown file of the documentation, relative to the repository."""
    places = (ROOT.glob("*.md"), (ROOT / "docs").rglob("*.md"), (ROOT / "examples").rglob("*.md"))
    return [path.relative_to(ROOT) for found in places for path in sorted(found)]


def linked(page: Path) -> set[Path]:
    """The files in the repository that the page links to."""
    targets = (ROOT / page).parent
    found = set()
    for link in _LINK.findall((ROOT / page).read_text()):
        target = (targets / link).resolve()
        if "://" not in link and target.is_file() and target.is_relative_to(ROOT):
            found.add(target.relative_to(ROOT))
    return found


def copy() -> None:
    """Fill build/site/source."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    for path in {*pages(), *(target for page in pages() for target in linked(page))}:
        (SOURCE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, SOURCE / path)


def check() -> list[str]:
    """What is wrong with the built site."""
    wrong = []
    for page in pages():
        name = page.with_name("index.html") if page.name == "README.md" else page.with_suffix(".html")
        if not (SITE / name).is_file():
            wrong.append(f"{page} is not in the site")
    for path in SITE.rglob("*.html"):
        wrong += [f"{path.relative_to(SITE)} fetches {url.decode()}" for url in _FETCHED.findall(path.read_bytes())]
    return wrong


def main() -> None:
    """Copy, build, check."""
    copy()
    shutil.rmtree(SITE, ignore_errors=True)
    zensical = Path(sys.executable).with_name("zensical")
    if not zensical.exists():
        raise SystemExit('build_site: zensical is not installed\n  hint: pip install "onnxpress[docs]"')
    command = [zensical, "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        said = _COLOUR.sub("", done.stdout).partition("Traceback")[0]
        raise SystemExit(f"{said}build_site: the site has warnings, and nothing was kept")
    wrong = check()
    if wrong:
        raise SystemExit("build_site: " + "\n".join(wrong))
    print(SITE.relative_to(ROOT))


if __name__ == "__main__":
    main()
