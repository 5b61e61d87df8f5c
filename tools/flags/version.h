// The version that every program of this tree reports.
#ifndef TOOLS_FLAGS_VERSION_H_
#define TOOLS_FLAGS_VERSION_H_

#include <string_view>

namespace portico {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace portico

#endif  // TOOLS_FLAGS_VERSION_H_
