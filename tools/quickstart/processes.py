"""Programs that the quickstart starts: with a log, an address file, and an end."""

import ctypes
import os
import signal
import subprocess
import time


class QuickstartError(Exception):
    """Something did not start, or did not happen in time; the text says what to do."""


def wait_for(condition, what, seconds=20.0):
    """Polls until condition() is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise QuickstartError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Process:
    """One program. It writes its addresses, if any, as lines NAME=ADDRESS."""

    def __init__(self, folder, name, command, environment=None, pass_fds=()):
        self.name = name
        self.command = [str(word) for word in command]
        self.log = os.path.join(folder, "logs", f"{name}.log")
        self.address_file = os.path.join(folder, "run", f"{name}.addresses")
        self._environment = environment
        self._pass_fds = pass_fds
        self._process = None

    def start(self):
        if os.path.exists(self.address_file):
            os.unlink(self.address_file)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(self._environment or {})}, pass_fds=self._pass_fds,
                start_new_session=True, preexec_fn=_die_with_parent)
        return self

    @property
    def pid(self):
        return self._process.pid

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def addresses(self):
        try:
            with open(self.address_file, encoding="utf-8") as file:
                return dict(line.strip().split("=", 1) for line in file if "=" in line)
        except FileNotFoundError:
            return {}

    def address(self, key, seconds=20.0):
        """Waits until the program has written the address."""

        def found():
            if not self.alive():
                raise QuickstartError(f"{self.name} ended at once; see {self.log}:\n{self.tail()}")
            return self.addresses().get(key)

        return wait_for(found, f"the {key} address of {self.name} (log: {self.log})", seconds)

    def tail(self, lines=10):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def kill(self):
        """SIGKILL: no chance to tidy up."""
        self._process.kill()
        self._process.wait()

    def terminate(self, seconds=30.0):
        """SIGTERM; the exit code."""
        if not self.alive():
            return self._process.returncode if self._process else 0
        self._process.terminate()
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL


def stop_all(processes):
    """Ends them in the opposite order of their start; drains are cut short."""
    running = [process for process in reversed(processes) if process.alive()]
    for process in running:
        os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 3.0
    for process in running:
        while process.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.alive():
            process.kill()
