#include "dataplane/filters/filter_fixture.h"

#include <utility>

#include "api/resource/text.h"
#include "gtest/gtest.h"

namespace portico::filters {

snapshot::RouteEntry NamedRoute(std::string name) {
  auto details = std::make_shared<snapshot::RouteDetails>();
  details->name = std::move(name);
  snapshot::RouteEntry route;
  route.details = std::move(details);
  return route;
}

api::ResourceSet ParseSet(const std::string& yaml) {
  api::ResourceSet set;
  auto resources = api::ParseResources(yaml, "test.yaml");
  EXPECT_TRUE(resources.ok()) << resources.status();
  if (!resources.ok()) return set;
  for (v1::Resource& resource : *resources) {
    api::StoredResourcePtr stored = api::MakeStored(std::move(resource));
    set[api::KeyOf(stored->resource)] = stored;
  }
  return set;
}

std::shared_ptr<const snapshot::Policy> BuildPolicy(snapshot::PolicyBuilder& builder, const api::ResourceSet& set,
                                                    const std::string& route) {
  const absl::Status begun = builder.BeginSnapshot(set);
  EXPECT_TRUE(begun.ok()) << begun;
  const auto found = set.find(api::ResourceKey{"Route", route});
  EXPECT_NE(found, set.end());
  if (!begun.ok() || found == set.end()) return nullptr;
  auto policy = builder.Build(*found->second);
  EXPECT_TRUE(policy.ok()) << policy.status();
  return policy.ok() ? *std::move(policy) : nullptr;
}

TestExchange::TestExchange(const base::Clock& clock, snapshot::PolicyWorkerStates* states)
    : request(arena),
      route(NamedRoute("users")),
      context{.request = request,
              .arena = arena,
              .route = route,
              .client = *net::IpAddress::Parse("192.0.2.1"),
              .now = clock.Monotonic(),
              .unix_now = clock.Unix(),
              .request_id = "req-1",
              .upstream = "users-upstream",
              .identity = {},
              .response_headers = http::HeaderList(arena),
              .worker_states = states,
              .credentials_seen = false} {
  request.method = http::Method::kGet;
  request.method_text = "GET";
  request.target = request.path = "/users/42";
  request.host = request.authority = "api.example.com";
  request.headers.Add("Host", "api.example.com");
}

std::string TestExchange::Value(const http::HeaderList& headers, std::string_view name) {
  const http::HeaderField* field = headers.Find(name);
  return field == nullptr ? "(none)" : std::string(field->value);
}

}  // namespace portico::filters
