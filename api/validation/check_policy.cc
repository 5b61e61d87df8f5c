#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/resource/header_template.h"
#include "api/resource/http_syntax.h"
#include "api/resource/strings.h"
#include "api/validation/checks.h"

namespace portico::api {
namespace {

template <size_t N>
bool IsOneOf(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void CheckRate(const v1::Rate& rate, bool has, const std::string& at, Report& report) {
  if (!has) {
    report.Add(at, "", "is required and not set", "write {requests: 100, per: 1m}");
    return;
  }
  constexpr uint64_t kMost = 1'000'000'000;
  report.Range(at + ".requests", rate.requests(), 1, kMost);
  if (!rate.has_per()) {
    report.Add(at + ".per", "", "is required and not set",
               "write the time in which the requests may come, as 1m");
  } else {
    report.Range(at + ".per", rate.per(), absl::Milliseconds(1), absl::Hours(24));
  }
  if (rate.burst() != 0) report.Range(at + ".burst", rate.burst(), 1, kMost);
}

// Request fields that Portico sets itself, besides those that frame a message.
constexpr std::array<std::string_view, 4> kOwnRequestFields = {"x-request-id", "x-forwarded-for",
                                                               "x-forwarded-proto", "traceparent"};

class EditsCheck {
 public:
  EditsCheck(std::string at, bool request, Report& report)
      : at_(std::move(at)), request_(request), report_(report) {}

  void Run(const v1::HeaderEdits& edits) {
    report_.AtMost(at_ + ".set", edits.set_size(), 64, "fields");
    report_.AtMost(at_ + ".add", edits.add_size(), 64, "fields");
    report_.AtMost(at_ + ".remove", edits.remove_size(), 64, "fields");
    for (int i = 0; i < edits.set_size(); ++i) CheckValue(edits.set(i), At(at_ + ".set", i));
    for (int i = 0; i < edits.add_size(); ++i) CheckValue(edits.add(i), At(at_ + ".add", i));
    Duplicates set;
    std::map<std::string, int> set_fields;
    for (int i = 0; i < edits.set_size(); ++i) {
      const std::string lower = absl::AsciiStrToLower(edits.set(i).name());
      set.Check(report_, At(at_ + ".set", i) + ".name", lower, edits.set(i).name());
      set_fields.emplace(lower, i);
    }
    Duplicates removed;
    for (int i = 0; i < edits.remove_size(); ++i) {
      const std::string field = At(at_ + ".remove", i);
      const std::string lower = absl::AsciiStrToLower(edits.remove(i));
      if (!CheckField(field, edits.remove(i))) continue;
      if (!removed.Check(report_, field, lower, edits.remove(i))) continue;
      if (const auto found = set_fields.find(lower); found != set_fields.end()) {
        report_.Add(field, edits.remove(i),
                    absl::StrCat("is removed here and set by set[", found->second, "]"),
                    "keep one: set replaces what was there");
      }
    }
  }

 private:
  bool CheckField(const std::string& field, const std::string& name) {
    if (!report_.FieldName(field, name)) return false;
    if (request_ && IsOneOf(absl::AsciiStrToLower(name), kOwnRequestFields)) {
      report_.Add(field, name, "is a request field that Portico sets itself", "use another name");
      return false;
    }
    return true;
  }

  void CheckValue(const v1::HeaderValue& value, const std::string& at) {
    CheckField(at + ".name", value.name());
    if (!report_.AtMost(at + ".value", value.value().size(), 4096, "bytes")) return;
    if (!IsFieldValue(value.value())) {
      report_.Add(at + ".value", value.value(), "is no header value (RFC 9110 section 5.5)",
                  "remove line breaks, control characters and white space at the ends");
      return;
    }
    report_.Add(at + ".value", value.value(), ParseHeaderTemplate(value.value()).status());
  }

  const std::string at_;
  const bool request_;
  Report& report_;
};

void CheckLogPath(const std::string& path, Report& report) {
  constexpr char kFix[] = "write the absolute path of a file, or stdout";
  if (!report.Required("spec.path", path, kFix) || path == "stdout") return;
  if (path[0] != '/' || path.back() == '/' || path.size() > 4095) {
    report.Add("spec.path", path, "is not the absolute path of a file", kFix);
    return;
  }
  if (std::any_of(path.begin(), path.end(),
                  [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    report.Add("spec.path", path, "holds control characters", kFix);
  }
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  if (std::find(parts.begin(), parts.end(), "..") != parts.end()) {
    report.Add("spec.path", path, "holds \"..\"", "write the path it leads to");
  }
}

void CheckLogFields(const google::protobuf::RepeatedPtrField<std::string>& names,
                    const std::string& at, Report& report) {
  // They carry credentials, which have no place in a log.
  constexpr std::array<std::string_view, 5> kSecret = {"authorization", "proxy-authorization",
                                                       "cookie", "set-cookie", "x-api-key"};
  report.AtMost(at, names.size(), 32, "fields");
  Duplicates duplicates;
  for (int i = 0; i < names.size(); ++i) {
    const std::string field = At(at, i);
    if (!report.Token(field, names[i])) continue;
    const std::string lower = absl::AsciiStrToLower(names[i]);
    if (IsOneOf(lower, kSecret)) {
      report.Add(field, names[i], "carries credentials, which are never logged", "remove it");
    } else {
      duplicates.Check(report, field, lower, names[i]);
    }
  }
}

}  // namespace

void CheckPlan(const v1::Plan& plan, Report& report) {
  report.AtMost("spec.rate_limits", plan.rate_limits_size(), 1000, "rates");
  Duplicates duplicates;
  for (int i = 0; i < plan.rate_limits_size(); ++i) {
    const std::string at = At("spec.rate_limits", i);
    const v1::PlanRate& rate = plan.rate_limits(i);
    if (report.Required(at + ".policy", rate.policy(), "name a RateLimitPolicy")) {
      duplicates.Check(report, at + ".policy", rate.policy());
    }
    CheckRate(rate.rate(), rate.has_rate(), at + ".rate", report);
  }
}

void CheckRateLimitPolicy(const v1::RateLimitPolicy& policy, Report& report) {
  CheckRate(policy.rate(), policy.has_rate(), "spec.rate", report);
  if (policy.key().empty()) {
    report.Add("spec.key", "", "is required and not set",
               "add what requests are counted by, as {client_address: {}}");
  }
  report.AtMost("spec.key", policy.key_size(), 8, "parts");
  Duplicates duplicates;
  for (int i = 0; i < policy.key_size(); ++i) {
    const std::string at = At("spec.key", i);
    const v1::RateLimitKey& part = policy.key(i);
    switch (part.part_case()) {
      case v1::RateLimitKey::kHeader:
        if (!report.Token(at + ".header", part.header())) continue;
        duplicates.Check(report, at + ".header",
                         absl::StrCat("header ", absl::AsciiStrToLower(part.header())),
                         part.header());
        continue;
      case v1::RateLimitKey::kClaim:
        if (!report.Required(at + ".claim", part.claim(), "name a claim")) continue;
        duplicates.Check(report, at + ".claim", absl::StrCat("claim ", part.claim()), part.claim());
        continue;
      case v1::RateLimitKey::PART_NOT_SET:
        report.Add(at, "", "names nothing to count by",
                   "set one of client_address, consumer, route, header, claim, client_certificate");
        continue;
      default:
        duplicates.Check(report, at, absl::StrCat("part ", part.part_case()), "");
    }
  }
}

void CheckHeaderTransform(const v1::HeaderTransform& transform, Report& report) {
  EditsCheck("spec.request", true, report).Run(transform.request());
  EditsCheck("spec.response", false, report).Run(transform.response());
}

void CheckAccessLog(const v1::AccessLog& log, Report& report) {
  CheckLogPath(log.path(), report);
  CheckLogFields(log.request_headers(), "spec.request_headers", report);
  CheckLogFields(log.response_headers(), "spec.response_headers", report);
}

}  // namespace portico::api
