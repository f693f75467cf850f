#!/usr/bin/env python3
"""The one entry to the course: python3 course.py COMMAND [arguments of the tool behind it]

  lab      open the course in JupyterLab                       course.py lab --no-browser --port 9999
  test     run every test, the notebooks included              course.py test -k pooling
  check    lint, format, types and spelling
  build    make notebooks/, solutions/ and exercises/          course.py build 02_pooling, or --all
           from lessons/, and run what changed
  bench    measure against sentence-transformers
  doctor   say what is in place and what is not

The first call sets everything up in .venv; `course.py lab --setup-only` does that and no more.

This file needs the standard library alone and stays readable to old Pythons down to 2.7, so that they can
say what is missing. It knows nothing of the package it installs.
"""

from __future__ import print_function

import sys

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed (this is %d.%d)" % sys.version_info[:2])

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent
ENV = ROOT / ".venv"
BIN = ENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = ENV / "course-stamp.json"
REMOVED = ROOT / ".venv.removed"
LOCK = ROOT / ".venv.lock"

COMMANDS = ("lab", "test", "check", "build", "bench", "doctor")

GB = 1e9
LEAST_FREE = 4 * GB  # the environment with CPU builds (2.5 GB), and its downloads once more in pip's cache
CUDA_FREE = 12 * GB  # the same where torch brings its CUDA libraries, as it does on Linux

TEST_FOLDERS = ["tests", "notebooks", "solutions"]
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "300"]
NBVAL += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg")]
# pytest options whose value is the next word, which is then no path even if a file has that name
TAKES_VALUE = {"-k", "-m", "-n", "-p", "-c", "-o", "-r", "-W"}

CHECKS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy", "sbert_lab"],
    ["codespell_lib"],
]


# ---- the environment: built once, whatever interrupts it ------------------------------------------------


def identity():
    """What an environment was built for; any difference means that it does not fit."""
    return {
        "python": "%d.%d" % sys.version_info[:2],
        "platform": sys.platform,
        "path": str(ENV),
        "pyproject.toml": digest("pyproject.toml"),
        "constraints.txt": digest("constraints.txt"),
    }


def digest(name):
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def read_stamp():
    """The stamp as a dict; {} if there is none or it cannot be read."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp):
    """In one step: a kill leaves the old stamp or the new one, never half of one."""
    fresh = STAMP.with_name(STAMP.name + ".new")
    fresh.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    os.replace(str(fresh), str(STAMP))


def is_ready(extras):
    stamp = read_stamp()
    fits = all(stamp.get(key) == value for key, value in identity().items())
    return fits and stamp.get("complete") is True and set(extras) <= set(stamp.get("extras", [])) and PYTHON.exists()


def can_be_kept():
    """May pip go on in the environment that is there, or must it be made anew?

    Kept are a complete one of this Python in this place, whose packages are merely out of date, and one
    that somebody made by hand. One that was interrupted is not: pip takes a half-written package for whole.
    """
    stamp, here = read_stamp(), identity()
    same = all(stamp.get(key) == here[key] for key in ("python", "platform", "path"))
    if stamp and not (stamp.get("complete") and same):
        return False
    probe = "import sys, pip; print('%d.%d' % sys.version_info[:2])"
    try:
        run = subprocess.run([str(PYTHON), "-I", "-c", probe], capture_output=True, text=True)
    except OSError:
        return False
    return run.returncode == 0 and run.stdout.strip() == here["python"]


def ensure_environment(extras):
    """Make .venv hold the package and these extras. Costs a few milliseconds where it already does."""
    if is_ready(extras):
        return
    with one_at_a_time() as lock:
        if not is_ready(extras):  # the one waited for may have done it
            set_up(extras, lock)


def set_up(extras, lock):
    keep = can_be_kept()
    before = read_stamp() if keep else {}
    extras = sorted(set(extras) | set(before.get("extras", [])))
    announce(keep)
    if not keep:
        remove_environment()
        ENV.mkdir()
    write_stamp(dict(identity(), extras=extras, complete=False))
    if not keep:
        create_environment(lock)
    code = install_packages(extras, lock)
    if code:
        if before:
            write_stamp(before)  # pip undoes what it could not finish, so the old environment still stands
        sys.exit(
            "The installation failed (pip's lines above say why; most often the network or the disk): "
            "nothing else was changed, run the same command again to go on."
        )
    write_stamp(dict(identity(), extras=extras, complete=True))
    say("Set-up complete.")


def announce(keep):
    """Say what will come, and stop before the first byte if there is no room for it."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    packages = sum("==" in line for line in lines)
    free = shutil.disk_usage(str(ROOT)).free
    if not keep and free < LEAST_FREE:
        sys.exit(
            "Only %.1f GB are free on the disk of %s and the course needs at least %.0f GB: "
            "make room and run the same command again." % (free / GB, ROOT, LEAST_FREE / GB)
        )
    say("%s the course's environment in %s." % ("Bringing up to date" if keep else "Setting up", ENV))
    say(
        "pip fetches up to %d packages, once: roughly 3 GB on Linux, where torch brings its CUDA libraries, "
        "and under 1 GB elsewhere or with a CPU build of torch." % packages
    )
    if not keep and sys.platform == "linux" and free < CUDA_FREE:
        say("%.1f GB are free: enough for a CPU build of torch, tight for a CUDA build." % (free / GB))


def say(line):
    print(line, flush=True)  # at once, so that it stands before what the tools print


def remove_environment():
    """Delete .venv, or the link that stands in its place, whatever state it is in.

    It is renamed first: half deleted under its own name it could pass for one made by hand.
    """
    if ENV.is_symlink() or ENV.is_file():
        ENV.unlink()
    try:
        if REMOVED.exists():
            shutil.rmtree(str(REMOVED))
        if ENV.exists():
            ENV.rename(REMOVED)
            shutil.rmtree(str(REMOVED))
    except OSError as error:
        sys.exit("Could not remove the old %s (%s): close what uses it and try again." % (ENV, error))


def create_environment(lock):
    base = getattr(sys, "_base_executable", sys.executable)  # not the Python of an environment being replaced
    run = subprocess.run(
        [base, "-m", "venv", str(ENV)],
        env=environment_variables(""),
        pass_fds=inherited(lock),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if run.returncode:
        sys.exit(
            "%s\nPython could not make an environment in %s, for the reason above "
            "(on Debian and Ubuntu the package python3-venv is needed)." % (run.stdout.strip(), ENV)
        )


def install_packages(extras, lock):
    """Run pip in the environment; its exit code."""
    what = ".[%s]" % ",".join(extras) if extras else "."  # relative: the folder's own name may hold anything
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]
    return call(pip + ["-c", "constraints.txt", "-e", what], lock=lock)


@contextlib.contextmanager
def one_at_a_time():
    """Hold the lock on setting up. The system drops it when its holder ends, so none is left stale by a kill.

    The file handle goes to pip too: a pip that outlives a killed course.py keeps the lock until it ends.
    """
    with open(str(LOCK), "a+") as lock:
        waiting = False
        while not try_lock(lock):
            if not waiting:
                lock.seek(0)
                say("Another course.py (process %s) is setting up here: waiting." % lock.read().strip())
            waiting = True
            time.sleep(0.5)
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield lock


def try_lock(lock):
    try:
        if os.name == "nt":
            import msvcrt

            lock.seek(1000)  # a byte beyond the text, which others must be able to read
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# ---- running the tools ----------------------------------------------------------------------------------


def environment_variables(command):
    env = dict(os.environ, VIRTUAL_ENV=str(ENV), PYTHONUTF8="1")
    env["PATH"] = str(BIN) + os.pathsep + env.get("PATH", "")
    env.pop("PYTHONHOME", None)  # these two would mix another Python's packages in
    env.pop("PYTHONPATH", None)
    env["PIP_USER"] = "0"  # some machines' settings send pip to the home folder
    # An OpenMP thread without work waits by spinning. On a machine that others share, such threads take the
    # cores from those that have work; passive ones sleep.
    env.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if command in ("test", "build"):
        env["HF_HUB_OFFLINE"] = "1"  # what is tested and stored must not depend on the network
    return env


def call(command, env=None, lock=None):
    """Run to the end and return the exit code."""
    env = env or environment_variables("")
    return subprocess.call(command, cwd=str(ROOT), env=env, pass_fds=inherited(lock))


def inherited(lock):
    """The files that a child keeps open: the lock's, so that it is held until the child has ended too."""
    return [lock.fileno()] if lock and os.name != "nt" else []


def become(command, env):
    """Hand this process over to the tool, with its signals, its Ctrl-C and its exit code."""
    sys.stdout.flush()
    if os.name == "nt":  # has no exec that a console waits for
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C reaches the tool too, which ends by itself
        sys.exit(call(command, env))
    os.chdir(str(ROOT))
    os.execve(command[0], command, env)


def lab_command(rest):
    command = ["-m", "jupyterlab", "--config=%s" % (ROOT / "jupyter_lab_config.py")]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container everyone is root
    return command + rest


def test_command(rest):
    def is_path(index):
        word, previous = rest[index], rest[index - 1] if index else ""
        is_value = word.startswith("-") or previous in TAKES_VALUE
        return not is_value and (ROOT / word.split("::")[0]).exists()

    folders = [] if any(map(is_path, range(len(rest)))) else TEST_FOLDERS
    return ["-m", "pytest"] + NBVAL + rest + folders


def start(command, rest):
    """Run one command in the environment, in place of this process."""
    tool = {
        "lab": lab_command,
        "test": test_command,
        "build": lambda rest: ["lessons/build.py"] + rest,
        "bench": lambda rest: ["-m", "benchmarks"] + rest,
        "doctor": lambda rest: ["-m", "sbert_lab.doctor"] + rest,
    }[command]
    become([str(PYTHON)] + tool(rest), environment_variables(command))


def check():
    """Every check runs, also after one that fails; the exit code is 1 if any did."""
    failed = []
    for tool in CHECKS:
        say("-- " + " ".join(tool))
        if call([str(PYTHON), "-m"] + tool):
            failed.append(" ".join(tool))
    say("FAIL: " + ", ".join(failed) if failed else "All checks passed.")
    return 1 if failed else 0


def main(words):
    command = words[0] if words else ""
    rest = [word for word in words[1:] if word != "--setup-only"]
    if command in ("", "-h", "--help", "help"):
        print(__doc__)
        return 0 if command else 2
    if command not in COMMANDS:
        print("There is no command %r: the commands are %s." % (command, ", ".join(COMMANDS)), file=sys.stderr)
        return 2
    if command == "doctor" and not is_ready([]):  # it looks, and changes nothing
        print("Nothing is set up here yet: run  python3 course.py lab", file=sys.stderr)
        return 1
    ensure_environment([] if command in ("lab", "doctor") else ["test"])
    if "--setup-only" in words:
        return 0
    return check() if command == "check" else start(command, rest)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
