#include "api/resource/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/certificate_parts.h"
#include "api/resource/secrets.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr char kChainFix[] =
    "put the certificate here in PEM form: -----BEGIN CERTIFICATE----- and so on";

int64_t UnixSeconds(const ASN1_TIME* time) {
  const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) return 0;
  return int64_t{days} * 86400 + seconds;
}

std::string NameText(const X509_NAME* name) {
  const bssl::UniquePtr<BIO> out(BIO_new(BIO_s_mem()));
  const uint8_t* bytes = nullptr;
  size_t size = 0;
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253) < 0 ||
      BIO_mem_contents(out.get(), &bytes, &size) != 1) {
    return "";
  }
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

std::vector<std::string> DnsNames(const X509* certificate) {
  std::vector<std::string> names;
  const bssl::UniquePtr<GENERAL_NAMES> all(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (size_t i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all.get(), i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  return names;
}

CertificateSummary Summarize(X509* certificate) {
  CertificateSummary summary;
  summary.subject = NameText(X509_get_subject_name(certificate));
  summary.dns_names = DnsNames(certificate);
  const bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate));
  summary.key = key ? KeyName(key.get()) : "unknown";
  summary.not_before = UnixSeconds(X509_get0_notBefore(certificate));
  summary.not_after = UnixSeconds(X509_get0_notAfter(certificate));
  return summary;
}

using Certificates = std::vector<bssl::UniquePtr<X509>>;

// The certificates of a text; what is wrong with it becomes a problem of `field`.
Certificates ReadCertificates(std::string_view pem, const char* field, size_t most_bytes,
                              size_t most, Problems& problems) {
  const auto add = [&](std::string value, std::string reason, std::string fix) {
    problems.push_back({field, std::move(value), std::move(reason), std::move(fix)});
  };
  Certificates certificates;
  if (pem.empty()) {
    add("", "is required and not set", kChainFix);
    return certificates;
  }
  if (pem.size() > most_bytes) {
    add(absl::StrCat(pem.size(), " bytes"),
        absl::StrCat("is too long, at most ", most_bytes, " bytes are accepted"),
        "keep the certificates that are needed");
    return certificates;
  }
  std::vector<PemBlock> blocks;
  if (!ReadPem(pem, blocks)) {
    add("", absl::StrCat("is damaged: PEM block ", blocks.size() + 1, " cannot be read"),
        "copy the whole file again");
    return certificates;
  }
  if (blocks.empty()) add("", "holds no certificate", kChainFix);
  if (blocks.size() > most) {
    add(absl::StrCat(blocks.size(), " certificates"),
        absl::StrCat("has too many certificates, at most ", most, " are accepted"),
        "keep those that are needed");
    return certificates;
  }
  for (size_t i = 0; i < blocks.size(); ++i) {
    const PemBlock& block = blocks[i];
    if (block.name != "CERTIFICATE") {
      const bool secret = block.name.find("PRIVATE KEY") != std::string::npos;
      add(block.name, "holds a block that is no certificate",
          secret ? "put the private key into private_key of a Certificate; if this text was sent "
                   "anywhere, make a new key"
                 : "keep CERTIFICATE blocks only");
      continue;
    }
    const auto* at = reinterpret_cast<const uint8_t*>(block.bytes.data());
    const uint8_t* const end = at + block.bytes.size();
    bssl::UniquePtr<X509> certificate(
        d2i_X509(nullptr, &at, static_cast<long>(block.bytes.size())));
    const bssl::UniquePtr<EVP_PKEY> key(certificate ? X509_get_pubkey(certificate.get()) : nullptr);
    if (!certificate || at != end || !key) {
      add(absl::StrCat("certificate ", i + 1), "is no certificate of RFC 5280",
          "copy it again, or let its issuer make it anew");
      continue;
    }
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

void CheckOrder(const Certificates& chain, Problems& problems) {
  for (size_t i = 0; i + 1 < chain.size(); ++i) {
    const bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(chain[i + 1].get()));
    const bool named = X509_NAME_cmp(X509_get_issuer_name(chain[i].get()),
                                     X509_get_subject_name(chain[i + 1].get())) == 0;
    if (named && X509_verify(chain[i].get(), key.get()) == 1) continue;
    problems.push_back(
        {"chain", NameText(X509_get_subject_name(chain[i].get())),
         absl::StrCat("is certificate ", i + 1, " of the chain, and the one after it did not sign ",
                      "it"),
         "put the leaf first and after each certificate the one that signed it; leave others out"});
    return;  // What follows from it helps nobody.
  }
}

void CheckLeaf(X509* leaf, const EVP_PKEY* key, Problems& problems) {
  const bssl::UniquePtr<EVP_PKEY> own(X509_get_pubkey(leaf));
  if (!IsServedKey(own.get())) {
    problems.push_back({"chain", KeyName(own.get()),
                        "is not a sort of key that is served: ECDSA on P-256 or P-384, RSA of 2048 "
                        "to 4096 bits",
                        "make a new pair: openssl req -x509 -newkey ec -pkeyopt "
                        "ec_paramgen_curve:P-256 ..."});
  }
  if (key != nullptr && EVP_PKEY_cmp(own.get(), key) != 1) {
    problems.push_back({"private_key", std::string(kRedacted),
                        "is not the key of the first certificate of the chain",
                        "replace chain and private_key together, the leaf first in the chain"});
  }
}

std::string SerialOf(const X509* certificate) {
  uint8_t* der = nullptr;
  const int size =
      i2d_ASN1_INTEGER(const_cast<ASN1_INTEGER*>(X509_get0_serialNumber(certificate)), &der);
  if (size < 2) return "";
  const bssl::UniquePtr<uint8_t> owned(der);
  // Tag and length are one byte each: serial numbers have at most 20 bytes (RFC 5280), and one of
  // more than 127 fits no response.
  return std::string(reinterpret_cast<const char*>(der) + 2, static_cast<size_t>(size) - 2);
}

}  // namespace

bool ReadPem(std::string_view text, std::vector<PemBlock>& blocks) {
  const bssl::UniquePtr<BIO> in(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!in) return false;
  ERR_clear_error();
  while (true) {
    char* name = nullptr;
    char* header = nullptr;
    uint8_t* data = nullptr;
    long size = 0;
    if (PEM_read_bio(in.get(), &name, &header, &data, &size) != 1) break;
    const bssl::UniquePtr<char> owned_name(name);
    const bssl::UniquePtr<char> owned_header(header);
    const bssl::UniquePtr<uint8_t> owned_data(data);
    blocks.push_back({name, header,
                      std::string(reinterpret_cast<const char*>(data), static_cast<size_t>(size))});
    OPENSSL_cleanse(data, static_cast<size_t>(size));
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return at_end;
}

CertificateInspection InspectCertificate(std::string_view chain, std::string_view private_key,
                                         std::string_view ocsp_response) {
  CertificateInspection inspection;
  Problems& problems = inspection.problems;
  const Certificates certificates =
      ReadCertificates(chain, "chain", kMaxChainBytes, kMaxChain, problems);
  const bool whole = problems.empty();
  const bssl::UniquePtr<EVP_PKEY> key = ReadPrivateKey(private_key, problems);
  for (const auto& certificate : certificates)
    inspection.chain.push_back(Summarize(certificate.get()));
  if (whole) {
    CheckOrder(certificates, problems);
    CheckLeaf(certificates.front().get(), key.get(), problems);
    if (!ocsp_response.empty())
      CheckOcsp(ocsp_response, SerialOf(certificates.front().get()), problems);
  }
  ERR_clear_error();
  return inspection;
}

CertificateInspection InspectCaBundle(std::string_view certificates) {
  CertificateInspection inspection;
  for (const auto& certificate : ReadCertificates(certificates, "certificates", kMaxBundleBytes,
                                                  kMaxBundle, inspection.problems)) {
    inspection.chain.push_back(Summarize(certificate.get()));
  }
  ERR_clear_error();
  return inspection;
}

}  // namespace portico::api
