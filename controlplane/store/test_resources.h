// Small resources for tests of the control plane.
#ifndef CONTROLPLANE_STORE_TEST_RESOURCES_H_
#define CONTROLPLANE_STORE_TEST_RESOURCES_H_

#include <string>
#include <utility>
#include <vector>

#include "api/resource/resource.h"
#include "controlplane/model/revision.h"

namespace portico::control {

// A valid Upstream whose content differs with `port`.
inline v1::Resource TestUpstream(const std::string& name, int port = 8080) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_upstream()->add_endpoints()->set_address("127.0.0.1:" + std::to_string(port));
  return resource;
}

// A valid Route for "/NAME" to that upstream.
inline v1::Resource TestRoute(const std::string& name, const std::string& upstream) {
  v1::Resource resource;
  resource.set_name(name);
  resource.mutable_route()->mutable_match()->mutable_path()->set_prefix("/" + name);
  resource.mutable_route()->add_upstreams()->set_name(upstream);
  return resource;
}

// The changes that put `upserts` and remove `deletions` on top of `set`.
inline std::vector<Change> ChangesTo(const api::ResourceSet& set,
                                     const std::vector<v1::Resource>& upserts,
                                     const std::vector<api::ResourceKey>& deletions = {}) {
  api::ResourceSet after = set;
  for (const v1::Resource& resource : upserts) {
    api::StoredResourcePtr stored = api::MakeStored(resource);
    after[api::KeyOf(stored->resource)] = std::move(stored);
  }
  for (const api::ResourceKey& key : deletions) after.erase(key);
  return Diff(set, after);
}

// The info of the revision that `changes` make of `set`.
inline RevisionInfo InfoAfter(uint64_t revision, api::ResourceSet set,
                              const std::vector<Change>& changes) {
  ApplyTo(changes, set);
  RevisionInfo info;
  info.revision = revision;
  info.created_at = absl::FromUnixSeconds(1'000'000'000 + static_cast<int64_t>(revision));
  info.author = "tester";
  info.message = "revision " + std::to_string(revision);
  info.checksum = api::ChecksumOf(set);
  Count(changes, info);
  return info;
}

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_TEST_RESOURCES_H_
