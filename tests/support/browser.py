"""A headless Chromium: it plays films to their end, or renders a page, and tells how it went."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# No phoning home, no first-run pages; --no-sandbox because the tests may run as root.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--mute-audio",
)  # fmt: skip
PAGE = """<!doctype html><title>films</title><body><script>
async function play(name) {
  const film = document.createElement("video");
  film.src = "/" + encodeURIComponent(name);
  film.playbackRate = 4;
  document.body.append(film);
  const told = await new Promise(done => {
    film.onended = () => done({ended: true});
    film.onerror = () => done({ended: false, error: film.error && film.error.message});
    film.play().catch(error => done({ended: false, error: String(error)}));
  });
  const seen = {name, duration: film.duration, at: film.currentTime,
                width: film.videoWidth, height: film.videoHeight, ...told};
  film.remove();
  return seen;
}
(async () => {
  const all = [];
  for (const name of FILMS) all.push(await play(name));
  await fetch("/told", {method: "POST", body: JSON.stringify(all)});
})();
</script>"""


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
    return os.environ.get("ATELIER_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def played(chromium: str, films: Sequence[Path], scratch: Path, seconds: float = 120) -> list[Any]:
    """What the browser says of each film: ``ended``, ``error``, ``duration``, ``at``, size."""
    site = scratch / "site"
    site.mkdir(parents=True)
    names = [f"{number}-{film.name}" for number, film in enumerate(films)]
    for name, film in zip(names, films, strict=True):
        (site / name).write_bytes(film.read_bytes())
    (site / "index.html").write_text(PAGE.replace("FILMS", json.dumps(names)))
    told: queue.Queue[list[Any]] = queue.Queue()
    with _served(site, told) as address, _browsing(chromium, address, scratch / "profile"):
        return told.get(timeout=seconds)


@contextmanager
def _served(site: Path, told: queue.Queue[list[Any]]) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _browsing(chromium: str, address: str, profile: Path) -> Iterator[None]:
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [chromium, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", address],
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def rendered(
    chromium: str, address: str, profile: Path, seconds: int = 120
) -> tuple[str, str]:
    """The document of a page once its scripts have run, and what the console and the log say."""
    process = await asyncio.create_subprocess_exec(
        *(chromium, *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr"),
        *("--virtual-time-budget=20000", "--dump-dom", address),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            page, log = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return page.decode(), log.decode(errors="replace")
