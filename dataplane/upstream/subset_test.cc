#include "dataplane/upstream/subset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace portico::upstream {
namespace {

// Endpoints as every worker has them: hosts of its own.
class Endpoints {
 public:
  // Weights by number; the address is made from the number.
  explicit Endpoints(const std::map<int, uint32_t>& weights, uint64_t seed = 0)
      : weights_(weights), seed_(seed) {}
  static Endpoints Equal(int count, uint64_t seed = 0) {
    std::map<int, uint32_t> weights;
    for (int i = 0; i < count; ++i) weights[i] = 1;
    return Endpoints(weights, seed);
  }

  struct Worker {
    std::vector<std::unique_ptr<Host>> hosts;
    Subset subset;
    std::vector<Host*> Choose(base::MonotonicNanos now = 0) { return subset.Choose(now); }
    std::set<std::string> Names(base::MonotonicNanos now = 0) {
      std::set<std::string> names;
      for (const Host* host : Choose(now)) EXPECT_TRUE(names.insert(host->address_text).second);
      return names;
    }
  };
  std::unique_ptr<Worker> Of(uint32_t worker, uint32_t workers, uint32_t max_pairs = 512) const {
    auto made = std::make_unique<Worker>();
    std::vector<Host*> hosts;
    for (const auto& [number, weight] : weights_) {
      auto& host = made->hosts.emplace_back(std::make_unique<Host>());
      host->address_text =
          "10.0." + std::to_string(number / 250) + "." + std::to_string(number % 250) + ":80";
      host->ring_key = RingKey(host->address_text, seed_);
      host->listed_weight = weight;
      hosts.push_back(host.get());
    }
    // The order of the list does not matter.
    if (worker % 2 == 1) std::reverse(hosts.begin(), hosts.end());
    made->subset.Reset(hosts, {.worker = worker, .workers = workers, .max_pairs = max_pairs});
    return made;
  }

 private:
  std::map<int, uint32_t> weights_;
  uint64_t seed_;
};

struct Case {
  int endpoints;
  uint32_t workers;
  uint32_t max_pairs;
  // What is expected.
  uint32_t coverage;
  size_t smallest, largest;
};

TEST(Subset, EveryEndpointHasAsManyWorkersAndEveryWorkerAsManyEndpoints) {
  const Case cases[] = {
      {1, 1, 512, 1, 1, 1},       {1000, 1, 512, 1, 1000, 1000}, {1, 64, 512, 64, 1, 1},
      {128, 4, 512, 4, 128, 128},  // 512 pairs: all have all.
      {129, 4, 512, 3, 96, 97},   {300, 2, 512, 1, 150, 150},    {16, 64, 512, 32, 8, 8},
      {40, 64, 512, 13, 8, 9},                                 // A subset has 8.
      {100, 64, 512, 6, 9, 10},   {1000, 64, 512, 1, 15, 16},  // Every endpoint has a worker.
      {3000, 64, 512, 1, 46, 47}, {2000, 1024, 512, 5, 9, 10},   {100, 4, 399, 3, 75, 75},
      {100, 4, 150, 1, 25, 25},   {10, 4, 1, 4, 10, 10},         {3, 8, 1, 8, 3, 3},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::to_string(c.endpoints) + " endpoints, " + std::to_string(c.workers) +
                 " workers, pairs " + std::to_string(c.max_pairs));
    const Endpoints endpoints = Endpoints::Equal(c.endpoints);
    std::map<std::string, uint32_t> covered;
    size_t smallest = SIZE_MAX, largest = 0;
    for (uint32_t worker = 0; worker < c.workers; ++worker) {
      const auto made = endpoints.Of(worker, c.workers, c.max_pairs);
      EXPECT_EQ(made->subset.coverage(), c.coverage);
      EXPECT_EQ(made->subset.partial(), c.coverage < c.workers);
      const std::set<std::string> names = made->Names();
      smallest = std::min(smallest, names.size());
      largest = std::max(largest, names.size());
      for (const std::string& name : names) ++covered[name];
    }
    EXPECT_EQ(smallest, c.smallest);
    EXPECT_EQ(largest, c.largest);
    EXPECT_EQ(covered.size(), static_cast<size_t>(c.endpoints));
    for (const auto& [name, workers] : covered) EXPECT_EQ(workers, c.coverage) << name;
  }
}

TEST(Subset, AllWorkersTogetherKeepToTheWeights) {
  std::map<int, uint32_t> weights;
  for (int i = 0; i < 400; ++i) weights[i] = 1 + static_cast<uint32_t>(i) % 7;
  weights[3] = 100;
  const Endpoints mixed(weights);
  for (int i = 0; i < 2000; ++i) weights[i] = i % 2 == 0 ? 1000 : 999;
  const Endpoints heavy(weights);
  for (const Endpoints* endpoints : {&mixed, &heavy}) {
    for (const uint32_t workers : {3u, 8u, 64u}) {
      std::map<std::string, double> shares;
      std::map<std::string, uint32_t> listed;
      double total = 0;
      for (uint32_t worker = 0; worker < workers; ++worker) {
        const auto made = endpoints->Of(worker, workers);
        EXPECT_TRUE(made->subset.partial());
        const std::vector<Host*> chosen = made->Choose();
        EXPECT_GE(chosen.size(), kMinSubset);
        uint64_t sum = 0;
        for (const Host* host : chosen) sum += host->weight;
        EXPECT_LT(sum, uint64_t{1} << 32);
        // Every worker has as many requests.
        for (const Host* host : chosen) {
          shares[host->address_text] +=
              static_cast<double>(host->weight) / static_cast<double>(sum);
        }
        total = 0;
        for (const auto& host : made->hosts) {
          total += host->listed_weight;
          listed[host->address_text] = host->listed_weight;
        }
      }
      ASSERT_EQ(shares.size(), listed.size());
      for (const auto& [name, share] : shares) {
        EXPECT_NEAR(share / workers, listed[name] / total, 0.001 * listed[name] / total) << name;
      }
    }
  }
}

// One endpoint has nearly all the weight: arcs grow until each has enough.
TEST(Subset, AHeavyEndpointLeavesNoWorkerAlone) {
  std::map<int, uint32_t> weights;
  for (int i = 0; i < 200; ++i) weights[i] = 1;
  weights[77] = 1000;
  const Endpoints endpoints(weights);
  for (uint32_t worker = 0; worker < 8; ++worker) {
    EXPECT_GE(endpoints.Of(worker, 8)->Choose().size(), kMinSubset);
  }
}

// Whatever the numbers: nobody is left out, and pairs of a worker and an endpoint stay few.
TEST(Subset, AnyNumbers) {
  std::mt19937 random(20);
  const auto below = [&random](int bound) {
    return static_cast<int>(random() % static_cast<unsigned>(bound));
  };
  for (int round = 0; round < 300; ++round) {
    const int count = 1 + below(round % 2 == 0 ? 30 : 700);
    const auto workers = static_cast<uint32_t>(1 + below(48));
    const bool equal = round % 3 != 0;
    std::map<int, uint32_t> weights;
    for (int i = 0; i < count; ++i) weights[i] = equal ? 2 : static_cast<uint32_t>(1 + below(9));
    const Endpoints endpoints(weights, random());
    std::set<std::string> covered;
    size_t pairs = 0;
    for (uint32_t worker = 0; worker < workers; ++worker) {
      const auto made = endpoints.Of(worker, workers);
      const std::set<std::string> names = made->Names();
      EXPECT_EQ(names, made->Names());
      EXPECT_GE(names.size(), std::min<size_t>(kMinSubset, static_cast<size_t>(count)));
      pairs += names.size();
      covered.insert(names.begin(), names.end());
    }
    EXPECT_EQ(covered.size(), static_cast<size_t>(count));
    // With unequal weights an endpoint may lie on both sides of a cut, and may be a large
    // part of an arc.
    const size_t bound = std::max<size_t>(512, kMinSubset * workers + static_cast<size_t>(count));
    EXPECT_LE(pairs, equal ? bound : 2 * bound + workers)
        << count << " endpoints, " << workers << " workers";
  }
}

// What one worker of each process has in common with the same of another is chance.
TEST(Subset, TheSameWorkerOfOtherProcessesHasOtherEndpoints) {
  constexpr int kProcesses = 200;
  std::map<std::string, int> covered;
  for (uint64_t process = 0; process < kProcesses; ++process) {
    for (const std::string& name :
         Endpoints::Equal(400, RingKey("edge-" + std::to_string(process), 0)).Of(0, 8)->Names()) {
      ++covered[name];
    }
  }
  // 50 of 400, 200 times: 25 each, with a standard deviation below 5.
  EXPECT_EQ(covered.size(), 400u);
  for (const auto& [name, count] : covered) {
    EXPECT_GT(count, 5) << name;
    EXPECT_LT(count, 50) << name;
  }
}

TEST(Subset, AnEndpointThatGoesMovesFew) {
  std::map<int, uint32_t> weights;
  for (int i = 0; i < 1000; ++i) weights[i] = 1;
  const Endpoints before(weights);
  weights.erase(500);
  weights[1000] = 1;
  const Endpoints after(weights);
  constexpr uint32_t kWorkers = 8;
  size_t moved = 0, all = 0;
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    const std::set<std::string> old = before.Of(worker, kWorkers)->Names();
    for (const std::string& name : after.Of(worker, kWorkers)->Names()) {
      moved += old.count(name) == 0;
      ++all;
    }
  }
  EXPECT_EQ(all, 1000u);
  // The new one, and at most one endpoint at each cut.
  EXPECT_LE(moved, 1u + kWorkers);
}

TEST(Subset, OthersStandInForThoseThatAreEjected) {
  const Endpoints endpoints = Endpoints::Equal(200);
  const auto worker = endpoints.Of(2, 8);
  const std::set<std::string> usual = worker->Names();
  ASSERT_EQ(usual.size(), 50u);
  EXPECT_EQ(worker->subset.stale_at(), std::numeric_limits<base::MonotonicNanos>::max());
  int ejected = 0;
  for (const auto& host : worker->hosts) {
    if (usual.count(host->address_text) == 0 || ejected == 20) continue;
    host->ejected_until = 1000 + ++ejected;
  }
  const std::vector<Host*> chosen = worker->Choose(500);
  EXPECT_EQ(chosen.size(), 70u);
  EXPECT_EQ(std::count_if(chosen.begin(), chosen.end(),
                          [](const Host* host) { return host->Available(500); }),
            50);
  EXPECT_EQ(worker->subset.stale_at(), 1001);
  // Even when none of its own is left, and never an ejected one.
  for (const auto& host : worker->hosts) {
    host->ejected_until = usual.count(host->address_text) > 0 ? 1000 : 0;
  }
  EXPECT_EQ(worker->Choose(500).size(), 100u);
  for (const auto& host : worker->hosts) host->ejected_until = 1000;
  EXPECT_EQ(worker->Choose(500).size(), 50u);
  EXPECT_EQ(worker->Names(1000), usual);
}

}  // namespace
}  // namespace portico::upstream
