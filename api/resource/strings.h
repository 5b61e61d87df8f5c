// Debian's Abseil has a string_view of its own; this is the bridge from the standard one.
#ifndef API_RESOURCE_STRINGS_H_
#define API_RESOURCE_STRINGS_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace portico::api {

inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view Std(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace portico::api

#endif  // API_RESOURCE_STRINGS_H_
