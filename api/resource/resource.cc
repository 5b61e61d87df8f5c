#include "api/resource/resource.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "api/resource/facts.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "openssl/sha.h"

namespace portico::api {
namespace {

// Maps (labels) serialize in hash order unless told otherwise, and the hash of a resource must be
// the same wherever it is computed.
std::string SerializeDeterministically(const v1::Resource& resource) {
  std::string content;
  {
    google::protobuf::io::StringOutputStream stream(&content);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    resource.SerializeToCodedStream(&coded);
  }
  return content;
}

}  // namespace

std::string ToString(const ResourceKey& key) { return absl::StrCat(key.kind, "/", key.name); }

Digest Sha256(std::string_view bytes) {
  Digest digest;
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

std::string ToHex(const Digest& digest) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string_view KindOf(const v1::Resource& resource) {
  switch (resource.spec_case()) {
    case v1::Resource::kListener:
      return "Listener";
    case v1::Resource::kRoute:
      return "Route";
    case v1::Resource::kUpstream:
      return "Upstream";
    case v1::Resource::kJwtProvider:
      return "JwtProvider";
    case v1::Resource::kConsumer:
      return "Consumer";
    case v1::Resource::kPlan:
      return "Plan";
    case v1::Resource::kRateLimitPolicy:
      return "RateLimitPolicy";
    case v1::Resource::kHeaderTransform:
      return "HeaderTransform";
    case v1::Resource::kAccessLog:
      return "AccessLog";
    case v1::Resource::kCertificate:
      return "Certificate";
    case v1::Resource::kCaBundle:
      return "CaBundle";
    case v1::Resource::kSessionTicketKeys:
      return "SessionTicketKeys";
    case v1::Resource::SPEC_NOT_SET:
      break;
  }
  return "";
}

ResourceKey KeyOf(const v1::Resource& resource) {
  return ResourceKey{std::string(KindOf(resource)), resource.name()};
}

StoredResourcePtr MakeStored(v1::Resource resource) {
  auto stored = std::make_shared<StoredResource>();
  stored->content = SerializeDeterministically(resource);
  stored->hash = Sha256(stored->content);
  stored->reference_filter = ReferenceFilter(resource);
  stored->claim_filter = ClaimFilter(resource);
  stored->resource = std::move(resource);
  return stored;
}

absl::StatusOr<StoredResourcePtr> ParseStored(const ResourceKey& key, std::string content) {
  auto stored = std::make_shared<StoredResource>();
  if (!stored->resource.ParseFromString(content)) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(key), ": the ", content.size(),
                     " bytes of its content are not a portico.v1.Resource; send it again"));
  }
  if (KindOf(stored->resource).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(ToString(key),
                     ": its content holds no spec of a kind known here; send a known kind, or "
                     "update this program"));
  }
  if (ResourceKey found = KeyOf(stored->resource); found != key) {
    return absl::InvalidArgumentError(absl::StrCat(ToString(key), ": its content is that of ",
                                                   ToString(found), "; send its own content"));
  }
  stored->hash = Sha256(content);
  stored->content = std::move(content);
  stored->reference_filter = ReferenceFilter(stored->resource);
  stored->claim_filter = ClaimFilter(stored->resource);
  return StoredResourcePtr(std::move(stored));
}

Digest ChecksumOf(const ResourceSet& set) {
  SHA256_CTX context;
  SHA256_Init(&context);
  for (const auto& [key, stored] : set) {
    // c_str() includes the NUL that ends each part.
    SHA256_Update(&context, key.kind.c_str(), key.kind.size() + 1);
    SHA256_Update(&context, key.name.c_str(), key.name.size() + 1);
    SHA256_Update(&context, stored->hash.data(), stored->hash.size());
  }
  Digest digest;
  SHA256_Final(digest.data(), &context);
  return digest;
}

}  // namespace portico::api
