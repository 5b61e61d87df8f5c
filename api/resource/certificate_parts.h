// What the inspection of certificates consists of. Only its own files use it.
#ifndef API_RESOURCE_CERTIFICATE_PARTS_H_
#define API_RESOURCE_CERTIFICATE_PARTS_H_

#include <string>
#include <string_view>
#include <vector>

#include "api/resource/certificate.h"
#include "openssl/evp.h"
#include "openssl/x509.h"

namespace portico::api {

using Problems = std::vector<CertificateProblem>;

struct PemBlock {
  std::string name;    // "CERTIFICATE"
  std::string header;  // "Proc-Type: 4,ENCRYPTED" and such.
  std::string bytes;   // DER.
};

// The blocks of a text, what stands between them passed over. False: a block could not be read.
bool ReadPem(std::string_view text, std::vector<PemBlock>& blocks);

// "ECDSA P-256", "RSA 2048"; "unknown".
std::string KeyName(const EVP_PKEY* key);
// Whether a server can be identified by a key of this sort and size.
bool IsServedKey(const EVP_PKEY* key);

// nullptr after a problem.
bssl::UniquePtr<EVP_PKEY> ReadPrivateKey(std::string_view pem, Problems& problems);

// `serial`: the leaf's serial number, as its INTEGER's content bytes.
void CheckOcsp(std::string_view der, std::string_view serial, Problems& problems);

}  // namespace portico::api

#endif  // API_RESOURCE_CERTIFICATE_PARTS_H_
