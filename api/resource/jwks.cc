#include "api/resource/jwks.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "api/resource/jwks_point.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

using nlohmann::json;

constexpr size_t kMaxText = 256 * 1024;
constexpr size_t kMaxKeys = 100;
constexpr size_t kMinRsaBits = 2048;
constexpr size_t kMaxRsaBits = 8192;
constexpr size_t kPointBytes = 32;
constexpr size_t kMinSecretBytes = 32;
constexpr size_t kMaxSecretBytes = 1024;

// What the inspection of one key collects.
class KeyReport {
 public:
  KeyReport(size_t index, JwksInspection& inspection)
      : prefix_(absl::StrCat("keys[", index, "]")), inspection_(inspection) {}

  void Add(std::string_view member, std::string value, std::string reason, std::string fix) {
    inspection_.problems.push_back(
        {member.empty() ? prefix_ : absl::StrCat(prefix_, ".", Absl(member)), std::move(value),
         std::move(reason), std::move(fix)});
    clean_ = false;
  }
  bool clean() const { return clean_; }

 private:
  std::string prefix_;
  JwksInspection& inspection_;
  bool clean_ = true;
};

// A string member; nullopt, and a problem when `required`, if it is absent or no string.
std::optional<std::string> Text(const json& key, const char* member, bool required,
                                KeyReport& report) {
  const auto found = key.find(member);
  if (found != key.end() && found->is_string()) return found->get<std::string>();
  if (found != key.end()) {
    report.Add(member, found->type_name(), "is not a string", "write it in quotes");
  } else if (required) {
    report.Add(member, "", "is missing", absl::StrCat("add \"", member, "\" (RFC 7518 section 6)"));
  }
  return std::nullopt;
}

// A base64url member; empty after a problem.
std::string Bytes(const json& key, const char* member, KeyReport& report) {
  const std::optional<std::string> text = Text(key, member, true, report);
  if (!text) return "";
  absl::StatusOr<std::string> bytes = DecodeBase64Url(*text);
  if (!bytes.ok() || bytes->empty()) {
    report.Add(member, "", "is not base64url (RFC 4648 section 5, without padding)",
               "encode the bytes with the alphabet A-Z a-z 0-9 - _ and no \"=\"");
    return "";
  }
  return *std::move(bytes);
}

std::string Number(const json& key, const char* member, KeyReport& report) {
  std::string bytes = Bytes(key, member, report);
  bytes.erase(0, std::min(bytes.find_first_not_of('\0'), bytes.size()));
  return bytes;
}

size_t BitLength(std::string_view number) {
  if (number.empty()) return 0;
  size_t bits = number.size() * 8;
  for (auto top = static_cast<unsigned char>(number[0]); (top & 0x80) == 0; top <<= 1) --bits;
  return bits;
}

bool IsOdd(std::string_view number) { return !number.empty() && (number.back() & 1) != 0; }

void ReadRsa(const json& key, JsonWebKey& out, KeyReport& report) {
  out.n = Number(key, "n", report);
  out.e = Number(key, "e", report);
  if (!report.clean()) return;
  const size_t bits = BitLength(out.n);
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    report.Add("n", absl::StrCat(bits, " bits"),
               absl::StrCat("an RSA key must have ", kMinRsaBits, " to ", kMaxRsaBits, " bits"),
               "let the issuer make a key of 2048 bits or more");
  } else if (!IsOdd(out.n)) {
    report.Add("n", "", "is even, so it is no RSA modulus", "copy the key again");
  }
  if (!IsOdd(out.e) || out.e.size() > 4 || out.e == std::string_view("\x01", 1)) {
    report.Add("e", "", "is not an odd number from 3 to 2^32 - 1", "use \"AQAB\" (65537)");
  }
}

void ReadEc(const json& key, JsonWebKey& out, KeyReport& report) {
  const std::optional<std::string> curve = Text(key, "crv", true, report);
  if (!curve) return;
  if (*curve != "P-256") {
    report.Add("crv", *curve, "is not a supported curve",
               "use a key on P-256 (ES256), or remove this key");
    return;
  }
  out.x = Bytes(key, "x", report);
  out.y = Bytes(key, "y", report);
  if (!report.clean()) return;
  for (const auto& [member, bytes] : {std::pair("x", &out.x), std::pair("y", &out.y)}) {
    if (bytes->size() != kPointBytes) {
      report.Add(member, absl::StrCat(bytes->size(), " bytes"),
                 "a P-256 coordinate has exactly 32 bytes",
                 "keep leading zero bytes when encoding");
    }
  }
  if (report.clean() && !IsOnP256(out.x, out.y)) {
    report.Add("x", "", "the point (x, y) is not on the curve P-256", "copy the key again");
  }
}

void ReadOct(const json& key, JsonWebKey& out, KeyReport& report) {
  out.k = Bytes(key, "k", report);
  if (!report.clean()) return;
  if (out.k.size() < kMinSecretBytes || out.k.size() > kMaxSecretBytes) {
    report.Add(
        "k", absl::StrCat(out.k.size(), " bytes"),
        absl::StrCat("an oct key must have ", kMinSecretBytes, " to ", kMaxSecretBytes, " bytes"),
        "use 32 random bytes (RFC 7518 section 3.2)");
  }
}

// RFC 7517 sections 4.2 and 4.3: whether the key is meant for verifying signatures.
bool IsForVerifying(const json& key) {
  if (const auto use = key.find("use"); use != key.end() && *use != "sig") return false;
  const auto operations = key.find("key_ops");
  if (operations == key.end() || !operations->is_array()) return true;
  return std::any_of(operations->begin(), operations->end(),
                     [](const json& operation) { return operation == "verify"; });
}

struct KeyType {
  std::string_view kty;
  std::string_view alg;
  void (*read)(const json&, JsonWebKey&, KeyReport&);
};
constexpr std::array<KeyType, 3> kKeyTypes = {
    {{"RSA", "RS256", ReadRsa}, {"EC", "ES256", ReadEc}, {"oct", "HS256", ReadOct}}};

void ReadKey(const json& key, JsonWebKey& out, KeyReport& report) {
  const std::optional<std::string> kty = Text(key, "kty", true, report);
  out.kid = Text(key, "kid", false, report).value_or("");
  if (!kty) return;
  const auto type = std::find_if(kKeyTypes.begin(), kKeyTypes.end(),
                                 [&](const KeyType& known) { return known.kty == *kty; });
  if (type == kKeyTypes.end()) {
    report.Add("kty", *kty, "is not a supported key type",
               "use RSA, EC or oct, or remove this key");
    return;
  }
  out.kty = *kty;
  out.alg = std::string(type->alg);
  const std::string alg = Text(key, "alg", false, report).value_or(out.alg);
  if (alg != out.alg) {
    report.Add("alg", alg, absl::StrCat("is not supported for keys of type ", *kty),
               absl::StrCat("use ", out.alg, ", or remove this key"));
  }
  if (*kty != "oct" && key.contains("d")) {
    report.Add(
        "d", "(redacted)", "this is a private key, and verifying needs only the public one",
        "remove d, p, q, dp, dq and qi, and let the issuer make a new key if this one was shared");
  }
  type->read(key, out, report);
}

void AddWhole(JwksInspection& inspection, std::string reason, std::string fix) {
  inspection.has_secret = true;  // Who knows what this text is.
  inspection.problems.push_back({"", "", std::move(reason), std::move(fix)});
}

void InspectKeys(const json& keys, JwksInspection& inspection) {
  std::set<std::string> kids;
  for (size_t i = 0; i < keys.size(); ++i) {
    KeyReport report(i, inspection);
    const json& key = keys[i];
    if (!key.is_object()) {
      inspection.has_secret = true;
      report.Add("", key.type_name(), "is not a JSON object", "write one {\"kty\": ...} per key");
      continue;
    }
    if (key.contains("k") || key.contains("d")) inspection.has_secret = true;
    if (!IsForVerifying(key)) continue;
    JsonWebKey out;
    ReadKey(key, out, report);
    if (!out.kid.empty() && !kids.insert(out.kid).second) {
      report.Add("kid", out.kid, "is the id of an earlier key of this set",
                 "give each key its own kid");
    }
    if (report.clean()) inspection.keys.push_back(std::move(out));
  }
}

}  // namespace

absl::StatusOr<std::string> DecodeBase64Url(std::string_view text) {
  // Abseil's decoder takes padding and white space and ignores unused bits; encoding the result
  // again shows whether the text was the one spelling.
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(Absl(text), &bytes) || EncodeBase64Url(bytes) != text) {
    return absl::InvalidArgumentError("not base64url without padding (RFC 4648 section 5)");
  }
  return bytes;
}

std::string EncodeBase64Url(std::string_view bytes) {
  return absl::WebSafeBase64Escape(Absl(bytes));
}

JwksInspection InspectJwks(std::string_view text) {
  constexpr char kFix[] =
      "write a JSON Web Key Set: {\"keys\": [{\"kty\": ...}]} (RFC 7517 section 5)";
  JwksInspection inspection;
  if (text == "(redacted)") {
    AddWhole(inspection, "is what dumps show in place of a secret", "put the key set itself here");
    return inspection;
  }
  if (text.size() > kMaxText) {
    AddWhole(inspection,
             absl::StrCat("is ", text.size(), " bytes long, at most ", kMaxText, " are accepted"),
             "keep only the keys that are in use");
    return inspection;
  }
  // The library's parser is not recursive; depth is bounded by the size of the text.
  const json set = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (set.is_discarded() || !set.is_object()) {
    AddWhole(inspection, set.is_discarded() ? "is not JSON" : "is not a JSON object", kFix);
    return inspection;
  }
  const auto keys = set.find("keys");
  if (keys == set.end() || !keys->is_array()) {
    AddWhole(inspection, "has no array \"keys\"", kFix);
    return inspection;
  }
  if (keys->size() > kMaxKeys) {
    AddWhole(inspection,
             absl::StrCat("has ", keys->size(), " keys, at most ", kMaxKeys, " are accepted"),
             "keep only the keys that are in use");
    return inspection;
  }
  InspectKeys(*keys, inspection);
  if (inspection.problems.empty() && inspection.keys.empty()) {
    inspection.problems.push_back({"keys", "", "holds no key that verifies signatures",
                                   "add the issuer's public signing key"});
  }
  return inspection;
}

absl::StatusOr<std::vector<JsonWebKey>> ParseJwks(std::string_view text) {
  JwksInspection inspection = InspectJwks(text);
  if (inspection.problems.empty()) return std::move(inspection.keys);
  const JwksProblem& problem = inspection.problems.front();
  return absl::InvalidArgumentError(absl::StrCat("jwks", problem.member.empty() ? "" : " ",
                                                 problem.member, ": ", problem.reason, "; ",
                                                 problem.fix));
}

}  // namespace portico::api
