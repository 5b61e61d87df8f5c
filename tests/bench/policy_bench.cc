// What policies cost for each request, and what a revision that changes one route
// costs to build.
//
//   bazel run --config=opt //tests/bench:policy_bench
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "dataplane/base/check.h"
#include "dataplane/base/fake_clock.h"
#include "dataplane/filters/filter_fixture.h"
#include "dataplane/filters/jwt/jwt_builder.h"
#include "dataplane/filters/jwt/token_signer.h"
#include "dataplane/filters/rate_limit/rate_limit_builder.h"
#include "dataplane/filters/registry.h"
#include "dataplane/snapshot/snapshot.h"

namespace portico::filters {
namespace {

constexpr char kRoute[] =
    "{kind: Route, name: users, spec: {match: {path: {prefix: /}}, respond: {status: 200}, authentication: {any_of: "
    "[{jwt: {provider: main}}]}, rate_limits: [one]}}\n---\n"
    "{kind: RateLimitPolicy, name: one, spec: {rate: {requests: 1000000000, per: 1s}, key: [{client_address: {}}]}}\n";

// A verified token, found in the worker's cache; with claims to headers.
void BM_JwtHit(benchmark::State& state) {
  base::FakeClock clock;
  const TokenSigner signer("RS256", "r1");
  JwtBuilder builder(4 << 20);
  const auto policy = BuildPolicy(
      builder,
      ParseSet("{kind: JwtProvider, name: main, spec: {issuer: 'https://issuer', audiences: [api], jwks: '" +
               signer.jwks() + "', claims_to_headers: [{claim: sub, header: x-user}]}}\n---\n" + kRoute),
      "users");
  snapshot::PolicyWorkerStates states;
  states[0] = builder.MakeWorkerState();
  const std::string header =
      "Bearer " + signer.Sign(R"({"iss":"https://issuer","aud":"api","sub":"alice","exp":1767229200,"scope":"a b c",)"
                              R"("realm":{"tenant":"acme"},"roles":["reader","writer"],"email":"alice@example.com"})");
  TestExchange exchange(clock, &states);
  for (auto _ : state) {
    exchange.arena.Reset();
    exchange.request.headers.Clear();
    exchange.context.response_headers.Clear();
    exchange.request.headers.Add(http::HeaderId::kAuthorization, header);
    PORTICO_CHECK(!exchange.Request(*policy).has_value());
  }
  state.counters["token bytes"] = static_cast<double>(header.size());
}
BENCHMARK(BM_JwtHit);

void BM_RateLimit(benchmark::State& state) {
  base::FakeClock clock;
  RateLimitBuilder builder(std::make_shared<CellTable>(1 << 20));
  const auto policy = BuildPolicy(builder, ParseSet(kRoute), "users");
  TestExchange exchange(clock);
  for (auto _ : state) {
    exchange.arena.Reset();
    exchange.context.response_headers.Clear();
    exchange.context.now += 1000;
    PORTICO_CHECK(!exchange.Request(*policy).has_value());
  }
}
BENCHMARK(BM_RateLimit);

api::StoredResourcePtr BenchRoute(int number, int timeout, const std::string& path) {
  v1::Resource resource;
  resource.set_name("route-" + std::to_string(number));
  v1::Route& route = *resource.mutable_route();
  route.mutable_match()->add_hosts("tenant-" + std::to_string(number / 20) + ".example.com");
  route.mutable_match()->mutable_path()->set_prefix("/service-" + std::to_string(number) + path);
  route.add_upstreams()->set_name("app");
  route.mutable_timeout()->set_seconds(timeout);
  route.mutable_authentication()->add_any_of()->mutable_api_key();
  return api::MakeStored(std::move(resource));
}

// `paths`: the change is one of the path, so that the matcher is laid out anew.
void MeasureOneChange(benchmark::State& state, bool paths) {
  base::FakeClock clock;
  observe::MetricIds ids(200000, 1000);
  snapshot::SnapshotBuilder builder(MakePolicyBuilders(), ids, clock);
  api::ResourceSet set = ParseSet(
      "{kind: Listener, name: web, spec: {address: '127.0.0.1:8080'}}\n---\n"
      "{kind: Upstream, name: app, spec: {endpoints: [{address: '127.0.0.1:9000'}]}}");
  for (int i = 0; i < state.range(0); ++i) {
    const api::StoredResourcePtr stored = BenchRoute(i, 5, "");
    set[api::KeyOf(stored->resource)] = stored;
  }
  std::vector<v1::Violation> violations;
  PORTICO_CHECK(builder.Build(1, set, violations).ok());
  int change = 0;
  for (auto _ : state) {
    state.PauseTiming();
    ++change;
    const api::StoredResourcePtr stored =
        BenchRoute(change % 100, 6 + change % 50, paths ? "/v" + std::to_string(change) : "");
    set[api::KeyOf(stored->resource)] = stored;
    api::ResourceSet next = set;
    state.ResumeTiming();
    PORTICO_CHECK(builder.Build(static_cast<uint64_t>(change + 1), std::move(next), violations).ok());
  }
}
void BM_OneTimeoutChanges(benchmark::State& state) { MeasureOneChange(state, false); }
void BM_OnePathChanges(benchmark::State& state) { MeasureOneChange(state, true); }
BENCHMARK(BM_OneTimeoutChanges)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_OnePathChanges)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace portico::filters
