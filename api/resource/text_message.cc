#include "api/resource/text_message.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "api/resource/duration.h"
#include "api/resource/near.h"
#include "api/resource/secrets.h"
#include "api/resource/strings.h"
#include "google/protobuf/stubs/common.h"
#include "google/protobuf/timestamp.pb.h"

namespace portico::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Type = TextNode::Type;

constexpr size_t kMaxErrors = 1000;

std::string Shown(std::string_view text) {
  if (text.size() <= 128) return std::string(text);
  return absl::StrCat(Absl(text.substr(0, 128)), "...");
}

std::string_view NameOf(Type type) {
  switch (type) {
    case Type::kNull:
      return "nothing";
    case Type::kScalar:
      return "a single value";
    case Type::kSequence:
      return "a list";
    case Type::kMap:
      return "a map";
  }
  return "";
}

std::string Join(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", Absl(name));
}

// One field, singular or one element of a list, being set from a node.
struct Target {
  Message& message;
  const FieldDescriptor& field;
  const std::string& path;
  TextErrors& errors;

  const Reflection& reflection() const { return *message.GetReflection(); }
  void Error(const TextNode& node, std::string_view text) const {
    errors.Add(node.line, path, text);
  }
};

void ReadWellKnown(const TextNode& node, const Target& target, Message& value) {
  std::string text;
  if (!ReadString(node, target.path, text, target.errors)) return;
  if (auto* duration =
          google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(&value)) {
    absl::StatusOr<google::protobuf::Duration> parsed = ParseDuration(text);
    if (parsed.ok()) {
      *duration = *parsed;
    } else {
      target.Error(node, absl::StrCat("\"", Shown(text), "\" ", parsed.status().message()));
    }
    return;
  }
  auto* timestamp = google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&value);
  absl::Time time;
  std::string error;
  // RFC 3339; the range is that of google.protobuf.Timestamp.
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) ||
      time < absl::FromUnixSeconds(-62135596800) || time >= absl::FromUnixSeconds(253402300800)) {
    target.Error(
        node, absl::StrCat("\"", Shown(text),
                           "\" is not a time; write it like \"2030-12-31T23:59:59Z\" (RFC 3339)"));
    return;
  }
  const int64_t seconds = absl::ToUnixSeconds(time);
  timestamp->set_seconds(seconds);
  timestamp->set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

bool IsWellKnown(const Descriptor& type) {
  return &type == google::protobuf::Duration::descriptor() ||
         &type == google::protobuf::Timestamp::descriptor();
}

void ReadChild(const TextNode& node, const Target& target) {
  const Reflection& reflection = target.reflection();
  Message* child = target.field.is_repeated()
                       ? reflection.AddMessage(&target.message, &target.field)
                       : reflection.MutableMessage(&target.message, &target.field);
  if (IsWellKnown(*target.field.message_type())) {
    ReadWellKnown(node, target, *child);
  } else {
    ReadMessage(node, target.path, *child, target.errors);
  }
}

void ReadEnum(const TextNode& node, const Target& target) {
  const EnumDescriptor& type = *target.field.enum_type();
  std::string text;
  if (!ReadString(node, target.path, text, target.errors)) return;
  const std::string wanted = absl::AsciiStrToUpper(text);
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    const std::string name = ShortEnumName(*type.value(i));
    names.push_back(absl::AsciiStrToLower(name));
    if (wanted == name || wanted == Std(type.value(i)->name())) {
      target.reflection().SetEnum(&target.message, &target.field, type.value(i));
      return;
    }
  }
  target.Error(node, absl::StrCat("\"", Shown(text), "\" is not a known value; write one of ",
                                  absl::StrJoin(names, ", ")));
}

template <typename T>
std::optional<T> ReadUnsigned(const TextNode& node, const Target& target) {
  std::string text;
  if (!ReadString(node, target.path, text, target.errors)) return std::nullopt;
  uint64_t value = 0;
  // SimpleAtoi() takes spaces and signs, too.
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(text, &value) || value > std::numeric_limits<T>::max()) {
    target.Error(node, absl::StrCat("\"", Shown(text), "\" is not a whole number from 0 to ",
                                    std::numeric_limits<T>::max(), "; write digits only"));
    return std::nullopt;
  }
  return static_cast<T>(value);
}

void ReadBool(const TextNode& node, const Target& target) {
  std::string text;
  if (!ReadString(node, target.path, text, target.errors)) return;
  const std::string lower = absl::AsciiStrToLower(text);
  if (!node.plain || (lower != "true" && lower != "false")) {
    target.Error(node, absl::StrCat("\"", Shown(text),
                                    "\" is not a boolean; write true or false, without quotes"));
    return;
  }
  target.reflection().SetBool(&target.message, &target.field, lower == "true");
}

// From base64 to the bytes themselves. False: it is not.
bool DecodeBytes(std::string& text) {
  if (text == kRedacted) return true;
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) return false;
  text = std::move(bytes);
  return true;
}

// Sets a singular field or adds one element.
void ReadValue(const TextNode& node, const Target& target) {
  const Reflection& reflection = target.reflection();
  switch (target.field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      ReadChild(node, target);
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      ReadEnum(node, target);
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      ReadBool(node, target);
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      if (const auto value = ReadUnsigned<uint32_t>(node, target)) {
        reflection.SetUInt32(&target.message, &target.field, *value);
      }
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      if (const auto value = ReadUnsigned<uint64_t>(node, target)) {
        reflection.SetUInt64(&target.message, &target.field, *value);
      }
      return;
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text;
      if (!ReadString(node, target.path, text, target.errors)) return;
      if (target.field.type() == FieldDescriptor::TYPE_BYTES && !DecodeBytes(text)) {
        // Not shown: it may be a secret.
        target.Error(node, "is not base64; write what `base64 FILE` prints (RFC 4648 section 4)");
        return;
      }
      if (target.field.is_repeated()) {
        reflection.AddString(&target.message, &target.field, std::move(text));
      } else {
        reflection.SetString(&target.message, &target.field, std::move(text));
      }
      return;
    }
    default:
      // The protos of resources have no signed or floating fields; a test walks them all.
      target.Error(node, "cannot be set from text; leave it out");
  }
}

void ReadMap(const TextNode& node, const Target& target) {
  if (node.type != Type::kMap) {
    target.Error(node,
                 absl::StrCat("is ", Absl(NameOf(node.type)), "; write a map of \"name: text\""));
    return;
  }
  const Descriptor& entry_type = *target.field.message_type();
  std::set<std::string> seen;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    std::string key;
    if (!ReadString(*node.children[i], target.path, key, target.errors)) continue;
    const std::string path = Join(target.path, key);
    if (!seen.insert(key).second) {
      target.errors.Add(node.children[i]->line, path, "is given twice; remove one");
      continue;
    }
    Message* entry = target.reflection().AddMessage(&target.message, &target.field);
    entry->GetReflection()->SetString(entry, entry_type.FindFieldByNumber(1), key);
    ReadValue(*node.children[i + 1],
              Target{*entry, *entry_type.FindFieldByNumber(2), path, target.errors});
  }
}

void ReadField(const TextNode& node, const Target& target) {
  if (node.type == Type::kNull) return;  // As if it were not written, like null in JSON.
  if (target.field.is_map()) {
    ReadMap(node, target);
    return;
  }
  if (!target.field.is_repeated()) {
    ReadValue(node, target);
    return;
  }
  if (node.type != Type::kSequence) {
    target.Error(node, absl::StrCat("is ", Absl(NameOf(node.type)),
                                    "; write a list: [...], or lines with \"- \""));
    return;
  }
  for (size_t i = 0; i < node.children.size(); ++i) {
    const std::string path = absl::StrCat(target.path, "[", i, "]");
    ReadValue(*node.children[i], Target{target.message, target.field, path, target.errors});
  }
}

const FieldDescriptor* FindField(const Descriptor& type, const std::string& name) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  return field != nullptr ? field : type.FindFieldByCamelcaseName(name);
}

std::string UnknownField(const Descriptor& type, const std::string& name) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  const std::string near = Nearest(name, names);
  if (!near.empty()) return absl::StrCat("is not a known field; did you mean \"", near, "\"?");
  if (names.empty()) return "is not a known field; this takes none, write {}";
  return absl::StrCat("is not a known field; known are ", absl::StrJoin(names, ", "));
}

}  // namespace

void TextErrors::Add(int line, std::string_view field, std::string_view message) {
  if (errors_.size() >= kMaxErrors) {
    ++left_out_;
    return;
  }
  std::string where = source_;
  if (line > 0) absl::StrAppend(&where, ":", line);
  absl::StrAppend(&where, ": ", resource_, resource_.empty() || field.empty() ? "" : " ",
                  Absl(field), resource_.empty() && field.empty() ? "" : ": ", Absl(message));
  errors_.push_back(std::move(where));
}

std::string TextErrors::Joined() const {
  std::string joined = absl::StrJoin(errors_, "\n");
  if (left_out_ > 0) absl::StrAppend(&joined, "\n", source_, ": and ", left_out_, " more errors");
  return joined;
}

void ReadMessage(const TextNode& node, const std::string& path, Message& message,
                 TextErrors& errors) {
  if (node.type == Type::kNull) return;
  const Descriptor& type = *message.GetDescriptor();
  if (node.type != Type::kMap) {
    errors.Add(node.line, path,
               absl::StrCat("is ", Absl(NameOf(node.type)), "; write a map of fields"));
    return;
  }
  std::set<const FieldDescriptor*> seen;
  for (size_t i = 0; i + 1 < node.children.size(); i += 2) {
    const TextNode& key = *node.children[i];
    const TextNode& value = *node.children[i + 1];
    std::string name;
    if (!ReadString(key, path, name, errors)) continue;
    const FieldDescriptor* field = FindField(type, name);
    if (field == nullptr) {
      errors.Add(key.line, Join(path, Shown(name)), UnknownField(type, name));
      continue;
    }
    const std::string field_path = Join(path, field->name());
    if (!seen.insert(field).second) {
      errors.Add(key.line, field_path, "is given twice; remove one");
      continue;
    }
    if (const auto* oneof = field->real_containing_oneof();
        oneof != nullptr && value.type != Type::kNull) {
      const FieldDescriptor* other =
          message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
      if (other != nullptr) {
        errors.Add(key.line, field_path,
                   absl::StrCat("cannot stand beside ", other->name(), "; remove one of them"));
        continue;
      }
    }
    ReadField(value, Target{message, *field, field_path, errors});
  }
}

bool ReadString(const TextNode& node, const std::string& path, std::string& out,
                TextErrors& errors) {
  if (node.type != Type::kScalar) {
    errors.Add(node.line, path,
               absl::StrCat("is ", Absl(NameOf(node.type)), "; write a single value"));
    return false;
  }
  // What is no UTF-8 could be stored, but not sent: protobuf refuses to read it.
  if (!google::protobuf::internal::IsStructurallyValidUTF8(node.scalar.data(),
                                                           static_cast<int>(node.scalar.size()))) {
    errors.Add(node.line, path, "is not UTF-8; save the file in that encoding");
    return false;
  }
  out = node.scalar;
  return true;
}

std::string ShortEnumName(const google::protobuf::EnumValueDescriptor& value) {
  // LoadBalancer -> LOAD_BALANCER_
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (absl::ascii_isupper(c) && !prefix.empty()) prefix.push_back('_');
    prefix.push_back(absl::ascii_toupper(c));
  }
  prefix.push_back('_');
  std::string name(absl::StripPrefix(value.name(), prefix));
  // "1.3" for TLS_VERSION_1_3.
  if (absl::ascii_isdigit(static_cast<unsigned char>(name[0])))
    std::replace(name.begin(), name.end(), '_', '.');
  return name;
}

}  // namespace portico::api
