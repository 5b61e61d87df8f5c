// JSON objects as lists of paths and texts.
#ifndef DATAPLANE_FILTERS_JWT_FLAT_JSON_H_
#define DATAPLANE_FILTERS_JWT_FLAT_JSON_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portico::filters {

struct FlatValue {
  enum class Type : uint8_t { kString, kInteger, kFloat, kBoolean, kStrings };
  // Names joined with ".", from the outermost object down.
  std::string path;
  Type type = Type::kString;
  // Numbers as written; kStrings joined with ",".
  std::string text;
  std::vector<std::string> items;  // kStrings
  // How many objects `path` goes down. A name may contain dots itself.
  uint32_t depth = 0;
};

struct FlatJson {
  // Without nulls, arrays of anything but strings, and what is inside arrays.
  std::vector<FlatValue> values;
  // Names in the outermost object, whatever their values are.
  std::vector<std::string> members;

  bool HasMember(std::string_view name) const;
  // The value of a member of the outermost object; nullptr if it is absent or left out.
  const FlatValue* Find(std::string_view name) const;
};

// One JSON object. nullopt: `text` is none, repeats a name within one object, or
// nests deeper than 16.
std::optional<FlatJson> FlattenJson(std::string_view text);

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_JWT_FLAT_JSON_H_
