// Command lines of Portico's programs: absl flags, written the way people expect.
#ifndef TOOLS_FLAGS_FLAGS_H_
#define TOOLS_FLAGS_FLAGS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace portico::flags {

// What `--help` and `--version` say about a program.
struct Program {
  // "portico-control". Default: the last part of argv[0].
  std::string_view name = {};
  // Shown by --help above the flags. Default: nothing.
  std::string_view usage = {};
  // Shown by --version. Default: kVersion (version.h).
  std::string_view version = {};
};

// Parses absl flags, of which `--some-flag` and `--some_flag` are the same; a flag of type
// std::vector<std::string> that is given several times collects all its values. Returns argv[0] and
// the positional arguments, which may stand between flags; everything after "--" is positional.
//
// --help and --version print to stdout and exit 0. An unknown flag, a missing or a bad value print
// one line saying what to do to stderr and exit 2.
std::vector<char*> ParseFlagsOrExit(int argc, char** argv, const Program& program = {});

// The pure part of the above: `arguments` (without argv[0]) as absl reads them, with each flag's
// value joined to it by "=", positional arguments behind a "--".
// Errors: InvalidArgument with the line to print.
absl::StatusOr<std::vector<std::string>> NormalizeArguments(
    const std::vector<std::string>& arguments);

// The text of --help: usage, then each flag of the program with its meaning and default.
std::string HelpText(const Program& program);

}  // namespace portico::flags

#endif  // TOOLS_FLAGS_FLAGS_H_
