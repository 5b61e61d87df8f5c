// A text tree into a protobuf message, with errors that people can act on.
#ifndef API_RESOURCE_TEXT_MESSAGE_H_
#define API_RESOURCE_TEXT_MESSAGE_H_

#include <string>
#include <string_view>
#include <vector>

#include "api/resource/text_tree.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace portico::api {

// Collects errors of one text: "SOURCE:LINE: RESOURCE FIELD: reason; fix".
class TextErrors {
 public:
  explicit TextErrors(std::string_view source) : source_(source) {}

  // Names the resource in what follows ("Route/users"); empty for none.
  void set_resource(std::string resource) { resource_ = std::move(resource); }
  void Add(int line, std::string_view field, std::string_view message);
  bool empty() const { return errors_.empty(); }
  // Joined with newlines; after the first 1000 only their number.
  std::string Joined() const;

 private:
  std::string source_;
  std::string resource_;
  std::vector<std::string> errors_;
  size_t left_out_ = 0;
};

// Fills `message` from a map (or null, which leaves it empty). `path` is the field path so far
// ("spec.match"). Every error in the tree is added to `errors`; fields without one are set.
void ReadMessage(const TextNode& node, const std::string& path, google::protobuf::Message& message,
                 TextErrors& errors);

// The text of a scalar for a string field or a key; adds an error otherwise.
bool ReadString(const TextNode& node, const std::string& path, std::string& out,
                TextErrors& errors);

// "ROUND_ROBIN" for LOAD_BALANCER_ROUND_ROBIN, "1.3" for TLS_VERSION_1_3.
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor& value);

}  // namespace portico::api

#endif  // API_RESOURCE_TEXT_MESSAGE_H_
