// Tokens. Whatever comes as a bearer token is refused with one of the documented
// reasons, or identifies the caller; claims reach header fields only if they may
// stand there; and the cache decides as the verification did.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/resource/resource.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/check.h"
#include "dataplane/filters/jwt/jwt_policy.h"
#include "dataplane/filters/jwt/token_cache.h"
#include "dataplane/filters/jwt/token_signer.h"
#include "dataplane/filters/text.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {
namespace {

constexpr base::UnixNanos kNow = 1'767'225'600 * base::kNanosPerSecond;
constexpr std::array<std::string_view, 9> kReasons = {
    "jwt_malformed", "jwt_algorithm",   "jwt_unknown_kid", "jwt_bad_signature", "jwt_issuer",
    "jwt_audience",  "jwt_missing_exp", "jwt_expired",     "jwt_not_yet_valid"};

struct Setup {
  TokenSigner signer{"HS256", "h1"};
  std::shared_ptr<Provider> provider = std::make_shared<Provider>();
  std::unique_ptr<JwtPolicy> policy;
  snapshot::PolicyWorkerStates states;
  snapshot::RouteEntry route;

  Setup() {
    provider->issuer = "https://issuer";
    provider->audiences = {"api"};
    provider->algorithms = {JwtAlgorithm::kHs256};
    provider->consumer_claim = "sub";
    provider->claims_to_headers = {{"sub", FieldName("x-user"), false},
                                   {"realm.tenant", FieldName("x-tenant"), false},
                                   {"roles", FieldName("x-roles"), false}};
    provider->keys = *KeySet::Parse(signer.jwks());
    provider->fingerprint = api::Sha256("fuzz");
    policy = std::make_unique<JwtPolicy>(std::vector<std::shared_ptr<const Provider>>{provider},
                                         std::make_shared<const ConsumerPlans>());
    states[static_cast<size_t>(snapshot::PolicyKind::kJwt)] = std::make_unique<TokenCache>(64 << 10);
  }
};

// The reason, or empty.
std::string Try(const Setup& setup, snapshot::PolicyWorkerStates* states, const std::string& authorization) {
  base::Arena arena;
  http::RequestHead request(arena);
  request.headers.Add("authorization", authorization);
  request.headers.Add("x-user", "spoofed");
  snapshot::PolicyContext context{.request = request,
                                  .arena = arena,
                                  .route = setup.route,
                                  .client = {},
                                  .now = 0,
                                  .unix_now = kNow,
                                  .request_id = {},
                                  .upstream = {},
                                  .identity = {},
                                  .response_headers = http::HeaderList(arena),
                                  .worker_states = states,
                                  .credentials_seen = false};
  const auto reply = setup.policy->OnRequest(context);
  for (const http::HeaderField& field : request.headers) {
    if (field.name.empty()) continue;
    PORTICO_CHECK(field.value != "spoofed");
    PORTICO_CHECK(FitsHeader(field.value) || field.name == "authorization");
  }
  for (const http::HeaderField& field : context.response_headers) PORTICO_CHECK(FitsHeader(field.value));
  if (!reply.has_value()) return "";
  PORTICO_CHECK(context.identity.source == snapshot::Identity::Source::kNone);
  PORTICO_CHECK(std::find(kReasons.begin(), kReasons.end(), reply->reason) != kReasons.end());
  return std::string(reply->reason);
}

}  // namespace

// The first byte says what the rest is: 'h' a header and claims, separated by a
// newline, to be signed; 'c' claims to be signed; else the token itself.
void FuzzToken(std::string_view input) {
  static const Setup* const setup = std::make_unique<Setup>().release();
  static snapshot::PolicyWorkerStates& states = const_cast<Setup*>(setup)->states;
  if (input.empty()) return;
  const std::string_view rest = input.substr(1);
  std::string token;
  if (input[0] == 'c') {
    token = setup->signer.Sign(rest);
  } else if (input[0] == 'h') {
    const size_t end = std::min(rest.find('\n'), rest.size());
    token = setup->signer.Sign(rest.substr(0, end), rest.substr(std::min(end + 1, rest.size())));
  } else {
    token = std::string(rest);
  }
  const std::string authorization = "Bearer " + token;
  const std::string plain = Try(*setup, nullptr, authorization);
  PORTICO_CHECK(Try(*setup, &states, authorization) == plain);
  PORTICO_CHECK(Try(*setup, &states, authorization) == plain);
}

}  // namespace portico::filters

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  portico::filters::FuzzToken({reinterpret_cast<const char*>(data), size});
  return 0;
}
