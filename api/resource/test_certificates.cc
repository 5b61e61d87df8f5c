#include "api/resource/test_certificates.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/bytestring.h>
#include <openssl/curve25519.h>
#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>

namespace portico::api {
namespace {

void Require(bool ok) {
  if (!ok) abort();
}

std::string TextOf(BIO* bio) {
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  Require(BIO_mem_contents(bio, &bytes, &size) == 1);
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

bssl::UniquePtr<EVP_PKEY> MakeKey(const std::string& type) {
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  if (type == "Ed25519") {
    uint8_t public_key[ED25519_PUBLIC_KEY_LEN];
    uint8_t private_key[ED25519_PRIVATE_KEY_LEN];
    ED25519_keypair(public_key, private_key);
    key.reset(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, private_key, 32));
  } else if (type.substr(0, 4) == "RSA-") {
    const bssl::UniquePtr<RSA> rsa(RSA_new());
    const bssl::UniquePtr<BIGNUM> exponent(BN_new());
    Require(BN_set_word(exponent.get(), RSA_F4) == 1 &&
            RSA_generate_key_ex(rsa.get(), atoi(type.c_str() + 4), exponent.get(), nullptr) == 1 &&
            EVP_PKEY_set1_RSA(key.get(), rsa.get()) == 1);
  } else {
    const int curve = type == "P-256"   ? NID_X9_62_prime256v1
                      : type == "P-384" ? NID_secp384r1
                                        : NID_secp521r1;
    const bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
    Require(EC_KEY_generate_key(ec.get()) == 1 && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) == 1);
  }
  Require(key != nullptr);
  return key;
}

bssl::UniquePtr<EVP_PKEY> ReadKey(const std::string& pem) {
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  bssl::UniquePtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  Require(key != nullptr);
  return key;
}

bssl::UniquePtr<X509> ReadCertificate(const std::string& pem) {
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  bssl::UniquePtr<X509> certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
  Require(certificate != nullptr);
  return certificate;
}

void AddExtension(X509* certificate, int nid, const std::string& value) {
  const bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, nullptr, nid, const_cast<char*>(value.c_str())));
  Require(extension && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// SEQUENCE { algorithm, issuerNameHash, issuerKeyHash, serialNumber }
void AddCertId(CBB* out, uint64_t serial) {
  // SHA-1, 1.3.14.3.2.26.
  static constexpr uint8_t kSha1[] = {0x2b, 0x0e, 0x03, 0x02, 0x1a};
  static constexpr uint8_t kHash[20] = {};
  CBB id, algorithm, part;
  Require(CBB_add_asn1(out, &id, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&id, &algorithm, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&algorithm, &part, CBS_ASN1_OBJECT) &&
          CBB_add_bytes(&part, kSha1, sizeof(kSha1)) &&
          CBB_add_asn1_octet_string(&id, kHash, sizeof(kHash)) &&
          CBB_add_asn1_octet_string(&id, kHash, sizeof(kHash)) &&
          CBB_add_asn1_uint64(&id, serial) && CBB_flush(out));
}

void AddTime(CBB* out) {
  static constexpr char kTime[] = "20300101000000Z";
  CBB time;
  Require(CBB_add_asn1(out, &time, CBS_ASN1_GENERALIZEDTIME) &&
          CBB_add_bytes(&time, reinterpret_cast<const uint8_t*>(kTime), sizeof(kTime) - 1) &&
          CBB_flush(out));
}

std::string Finish(CBB* bytes) {
  uint8_t* data = nullptr;
  size_t size = 0;
  Require(CBB_finish(bytes, &data, &size));
  const bssl::UniquePtr<uint8_t> owned(data);
  return std::string(reinterpret_cast<const char*>(data), size);
}

}  // namespace

TestPair MakeTestCertificate(const TestCertificateOptions& options) {
  const bssl::UniquePtr<EVP_PKEY> key = MakeKey(options.key);
  const bssl::UniquePtr<X509> certificate(X509_new());
  X509* const x509 = certificate.get();
  Require(X509_set_version(x509, X509_VERSION_3) == 1);
  Require(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), options.serial) == 1);
  Require(ASN1_TIME_set(X509_getm_notBefore(x509), options.not_before) != nullptr);
  Require(ASN1_TIME_set(X509_getm_notAfter(x509), options.not_after) != nullptr);
  Require(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const uint8_t*>(options.subject.data()),
                                     static_cast<int>(options.subject.size()), -1, 0) == 1);
  Require(X509_set_pubkey(x509, key.get()) == 1);
  if (options.is_authority) AddExtension(x509, NID_basic_constraints, "critical,CA:TRUE");
  std::string names;
  for (const std::string& name : options.dns_names) {
    if (!names.empty()) names += ",";
    names += "DNS:" + name;
  }
  if (!names.empty()) AddExtension(x509, NID_subject_alt_name, names);
  if (options.issuer == nullptr) {
    Require(X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1);
    const EVP_MD* digest = options.key == "Ed25519" ? nullptr : EVP_sha256();
    Require(X509_sign(x509, key.get(), digest) > 0);
  } else {
    const bssl::UniquePtr<X509> issuer = ReadCertificate(options.issuer->certificate);
    const bssl::UniquePtr<EVP_PKEY> signer = ReadKey(options.issuer->key);
    Require(X509_set_issuer_name(x509, X509_get_subject_name(issuer.get())) == 1);
    Require(X509_sign(x509, signer.get(), EVP_sha256()) > 0);
  }
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  const bssl::UniquePtr<BIO> key_out(BIO_new(BIO_s_mem()));
  Require(PEM_write_bio_X509(out.get(), x509) == 1);
  Require(PEM_write_bio_PKCS8PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                        nullptr) == 1);
  return {TextOf(out.get()), TextOf(key_out.get())};
}

std::string TraditionalKey(const TestPair& pair) {
  const bssl::UniquePtr<EVP_PKEY> key = ReadKey(pair.key);
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  if (EVP_PKEY_id(key.get()) == EVP_PKEY_RSA) {
    const bssl::UniquePtr<RSA> rsa(EVP_PKEY_get1_RSA(key.get()));
    Require(PEM_write_bio_RSAPrivateKey(out.get(), rsa.get(), nullptr, nullptr, 0, nullptr,
                                        nullptr) == 1);
    return TextOf(out.get());
  }
  const bssl::UniquePtr<EC_KEY> ec(EVP_PKEY_get1_EC_KEY(key.get()));
  Require(PEM_write_bio_ECPrivateKey(out.get(), ec.get(), nullptr, nullptr, 0, nullptr, nullptr) ==
          1);
  return "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" +
         TextOf(out.get());
}

std::string EncryptedKey(const TestPair& pair) {
  const bssl::UniquePtr<EVP_PKEY> key = ReadKey(pair.key);
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  char passphrase[] = "passphrase";
  Require(PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), EVP_aes_256_cbc(), passphrase,
                                        sizeof(passphrase) - 1, nullptr, nullptr) == 1);
  return TextOf(out.get());
}

std::string MakeTestOcsp(uint64_t serial, TestOcspStatus status) {
  // id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
  static constexpr uint8_t kBasic[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
  static constexpr uint8_t kSuccessful = 0;
  const unsigned context = CBS_ASN1_CONTEXT_SPECIFIC;
  const unsigned constructed = context | CBS_ASN1_CONSTRUCTED;
  bssl::ScopedCBB cbb;
  CBB outer, part, explicit_bytes, response, octets, basic, data, responder, singles, single;
  Require(CBB_init(cbb.get(), 256) && CBB_add_asn1(cbb.get(), &outer, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&outer, &part, CBS_ASN1_ENUMERATED) &&
          CBB_add_bytes(&part, &kSuccessful, 1) &&
          CBB_add_asn1(&outer, &explicit_bytes, constructed | 0) &&
          CBB_add_asn1(&explicit_bytes, &response, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&response, &part, CBS_ASN1_OBJECT) &&
          CBB_add_bytes(&part, kBasic, sizeof(kBasic)) &&
          CBB_add_asn1(&response, &octets, CBS_ASN1_OCTETSTRING) &&
          CBB_add_asn1(&octets, &basic, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&basic, &data, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&data, &responder, constructed | 2) &&
          CBB_add_asn1_octet_string(&responder, kBasic, sizeof(kBasic)) && CBB_flush(&data));
  AddTime(&data);
  Require(CBB_add_asn1(&data, &singles, CBS_ASN1_SEQUENCE) &&
          CBB_add_asn1(&singles, &single, CBS_ASN1_SEQUENCE));
  AddCertId(&single, serial);
  if (status == TestOcspStatus::kRevoked) {
    Require(CBB_add_asn1(&single, &part, constructed | 1));
    AddTime(&part);
  } else {
    Require(CBB_add_asn1(&single, &part, context | (status == TestOcspStatus::kGood ? 0 : 2)));
  }
  Require(CBB_flush(&single));
  AddTime(&single);
  return Finish(cbb.get());
}

}  // namespace portico::api
