"""Who lacks the certificates of a workspace gets nothing from another host, at whatever port.

A real run on a real pilot is on a host of its own, a network namespace; strangers are on another.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from batch_clusters import skip_or_fail

pytestmark = [pytest.mark.dask, pytest.mark.slow]

HOSTS = Path(__file__).parents[1] / "tools" / "hosts.sh"
NET = "10.98.7"
LISTENS = "0A"
"""As the kernel calls the state of a socket."""
LOOPBACK = "0100007F"
"""As the kernel writes 127.0.0.1."""
SITE = """\
workspace = "{at}"
batch = "local"
[network]
interface = "eth0"
[templates.pilot]
cores = 1
ram = "500MB"
walltime = "10min"
boot = "3s"
max_running = 1
"""
SCRIPT = """\
from euclidwf.framework.taskdefs import ComputingResources, Executable, Output
from euclidwf.framework.workflow_dsl import pipeline

wait = Executable(
    "sh {at}/program.sh", inputs=[], outputs=[Output("out")],
    resources=ComputingResources(cores=1.0, ram=0.1, walltime=0.1),
)

@pipeline(outputs=("o",))
def flow():
    return wait()
"""
PROGRAM = """\
touch {at}/started
while [ ! -e {at}/go ]; do sleep 0.05; done
for word; do case $word in --workdir=*) dir=${{word#*=}};; --out=*) out=${{word#*=}};; esac; done
echo "<done/>" > "$dir/$out"
"""
STRANGER = dedent("""
    import asyncio, json, ssl, sys
    from pathlib import Path
    from distributed import Security
    from distributed.comm import connect

    async def ask(address, patience_s=3, **how):
        \"\"\"Ask a Dask server who it is.\"\"\"
        try:
            async with asyncio.timeout(patience_s + 2):
                comm = await connect(address, timeout=patience_s, **how)
                try:
                    await comm.write({"op": "identity", "reply": True})
                    return (await comm.read())["type"]
                finally:
                    comm.abort()
        except Exception:
            return "refused"

    async def ask_as_member(host, port, **how):
        \"\"\"Ask with all patience, unless nobody listens there.\"\"\"
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return "refused"
        writer.close()
        return await ask(f"tls://{host}:{port}", patience_s=60, **how)

    async def get(host, port):
        \"\"\"Ask for a web page.\"\"\"
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /status HTTP/1.0\\r\\n\\r\\n")
                return "answered" if await reader.read(1) else "refused"
        except Exception:
            return "refused"

    async def main(host, tls, ports):
        bare = ssl.create_default_context()
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        own = Security.temporary().get_connection_args("client")
        from euclid_dask.executors.dask.security import membership
        member = membership(Path(tls)).get_connection_args("client")
        at = [f"{host}:{port}" for port in ports]
        ways = {
            "plain": [ask(f"tcp://{one}") for one in at],
            "no certificate": [
                ask(f"tls://{one}", ssl_context=bare, require_encryption=True) for one in at
            ],
            "own certificate": [ask(f"tls://{one}", **own) for one in at],
            "browser": [get(host, port) for port in ports],
            "member": [ask_as_member(host, port, **member) for port in ports],
        }
        answers = await asyncio.gather(*(asyncio.gather(*tries) for tries in ways.values()))
        print(json.dumps(dict(zip(ways, answers))))

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
""")


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Have two hosts h1 and h2; return the environment for the script that made them."""
    if shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        skip_or_fail("iproute2 is not installed")
    if os.geteuid() != 0:
        skip_or_fail("hosts of our own need root")
    environment = {**os.environ, "NETNS_PREFIX": f"st{os.getpid()}", "NETNS_NET": NET}
    subprocess.run([HOSTS, "up", "2"], env=environment, check=True)
    try:
        yield environment
    finally:
        subprocess.run([HOSTS, "down"], env=environment, check=True)


def _listening(process: int) -> dict[int, set[str]]:
    """Return the ports that are listened on where a process is, with the addresses."""
    found: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == LISTENS:
                found.setdefault(int(port, 16), set()).add(address)
    return found


def test_from_another_host_nothing_answers_to_who_lacks_the_files(
    hosts: dict[str, str], tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    for name, text in {"site.toml": SITE, "flow.py": SCRIPT, "program.sh": PROGRAM}.items():
        (tmp_path / name).write_text(text.format(at=tmp_path))
    command = [sys.executable, "-m", "euclid_dask", "run", "flow.py", "--site", "site.toml"]
    line = [HOSTS, "exec", "h1", *command, "--workdir", "w"]
    with subprocess.Popen(line, cwd=tmp_path, env=hosts, stdout=subprocess.DEVNULL) as runner:
        try:
            wait_until((tmp_path / "started").exists)
            listening = _listening(runner.pid)
            line = [HOSTS, "exec", "h2", sys.executable, "-c", STRANGER, f"{NET}.1"]
            line += [str(tmp_path / "w" / ".euclid-dask"), *map(str, listening)]
            stranger = subprocess.run(line, env=hosts, stdout=subprocess.PIPE, check=True)
            (tmp_path / "go").touch()
            assert runner.wait(100) == 0
        finally:
            runner.kill()
    told = json.loads(stranger.stdout)
    members = dict(zip(listening, told.pop("member"), strict=True))
    public = {port for port, addresses in listening.items() if addresses != {LOOPBACK}}
    assert sorted(members[port] for port in public) == ["PilotScheduler", "Worker"]
    assert {members[port] for port in listening.keys() - public} == {"refused"}, "the dashboards"
    assert told == {way: ["refused"] * len(listening) for way in told}
