// What a match costs with 10, 1,000 and 100,000 routes.
//
//   bazel run --config=opt //tests/bench:matcher_bench
//
// "Hot" asks for 64 routes drawn at random, as real traffic does; "Uniform" for all
// routes in random order, so that with 100,000 of them nearly every table entry
// that is touched is cold. A real request lies in a buffer that was just received:
// requests are therefore copied into warm buffers in batches, outside of the time
// that is measured. "OneHost" puts all routes on one host, "ManyHosts" 20 on each.
#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "dataplane/base/check.h"
#include "dataplane/base/clock.h"
#include "dataplane/routing/matcher.h"

namespace portico::routing {
namespace {

constexpr size_t kHotRoutes = 64;
constexpr size_t kBatch = 256;

// clock: CPU time of this thread, so that other load on the machine does not count.
int64_t CpuNanos() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);  // clock: see above
  return time.tv_sec * base::kNanosPerSecond + time.tv_nsec;
}

struct Request {
  std::string host, path;
  uint32_t route = 0;
};

// A request in a buffer that is used again and again.
class WarmRequest final : public RequestView {
 public:
  void Load(const Request& from) {
    host_ = Copy(buffer_.data(), from.host);
    path_ = Copy(buffer_.data() + from.host.size(), from.path);
    route_ = from.route;
  }
  std::string_view host() const override { return host_; }
  std::string_view path() const override { return path_; }
  std::string_view query() const override { return {}; }
  std::string_view method() const override { return "GET"; }
  std::string_view header(std::string_view) const override { return {}; }
  uint32_t route() const { return route_; }

 private:
  static std::string_view Copy(char* to, const std::string& from) {
    std::copy(from.begin(), from.end(), to);
    return {to, from.size()};
  }
  std::array<char, 96> buffer_;
  std::string_view host_, path_;
  uint32_t route_ = 0;
};

struct World {
  std::vector<v1::RouteMatch> matches;
  std::vector<std::string> names;
  std::vector<Request> requests;  // One for each route, in random order.
  std::vector<CompiledMatchPtr> compiled;

  std::vector<Matcher::Rule> Rules() const {
    std::vector<Matcher::Rule> rules;
    for (uint32_t i = 0; i < matches.size(); ++i) {
      rules.push_back({names[i], &matches[i], i, compiled.empty() ? nullptr : compiled[i]});
    }
    return rules;
  }
};

World MakeWorld(size_t routes, bool many_hosts) {
  World world;
  world.matches.resize(routes);
  for (uint32_t i = 0; i < routes; ++i) {
    v1::RouteMatch& match = world.matches[i];
    Request request;
    request.route = i;
    request.host = many_hosts ? "tenant-" + std::to_string(i / 20) + ".example.com" : "api.example.com";
    match.add_hosts(request.host);
    const std::string base = "/team-" + std::to_string(i % 97) + "/service-" + std::to_string(i) + "/v1";
    switch (i % 5) {
      case 0:
      case 1:
        match.mutable_path()->set_prefix(base);
        request.path = base + "/orders/1742";
        break;
      case 2:
      case 3:
        match.mutable_path()->set_exact(base + "/health");
        request.path = base + "/health";
        break;
      default:
        match.mutable_path()->set_template_(base + "/users/{id}");
        request.path = base + "/users/1742";
        match.add_methods("GET");
    }
    world.names.push_back("route-" + std::to_string(i));
    world.requests.push_back(std::move(request));
  }
  std::shuffle(world.requests.begin(), world.requests.end(), std::mt19937(1));
  return world;
}

void Measure(benchmark::State& state, bool hot, bool many_hosts) {
  World world = MakeWorld(static_cast<size_t>(state.range(0)), many_hosts);
  auto matcher = Matcher::Build(world.Rules());
  PORTICO_CHECK(matcher.ok());
  if (hot && world.requests.size() > kHotRoutes) world.requests.resize(kHotRoutes);
  std::array<WarmRequest, kBatch> batch;
  size_t next = 0;
  for (auto _ : state) {
    for (WarmRequest& request : batch) {
      request.Load(world.requests[next]);
      next = next + 1 == world.requests.size() ? 0 : next + 1;
    }
    uint32_t wrong = 0;
    const int64_t start = CpuNanos();
    for (const WarmRequest& request : batch) wrong |= (*matcher)->Match(request) ^ request.route();
    state.SetIterationTime(static_cast<double>(CpuNanos() - start) * 1e-9);
    PORTICO_CHECK(wrong == 0);
  }
  // Seconds for one; "Time" is that of a batch.
  state.counters["match"] = benchmark::Counter(
      kBatch, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["bytes/route"] =
      static_cast<double>((*matcher)->memory_bytes()) / static_cast<double>(world.matches.size());
}

void BM_Hot_OneHost(benchmark::State& state) { Measure(state, true, false); }
void BM_Hot_ManyHosts(benchmark::State& state) { Measure(state, true, true); }
void BM_Uniform_OneHost(benchmark::State& state) { Measure(state, false, false); }
void BM_Uniform_ManyHosts(benchmark::State& state) { Measure(state, false, true); }
BENCHMARK(BM_Hot_OneHost)->Arg(10)->Arg(1000)->Arg(100000)->UseManualTime();
BENCHMARK(BM_Hot_ManyHosts)->Arg(10)->Arg(1000)->Arg(100000)->UseManualTime();
BENCHMARK(BM_Uniform_OneHost)->Arg(10)->Arg(1000)->Arg(100000)->UseManualTime();
BENCHMARK(BM_Uniform_ManyHosts)->Arg(10)->Arg(1000)->Arg(100000)->UseManualTime();

// Many rules at one path, told apart by a header: the last one wins.
void BM_OnePathManyHeaders(benchmark::State& state) {
  struct Tenant final : RequestView {
    std::string tenant;
    std::string_view host() const override { return "h"; }
    std::string_view path() const override { return "/api/users"; }
    std::string_view query() const override { return {}; }
    std::string_view method() const override { return "GET"; }
    std::string_view header(std::string_view) const override { return tenant; }
  };
  World world;
  world.matches.resize(static_cast<size_t>(state.range(0)));
  for (size_t i = 0; i < world.matches.size(); ++i) {
    world.names.push_back("route-" + std::to_string(i));
    world.matches[i].mutable_path()->set_prefix("/api");
    auto* header = world.matches[i].add_headers();
    header->set_name("x-tenant");
    header->set_exact("tenant-" + std::to_string(i));
  }
  auto matcher = Matcher::Build(world.Rules());
  PORTICO_CHECK(matcher.ok());
  Tenant request;
  request.tenant = "tenant-" + std::to_string(world.matches.size() - 1);
  for (auto _ : state) benchmark::DoNotOptimize((*matcher)->Match(request));
}
BENCHMARK(BM_OnePathManyHeaders)->Arg(10)->Arg(1000)->Arg(100000);

// `compiled`: as in a revision that changes one route.
void MeasureBuild(benchmark::State& state, bool compiled) {
  World world = MakeWorld(static_cast<size_t>(state.range(0)), /*many_hosts=*/true);
  if (compiled) {
    for (const v1::RouteMatch& match : world.matches) world.compiled.push_back(*Matcher::Compile(match));
  }
  const std::vector<Matcher::Rule> rules = world.Rules();
  for (auto _ : state) benchmark::DoNotOptimize(Matcher::Build(rules));
}
void BM_Build(benchmark::State& state) { MeasureBuild(state, false); }
void BM_BuildFromCompiled(benchmark::State& state) { MeasureBuild(state, true); }
BENCHMARK(BM_Build)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_BuildFromCompiled)->Arg(10000)->Arg(100000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace portico::routing
