#include "dataplane/filters/jwt/flat_json.h"

#include <algorithm>
#include <set>
#include <utility>

#include "nlohmann/json.hpp"

namespace portico::filters {
namespace {

constexpr size_t kMaxNesting = 16;

using Json = nlohmann::json;

// Returning false from any function ends the parse.
class Flattener final : public nlohmann::json_sax<Json> {
 public:
  FlatJson out;

  bool null() override { return Scalar(); }
  bool boolean(bool value) override {
    return Scalar(FlatValue::Type::kBoolean, value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override {
    return Scalar(FlatValue::Type::kInteger, std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Scalar(FlatValue::Type::kInteger, std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Scalar(FlatValue::Type::kFloat, text);
  }
  bool string(string_t& value) override { return Scalar(FlatValue::Type::kString, std::move(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override {
    if (frames_.size() == kMaxNesting) return false;
    Frame frame;
    if (!frames_.empty()) {
      Frame& parent = frames_.back();
      frame.ignored = parent.ignored || parent.array;
      parent.strings_only = false;
      frame.path = PathOf(parent);
      frame.depth = parent.depth + 1;
    }
    frames_.push_back(std::move(frame));
    return true;
  }
  bool key(string_t& name) override {
    if (frames_.size() == 1) out.members.push_back(name);
    frames_.back().name = name;
    return frames_.back().names.insert(std::move(name)).second;
  }
  bool end_object() override {
    frames_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override {
    if (frames_.empty() || frames_.size() == kMaxNesting) return false;
    Frame frame;
    frame.array = true;
    Frame& parent = frames_.back();
    frame.ignored = parent.ignored || parent.array;
    parent.strings_only = false;
    frame.path = PathOf(parent);
    frame.depth = parent.depth;
    frames_.push_back(std::move(frame));
    return true;
  }
  bool end_array() override {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    if (frame.ignored || !frame.strings_only) return true;
    FlatValue value{std::move(frame.path), FlatValue::Type::kStrings, "", std::move(frame.items), frame.depth};
    for (const std::string& item : value.items) {
      if (&item != &value.items.front()) value.text += ',';
      value.text += item;
    }
    out.values.push_back(std::move(value));
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  // An object or array that is open.
  struct Frame {
    bool array = false;
    bool ignored = false;
    uint32_t depth = 0;
    std::string path;             // Of the frame itself.
    std::string name;             // The last key of an object.
    std::set<std::string> names;  // All of its keys.
    bool strings_only = true;
    std::vector<std::string> items;
  };

  static std::string PathOf(const Frame& frame) {
    if (frame.array) return frame.path;
    return frame.path.empty() ? frame.name : frame.path + "." + frame.name;
  }

  bool Scalar() {
    if (frames_.empty()) return false;
    frames_.back().strings_only = false;
    return true;
  }
  bool Scalar(FlatValue::Type type, std::string text) {
    if (frames_.empty()) return false;
    Frame& frame = frames_.back();
    if (frame.array) {
      frame.strings_only = frame.strings_only && type == FlatValue::Type::kString;
      if (frame.strings_only && !frame.ignored) frame.items.push_back(std::move(text));
      return true;
    }
    if (!frame.ignored) out.values.push_back({PathOf(frame), type, std::move(text), {}, frame.depth});
    return true;
  }

  std::vector<Frame> frames_;
};

}  // namespace

bool FlatJson::HasMember(std::string_view name) const {
  return std::find(members.begin(), members.end(), name) != members.end();
}

const FlatValue* FlatJson::Find(std::string_view name) const {
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const FlatValue& value) { return value.depth == 0 && value.path == name; });
  return found == values.end() ? nullptr : &*found;
}

std::optional<FlatJson> FlattenJson(std::string_view text) {
  Flattener flattener;
  if (!Json::sax_parse(text.begin(), text.end(), &flattener)) return std::nullopt;
  return std::move(flattener.out);
}

}  // namespace portico::filters
