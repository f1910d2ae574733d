"""The versions of a folder, tried in the order of their loading by a copy of the server that begins; see `trials`.

The copy begins while the server is still importing what it answers with, so that with a second CPU the start is hardly
later for it. What is imported here is what a version is opened with, and no event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.core.errors import BadModel, OnnxpressError
from onnxpress.core.version_folder import Located, survey
from onnxpress.serving.models import version_policy
from onnxpress.serving.models.folder import Folder, walk
from onnxpress.serving.models.opening import VersionOpener
from onnxpress.serving.settings import ModelSettings, ProcessSettings

if TYPE_CHECKING:
    from onnxpress.serving.models.trials import Trials


class Rehearsal:
    """The versions that lie in the folder now; where there are several, a copy of this process goes ahead through them.

    A version alone is not tried: where it ends the process there is nothing else that could be served.
    """

    def __init__(self, path: Path, settings: ModelSettings, processes: ProcessSettings) -> None:
        self._opener = VersionOpener(settings, processes)
        self._all_variants = settings.variant != "newest"
        self._trials: Trials | None = None
        try:
            located = survey(path)
            folder = Folder(path, version_policy.policy(settings.versions))
        except (OnnxpressError, OSError):  # whoever loads them says so
            return
        if self._opener.may_try_apart and sum(map(len, located.models.values())) > 1:
            from onnxpress.serving.models.trials import Trials

            self._trials = Trials(lambda around: self._go_through(located, folder, around))
            self._trials.begin()

    def why_not(self, model: Path) -> str | None:
        """Wait until the copy has tried this version: None where it lives or is not tried, else how the copy ended."""
        return None if self._trials is None else self._trials.why_not(model)

    def close(self) -> None:
        """End the copy."""
        if self._trials is not None:
            self._trials.close()
            self._trials = None

    def _go_through(
        self, located: Located, folder: Folder, around: Callable[[Path, Callable[[], object]], None]
    ) -> None:
        def opened(_: int, path: Path) -> bool | None:
            lived: list[bool] = []

            def load() -> None:
                try:
                    self._opener.open_at_once(path).close()
                except Exception:  # it does not end the process: the server finds it too, and says why
                    return
                lived.append(True)

            around(path, load)
            return True if lived else None

        for name, versions in located.models.items():
            try:
                chosen = folder.selected(located, name)
            except BadModel:
                continue
            if self._all_variants:
                from onnxpress.serving.models.variants import family

                for version in family(versions):
                    opened(version, versions[version])
            walk(chosen, versions, opened)
