#include <openssl/bytestring.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/rsa.h>

#include "absl/strings/str_cat.h"
#include "api/resource/certificate_parts.h"
#include "api/resource/secrets.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

constexpr unsigned kMinRsaBits = 2048;
constexpr unsigned kMaxRsaBits = 4096;

constexpr char kKeyFix[] =
    "put the private key here in PEM form: -----BEGIN PRIVATE KEY----- and so on";

int CurveOf(const EVP_PKEY* key) {
  return EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)));
}

void Add(Problems& problems, std::string reason, std::string fix) {
  problems.push_back({"private_key", std::string(kRedacted), std::move(reason), std::move(fix)});
}

bool IsEncrypted(const PemBlock& block) {
  return block.name == "ENCRYPTED PRIVATE KEY" ||
         block.header.find("ENCRYPTED") != std::string::npos;
}

// One of the three forms in which keys are written; nullptr: it is not in that form.
bssl::UniquePtr<EVP_PKEY> Decode(const PemBlock& block) {
  CBS bytes;
  CBS_init(&bytes, reinterpret_cast<const uint8_t*>(block.bytes.data()), block.bytes.size());
  bssl::UniquePtr<EVP_PKEY> key;
  if (block.name == "PRIVATE KEY") {
    key.reset(EVP_parse_private_key(&bytes));
  } else if (block.name == "EC PRIVATE KEY") {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_parse_private_key(&bytes, nullptr));
    key.reset(EVP_PKEY_new());
    if (!ec || !key || EVP_PKEY_set1_EC_KEY(key.get(), ec.get()) != 1) return nullptr;
  } else {
    bssl::UniquePtr<RSA> rsa(RSA_parse_private_key(&bytes));
    key.reset(EVP_PKEY_new());
    if (!rsa || !key || EVP_PKEY_set1_RSA(key.get(), rsa.get()) != 1) return nullptr;
  }
  if (CBS_len(&bytes) != 0) return nullptr;
  return key;
}

bool IsKey(const std::string& name) {
  return name == "PRIVATE KEY" || name == "EC PRIVATE KEY" || name == "RSA PRIVATE KEY";
}

// The one block that is a key; nullptr after a problem.
const PemBlock* FindKey(const std::vector<PemBlock>& blocks, Problems& problems) {
  const PemBlock* found = nullptr;
  for (const PemBlock& block : blocks) {
    if (IsEncrypted(block)) {
      Add(problems, "is encrypted with a passphrase, which the proxies do not have",
          "decrypt it first: openssl pkey -in FILE -out DECRYPTED; it is stored encrypted here");
      return nullptr;
    }
    if (block.name == "EC PARAMETERS") continue;  // `openssl ecparam -genkey` puts it first.
    if (!IsKey(block.name)) {
      Add(problems, absl::StrCat("holds a block \"", block.name, "\", which is no private key"),
          block.name == "CERTIFICATE" ? "put certificates into chain" : kKeyFix);
      return nullptr;
    }
    if (found != nullptr) {
      Add(problems, "holds more than one private key", "keep the one of the first certificate");
      return nullptr;
    }
    found = &block;
  }
  if (found == nullptr) Add(problems, "holds no private key", kKeyFix);
  return found;
}

void Wipe(std::vector<PemBlock>& blocks) {
  for (PemBlock& block : blocks) OPENSSL_cleanse(block.bytes.data(), block.bytes.size());
}

}  // namespace

std::string KeyName(const EVP_PKEY* key) {
  switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_RSA:
      return absl::StrCat("RSA ", EVP_PKEY_bits(key));
    case EVP_PKEY_EC:
      switch (CurveOf(key)) {
        case NID_X9_62_prime256v1:
          return "ECDSA P-256";
        case NID_secp384r1:
          return "ECDSA P-384";
        case NID_secp521r1:
          return "ECDSA P-521";
        default:
          return "ECDSA on another curve";
      }
    case EVP_PKEY_ED25519:
      return "Ed25519";
    default:
      return "unknown";
  }
}

bool IsServedKey(const EVP_PKEY* key) {
  if (EVP_PKEY_id(key) == EVP_PKEY_RSA) {
    const auto bits = static_cast<unsigned>(EVP_PKEY_bits(key));
    return bits >= kMinRsaBits && bits <= kMaxRsaBits;
  }
  if (EVP_PKEY_id(key) != EVP_PKEY_EC) return false;
  return CurveOf(key) == NID_X9_62_prime256v1 || CurveOf(key) == NID_secp384r1;
}

bssl::UniquePtr<EVP_PKEY> ReadPrivateKey(std::string_view pem, Problems& problems) {
  if (pem.empty()) {
    problems.push_back({"private_key", "", "is required and not set", kKeyFix});
    return nullptr;
  }
  if (pem == kRedacted) {
    Add(problems, "is what is shown in place of a secret, and there is no stored one to keep",
        "put the private key itself here");
    return nullptr;
  }
  if (pem.size() > kMaxKeyBytes) {
    Add(problems,
        absl::StrCat("is ", pem.size(), " bytes long, at most ", kMaxKeyBytes, " are accepted"),
        "keep the private key only");
    return nullptr;
  }
  std::vector<PemBlock> blocks;
  bssl::UniquePtr<EVP_PKEY> key;
  if (!ReadPem(pem, blocks)) {
    Add(problems, "is damaged: a PEM block in it cannot be read", "copy the whole file again");
  } else if (const PemBlock* block = FindKey(blocks, problems)) {
    key = Decode(*block);
    if (key == nullptr) {
      Add(problems, absl::StrCat("holds a block \"", block->name, "\" that is no such key"),
          "write it anew: openssl pkey -in FILE");
    }
  }
  Wipe(blocks);
  ERR_clear_error();
  return key;
}

}  // namespace portico::api
