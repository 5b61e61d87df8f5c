// porticoctl: see docs/porticoctl.md.
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tools/porticoctl/commands.h"

int main(int argc, char** argv) {
  // gRPC's own log lines say nothing that the error messages do not.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const auto environment = [](const std::string& name) {
    if (const char* value = std::getenv(name.c_str())) return std::string(value);
    // Services and containers often do not set it.
    const passwd* user = name == "USER" ? getpwuid(geteuid()) : nullptr;
    return std::string(user == nullptr ? "" : user->pw_name);
  };
  portico::ctl::Console console{std::cin, std::cout, std::cerr};
  return portico::ctl::Run(std::vector<std::string>(argv + 1, argv + argc), environment,
                           absl::Now(), console);
}
