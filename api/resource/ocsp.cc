// Just enough of RFC 6960 to tell whose status a response is about.
#include <openssl/bytestring.h>

#include "absl/strings/str_cat.h"
#include "api/resource/certificate_parts.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr unsigned kContext = CBS_ASN1_CONTEXT_SPECIFIC;
constexpr unsigned kGood = kContext | 0;  // CertStatus, section 4.2.1.
constexpr unsigned kRevoked = kContext | CBS_ASN1_CONSTRUCTED | 1;

constexpr char kFix[] =
    "put the DER form of a response here in base64, as `openssl ocsp -respout FILE` writes it";

// OCSPResponse -> the ResponseData of its BasicOCSPResponse. False: it is none, or no success.
bool OpenResponse(CBS bytes, CBS& data) {
  CBS response, status, explicit_bytes, response_bytes, type, octets, basic;
  if (CBS_get_asn1(&bytes, &response, CBS_ASN1_SEQUENCE) != 1 || CBS_len(&bytes) != 0) return false;
  if (CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) != 1) return false;
  if (CBS_len(&status) != 1 || CBS_data(&status)[0] != 0) return false;
  if (CBS_get_asn1(&response, &explicit_bytes, kContext | CBS_ASN1_CONSTRUCTED | 0) != 1 ||
      CBS_get_asn1(&explicit_bytes, &response_bytes, CBS_ASN1_SEQUENCE) != 1 ||
      CBS_get_asn1(&response_bytes, &type, CBS_ASN1_OBJECT) != 1 ||
      CBS_get_asn1(&response_bytes, &octets, CBS_ASN1_OCTETSTRING) != 1) {
    return false;
  }
  return CBS_get_asn1(&octets, &basic, CBS_ASN1_SEQUENCE) == 1 &&
         CBS_get_asn1(&basic, &data, CBS_ASN1_SEQUENCE) == 1;
}

// ResponseData -> its list of SingleResponse.
bool OpenResponses(CBS data, CBS& responses) {
  CBS skipped;
  unsigned tag = 0;
  size_t header = 0;
  int has_version = 0;
  if (CBS_get_optional_asn1(&data, &skipped, &has_version, kContext | CBS_ASN1_CONSTRUCTED | 0) !=
      1) {
    return false;
  }
  // The responder, by name or by key; then the time.
  return CBS_get_any_asn1_element(&data, &skipped, &tag, &header) == 1 &&
         CBS_get_asn1(&data, &skipped, CBS_ASN1_GENERALIZEDTIME) == 1 &&
         CBS_get_asn1(&data, &responses, CBS_ASN1_SEQUENCE) == 1;
}

struct Single {
  std::string_view serial;
  unsigned status = 0;
};

bool TakeSingle(CBS& responses, Single& out) {
  CBS single, id, skipped, serial, status;
  size_t header = 0;
  if (CBS_get_asn1(&responses, &single, CBS_ASN1_SEQUENCE) != 1 ||
      CBS_get_asn1(&single, &id, CBS_ASN1_SEQUENCE) != 1 ||
      CBS_get_asn1(&id, &skipped, CBS_ASN1_SEQUENCE) != 1 ||
      CBS_get_asn1(&id, &skipped, CBS_ASN1_OCTETSTRING) != 1 ||
      CBS_get_asn1(&id, &skipped, CBS_ASN1_OCTETSTRING) != 1 ||
      CBS_get_asn1(&id, &serial, CBS_ASN1_INTEGER) != 1 ||
      CBS_get_any_asn1_element(&single, &status, &out.status, &header) != 1) {
    return false;
  }
  out.serial = {reinterpret_cast<const char*>(CBS_data(&serial)), CBS_len(&serial)};
  return true;
}

}  // namespace

void CheckOcsp(std::string_view der, std::string_view serial, Problems& problems) {
  const auto add = [&](const char* reason, const char* fix) {
    problems.push_back({"ocsp_response", absl::StrCat(der.size(), " bytes"), reason, fix});
  };
  if (der.size() > kMaxOcspBytes) {
    add("is too long, at most 16384 bytes are accepted", kFix);
    return;
  }
  CBS bytes, data, responses;
  CBS_init(&bytes, reinterpret_cast<const uint8_t*>(der.data()), der.size());
  if (!OpenResponse(bytes, data) || !OpenResponses(data, responses)) {
    add("is no successful OCSP response (RFC 6960)", kFix);
    return;
  }
  while (CBS_len(&responses) > 0) {
    Single single;
    if (!TakeSingle(responses, single)) {
      add("is no successful OCSP response (RFC 6960)", kFix);
      return;
    }
    if (single.serial != serial) continue;
    if (single.status == kRevoked) {
      add("says that the certificate is revoked", "get a new certificate, and its own response");
    } else if (single.status != kGood) {
      add("says that the status of the certificate is not known",
          "ask the responder of the certificate's issuer");
    }
    return;
  }
  add("is about another certificate than the first of the chain",
      "ask for a response again whenever the certificate is replaced, or leave it out");
}

}  // namespace portico::api
