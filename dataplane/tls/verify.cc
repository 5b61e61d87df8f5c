#include "dataplane/tls/verify.h"

#include <openssl/err.h>
#include <openssl/pool.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/tls/certificates.h"

namespace portico::tls {
namespace {

// More would not help a client to choose, and make its first flight of bytes a second one.
constexpr size_t kMaxAuthorities = 100;

uint8_t AlertFor(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return SSL_AD_CERTIFICATE_EXPIRED;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return SSL_AD_UNKNOWN_CA;
    default:
      return SSL_AD_BAD_CERTIFICATE;
  }
}

std::vector<std::string> Sorted(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  return texts;
}

bssl::UniquePtr<CRYPTO_BUFFER> SubjectOf(X509* certificate) {
  uint8_t* der = nullptr;
  const int size = i2d_X509_NAME(X509_get_subject_name(certificate), &der);
  const bssl::UniquePtr<uint8_t> owned(der);
  if (size <= 0) return nullptr;
  return bssl::UniquePtr<CRYPTO_BUFFER>(CRYPTO_BUFFER_new(der, static_cast<size_t>(size), nullptr));
}

}  // namespace

PeerVerifier::PeerVerifier(Peer peer, const Rules& rules)
    : peer_(peer),
      any_issuer_(rules.any_issuer),
      names_(rules.names),
      fingerprints_(Sorted(rules.fingerprints)),
      address_(rules.address) {}

absl::StatusOr<std::unique_ptr<PeerVerifier>> PeerVerifier::Create(Peer peer, const Rules& rules,
                                                                   const std::string& what) {
  // owned: by the result; the constructor is private.
  std::unique_ptr<PeerVerifier> verifier(new PeerVerifier(peer, rules));
  if (rules.any_issuer) return verifier;
  auto authorities = ParseCertificates(rules.ca_pem, what);
  if (!authorities.ok()) return authorities.status();
  verifier->store_.reset(X509_STORE_new());
  // What the bundle holds is believed, whether it signed itself or not.
  X509_STORE_set_flags(verifier->store_.get(),
                       X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  for (const bssl::UniquePtr<X509>& certificate : *authorities) {
    if (!X509_STORE_add_cert(verifier->store_.get(), certificate.get())) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", TakeError()));
    }
    if (authorities->size() > kMaxAuthorities) continue;
    if (bssl::UniquePtr<CRYPTO_BUFFER> subject = SubjectOf(certificate.get())) {
      verifier->authorities_.push_back(std::move(subject));
    }
  }
  ERR_clear_error();
  return verifier;
}

bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> PeerVerifier::Authorities() const {
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> list(sk_CRYPTO_BUFFER_new_null());
  for (const bssl::UniquePtr<CRYPTO_BUFFER>& subject : authorities_) {
    bssl::PushToStack(list.get(), bssl::UpRef(subject));
  }
  return list;
}

absl::Status PeerVerifier::VerifyChain(X509* leaf, STACK_OF(X509) * others, uint8_t& alert) const {
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  alert = SSL_AD_INTERNAL_ERROR;
  if (!context || !X509_STORE_CTX_init(context.get(), store_.get(), leaf, others) ||
      !X509_STORE_CTX_set_default(context.get(),
                                  peer_ == Peer::kClient ? "ssl_client" : "ssl_server")) {
    return absl::InternalError(TakeError());
  }
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) return absl::OkStatus();
  alert = AlertFor(error);
  return absl::UnauthenticatedError(
      absl::StrCat("the certificate is not good: ", X509_verify_cert_error_string(error)));
}

absl::Status PeerVerifier::Verify(const STACK_OF(CRYPTO_BUFFER) * chain, net::PeerCertificate& out,
                                  uint8_t& alert) const {
  alert = SSL_AD_BAD_CERTIFICATE;
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0) {
    return absl::UnauthenticatedError("the peer has no certificate");
  }
  bssl::UniquePtr<X509> leaf;
  bssl::UniquePtr<STACK_OF(X509)> others(sk_X509_new_null());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i) {
    bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(sk_CRYPTO_BUFFER_value(chain, i)));
    if (!certificate) {
      ERR_clear_error();
      return absl::UnauthenticatedError("the certificate cannot be read");
    }
    if (i == 0) {
      leaf = std::move(certificate);
    } else {
      bssl::PushToStack(others.get(), std::move(certificate));
    }
  }
  std::vector<std::string> addresses;
  ReadCertificate(sk_CRYPTO_BUFFER_value(chain, 0), leaf.get(), out, &addresses);
  if (any_issuer_) return absl::OkStatus();
  if (absl::Status status = VerifyChain(leaf.get(), others.get(), alert); !status.ok())
    return status;
  alert = SSL_AD_BAD_CERTIFICATE;
  if (!address_.empty() &&
      std::find(addresses.begin(), addresses.end(), address_) == addresses.end()) {
    return absl::UnauthenticatedError("the certificate is not for this address");
  }
  if (!names_.empty() && !names_.Match(out.dns_names, out.uris, peer_ == Peer::kServer)) {
    return absl::UnauthenticatedError("the certificate is not for a name that is wanted");
  }
  if (!fingerprints_.empty() &&
      !std::binary_search(fingerprints_.begin(), fingerprints_.end(), out.fingerprint)) {
    return absl::UnauthenticatedError("the certificate's fingerprint is not one that is wanted");
  }
  return absl::OkStatus();
}

}  // namespace portico::tls
