#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/validation/checks.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "re2/re2.h"

namespace portico::api {
namespace {

constexpr size_t kMaxName = 128;
// A resource travels in one chunk of the discovery stream, which is below 4 MiB.
constexpr size_t kMaxContent = 2 << 20;

void CheckName(const std::string& name, Report& report) {
  if (!report.Required("name", name, "give the resource a name")) return;
  const auto good = [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c);
  };
  const bool valid = name.size() <= kMaxName && good(name[0]) &&
                     std::all_of(name.begin(), name.end(), [&](unsigned char c) {
                       return good(c) || c == '-' || c == '_' || c == '.';
                     });
  if (!valid) {
    report.Add("name", name, "is not a valid name",
               "use 1 to 128 of a-z, 0-9, \"-\", \"_\" and \".\", starting with a letter or digit");
  }
}

void CheckLabels(const v1::Resource& resource, Report& report) {
  report.AtMost("labels", resource.labels().size(), 64, "labels");
  for (const auto& [name, value] : resource.labels()) {
    if (name.empty() || name.size() > 128) {
      report.Add("labels", name, "is not a valid label name", "use 1 to 128 bytes");
    }
    if (value.size() > 1024) {
      report.Add(absl::StrCat("labels.", Shortened(name)), value, "is too long",
                 "use at most 1024 bytes");
    }
  }
}

// A newer client may send settings that this version would silently leave out, such as a check that
// a route is then without.
void CheckUnknownFields(const google::protobuf::Message& message, const std::string& at,
                        Report& report) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  const google::protobuf::UnknownFieldSet& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) {
    report.Add(at, absl::StrCat("field number ", unknown.field(0).number()),
               "is a setting that this version does not know",
               "update this version, or leave the setting out");
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE || field->is_map())
      continue;
    const bool is_spec = at.empty() && field->containing_oneof() != nullptr;
    const std::string path =
        is_spec ? "spec" : absl::StrCat(at, at.empty() ? "" : ".", field->name());
    if (!field->is_repeated()) {
      CheckUnknownFields(reflection.GetMessage(message, field), path, report);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i)
      CheckUnknownFields(reflection.GetRepeatedMessage(message, field, i), At(path, i), report);
  }
}

void CheckSpec(const v1::Resource& resource, Report& report) {
  switch (resource.spec_case()) {
    case v1::Resource::kListener:
      return CheckListener(resource.listener(), report);
    case v1::Resource::kRoute:
      return CheckRoute(resource.route(), report);
    case v1::Resource::kUpstream:
      return CheckUpstream(resource.upstream(), report);
    case v1::Resource::kJwtProvider:
      return CheckJwtProvider(resource.jwt_provider(), report);
    case v1::Resource::kConsumer:
      return CheckConsumer(resource.consumer(), report);
    case v1::Resource::kPlan:
      return CheckPlan(resource.plan(), report);
    case v1::Resource::kRateLimitPolicy:
      return CheckRateLimitPolicy(resource.rate_limit_policy(), report);
    case v1::Resource::kHeaderTransform:
      return CheckHeaderTransform(resource.header_transform(), report);
    case v1::Resource::kAccessLog:
      return CheckAccessLog(resource.access_log(), report);
    case v1::Resource::kCertificate:
      return CheckCertificate(resource.certificate(), report);
    case v1::Resource::kCaBundle:
      return CheckCaBundle(resource.ca_bundle(), report);
    case v1::Resource::kSessionTicketKeys:
      return CheckSessionTicketKeys(resource.session_ticket_keys(), report);
    case v1::Resource::SPEC_NOT_SET:
      report.Add("kind", "", "is required and not set", "write the kind, \"kind: Route\"");
  }
}

}  // namespace

void CheckResource(const ResourceKey& key, const StoredResource& stored, Report& report) {
  const v1::Resource& resource = stored.resource;
  if (KeyOf(resource) != key) {
    report.Add("name", ToString(KeyOf(resource)), absl::StrCat("is stored as ", ToString(key)),
               "apply it again");
  }
  CheckName(resource.name(), report);
  CheckLabels(resource, report);
  report.AtMost("description", resource.description().size(), 1024, "bytes");
  report.AtMost("spec", stored.content.size(), kMaxContent, "bytes");
  CheckSpec(resource, report);
  CheckUnknownFields(resource, "", report);
}

void CheckRegex(const std::string& field, const std::string& pattern, Report& report) {
  if (!report.Required(field, pattern, "write an RE2 expression")) return;
  if (!report.AtMost(field, pattern.size(), 1024, "bytes")) return;
  RE2::Options options;
  options.set_log_errors(false);
  const RE2 regex(pattern, options);
  if (!regex.ok()) {
    const std::string fix = regex.error_arg().empty()
                                ? "correct the expression (RE2 syntax)"
                                : absl::StrCat("correct \"", regex.error_arg(), "\" (RE2 syntax)");
    report.Add(field, pattern, regex.error(), fix);
  } else if (regex.ProgramSize() > 5000) {
    report.Add(field, pattern,
               absl::StrCat("compiles to ", regex.ProgramSize(), " instructions, more than 5000"),
               "use smaller repetition counts and fewer alternatives");
  }
}

}  // namespace portico::api
