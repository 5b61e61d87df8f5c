// Which names of certificates match what is wanted.
#ifndef DATAPLANE_TLS_NAMES_H_
#define DATAPLANE_TLS_NAMES_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portico::tls {

// ASCII only, as names on the wire are.
std::string LowerCase(std::string_view text);

// "example.com" of "a.example.com": what a "*." in front of it stands for one label of. Empty:
// none.
std::string_view WithoutFirstLabel(std::string_view name);

// RFC 6125 section 6.4: `pattern` of a certificate ("*." for one whole label) against a host name.
// Both in lower case.
bool MatchesDnsName(std::string_view pattern, std::string_view name);

// What a certificate may be asked to have one of: "name", "*.name" (any one label), "scheme://...",
// "scheme://...*" (anything that follows). What has a colon is a URI.
class NameRules {
 public:
  explicit NameRules(const std::vector<std::string>& rules);
  bool empty() const { return rules_.empty(); }
  // Whether one of a certificate's names satisfies one of the rules. `wildcards`: the certificate's
  // DNS names may be patterns themselves, as servers' are.
  bool Match(const std::vector<std::string>& dns_names, const std::vector<std::string>& uris,
             bool wildcards) const;

 private:
  struct Rule {
    std::string text;
    bool uri = false;
    bool open = false;  // "*." in front, or "*" at the end of a URI.
  };
  std::vector<Rule> rules_;
};

// The bytes of an IPv4 or IPv6 address, as certificates have them; nullopt: it is a name.
std::optional<std::string> AddressBytes(std::string_view text);

}  // namespace portico::tls

#endif  // DATAPLANE_TLS_NAMES_H_
