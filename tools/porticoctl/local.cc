#include <sys/random.h>

#include <array>
#include <istream>
#include <iterator>
#include <ostream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "api/validation/validate.h"
#include "tools/porticoctl/commands.h"

namespace portico::ctl {

int RunValidate(const Arguments& arguments, absl::Time now, Console& console) {
  int code = kExitOk;
  std::optional<LoadedResources> loaded = LoadFiles(arguments, console, code);
  if (!loaded) return code;
  api::ResourceSet set;
  for (v1::Resource& resource : loaded->resources) {
    const api::ResourceKey key = api::KeyOf(resource);
    set[key] = api::MakeStored(std::move(resource));
  }
  const std::vector<v1::Violation> violations = api::Validate(set);
  const OutputFormat format = FormatOf(arguments);
  for (const auto& [key, stored] : set) {
    PrintWarnings(api::WarningsAbout(stored->resource, now), console);
  }
  if (format != OutputFormat::kTable || !violations.empty()) {
    PrintViolations(violations, loaded->locations, format, console);
  }
  if (!violations.empty()) {
    console.err << "porticoctl: " << violations.size()
                << (violations.size() == 1 ? " violation" : " violations") << " in " << set.size()
                << " resources\n";
    return kExitRefused;
  }
  if (format == OutputFormat::kTable) {
    console.out << "valid: " << set.size() << (set.size() == 1 ? " resource\n" : " resources\n");
  }
  return kExitOk;
}

int RunHashKey(const Arguments& arguments, Console& console) {
  const OutputFormat format = FormatOf(arguments);
  std::string key;
  if (arguments.generate) {
    std::array<char, 32> bytes = {};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      console.err << "porticoctl: the system gives no random bytes\n";
      return kExitRefused;
    }
    key = absl::StrCat("pk_",
                       absl::WebSafeBase64Escape(absl::string_view(bytes.data(), bytes.size())));
  } else {
    key.assign(std::istreambuf_iterator<char>(console.in), {});
    // The end of the line that echo or an editor added is not part of the key.
    while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
    if (key.empty() || key.size() > 4096) {
      console.err << "porticoctl: give the key on standard input, 1 to 4096 bytes, like "
                     "\"printf %s KEY | porticoctl hash-key\"\n";
      return kExitUsage;
    }
  }
  const std::string hash = api::ToHex(api::Sha256(key));
  if (format != OutputFormat::kTable) {
    Json json = {{"sha256", hash}};
    if (arguments.generate) json["key"] = key;
    Print(json, format, console.out);
  } else if (arguments.generate) {
    console.out << "key     " << key << "\nsha256  " << hash << "\n";
  } else {
    console.out << hash << "\n";
  }
  return kExitOk;
}

}  // namespace portico::ctl
