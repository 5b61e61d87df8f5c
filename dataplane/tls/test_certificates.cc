#include "dataplane/tls/test_certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "dataplane/base/check.h"
#include "dataplane/tls/certificates.h"

namespace portico::tls {
namespace {

std::string Contents(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  PORTICO_CHECK(BIO_mem_contents(bio, &data, &size));
  return std::string(reinterpret_cast<const char*>(data), size);
}

bssl::UniquePtr<EVP_PKEY> MakeKey(TestCertificateOptions::Key kind) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (kind == TestCertificateOptions::Key::kRsa) {
    bssl::UniquePtr<RSA> rsa(RSA_new());
    bssl::UniquePtr<BIGNUM> exponent(BN_new());
    PORTICO_CHECK(BN_set_word(exponent.get(), RSA_F4) &&
                  RSA_generate_key_ex(rsa.get(), 2048, exponent.get(), nullptr) &&
                  EVP_PKEY_set1_RSA(key.get(), rsa.get()));
    return key;
  }
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(
      kind == TestCertificateOptions::Key::kP384 ? NID_secp384r1 : NID_X9_62_prime256v1));
  PORTICO_CHECK(EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()));
  return key;
}

void AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  PORTICO_CHECK(extension && X509_add_ext(certificate, extension.get(), -1));
}

void SetName(X509* certificate, const std::string& common_name) {
  PORTICO_CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                           reinterpret_cast<const uint8_t*>(common_name.data()),
                                           static_cast<int>(common_name.size()), -1, 0));
}

bssl::UniquePtr<BIO> ReadOnly(const std::string& text) {
  return bssl::UniquePtr<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

}  // namespace

TestCertificate MakeTestCertificate(const TestCertificateOptions& options,
                                    const TestCertificate* issuer) {
  bssl::UniquePtr<EVP_PKEY> key = MakeKey(options.key);
  bssl::UniquePtr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<uint8_t*>(&serial), 7);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial + 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), options.not_before);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.not_after);
  SetName(certificate.get(), options.common_name);
  X509* signer = certificate.get();
  EVP_PKEY* signing_key = key.get();
  bssl::UniquePtr<X509> issuer_certificate;
  bssl::UniquePtr<EVP_PKEY> issuer_key;
  if (issuer != nullptr) {
    issuer_certificate.reset(
        PEM_read_bio_X509(ReadOnly(issuer->pem).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(
        PEM_read_bio_PrivateKey(ReadOnly(issuer->key_pem).get(), nullptr, nullptr, nullptr));
    PORTICO_CHECK(issuer_certificate && issuer_key);
    signer = issuer_certificate.get();
    signing_key = issuer_key.get();
  }
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  PORTICO_CHECK(X509_set_pubkey(certificate.get(), key.get()));
  AddExtension(certificate.get(), signer, NID_basic_constraints,
               options.authority ? "critical,CA:TRUE" : "CA:FALSE");
  std::string names;
  for (const std::string& name : options.alt_names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) AddExtension(certificate.get(), signer, NID_subject_alt_name, names);
  PORTICO_CHECK(X509_sign(certificate.get(), signing_key, EVP_sha256()));

  TestCertificate out;
  bssl::UniquePtr<BIO> pem(BIO_new(BIO_s_mem())), key_pem(BIO_new(BIO_s_mem()));
  PORTICO_CHECK(
      PEM_write_bio_X509(pem.get(), certificate.get()) &&
      PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr));
  out.pem = Contents(pem.get());
  out.key_pem = Contents(key_pem.get());
  uint8_t* der = nullptr;
  const int size = i2d_X509(certificate.get(), &der);
  const bssl::UniquePtr<uint8_t> owned(der);
  bssl::UniquePtr<CRYPTO_BUFFER> buffer(CRYPTO_BUFFER_new(der, static_cast<size_t>(size), nullptr));
  net::PeerCertificate read;
  ReadCertificate(buffer.get(), certificate.get(), read, nullptr);
  out.fingerprint = read.fingerprint;
  return out;
}

TestCertificate MakeTestAuthority(const std::string& name) {
  TestCertificateOptions options;
  options.common_name = name;
  options.authority = true;
  return MakeTestCertificate(options);
}

TestCertificate MakeTestServer(const std::vector<std::string>& dns_names,
                               const TestCertificate& issuer) {
  TestCertificateOptions options;
  options.common_name = dns_names.empty() ? "server" : dns_names.front();
  for (const std::string& name : dns_names) options.alt_names.push_back("DNS:" + name);
  return MakeTestCertificate(options, &issuer);
}

}  // namespace portico::tls
