"""nginx as ops/nginx has it, in a folder of its own on free ports before an API of the tests."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import trustme

from db.embedded.state import free_port

OPS = Path(__file__).parents[2] / "ops" / "nginx"
NAME, FILES = "localhost", "files.localhost"
MIME_TYPES = Path("/etc/nginx/mime.types")
DEBIANS_MAIN = Path("/etc/nginx/nginx.conf")
# Which of its processes' memory and files grow with what passes through.
TEMP_PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Nginx:
    """A running nginx: TLS on ``port`` under the name ``localhost``, plain HTTP on another."""

    folder: Path
    port: int
    plain_port: int
    trust: ssl.SSLContext
    processes: Sequence[psutil.Process]

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def buffered_files(self) -> list[Path]:
        """Bodies that nginx has written to its disk."""
        return [path for path in (self.folder / "client_body").rglob("*") if path.is_file()]

    def memory_bytes(self) -> int:
        """What its master and its workers hold."""
        return sum(one.memory_info().rss for one in self.processes)

    def log(self) -> str:
        return (self.folder / "access.log").read_text()


@asynccontextmanager
async def nginx_before(
    upstream: str, changes: Mapping[str, str], store: str = "127.0.0.1:8333"
) -> AsyncIterator[Nginx]:
    """Run nginx before ``upstream`` and an object store (host:port each); ``changes`` are replaced
    in atelier.conf.

    What is changed besides are ports, names, paths and the number of workers.
    """
    # Its worker is another user where the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="atelier-nginx-", dir="/tmp"))
    folder.chmod(0o711)
    authority = trustme.CA()
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    port, plain_port = free_port(), free_port()
    try:
        _write_certificate(folder, authority)
        _write_configuration(folder, port, plain_port, changes)
        for name, server in (("upstream", upstream), ("files_upstream", store)):
            (folder / "atelier" / f"{name}.conf").write_text(f"server {server} max_fails=0;\n")
        process = await asyncio.create_subprocess_exec(
            "nginx", "-p", str(folder), "-c", "nginx.conf", "-g", "daemon off;",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            await _until_it_listens(process, port)
            master = psutil.Process(process.pid)
            yield Nginx(folder, port, plain_port, trust, [master, *master.children()])
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """``text`` with each change made.

    Raises:
        AssertionError: something to change is not there.
    """
    for old, new in changes.items():
        assert old in text, f"not in the configuration: {old}"
        text = text.replace(old, new)
    return text


def _write_certificate(folder: Path, authority: trustme.CA) -> None:
    certificate = authority.issue_cert(NAME, FILES)
    key = folder / "tls.key"
    key.write_bytes(certificate.private_key_pem.bytes())
    key.chmod(0o600)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))


def _write_configuration(
    folder: Path, port: int, plain_port: int, changes: Mapping[str, str]
) -> None:
    shutil.copytree(OPS / "atelier", folder / "atelier")
    shutil.copy(MIME_TYPES, folder)
    (folder / "conf.d").mkdir()
    here = {
        "listen 443": f"listen 127.0.0.1:{port}",
        "/var/log/nginx/atelier.log": str(folder / "access.log"),
    }
    api = {
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "atelier.example.com": NAME,
        "/var/cache/nginx/atelier": str(folder / "cache"),
        **changes,
    }
    for name, more in {
        "atelier.conf": api,
        "atelier_files.conf": {"files.example.com": FILES},
    }.items():
        # One address is enough, and IPv6 is not everywhere.
        text = re.sub(r"^ *listen \[::\].*\n", "", (OPS / name).read_text(), flags=re.M)
        (folder / "conf.d" / name).write_text(replaced(text, here | more))
    tls = folder / "atelier" / "tls.conf"
    tls.write_text(replaced(tls.read_text(), {"/etc/atelier/tls": str(folder)}))
    temp = "".join(f"    {name}_temp_path {folder / name};\n" for name in TEMP_PATHS)
    main = {
        "worker_processes auto": "worker_processes 1",
        "worker_rlimit_nofile 65536": f"worker_rlimit_nofile {_open_files()}",
        "worker_connections 16384": "worker_connections 512",
        "pid /run/nginx.pid": f"pid {folder / 'nginx.pid'}",
        "http {\n": "http {\n" + temp,
    }
    (folder / "nginx.conf").write_text(replaced((OPS / "nginx.conf").read_text(), main))


def said_of_debians_main_file(folder: Path) -> tuple[int, str]:
    """What ``nginx -t`` says of ops/nginx under the main file of the distribution: its exit status
    and its words. All that it writes lies in ``folder``."""
    _write_certificate(folder, trustme.CA())
    _write_configuration(folder, free_port(), free_port(), {})
    text = DEBIANS_MAIN.read_text()
    for path in ("/etc/nginx/", "/var/log/nginx/", "/run/"):
        text = text.replace(path, f"{folder}/")
    temp = "".join(f"{name}_temp_path {folder / name};" for name in TEMP_PATHS)
    (folder / "nginx.conf").write_text(text.replace("http {", "http {" + temp, 1))
    done = subprocess.run(
        ["nginx", "-t", "-p", folder, "-c", "nginx.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


def _open_files() -> int:
    return min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


async def _until_it_listens(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            if process.returncode is not None:
                _, said = await process.communicate()
                raise AssertionError(f"nginx ended: {said.decode()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return


def is_installed() -> bool:
    """Whether there is an nginx, and the file of types that comes with it."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return shutil.which("nginx", path=path) is not None and MIME_TYPES.exists()
