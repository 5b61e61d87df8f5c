#include "api/resource/text.h"

#include <array>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/resource/near.h"
#include "api/resource/strings.h"
#include "api/resource/text_message.h"
#include "api/resource/text_tree.h"

namespace portico::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;
using Type = TextNode::Type;

constexpr size_t kMaxResources = 200000;
constexpr std::array<std::string_view, 5> kTopFields = {"kind", "name", "labels", "description",
                                                        "spec"};

// The members of one resource as written.
struct Parts {
  const TextNode* kind = nullptr;
  const TextNode* name = nullptr;
  const TextNode* labels = nullptr;
  const TextNode* description = nullptr;
  const TextNode* spec = nullptr;
};

const TextNode** PartOf(Parts& parts, std::string_view field) {
  if (field == "kind") return &parts.kind;
  if (field == "name") return &parts.name;
  if (field == "labels") return &parts.labels;
  if (field == "description") return &parts.description;
  if (field == "spec") return &parts.spec;
  return nullptr;
}

Parts Split(const TextNode& node, TextErrors& errors) {
  Parts parts;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    const TextNode& key = *node.children[i];
    std::string field;
    if (!ReadString(key, "", field, errors)) continue;
    const TextNode** part = PartOf(parts, field);
    if (part == nullptr) {
      const std::string near = Nearest(field, {kTopFields.begin(), kTopFields.end()});
      errors.Add(
          key.line, field.substr(0, 128),
          near.empty()
              ? "is not a field of a resource; settings stand under \"spec\", beside kind, name, "
                "labels and description"
              : absl::StrCat("is not a known field; did you mean \"", near, "\"?"));
    } else if (*part != nullptr) {
      errors.Add(key.line, field, "is given twice; remove one");
    } else {
      *part = node.children[i + 1];
    }
  }
  return parts;
}

// The field of the oneof `spec` whose message has the name `kind`.
const FieldDescriptor* FindKind(const TextNode* kind, const TextNode& resource,
                                TextErrors& errors) {
  const OneofDescriptor& specs = *v1::Resource::descriptor()->FindOneofByName("spec");
  std::vector<std::string> names;
  std::string wanted;
  if (kind != nullptr && kind->type != Type::kNull && !ReadString(*kind, "kind", wanted, errors))
    return nullptr;
  for (int i = 0; i < specs.field_count(); ++i) {
    names.push_back(specs.field(i)->message_type()->name());
    if (names.back() == wanted) return specs.field(i);
  }
  const std::string near = Nearest(wanted, names);
  errors.Add(kind == nullptr ? resource.line : kind->line, "kind",
             absl::StrCat(wanted.empty()
                              ? std::string("is missing")
                              : absl::StrCat("\"", wanted.substr(0, 128), "\" is not a known kind"),
                          "; ",
                          near.empty() ? absl::StrCat("write one of ", absl::StrJoin(names, ", "))
                                       : absl::StrCat("did you mean \"", near, "\"?")));
  return nullptr;
}

class Reader {
 public:
  explicit Reader(std::string_view source) : errors_(source) {}

  void ReadDocument(const TextNode& node) {
    if (node.type == Type::kNull) return;  // Nothing between two "---".
    if (node.type != Type::kSequence) {
      ReadResource(node);
      return;
    }
    for (const TextNode* element : node.children) ReadResource(*element);
  }

  absl::StatusOr<std::vector<v1::Resource>> Finish() && {
    if (!errors_.empty()) return absl::InvalidArgumentError(errors_.Joined());
    return std::move(resources_);
  }

 private:
  void ReadResource(const TextNode& node) {
    errors_.set_resource("");
    if (node.type != Type::kMap) {
      errors_.Add(node.line, "", "a resource is a map; write \"kind:\", \"name:\" and \"spec:\"");
      return;
    }
    if (resources_.size() >= kMaxResources) {
      if (!full_)
        errors_.Add(node.line, "",
                    absl::StrCat("more than ", kMaxResources, " resources; apply them in parts"));
      full_ = true;
      return;
    }
    const Parts parts = Split(node, errors_);
    const FieldDescriptor* kind = FindKind(parts.kind, node, errors_);
    v1::Resource resource;
    if (parts.name == nullptr || parts.name->type == Type::kNull) {
      errors_.Add(node.line, "name", "is missing; give the resource a name");
    } else if (std::string name; ReadString(*parts.name, "name", name, errors_)) {
      resource.set_name(std::move(name));
    }
    if (kind == nullptr) return;
    const std::string shown =
        absl::StrCat(kind->message_type()->name(), "/", resource.name().substr(0, 128));
    errors_.set_resource(shown);
    ReadCommon(parts, resource);
    google::protobuf::Message* spec = resource.GetReflection()->MutableMessage(&resource, kind);
    if (parts.spec != nullptr) ReadMessage(*parts.spec, "spec", *spec, errors_);
    const auto [first, fresh] =
        lines_.emplace(std::pair(kind->number(), resource.name()), node.line);
    if (!fresh && !resource.name().empty()) {
      errors_.Add(node.line, "",
                  absl::StrCat("is written twice, first on line ", first->second, "; remove one"));
    }
    resources_.push_back(std::move(resource));
  }

  // Labels and description are ordinary fields of the message, one level up from the spec.
  void ReadCommon(const Parts& parts, v1::Resource& resource) {
    TextNode common;
    common.type = Type::kMap;
    std::array<TextNode, 2> keys;
    const auto add = [&](TextNode& key, const char* name, const TextNode* value) {
      if (value == nullptr) return;
      key.type = Type::kScalar;
      key.line = value->line;
      key.scalar = name;
      common.children.push_back(&key);
      common.children.push_back(value);
    };
    add(keys[0], "labels", parts.labels);
    add(keys[1], "description", parts.description);
    ReadMessage(common, "", resource, errors_);
  }

  TextErrors errors_;
  std::vector<v1::Resource> resources_;
  std::map<std::pair<int, std::string>, int> lines_;
  bool full_ = false;
};

}  // namespace

absl::StatusOr<std::vector<v1::Resource>> ParseResources(std::string_view text,
                                                         std::string_view source) {
  absl::StatusOr<TextTree> tree = ParseTextTree(text, TextBounds());
  if (!tree.ok()) {
    const absl::string_view message = tree.status().message();
    const bool has_line =
        !message.empty() && absl::ascii_isdigit(static_cast<unsigned char>(message[0]));
    return absl::InvalidArgumentError(absl::StrCat(Absl(source), has_line ? ":" : ": ", message));
  }
  Reader reader(source);
  for (const TextNode* document : tree->documents) reader.ReadDocument(*document);
  return std::move(reader).Finish();
}

}  // namespace portico::api
