// Resources that are in each other's way.
#ifndef API_VALIDATION_CONFLICTS_H_
#define API_VALIDATION_CONFLICTS_H_

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "api/resource/facts.h"
#include "api/resource/resource.h"
#include "api/validation/report.h"

namespace portico::api {

// Who claims what, for all resources or for those that matter. Keys and resources must outlive it.
class ClaimIndex {
 public:
  // REQUIRES: resources come in key order.
  void Add(const ResourceKey& key, const v1::Resource& resource, const std::vector<Claim>& claims);

  // Adds what is in the way of one resource that was added. Of two in conflict the one whose name
  // comes later is at fault: for routes that is the one that never wins (see the comment of Route).
  void Check(const v1::Resource& resource, const std::vector<Claim>& claims, Report& report) const;

 private:
  struct Holder {
    const ResourceKey* key;
    const v1::Resource* resource;
    std::string field;
  };

  void CheckRoute(const v1::RouteMatch& match, const std::vector<Claim>& claims,
                  Report& report) const;
  void CheckExclusive(const Claim& claim, Report& report) const;
  const std::vector<Holder>* Find(const std::string& claim) const;

  std::unordered_map<std::string, std::vector<Holder>> holders_;
};

}  // namespace portico::api

#endif  // API_VALIDATION_CONFLICTS_H_
