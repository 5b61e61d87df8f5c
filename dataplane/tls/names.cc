#include "dataplane/tls/names.h"

#include <arpa/inet.h>

namespace portico::tls {

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view WithoutFirstLabel(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == 0 || dot == std::string_view::npos) return {};
  return name.substr(dot + 1);
}

bool MatchesDnsName(std::string_view pattern, std::string_view name) {
  if (name.empty() || pattern.empty()) return false;
  if (!pattern.starts_with("*.")) return pattern == name;
  // A label that is a star is none, and a star never stands for a whole registry's names.
  const std::string_view rest = WithoutFirstLabel(name);
  return !rest.empty() && name[0] != '*' && rest.find('.') != std::string_view::npos &&
         rest == pattern.substr(2);
}

NameRules::NameRules(const std::vector<std::string>& rules) {
  for (const std::string& text : rules) {
    Rule rule;
    rule.uri = text.find(':') != std::string::npos;
    rule.text = rule.uri ? text : LowerCase(text);
    if (rule.uri && rule.text.ends_with('*')) {
      rule.open = true;
      rule.text.pop_back();
    } else if (!rule.uri && rule.text.starts_with("*.")) {
      rule.open = true;
    }
    rules_.push_back(std::move(rule));
  }
}

bool NameRules::Match(const std::vector<std::string>& dns_names,
                      const std::vector<std::string>& uris, bool wildcards) const {
  for (const Rule& rule : rules_) {
    for (const std::string& name : rule.uri ? uris : dns_names) {
      if (name == rule.text && (!rule.open || wildcards)) return true;
      if (rule.uri) {
        if (rule.open && name.starts_with(rule.text)) return true;
      } else if (rule.open ? MatchesDnsName(rule.text, name)
                           : wildcards && MatchesDnsName(name, rule.text)) {
        return true;
      }
    }
  }
  return false;
}

std::optional<std::string> AddressBytes(std::string_view text) {
  const std::string address(text);
  unsigned char bytes[16];
  if (inet_pton(AF_INET, address.c_str(), bytes) == 1)
    return std::string(reinterpret_cast<char*>(bytes), 4);
  if (inet_pton(AF_INET6, address.c_str(), bytes) == 1)
    return std::string(reinterpret_cast<char*>(bytes), 16);
  return std::nullopt;
}

}  // namespace portico::tls
