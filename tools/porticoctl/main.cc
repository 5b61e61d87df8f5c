// porticoctl: see docs/porticoctl.md.
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
    const char* value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  };
  portico::ctl::Console console{std::cin, std::cout, std::cerr};
  return portico::ctl::Run(std::vector<std::string>(argv + 1, argv + argc), environment,
                           absl::Now(), console);
}
