// Header values with variables, as in HeaderTransform.
#ifndef API_RESOURCE_HEADER_TEMPLATE_H_
#define API_RESOURCE_HEADER_TEMPLATE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace portico::api {

enum class HeaderVariable {
  kClientAddress,  // ${client.address}
  kRequestId,      // ${request.id}
  kRequestMethod,  // ${request.method}
  kRequestPath,    // ${request.path}
  kRequestHost,    // ${request.host}
  kRequestHeader,  // ${request.header.NAME}
  kRouteName,      // ${route.name}
  kUpstreamName,   // ${upstream.name}
  kConsumerName,   // ${consumer.name}
  kConsumerPlan,   // ${consumer.plan}
  kClaim,          // ${claim.NAME}
  // Of the client's connection; empty in cleartext, and without a client certificate that is good.
  kTlsVersion,            // ${tls.version}
  kTlsServerName,         // ${tls.server_name}
  kTlsClientFingerprint,  // ${tls.client.fingerprint}
  kTlsClientSubject,      // ${tls.client.subject}
  kTlsClientSan,          // ${tls.client.san}: its first URI, or else its first DNS name
};

// Literal text or one variable.
struct HeaderPart {
  std::optional<HeaderVariable> variable;
  // The literal text; or the NAME of kRequestHeader (in lower case) and kClaim (as written; dots go
  // down into objects); empty for other variables.
  std::string text;
  bool operator==(const HeaderPart&) const = default;
};

// Splits a value into its parts; neighbouring literals are one part and "$$" is one "$" in it.
// An empty value has no parts. At most 32 variables.
// Errors: InvalidArgument, "reason; fix", for unknown variables, missing or surplus names and a "$"
// that starts neither "${" nor "$$".
absl::StatusOr<std::vector<HeaderPart>> ParseHeaderTemplate(std::string_view value);

}  // namespace portico::api

#endif  // API_RESOURCE_HEADER_TEMPLATE_H_
