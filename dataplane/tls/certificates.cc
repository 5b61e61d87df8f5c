#include "dataplane/tls/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/tls/names.h"

namespace portico::tls {
namespace {

constexpr size_t kMaxChain = 16;
constexpr unsigned kMinRsaBits = 2048;
constexpr unsigned kMaxRsaBits = 4096;

struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

bssl::UniquePtr<BIO> ReadOnly(const std::string& text) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// No pass phrase: an encrypted key is an error and no question on the terminal.
int NoPassPhrase(char*, int, int, void*) { return 0; }

int64_t UnixSeconds(const ASN1_TIME* time) {
  bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0, seconds = 0;
  if (!epoch || !ASN1_TIME_diff(&days, &seconds, epoch.get(), time)) return 0;
  return int64_t{days} * 86400 + seconds;
}

std::string Text(const ASN1_STRING* string) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                     static_cast<size_t>(ASN1_STRING_length(string)));
}

std::string Text(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  if (!BIO_mem_contents(bio, &data, &size)) return "";
  return std::string(reinterpret_cast<const char*>(data), size);
}

std::string Subject(X509* certificate) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio) return "";
  X509_NAME_print_ex(bio.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  return Text(bio.get());
}

void ReadAlternativeNames(X509* certificate, net::PeerCertificate& out,
                          std::vector<std::string>* addresses) {
  const std::unique_ptr<GENERAL_NAMES, FreeNames> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) return;
  for (size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_IPADD) {
      if (addresses != nullptr) addresses->push_back(Text(name->d.iPAddress));
      continue;
    }
    if (name->type != GEN_DNS && name->type != GEN_URI) continue;
    std::string text = Text(name->d.ia5);
    // A name that could be read as another one is none.
    if (std::any_of(text.begin(), text.end(),
                    [](unsigned char c) { return c <= ' ' || c >= 0x7f; }))
      continue;
    if (name->type == GEN_DNS) {
      out.dns_names.push_back(LowerCase(text));
    } else {
      out.uris.push_back(std::move(text));
    }
  }
}

std::string CommonName(X509* certificate) {
  char text[256];
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                             text, sizeof(text));
  return size > 0 ? LowerCase(std::string_view(text, static_cast<size_t>(size))) : "";
}

// What is signed with: ECDSA on two curves, or RSA of a good size.
absl::Status CheckKey(Identity& identity, const std::string& what) {
  if (const EC_KEY* ec = EVP_PKEY_get0_EC_KEY(identity.key.get()); ec != nullptr) {
    switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec))) {
      case NID_X9_62_prime256v1:
        identity.ecdsa_algorithm = SSL_SIGN_ECDSA_SECP256R1_SHA256;
        identity.curve = SSL_CURVE_SECP256R1;
        return absl::OkStatus();
      case NID_secp384r1:
        identity.ecdsa_algorithm = SSL_SIGN_ECDSA_SECP384R1_SHA384;
        identity.curve = SSL_CURVE_SECP384R1;
        return absl::OkStatus();
      default:
        return absl::InvalidArgumentError(absl::StrCat(
            what, ": the key is on another curve than P-256 and P-384: make one on P-256"));
    }
  }
  if (const RSA* rsa = EVP_PKEY_get0_RSA(identity.key.get()); rsa != nullptr) {
    const unsigned bits = RSA_bits(rsa);
    if (bits >= kMinRsaBits && bits <= kMaxRsaBits) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": the RSA key has ", bits, " bits: use 2048 to 4096"));
  }
  return absl::InvalidArgumentError(absl::StrCat(what, ": the key is neither ECDSA nor RSA"));
}

absl::Status ParseKey(const CertificatePair& pair, const std::string& what, Identity& identity) {
  if (pair.key_pem.find("ENCRYPTED") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": the private key is encrypted: give it without a pass phrase"));
  }
  identity.key.reset(
      PEM_read_bio_PrivateKey(ReadOnly(pair.key_pem).get(), nullptr, &NoPassPhrase, nullptr));
  if (identity.key == nullptr) {
    TakeError();
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": the private key cannot be read: give it as PEM (PKCS #8, SEC 1 or PKCS #1)"));
  }
  return CheckKey(identity, what);
}

}  // namespace

std::string TakeError() {
  const uint32_t error = ERR_peek_last_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  ERR_clear_error();
  std::string text = reason == nullptr ? "unknown error" : LowerCase(reason);
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string Sha256(const std::string& text) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof(digest));
}

absl::StatusOr<std::vector<bssl::UniquePtr<X509>>> ParseCertificates(const std::string& pem,
                                                                     const std::string& what) {
  std::vector<bssl::UniquePtr<X509>> out;
  bssl::UniquePtr<BIO> bio = ReadOnly(pem);
  while (true) {
    bssl::UniquePtr<X509> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, &NoPassPhrase, nullptr));
    if (certificate == nullptr) break;
    out.push_back(std::move(certificate));
  }
  const uint32_t error = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": certificate ", out.size() + 1,
                                                   " cannot be read: give PEM text that is whole"));
  }
  if (out.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": there is no certificate in it: give PEM text"));
  }
  return out;
}

bool ReadCertificate(const CRYPTO_BUFFER* der, X509* certificate, net::PeerCertificate& out,
                     std::vector<std::string>* addresses) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), digest);
  static constexpr char kDigits[] = "0123456789abcdef";
  out.fingerprint.clear();
  for (const uint8_t byte : digest) {
    out.fingerprint += kDigits[byte >> 4];
    out.fingerprint += kDigits[byte & 15];
  }
  out.subject = Subject(certificate);
  out.dns_names.clear();
  out.uris.clear();
  ReadAlternativeNames(certificate, out, addresses);
  ERR_clear_error();
  return true;
}

absl::StatusOr<Identity> ParseIdentity(const CertificatePair& pair) {
  const std::string what = absl::StrCat("certificate \"", pair.name, "\"");
  auto chain = ParseCertificates(pair.chain_pem, what);
  if (!chain.ok()) return chain.status();
  if (chain->size() > kMaxChain) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": the chain has more than ", kMaxChain, " certificates"));
  }
  Identity identity;
  identity.name = pair.name;
  identity.ocsp = pair.ocsp_der;
  if (absl::Status status = ParseKey(pair, what, identity); !status.ok()) return status;
  if (!X509_check_private_key(chain->front().get(), identity.key.get())) {
    TakeError();
    return absl::InvalidArgumentError(
        absl::StrCat(what,
                     ": the private key is not the one of the chain's first certificate: replace "
                     "both together"));
  }
  identity.not_after = std::numeric_limits<int64_t>::max();
  for (const bssl::UniquePtr<X509>& certificate : *chain) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    const bssl::UniquePtr<uint8_t> owned(der);
    if (size <= 0)
      return absl::InvalidArgumentError(absl::StrCat(what, ": the chain cannot be encoded"));
    identity.chain.emplace_back(CRYPTO_BUFFER_new(der, static_cast<size_t>(size), nullptr));
    identity.not_after =
        std::min(identity.not_after, UnixSeconds(X509_get0_notAfter(certificate.get())));
  }
  net::PeerCertificate names;
  ReadCertificate(identity.chain.front().get(), chain->front().get(), names, nullptr);
  identity.dns_names = std::move(names.dns_names);
  if (identity.dns_names.empty()) {
    if (std::string name = CommonName(chain->front().get()); !name.empty())
      identity.dns_names.push_back(name);
  }
  return identity;
}

absl::Status UseIdentity(SSL_CTX* context, const Identity& identity) {
  std::vector<CRYPTO_BUFFER*> chain;
  for (const bssl::UniquePtr<CRYPTO_BUFFER>& certificate : identity.chain)
    chain.push_back(certificate.get());
  if (!SSL_CTX_set_chain_and_key(context, chain.data(), chain.size(), identity.key.get(),
                                 nullptr)) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate \"", identity.name, "\": ", TakeError()));
  }
  if (!identity.ocsp.empty() &&
      !SSL_CTX_set_ocsp_response(context, reinterpret_cast<const uint8_t*>(identity.ocsp.data()),
                                 identity.ocsp.size())) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate \"", identity.name, "\": ", TakeError()));
  }
  return absl::OkStatus();
}

}  // namespace portico::tls
