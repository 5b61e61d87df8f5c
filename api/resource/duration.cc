#include "api/resource/duration.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

// google/protobuf/duration.proto: about 10000 years.
constexpr int64_t kMaxSeconds = 315576000000;

}  // namespace

absl::StatusOr<google::protobuf::Duration> ParseDuration(std::string_view text) {
  constexpr char kFix[] = "write a number and a unit: \"100ms\", \"15s\", \"5m\", \"1h\"";
  absl::Duration duration;
  if (!text.empty() && text != "0" &&
      text.find_first_not_of("0123456789.") == std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("has no unit; ", kFix));
  }
  // Abseil takes signs and "inf", too.
  if (text.find_first_of("+-i") != std::string_view::npos ||
      !absl::ParseDuration(Absl(text), &duration)) {
    return absl::InvalidArgumentError(absl::StrCat("is not a duration; ", kFix));
  }
  if (duration > absl::Seconds(kMaxSeconds)) {
    return absl::InvalidArgumentError("is longer than 10000 years; shorten it");
  }
  return FromAbslDuration(duration);
}

std::string FormatDuration(const google::protobuf::Duration& duration) {
  const absl::Duration value = ToAbslDuration(duration);
  constexpr std::array<std::pair<const char*, int64_t>, 5> kUnits = {{
      {"h", 3'600'000'000'000},
      {"m", 60'000'000'000},
      {"s", 1'000'000'000},
      {"ms", 1'000'000},
      {"us", 1'000},
  }};
  if (value == absl::ZeroDuration()) return "0s";
  for (const auto& [unit, nanos] : kUnits) {
    absl::Duration rest;
    const int64_t count = absl::IDivDuration(value, absl::Nanoseconds(nanos), &rest);
    if (rest == absl::ZeroDuration()) return absl::StrCat(count, unit);
  }
  // More nanoseconds than an int64 holds need the seconds apart.
  if (duration.seconds() == 0) return absl::StrCat(duration.nanos(), "ns");
  return absl::StrCat(duration.seconds(), "s", std::abs(duration.nanos()), "ns");
}

absl::Duration ToAbslDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

google::protobuf::Duration FromAbslDuration(absl::Duration duration) {
  google::protobuf::Duration result;
  absl::Duration rest;
  result.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  result.set_nanos(static_cast<int32_t>(rest / absl::Nanoseconds(1)));
  return result;
}

absl::Duration DurationOr(bool has, const google::protobuf::Duration& field,
                          absl::Duration otherwise) {
  return has ? ToAbslDuration(field) : otherwise;
}

}  // namespace portico::api
