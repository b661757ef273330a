"""A scribe that a test holds, so that no test depends on how long a page takes."""

from __future__ import annotations

import threading

from deployments.contract import Artifact, Context
from tests.support.scribe import Scribe, ScribeRequest
from tests.support.waiting import eventually


class HeldScribe(Scribe):
    """Writes the first ``pages`` pages, and the others once ``released`` is set.

    While it is held it hears that its job is stopped, unless the fault of its request is "deaf".
    """

    def __init__(self, pages: int = 0) -> None:
        super().__init__()
        self.pages = pages
        self.released = threading.Event()

    def _write(self, request: ScribeRequest, context: Context, page: int) -> Artifact:
        def may_go_on() -> bool:
            if request.fault != "deaf":
                context.progress(page / request.pages, "writing")
            return page < self.pages or self.released.is_set()

        eventually(may_go_on)
        return super()._write(request, context, page)
