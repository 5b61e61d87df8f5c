// "Did you mean ...": the name that a misspelt one was meant to be.
#ifndef API_RESOURCE_NEAR_H_
#define API_RESOURCE_NEAR_H_

#include <string>
#include <string_view>
#include <vector>

namespace portico::api {

// Collects candidates and keeps the nearest: fewest insertions, deletions, substitutions and swaps
// of neighbours, without case; the first of equals. Names further away than a third of their length
// (at least 1, at most 3 edits) are no candidates. Names are compared by their first 128 bytes.
class NearestName {
 public:
  explicit NearestName(std::string_view wanted);
  void Consider(std::string_view candidate);
  // Empty when nothing is near.
  const std::string& name() const { return name_; }

 private:
  std::string wanted_;  // In lower case.
  std::string name_;
  size_t best_;  // Only fewer edits than this count.
};

std::string Nearest(std::string_view wanted, const std::vector<std::string>& candidates);

}  // namespace portico::api

#endif  // API_RESOURCE_NEAR_H_
