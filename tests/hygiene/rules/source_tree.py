"""The files of the source tree, as the rules see them."""

import dataclasses
import os
import re
import subprocess

CODE_ROOTS = ("api/", "dataplane/", "controlplane/", "tools/")
CPP_SUFFIXES = (".cc", ".h")

# What no list of tracked files would name, for a tree without git.
_SKIPPED_FOLDERS = {".git", ".cache", "__pycache__", "node_modules"}


@dataclasses.dataclass(frozen=True)
class Violation:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


@dataclasses.dataclass
class SourceFile:
    """A file; `lines` is what stands in it, `code` the same lines with comments and literals blanked."""

    path: str
    text: str

    def __post_init__(self):
        self.lines = self.text.split("\n")
        self._code = None

    @property
    def code(self):
        if self._code is None:
            self._code = blank_comments_and_literals(self.text).split("\n")
        return self._code

    @property
    def is_cpp(self):
        return self.path.endswith(CPP_SUFFIXES)

    @property
    def is_test(self):
        return self.path.endswith("_test.cc") or self.path.startswith("tests/")

    def has_note(self, index, note):
        """Whether the line, or the comment lines just above it, carry `// note: reason`."""
        pattern = re.compile(r"//.*\b" + re.escape(note) + r":\s*\S")
        if pattern.search(self.lines[index]):
            return True
        above = index - 1
        while above >= 0 and self.lines[above].lstrip().startswith("//"):
            if pattern.search(self.lines[above]):
                return True
            above -= 1
        return False


_TOKENS = re.compile(
    r"""
      //(?:[^\n\\]|\\.|\\\n)*                     # line comment
    | /\*.*?\*/                                   # block comment
    | \bu?8?[LUR]*R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"   # raw string
    | "(?:[^"\\\n]|\\.)*"                         # string
    | (?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'         # character, but no digit separator
    """,
    re.VERBOSE | re.DOTALL,
)


def blank_comments_and_literals(text):
    """Keeps line and column of everything else."""

    def blank(match):
        token = match.group(0)
        kept = re.sub(r"[^\n]", " ", token)
        if token.startswith(("//", "/*")):
            return kept
        return '"' + kept[1:-1] + '"' if len(token) > 1 else kept

    return _TOKENS.sub(blank, text)


def find_root():
    """The source tree itself: the runfiles of a test hold a link to its WORKSPACE file."""
    return os.path.dirname(os.path.realpath("WORKSPACE"))


def _tracked_paths(root):
    """Tracked files and new ones that are not ignored; None when there is no git."""
    command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"]
    try:
        output = subprocess.run(
            command + ["--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return sorted(set(filter(None, output.decode("utf-8", "replace").split("\0"))))


def _walked_paths(root):
    paths = []
    for folder, folders, files in os.walk(root):
        folders[:] = [f for f in folders if f not in _SKIPPED_FOLDERS and not f.startswith("bazel-")]
        paths += [os.path.relpath(os.path.join(folder, name), root) for name in files]
    return sorted(paths)


def load_tree(root):
    """Every text file of the tree."""
    paths = _tracked_paths(root)
    if paths is None:
        paths = _walked_paths(root)
    files = []
    for path in paths:
        full = os.path.join(root, path)
        if not os.path.isfile(full) or os.path.islink(full):
            continue
        with open(full, "rb") as file:
            content = file.read()
        if b"\0" not in content:
            files.append(SourceFile(path, content.decode("utf-8", "replace")))
    return files
