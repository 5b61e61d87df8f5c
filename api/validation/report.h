// Where checks put what they find.
#ifndef API_VALIDATION_REPORT_H_
#define API_VALIDATION_REPORT_H_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"
#include "google/protobuf/duration.pb.h"

namespace portico::api {

// A violation, and what it misses if that is its reason: names near to it are looked up at the end.
struct Finding {
  v1::Violation violation;
  std::optional<ResourceKey> missing;
};

// Shortened to 128 bytes at a character, with "..." to show it.
std::string Shortened(std::string_view value);

// The findings about one resource.
class Report {
 public:
  Report(ResourceKey key, std::vector<Finding>& findings)
      : key_(std::move(key)), findings_(findings) {}

  const ResourceKey& key() const { return key_; }

  void Add(std::string field, std::string_view value, std::string_view reason,
           std::string_view fix);
  // From a parser of api/resource, whose messages are "reason; fix". Nothing when `status` is OK.
  void Add(std::string field, std::string_view value, const absl::Status& status);
  void AddMissing(std::string field, ResourceKey missing);

  // Each adds a violation and returns false unless the condition holds.
  bool Required(const std::string& field, std::string_view value, std::string_view fix);
  bool Range(const std::string& field, uint64_t value, uint64_t least, uint64_t most);
  bool Range(const std::string& field, const google::protobuf::Duration& value,
             absl::Duration least, absl::Duration most);
  bool AtMost(const std::string& field, size_t count, size_t most, std::string_view what);
  bool Known(const std::string& field, int value, bool is_valid);
  // A header field name.
  bool Token(const std::string& field, std::string_view name);
  // The same, of a field that configuration may change.
  bool FieldName(const std::string& field, std::string_view name);

 private:
  ResourceKey key_;
  std::vector<Finding>& findings_;
};

// Finds the second of two equal things in one list.
class Duplicates {
 public:
  // Adds a violation and returns false when `value` was there before. `shown` stands in the
  // violation.
  bool Check(Report& report, const std::string& field, const std::string& value,
             std::string_view shown);
  bool Check(Report& report, const std::string& field, const std::string& value) {
    return Check(report, field, value, value);
  }

 private:
  std::set<std::string> seen_;
};

// "spec.upstreams[1]".
inline std::string At(std::string_view list, int index) {
  return absl::StrCat(absl::string_view(list.data(), list.size()), "[", index, "]");
}

}  // namespace portico::api

#endif  // API_VALIDATION_REPORT_H_
