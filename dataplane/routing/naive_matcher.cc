#include "dataplane/routing/naive_matcher.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "re2/re2.h"

namespace portico::routing {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

char Lower(unsigned char c) { return static_cast<char>(std::tolower(c)); }

// Larger is better, compared from the front; empty: no match.
using Rank = std::vector<int64_t>;

// {3} exact, {2, bytes} wildcard, {1, 0} any.
Rank RankHost(const v1::RouteMatch& match, std::string_view host) {
  if (match.hosts().empty()) return {1, 0};
  Rank best;
  for (std::string pattern : match.hosts()) {
    std::transform(pattern.begin(), pattern.end(), pattern.begin(), Lower);
    if (pattern.substr(0, 2) != "*.") {
      if (pattern == host) best = std::max(best, Rank{3, 0});
      continue;
    }
    const std::string suffix = pattern.substr(1);
    if (host.size() > suffix.size() && host.substr(host.size() - suffix.size()) == suffix) {
      best = std::max(best, Rank{2, static_cast<int64_t>(suffix.size())});
    }
  }
  return best;
}

// {3} exact; {2, segments, literal or variable for each, whole} prefix or template; {1} regex.
Rank RankPath(const v1::PathMatch& match, std::string_view path) {
  if (match.has_grpc()) {
    v1::PathMatch same;
    const std::string service = "/" + match.grpc().service();
    if (match.grpc().method().empty()) {
      same.set_prefix(service);
    } else {
      same.set_exact(service + "/" + match.grpc().method());
    }
    return RankPath(same, path);
  }
  if (match.has_exact()) return match.exact() == path ? Rank{3} : Rank{};
  if (match.has_regex()) return re2::RE2::FullMatch({path.data(), path.size()}, match.regex()) ? Rank{1} : Rank{};
  if (path.empty() || path[0] != '/') return {};
  std::string text = match.has_prefix() ? match.prefix() : match.template_();
  bool rest = match.has_prefix();
  std::vector<std::string> pattern;
  if (match.has_prefix() && text.back() == '/') text.pop_back();
  if (!text.empty()) pattern = Split(std::string_view(text).substr(1), '/');
  if (!pattern.empty() && pattern.back().find("=**}") != std::string::npos) {
    pattern.pop_back();
    rest = true;
  }
  const std::vector<std::string> segments = Split(path.substr(1), '/');
  if (rest ? segments.size() < pattern.size() : segments.size() != pattern.size()) return {};
  Rank rank{2, static_cast<int64_t>(pattern.size())};
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool variable = !match.has_prefix() && !pattern[i].empty() && pattern[i][0] == '{';
    if (variable ? segments[i].empty() : segments[i] != pattern[i]) return {};
    rank.push_back(variable ? 0 : 1);
  }
  rank.push_back(rest ? 0 : 1);
  return rank;
}

bool HeaderHolds(const v1::HeaderMatch& match, const RequestView& request) {
  std::string name = match.name();
  std::transform(name.begin(), name.end(), name.begin(), Lower);
  const std::string_view value = request.header(name);
  const bool present = value.data() != nullptr;
  switch (match.condition_case()) {
    case v1::HeaderMatch::kExact:
      return present && value == match.exact();
    case v1::HeaderMatch::kPrefix:
      return present && value.substr(0, match.prefix().size()) == match.prefix();
    case v1::HeaderMatch::kRegex:
      return present && re2::RE2::FullMatch({value.data(), value.size()}, match.regex());
    case v1::HeaderMatch::kPresent:
      return present == match.present();
    case v1::HeaderMatch::CONDITION_NOT_SET:
      break;
  }
  return false;
}

std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool QueryHolds(const v1::QueryMatch& match, std::string_view query) {
  std::optional<std::string> value;
  for (const std::string& pair : Split(query, '&')) {
    if (pair.empty() || value.has_value()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    if (Decode(pair.substr(0, equals)) != match.name()) continue;
    value = equals == pair.size() ? "" : Decode(pair.substr(equals + 1));
  }
  switch (match.condition_case()) {
    case v1::QueryMatch::kExact:
      return value.has_value() && *value == match.exact();
    case v1::QueryMatch::kRegex:
      return value.has_value() && re2::RE2::FullMatch(*value, match.regex());
    case v1::QueryMatch::kPresent:
      return value.has_value() == match.present();
    case v1::QueryMatch::CONDITION_NOT_SET:
      break;
  }
  return false;
}

bool ConditionsHold(const v1::RouteMatch& match, const RequestView& request) {
  const auto& methods = match.methods();
  return (methods.empty() || std::find(methods.begin(), methods.end(), request.method()) != methods.end()) &&
         std::all_of(match.headers().begin(), match.headers().end(),
                     [&](const v1::HeaderMatch& header) { return HeaderHolds(header, request); }) &&
         std::all_of(match.query().begin(), match.query().end(),
                     [&](const v1::QueryMatch& query) { return QueryHolds(query, request.query()); });
}

}  // namespace

std::string_view TestRequest::header(std::string_view lower_name) const {
  const auto found = headers_.find(std::string(lower_name));
  return found == headers_.end() ? std::string_view() : std::string_view(found->second);
}

uint32_t NaiveMatch(const std::vector<NaiveRule>& rules, const RequestView& request) {
  uint32_t best = Matcher::kNone;
  std::vector<Rank> best_rank;
  for (uint32_t i = 0; i < rules.size(); ++i) {
    const v1::RouteMatch& match = rules[i].match;
    const Rank host = RankHost(match, request.host()), path = RankPath(match.path(), request.path());
    if (host.empty() || path.empty() || !ConditionsHold(match, request)) continue;
    const std::vector<Rank> rank{
        host, path, {match.methods().empty() ? 0 : 1, match.headers_size(), match.query_size()}};
    if (best == Matcher::kNone || rank > best_rank ||
        (rank == best_rank && rules[i].name < rules[best].name)) {
      best = i;
      best_rank = rank;
    }
  }
  return best;
}

}  // namespace portico::routing
