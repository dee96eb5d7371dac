"""Where a scheduler for pilots listens, and where it says so."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a scheduler for pilots listens.

    `folder` holds the scheduler file and the certificates; pilots see it. `host` is the address
    to listen on, `interface` the network interface; with neither it listens on all. A `port` of 0
    is any that is free.
    """

    folder: Path
    host: str = ""
    interface: str = ""
    port: int = 0
