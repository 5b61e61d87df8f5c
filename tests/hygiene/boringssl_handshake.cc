#include "tests/hygiene/boringssl_handshake.h"

#include <openssl/base.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <string>
#include <utility>

#ifndef OPENSSL_IS_BORINGSSL
#error "<openssl/...> is not BoringSSL's: depend on @boringssl//:ssl"
#endif

namespace portico::hygiene {
namespace {

std::string Contents(BIO* bio) {
  const uint8_t* data = nullptr;
  size_t size = 0;
  return BIO_mem_contents(bio, &data, &size) ? std::string(data, data + size) : "";
}

bool AddExtension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1);
}

bssl::UniquePtr<EVP_PKEY> MakeKey() {
  bssl::UniquePtr<EC_KEY> ec_key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (!ec_key || !EC_KEY_generate_key(ec_key.get()) ||
      !EVP_PKEY_set1_EC_KEY(key.get(), ec_key.get())) {
    return nullptr;
  }
  return key;
}

bssl::UniquePtr<X509> MakeCertificate(EVP_PKEY* key) {
  bssl::UniquePtr<X509> certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 3600);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const uint8_t*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  if (!X509_set_pubkey(certificate.get(), key) ||
      !AddExtension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") ||
      !AddExtension(certificate.get(), NID_subject_alt_name, "DNS:localhost") ||
      !X509_sign(certificate.get(), key, EVP_sha256())) {
    return nullptr;
  }
  return certificate;
}

bool UseIdentity(SSL_CTX* context, const PemIdentity& identity) {
  bssl::UniquePtr<BIO> certificate_bio(
      BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size())));
  bssl::UniquePtr<BIO> key_bio(
      BIO_new_mem_buf(identity.private_key.data(), static_cast<int>(identity.private_key.size())));
  bssl::UniquePtr<X509> certificate(
      PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  return certificate && key && SSL_CTX_use_certificate(context, certificate.get()) &&
         SSL_CTX_use_PrivateKey(context, key.get());
}

}  // namespace

PemIdentity MakeIdentity() {
  bssl::UniquePtr<EVP_PKEY> key = MakeKey();
  bssl::UniquePtr<X509> certificate = key ? MakeCertificate(key.get()) : nullptr;
  if (!certificate) {
    return {};
  }
  bssl::UniquePtr<BIO> certificate_bio(BIO_new(BIO_s_mem()));
  bssl::UniquePtr<BIO> key_bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_bio.get(), certificate.get());
  PEM_write_bio_PrivateKey(key_bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {Contents(certificate_bio.get()), Contents(key_bio.get())};
}

std::string HandshakeInMemory(const PemIdentity& identity) {
  bssl::UniquePtr<SSL_CTX> server_context(SSL_CTX_new(TLS_method()));
  bssl::UniquePtr<SSL_CTX> client_context(SSL_CTX_new(TLS_method()));
  if (!UseIdentity(server_context.get(), identity)) {
    return "";
  }
  bssl::UniquePtr<SSL> server(SSL_new(server_context.get()));
  bssl::UniquePtr<SSL> client(SSL_new(client_context.get()));
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());

  BIO* server_side = nullptr;
  BIO* client_side = nullptr;
  if (!BIO_new_bio_pair(&server_side, 0, &client_side, 0)) {
    return "";
  }
  SSL_set_bio(server.get(), server_side, server_side);
  SSL_set_bio(client.get(), client_side, client_side);

  bool client_done = false;
  bool server_done = false;
  for (int round = 0; round < 20 && !(client_done && server_done); ++round) {
    client_done = SSL_do_handshake(client.get()) == 1;
    server_done = SSL_do_handshake(server.get()) == 1;
  }
  return client_done && server_done ? SSL_get_version(client.get()) : "";
}

}  // namespace portico::hygiene
