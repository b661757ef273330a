"""Ports that a run has chosen and does not listen at yet: no other run chooses them."""

from __future__ import annotations

import socket
import sys

from db.embedded.state import free_port, port_is_free


class PortClaims:
    """The ports that this run has claimed, until ``release`` or the end of its process.

    Ray listens at a port half a minute after it was chosen, and two HAProxies of one user then
    listen at the same port without an error. A claim is an abstract Unix socket, whose name the
    kernel gives to one process and takes back when that ends, however it ends.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def claim(self, port: int) -> bool:
        """Claim a port; False if somebody listens there, or another run has claimed it.

        Only Linux has such names; elsewhere nothing is claimed.
        """
        if sys.platform != "linux":
            return port_is_free(port)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0atelier-port-{port}")
        except OSError:
            name.close()
            return False
        self._held.append(name)
        return port_is_free(port)

    def free_port(self) -> int:
        """Claim any free port and return it."""
        while not self.claim(port := free_port()):
            continue
        return port

    def release(self) -> None:
        """Give all claims up."""
        for name in self._held:
            name.close()
        self._held.clear()
