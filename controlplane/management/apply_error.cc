#include "controlplane/management/apply_error.h"

#include <algorithm>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/portico/v1/config_service.pb.h"
#include "api/validation/validate.h"
#include "controlplane/management/status_details.pb.h"
#include "controlplane/model/grpc_status.h"

namespace portico::control {
namespace {

constexpr char kApplyErrorUrl[] = "type.googleapis.com/portico.v1.ApplyError";
constexpr size_t kMaxLines = 20;

// gRPC percent-encodes status messages: "%", control characters and everything beyond ASCII cost
// three bytes each.
size_t EncodedSize(std::string_view text) {
  size_t size = 0;
  for (const char c : text) size += c >= ' ' && c <= '~' && c != '%' ? 1 : 3;
  return size;
}

// The first violations, one a line, in at most `max_bytes` as gRPC encodes them.
std::string Summary(const v1::ApplyError& error, size_t max_bytes) {
  const int count = error.violations_size();
  std::string text =
      absl::StrCat("the configuration was not accepted, nothing was changed: ", count,
                   count == 1 ? " violation" : " violations");
  size_t size = EncodedSize(text) + 40;  // For the last line.
  size_t lines = 0;
  for (const v1::Violation& violation : error.violations()) {
    const std::string line = api::ToString(violation);
    const size_t line_size = EncodedSize(line) + 3;
    if (lines == kMaxLines || size + line_size > max_bytes) break;
    absl::StrAppend(&text, "\n", line);
    size += line_size;
    ++lines;
  }
  const size_t left = static_cast<size_t>(count) - lines;
  if (left > 0) absl::StrAppend(&text, "\n... and ", left, " more");
  return text;
}

}  // namespace

absl::Status ViolationsError(const std::vector<v1::Violation>& violations) {
  v1::ApplyError error;
  for (const v1::Violation& violation : violations) *error.add_violations() = violation;
  absl::Status status = absl::InvalidArgumentError(
      absl::StrCat(violations.size(), " violations, first: ", api::ToString(violations.front())));
  status.SetPayload(kApplyErrorUrl, absl::Cord(error.SerializeAsString()));
  return status;
}

grpc::Status ToGrpcWithDetails(const absl::Status& status, size_t max_bytes) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kApplyErrorUrl);
  v1::ApplyError error;
  if (!payload.has_value() || !error.ParseFromString(std::string(*payload))) return ToGrpc(status);

  // The message goes over the wire twice: as itself and inside of the details.
  const std::string message = Summary(error, max_bytes / 4);
  const size_t used = EncodedSize(message) + message.size() + 200;
  size_t left = max_bytes > used ? max_bytes - used : 0;
  v1::ApplyError fitting;
  for (const v1::Violation& violation : error.violations()) {
    const size_t size = violation.ByteSizeLong() + 8;
    if (size > left) break;
    left -= size;
    *fitting.add_violations() = violation;
  }
  Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  google::protobuf::Any& detail = *details.add_details();
  detail.set_type_url(kApplyErrorUrl);
  detail.set_value(fitting.SerializeAsString());
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message,
                      details.SerializeAsString());
}

size_t DetailBytes(std::string_view metadata) {
  uint64_t bytes = 0;
  if (!absl::SimpleAtoi(absl::string_view(metadata.data(), metadata.size()), &bytes)) {
    return kDefaultDetailBytes;
  }
  return std::clamp<uint64_t>(bytes, kDefaultDetailBytes, kMaxDetailBytes);
}

}  // namespace portico::control
