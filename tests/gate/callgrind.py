"""Runs the replay under callgrind, and reads what it wrote."""
import collections
import json
import os
import re
import subprocess
import tempfile

# The same instructions on every machine: the C library else chooses its string functions by what the
# processor can do. These leave SSE2, which every x86-64 has.
ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(
        "-" + name for name in (
            "AVX2", "AVX", "AVX512F", "AVX512VL", "AVX512BW", "BMI1", "BMI2", "LZCNT", "MOVBE",
            "SSE4_1", "SSE4_2", "SSSE3", "POPCNT", "ERMS", "FSRM", "RTM", "AVX_Fast_Unaligned_Load",
            "Fast_Unaligned_Copy", "Prefer_No_VZEROUPPER")),
    # And BoringSSL its ciphers: these leave AES-NI and SSSE3.
    "OPENSSL_ia32cap": "~0x5040000000000000:0x0",
    "LC_ALL": "C",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
MEASURED = "*RunMeasured*"
# What clients do themselves to speak TLS and HTTP/2: see tests/gate/gateway.cc.
COUNTED_OUT = ("portico::gate::Client::OnSentSecurely(", "portico::gate::Gateway::StartClients(",
               "portico::gate::Gateway::FlushClients(")
REQUESTS = 2000
TIMEOUT_SECONDS = 200


class Profile:
    """What was counted. Figures are of one request."""

    def __init__(self, replay, requests):
        self.replay = replay  # What the program printed.
        self.requests = requests
        self.total = 0
        self.self_cost = collections.Counter()       # By function.
        self.inclusive_cost = collections.Counter()  # By function, with what it calls.
        self.file_cost = collections.Counter()       # By source file, inlined code where it stands.


def run(binary, scenario, requests=REQUESTS, arguments=()):
    """A Profile of one scenario. Raises RuntimeError with what was printed."""
    with tempfile.TemporaryDirectory(prefix="portico-gate.") as folder:
        out = os.path.join(folder, "callgrind.out")
        # Without its debug server, whose pipes in /tmp are named by process id: sandboxes have the same ones.
        command = ["valgrind", "--tool=callgrind", "--quiet", "--vgdb=no", "--fair-sched=try",
                   "--callgrind-out-file=" + out, "--toggle-collect=" + MEASURED, os.path.abspath(binary), "--scenario=" + scenario,
                   "--requests=%d" % requests, *arguments]
        done = subprocess.run(command, env=ENVIRONMENT, cwd=folder, text=True, timeout=TIMEOUT_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
        profile = Profile(json.loads(done.stdout), requests)
        with open(out, encoding="utf-8", errors="replace") as lines:
            _read(lines, profile)
        profile.total -= sum(cost for name, cost in profile.inclusive_cost.items() if name.startswith(COUNTED_OUT))
        if profile.total == 0:
            raise RuntimeError("callgrind saw nothing: does %s have a function %s?" % (binary, MEASURED))
        return profile


def _read(lines, profile):
    """The callgrind profile format: lines of costs under the function and file that they are of."""
    names = {"f": {}, "fn": {}}
    function = file = None
    is_call = False

    def name(kind, text):
        match = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if match is None:
            return text
        if match.group(2) is not None:
            names[kind][match.group(1)] = match.group(2)
        return names[kind][match.group(1)]

    each = 1.0 / profile.requests
    for line in lines:
        line = line.rstrip("\n")
        if line.startswith("fn="):
            function = name("fn", line[3:])
        elif line.startswith(("fl=", "fi=", "fe=")):
            file = name("f", line[3:])
        elif line.startswith(("cfl=", "cfi=")):
            name("f", line[4:])
        elif line.startswith("cfn="):
            name("fn", line[4:])
        elif line.startswith("calls="):
            is_call = True
        elif line and line[0] in "0123456789+-*" and function is not None:
            parts = line.split()
            cost = int(parts[1]) * each if len(parts) > 1 else 0
            profile.inclusive_cost[function] += cost
            if not is_call:
                profile.total += cost
                profile.self_cost[function] += cost
                profile.file_cost[file] += cost
            is_call = False


def short_name(function):
    """A function's name without what is the same for all."""
    text = re.sub(r"std::basic_string_view<char, std::char_traits<char> >", "string_view", function)
    text = re.sub(r"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
                  "string", text)
    text = text.replace("(anonymous namespace)::", "").replace("portico::", "")
    # A coroutine's body: the frame that it runs on says nothing more.
    text = re.sub(r"^(.*?)\((.*)\) \[clone \.actor\]$", r"\1 [coroutine]", text)
    return re.sub(r"\(.*\)( const)?", "()", text) if text.count("(") else text


def area(file):
    """The part of the tree that a source file belongs to."""
    match = re.search(r"(?:^|/)(dataplane/[a-z_]+|tests/gate|external/[a-z_]+)/", file)
    if match:
        return match.group(1)
    if "/c++/" in file:
        return "C++ library headers"
    if "emmintrin" in file or "/include/" in file:
        return "other headers"
    return "C library" if "sysdeps" in file or file.startswith("./") else "other"
