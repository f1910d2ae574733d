"""Metadata hook of the build: where the project lives, told by whoever builds the release.

The repository moves and is copied, so its address stands in no file. ONNXPRESS_REPOSITORY=https://host/owner/name gives
the wheel and the source distribution their links. Without it they have none.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAGES = {
    "Source": "",
    "Documentation": "/tree/main/docs",
    "Changelog": "/blob/main/CHANGELOG.md",
    "Issues": "/issues",
}


class ProjectUrls(MetadataHookInterface):
    """Fills `[project.urls]`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See MetadataHookInterface."""
        address = os.environ.get("ONNXPRESS_REPOSITORY", "").rstrip("/")
        if address:
            metadata["urls"] = {label: address + page for label, page in PAGES.items()}
