#include <yaml-cpp/yaml.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "tools/porticoctl/kinds.h"
#include "tools/porticoctl/sources.h"

namespace portico::ctl {
namespace {

std::string Text(const YAML::Node& map, const char* field) {
  const YAML::Node value = map[field];
  return value && value.IsScalar() ? value.Scalar() : "";
}

// The line of the map's key, which is where people look; else -1.
int LineOfKey(const YAML::Node& map, const std::string& key) {
  for (const auto& entry : map) {
    if (entry.first.IsScalar() && entry.first.Scalar() == key) return entry.first.Mark().line;
  }
  return -1;
}

// Goes down along `field` as far as the text does; the last line seen.
int LineOfField(YAML::Node node, const std::string& field) {
  int line = node.Mark().line;
  for (const absl::string_view step : absl::StrSplit(field, '.', absl::SkipEmpty())) {
    const std::vector<std::string> parts =
        absl::StrSplit(step, absl::ByAnyChar("[]"), absl::SkipEmpty());
    for (size_t i = 0; i < parts.size(); ++i) {
      uint64_t index = 0;
      if (i == 0 && node.IsMap()) {
        const int found = LineOfKey(node, parts[i]);
        if (found < 0) return line;
        line = found;
        node.reset(node[parts[i]]);
      } else if (i > 0 && node.IsSequence() && absl::SimpleAtoi(parts[i], &index) &&
                 index < node.size()) {
        node.reset(node[index]);
        line = node.Mark().line;
      } else {
        return line;
      }
    }
  }
  return line;
}

// Zero-based line, or -1 when the document is about something else.
int LineInDocument(const YAML::Node& document, const api::ResourceKey& key,
                   const std::string& field) {
  if (document.IsSequence()) {
    for (const YAML::Node& element : document) {
      const int line = LineInDocument(element, key, field);
      if (line >= 0) return line;
    }
    return -1;
  }
  if (!document.IsMap() || Text(document, "name") != key.name ||
      CanonicalKind(Text(document, "kind")) != key.kind) {
    return -1;
  }
  return LineOfField(document, field);
}

}  // namespace

std::string Locations::Find(const api::ResourceKey& key, const std::string& field) const {
  for (const Source& source : sources_) {
    try {
      for (const YAML::Node& document : YAML::LoadAll(source.text)) {
        const int line = LineInDocument(document, key, field);
        if (line >= 0) return absl::StrCat(source.name, ":", line + 1);
      }
    } catch (const YAML::Exception&) {  // boundary: yaml-cpp reports by exceptions.
      continue;
    }
  }
  return "";
}

}  // namespace portico::ctl
