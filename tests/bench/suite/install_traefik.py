"""Builds Traefik from its Go module.

What is in the registry is not all that its main program is made of: some modules of DNS providers, which it only needs to
get certificates, cannot be had there, nor can a fork of a library for basic authentication, nor an empty module that lies in
a folder of its own. A copy of the sources gets stand-ins for them; nothing that a proxied request passes is touched.
"""

import os
import shutil

LEGO = "github.com/go-acme/lego/v5"
LEGO_VERSION = "v5.4.1"  # as Traefik's go.mod says
HTTP_AUTH = "github.com/abbot/go-http-auth"
HTTP_AUTH_VERSION = "v0.4.0"

_NO_DNS_PROVIDERS = """package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("this build has no DNS provider %q", name)
}
"""

_EXTENSION = """package ext

type HTTP struct{}

func (in *HTTP) DeepCopyInto(out *HTTP) { *out = *in }

type Router struct{}

func (in *Router) DeepCopyInto(out *Router) { *out = *in }
"""


def prepare(modules, traefik_module, version, folder, run_go):
    """Lays the sources out under `folder`; returns where to build, and the flags to build with.

    `modules`: the folder of downloaded modules. `run_go(arguments, folder)` runs the go command.
    """
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    traefik, lego = os.path.join(folder, "traefik"), os.path.join(folder, "lego")
    run_go(["mod", "download", f"{LEGO}@{LEGO_VERSION}"], folder)
    shutil.copytree(os.path.join(modules, f"{traefik_module}@{version}"), traefik)
    shutil.copytree(os.path.join(modules, f"{LEGO}@{LEGO_VERSION}"), lego)
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            os.chmod(os.path.join(root, name), 0o755)
    _write(os.path.join(lego, "providers", "dns", "zz_gen_dns_providers.go"), _NO_DNS_PROVIDERS)
    # What only the fork has. This build lets nobody in by password.
    authentication = os.path.join(traefik, "pkg", "middlewares", "auth")
    _replace(os.path.join(authentication, "digest_auth.go"), "RequireAuthStale", "RequireAuth")
    _replace(os.path.join(authentication, "basic_auth.go"), "goauth.CheckSecret,",
             "func(string, string) bool { return false },")
    extension = os.path.join(traefik, "pkg", "config", "dynamic", "ext")
    _write(os.path.join(extension, "ext.go"), _EXTENSION)
    _write(os.path.join(extension, "go.mod"), "module github.com/traefik/traefik/dynamic/ext\n\ngo 1.26.0\n")
    run_go(["mod", "edit", f"-dropreplace={HTTP_AUTH}", f"-require={HTTP_AUTH}@{HTTP_AUTH_VERSION}",
            f"-replace={LEGO}=../lego"], traefik)
    return traefik, ["-mod=mod"]


def _replace(path, old, new):
    with open(path) as f:
        text = f.read()
    _write(path, text.replace(old, new))


def _write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
