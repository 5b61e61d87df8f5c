// The resources behind -f: files, folders, standard input.
#ifndef TOOLS_PORTICOCTL_SOURCES_H_
#define TOOLS_PORTICOCTL_SOURCES_H_

#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/portico/v1/resource.pb.h"
#include "api/resource/resource.h"

namespace portico::ctl {

// One text with resources.
struct Source {
  // Path as given, or "<stdin>".
  std::string name;
  std::string text;
};

// Largest text read from one place.
inline constexpr size_t kMaxSourceBytes = 64u << 20;

// Reads each path: a file, "-" for `in`, or a folder, of which all files ending
// in .yaml, .yml and .json are read, subfolders included, hidden ones not, in
// byte order. Errors: NotFound, one line, when something cannot be read, is too
// large or holds nothing.
absl::StatusOr<std::vector<Source>> ReadSources(const std::vector<std::string>& paths,
                                                std::istream& in);

// Where resources stand in their texts.
class Locations {
 public:
  Locations() = default;
  // Keeps the texts; looks into them when asked.
  explicit Locations(std::vector<Source> sources) : sources_(std::move(sources)) {}

  // "users.yaml:12", the line of the field, or of the nearest thing around it
  // that is written there; empty when the resource comes from elsewhere.
  // `field` is a path like "spec.upstreams[1].name".
  std::string Find(const api::ResourceKey& key, const std::string& field) const;

 private:
  std::vector<Source> sources_;
};

struct LoadedResources {
  std::vector<v1::Resource> resources;
  Locations locations;
};

// Parses all texts. Errors: InvalidArgument with one line for each mistake: text
// that is not a resource, and resources that are there twice.
absl::StatusOr<LoadedResources> LoadResources(std::vector<Source> sources);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_SOURCES_H_
