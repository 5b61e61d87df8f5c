#include "api/resource/secrets.h"

#include <algorithm>
#include <string>

#include "api/resource/jwks.h"

namespace portico::api {

v1::Resource Redacted(v1::Resource resource) {
  if (resource.has_jwt_provider() && !resource.jwt_provider().jwks().empty() &&
      InspectJwks(resource.jwt_provider().jwks()).has_secret) {
    resource.mutable_jwt_provider()->set_jwks(std::string(kRedacted));
  }
  RedactKeys(resource);
  return resource;
}

void RedactKeys(v1::Resource& resource) {
  if (resource.has_certificate()) {
    v1::Certificate& certificate = *resource.mutable_certificate();
    if (!certificate.private_key().empty()) certificate.set_private_key(std::string(kRedacted));
    // A key in the wrong place, as in a file that holds both.
    if (certificate.chain().find("PRIVATE KEY") != std::string::npos)
      certificate.set_chain(std::string(kRedacted));
  } else if (resource.has_session_ticket_keys()) {
    for (v1::SessionTicketKeys::Key& key : *resource.mutable_session_ticket_keys()->mutable_keys())
      key.set_secret(std::string(kRedacted));
  } else if (resource.has_ca_bundle()) {
    if (resource.ca_bundle().certificates().find("PRIVATE KEY") != std::string::npos)
      resource.mutable_ca_bundle()->set_certificates(std::string(kRedacted));
  }
}

bool HasRedacted(const v1::Resource& resource) {
  if (resource.has_certificate()) return resource.certificate().private_key() == kRedacted;
  if (resource.has_jwt_provider()) return resource.jwt_provider().jwks() == kRedacted;
  const auto& keys = resource.session_ticket_keys().keys();
  return std::any_of(keys.begin(), keys.end(), [](const v1::SessionTicketKeys::Key& key) {
    return key.secret() == kRedacted;
  });
}

void RestoreRedacted(const v1::Resource& stored, v1::Resource& resource) {
  if (!HasRedacted(resource)) return;
  if (resource.has_certificate()) {
    resource.mutable_certificate()->set_private_key(stored.certificate().private_key());
  } else if (resource.has_jwt_provider()) {
    resource.mutable_jwt_provider()->set_jwks(stored.jwt_provider().jwks());
  } else if (resource.has_session_ticket_keys()) {
    v1::SessionTicketKeys& to = *resource.mutable_session_ticket_keys();
    const v1::SessionTicketKeys& from = stored.session_ticket_keys();
    for (int i = 0; i < std::min(to.keys_size(), from.keys_size()); ++i) {
      if (to.keys(i).secret() == kRedacted) to.mutable_keys(i)->set_secret(from.keys(i).secret());
    }
  }
}

}  // namespace portico::api
