#include "absl/time/civil_time.h"
#include "api/resource/text.h"
#include "tools/porticoctl/commands.h"

namespace portico::ctl {

OutputFormat FormatOf(const Arguments& arguments) {
  return arguments.output.value_or(OutputFormat::kTable);
}

absl::Duration TimeoutOf(const Arguments& arguments, absl::Duration fallback) {
  return arguments.connection.timeout.value_or(fallback);
}

std::optional<LoadedResources> LoadFiles(const Arguments& arguments, Console& console, int& code) {
  absl::StatusOr<std::vector<Source>> sources = ReadSources(arguments.files, console.in);
  if (!sources.ok()) {
    console.err << "porticoctl: " << sources.status().message() << "\n";
    code = kExitUsage;
    return std::nullopt;
  }
  absl::StatusOr<LoadedResources> loaded = LoadResources(*std::move(sources));
  if (!loaded.ok()) {
    console.err << loaded.status().message() << "\n";
    code = kExitRefused;
    return std::nullopt;
  }
  return *std::move(loaded);
}

std::string OperationName(v1::Change::Operation operation) {
  switch (operation) {
    case v1::Change::CREATED:
      return "created";
    case v1::Change::UPDATED:
      return "updated";
    case v1::Change::DELETED:
      return "deleted";
    default:
      return "changed";
  }
}

Json ResourceJson(const v1::Resource& resource, bool show_secrets) {
  // Cannot throw: ToJson writes JSON. The value is null if it ever did not.
  return Json::parse(api::ToJson(show_secrets ? resource : api::Redacted(resource), false), nullptr,
                     /*allow_exceptions=*/false);
}

std::string ResourceYaml(const v1::Resource& resource, bool show_secrets) {
  return api::ToYaml(show_secrets ? resource : api::Redacted(resource));
}

std::string FormatTime(int64_t unix_seconds) {
  if (unix_seconds == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(unix_seconds),
                          absl::UTCTimeZone());
}

}  // namespace portico::ctl
