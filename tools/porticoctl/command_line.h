// The verbs and flags, described to CLI11. Only for arguments.cc and completion.cc.
#ifndef TOOLS_PORTICOCTL_COMMAND_LINE_H_
#define TOOLS_PORTICOCTL_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/porticoctl/arguments.h"

namespace portico::ctl {

// Values as they are written, before they are checked.
struct RawValues {
  std::string output;
  std::string timeout;
  std::string expires_in;
  std::string kind;
  std::vector<std::string> labels;
};

// The program with all its verbs; parsing writes to `arguments` and `raw`, which
// must outlive it.
std::unique_ptr<CLI::App> DescribeCommandLine(Arguments& arguments, RawValues& raw);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_COMMAND_LINE_H_
