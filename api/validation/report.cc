#include "api/validation/report.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/resource/duration.h"
#include "api/resource/http_syntax.h"
#include "api/resource/strings.h"

namespace portico::api {

std::string Shortened(std::string_view value) {
  constexpr size_t kMost = 128;
  if (value.size() <= kMost) return std::string(value);
  size_t end = kMost - 3;
  // Not between the bytes of one character: a message with half of one cannot be sent.
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return absl::StrCat(Absl(value.substr(0, end)), "...");
}

void Report::Add(std::string field, std::string_view value, std::string_view reason,
                 std::string_view fix) {
  Finding& finding = findings_.emplace_back();
  finding.violation.mutable_resource()->set_kind(key_.kind);
  finding.violation.mutable_resource()->set_name(key_.name);
  finding.violation.set_field(std::move(field));
  finding.violation.set_value(Shortened(value));
  finding.violation.set_reason(std::string(reason));
  finding.violation.set_fix(std::string(fix));
}

void Report::Add(std::string field, std::string_view value, const absl::Status& status) {
  if (status.ok()) return;
  const std::string_view message = Std(status.message());
  const size_t split = message.find("; ");
  Add(std::move(field), value, message.substr(0, split),
      split == std::string_view::npos ? "" : message.substr(split + 2));
}

void Report::AddMissing(std::string field, ResourceKey missing) {
  const std::string reason = absl::StrCat("there is no ", missing.kind, " of this name");
  const std::string fix =
      absl::StrCat("correct the name, or create the ", missing.kind, " in the same apply");
  Add(std::move(field), missing.name, reason, fix);
  findings_.back().missing = std::move(missing);
}

bool Report::Required(const std::string& field, std::string_view value, std::string_view fix) {
  if (!value.empty()) return true;
  Add(field, "", "is required and not set", fix);
  return false;
}

bool Report::Range(const std::string& field, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return true;
  Add(field, absl::StrCat(value), value < least ? "is too small" : "is too large",
      absl::StrCat("use ", least, " to ", most));
  return false;
}

bool Report::Range(const std::string& field, const google::protobuf::Duration& value,
                   absl::Duration least, absl::Duration most) {
  const bool well_formed =
      value.nanos() > -1'000'000'000 && value.nanos() < 1'000'000'000 &&
      (value.seconds() == 0 || value.nanos() == 0 || (value.seconds() < 0) == (value.nanos() < 0));
  const std::string fix = absl::StrCat("use ", FormatDuration(FromAbslDuration(least)), " to ",
                                       FormatDuration(FromAbslDuration(most)));
  if (!well_formed) {
    Add(field, absl::StrCat(value.seconds(), "s ", value.nanos(), "ns"), "is no valid duration",
        fix);
    return false;
  }
  const absl::Duration duration = ToAbslDuration(value);
  if (duration >= least && duration <= most) return true;
  Add(field, FormatDuration(value), duration < least ? "is too short" : "is too long", fix);
  return false;
}

bool Report::AtMost(const std::string& field, size_t count, size_t most, std::string_view what) {
  if (count <= most) return true;
  Add(field, absl::StrCat(count, " ", Absl(what)), absl::StrCat("has too many ", Absl(what)),
      absl::StrCat("use at most ", most));
  return false;
}

bool Report::Known(const std::string& field, int value, bool is_valid) {
  if (is_valid) return true;
  Add(field, absl::StrCat(value), "is a value that this version does not know",
      "use a known one, or update");
  return false;
}

bool Report::Token(const std::string& field, std::string_view name) {
  if (!Required(field, name, "name a header field")) return false;
  if (IsToken(name)) return true;
  Add(field, name, "is not a header field name (RFC 9110 section 5.1)",
      "use letters, digits and \"-\", without spaces and colon");
  return false;
}

bool Report::FieldName(const std::string& field, std::string_view name) {
  if (!Token(field, name)) return false;
  if (IsReservedField(name)) {
    Add(field, name, "is a field that frames the message or names a hop, which Portico sets itself",
        absl::EqualsIgnoreCase(Absl(name), "host")
            ? "use rewrite.host of the route for the upstream's Host, match.hosts for conditions"
            : "leave it out");
    return false;
  }
  return true;
}

bool Duplicates::Check(Report& report, const std::string& field, const std::string& value,
                       std::string_view shown) {
  if (seen_.insert(value).second) return true;
  report.Add(field, shown, "is there already", "remove one of the two");
  return false;
}

}  // namespace portico::api
