// How long a push of one changed route takes with 10000 routes stored: from the call of Apply, and
// from the acceptance of the revision, until two proxies have answered.
//
//   bazel run --config=opt //tests/integration/control_plane:push_bench

#include <grpcpp/grpcpp.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/control_plane.h"
#include "controlplane/store/test_resources.h"
#include "tests/integration/control_plane/fake_proxy.h"
#include "tests/integration/control_plane/operator.h"

namespace portico::testing {
namespace {

double Milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

void Print(const char* what, std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  std::printf("%-40s p50 %7.2f ms   p99 %7.2f ms   max %7.2f ms\n", what, times[times.size() / 2],
              times[times.size() * 99 / 100], times.back());
}

int Main(int routes) {
  char folder[] = "/tmp/portico_push_XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  control::Options options;
  options.store = std::string(folder) + "/store.db";
  options.grpc_address = "127.0.0.1:0";
  options.metrics_address = "";
  options.insecure = true;
  const control::RealClock clock;
  auto running = control::StartControlPlane(options, clock);
  if (!running.ok()) return 1;
  const auto channel = [&](int id) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    arguments.SetInt("bench.channel", id);
    return grpc::CreateCustomChannel((*running)->grpc_address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  };
  Operator caller(channel(0));
  std::vector<v1::Resource> all = {control::TestUpstream("users")};
  for (int i = 0; i < routes; ++i) {
    all.push_back(control::TestRoute("route-" + std::to_string(i), "users"));
  }
  auto start = std::chrono::steady_clock::now();
  if (caller.Apply(all) != 1) {
    std::printf("%s\n", caller.status.error_message().c_str());
    return 1;
  }
  std::printf("first apply of %d resources: %.0f ms\n", routes + 1,
              Milliseconds(std::chrono::steady_clock::now() - start));
  FakeProxy a(channel(1), "a");
  FakeProxy b(channel(2), "b");
  a.Connect();
  b.Connect();
  start = std::chrono::steady_clock::now();
  if (a.Take() != 1 || b.Take() != 1) return 1;
  std::printf("two empty proxies filled: %.0f ms\n",
              Milliseconds(std::chrono::steady_clock::now() - start));
  std::vector<double> apply_times;
  std::vector<double> push_times;
  size_t bytes = 0;
  for (uint64_t i = 2; i <= 101; ++i) {
    v1::Resource route = all[1 + i * 37 % static_cast<size_t>(routes)];
    route.set_description("push " + std::to_string(i));
    start = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point applied;
    std::thread apply([&] {
      if (caller.Apply({route}) != i) exit(1);
      applied = std::chrono::steady_clock::now();
    });
    // Received, without the fake's own bookkeeping, which is slower than a proxy's.
    const auto at_a = a.Read();
    const auto at_b = b.Read();
    const auto arrived = std::chrono::steady_clock::now();
    apply.join();
    if (!at_a || !at_b || !a.Apply(*at_a) || !b.Apply(*at_b)) return 1;
    apply_times.push_back(Milliseconds(applied - start));
    push_times.push_back(Milliseconds(arrived - start));
    bytes += at_a->largest_chunk_bytes;
  }
  Print("apply, call to answer", apply_times);
  Print("push, call to arrival at both proxies", push_times);
  std::printf("bytes of one change set: %zu\n", bytes / 100);
  return 0;
}

}  // namespace
}  // namespace portico::testing

int main(int argc, char** argv) { return portico::testing::Main(argc > 1 ? atoi(argv[1]) : 10000); }
