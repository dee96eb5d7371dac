"""Ports for servers of tests, to be listened on later.

They are below those that the kernel gives away by itself: nobody who connects from this host, or
asks for any port, is given one meanwhile, and no connection to one is ever one with itself. Two
processes that test at once mostly have a thousand each of their own.
"""

import os
import socket
from random import SystemRandom


def free_ports(count: int = 1) -> int:
    """Return the first of so many ports in a row that nobody listens on."""
    for _ in range(100):
        first = 20_000 + os.getpid() % 10 * 1000 + SystemRandom().randrange(1000 - count)
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")
