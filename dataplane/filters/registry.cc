#include "dataplane/filters/registry.h"

#include <memory>

#include "dataplane/filters/api_key/api_key_builder.h"
#include "dataplane/filters/header_transform/header_transform.h"
#include "dataplane/filters/jwt/jwt_builder.h"
#include "dataplane/filters/rate_limit/rate_limit_builder.h"
#include "dataplane/filters/require_identity/require_identity.h"

namespace portico::filters {

snapshot::PolicyBuilders MakePolicyBuilders(const PolicyOptions& options, PolicyCounters* counters) {
  auto table = std::make_shared<CellTable>(options.rate_limit_keys);
  if (counters != nullptr) counters->rate_limit_table_full = [table] { return table->taken(); };
  snapshot::PolicyBuilders builders;
  builders.push_back(std::make_unique<JwtBuilder>(options.jwt_cache_bytes));
  builders.push_back(std::make_unique<ApiKeyBuilder>());
  builders.push_back(std::make_unique<RequireIdentityBuilder>());
  builders.push_back(std::make_unique<RateLimitBuilder>(std::move(table)));
  builders.push_back(std::make_unique<HeaderTransformBuilder>());
  return builders;
}

}  // namespace portico::filters
