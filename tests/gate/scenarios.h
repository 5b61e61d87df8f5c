// What is replayed: configuration, requests and responses.
#ifndef TESTS_GATE_SCENARIOS_H_
#define TESTS_GATE_SCENARIOS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace portico::gate {

// All requests of a scenario have the same length, and so have all responses: what
// goes over a connection is then told by its length, which costs the peers nothing.
struct Scenario {
  // What the clients speak.
  enum class Protocol : uint8_t { kHttp1, kHttp1OverTls, kHttp2OverTls };

  std::string name;
  std::string configuration;          // YAML, see docs/configuration.md
  std::vector<std::string> requests;  // Sent in this order, again and again.
  std::string response;               // Of the upstream.
  Protocol protocol = Protocol::kHttp1;
};

inline constexpr std::string_view kScenarioNames[] = {"plain", "full", "body", "tls", "h2"};

// `name`: one of kScenarioNames; otherwise a scenario without requests.
// `access_log`: the file that full writes.
Scenario MakeScenario(std::string_view name, const std::string& access_log);

}  // namespace portico::gate

#endif  // TESTS_GATE_SCENARIOS_H_
