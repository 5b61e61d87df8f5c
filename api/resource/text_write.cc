#include <yaml-cpp/emitter.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "api/resource/duration.h"
#include "api/resource/resource.h"
#include "api/resource/strings.h"
#include "api/resource/text.h"
#include "api/resource/text_message.h"
#include "google/protobuf/timestamp.pb.h"

namespace portico::api {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::ordered_json;

Json MessageJson(const Message& message);

Json ChildJson(const Message& child) {
  if (const auto* duration =
          google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(&child)) {
    return FormatDuration(*duration);
  }
  if (const auto* time =
          google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(&child)) {
    return absl::FormatTime(
        "%E4Y-%m-%dT%H:%M:%E*SZ",
        absl::FromUnixSeconds(time->seconds()) + absl::Nanoseconds(time->nanos()),
        absl::UTCTimeZone());
  }
  return MessageJson(child);
}

// A singular field, or the element `index` of a list when it is not negative.
Json ValueJson(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool element = index >= 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ChildJson(element ? reflection.GetRepeatedMessage(message, &field, index)
                               : reflection.GetMessage(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* value = element ? reflection.GetRepeatedEnum(message, &field, index)
                                  : reflection.GetEnum(message, &field);
      return ShortEnumName(*value);
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = element ? reflection.GetRepeatedString(message, &field, index)
                                       : reflection.GetString(message, &field);
      // What stands in place of a secret has no other form.
      if (field.type() != FieldDescriptor::TYPE_BYTES || text == kRedacted) return text;
      return absl::Base64Escape(text);
    }
    default:
      return nullptr;  // No other type in the protos of resources; a test walks them all.
  }
}

Json MapJson(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->FindFieldByNumber(1);
  const FieldDescriptor& value = *field.message_type()->FindFieldByNumber(2);
  std::vector<std::pair<std::string, std::string>> entries;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    entries.emplace_back(entry.GetReflection()->GetString(entry, &key),
                         entry.GetReflection()->GetString(entry, &value));
  }
  std::sort(entries.begin(), entries.end());
  Json json = Json::object();
  for (auto& [name, text] : entries) json[name] = text;
  return json;
}

Json MessageJson(const Message& message) {
  Json json = Json::object();
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    Json& value = json[field->name()];
    if (field->is_map()) {
      value = MapJson(message, *field);
    } else if (field->is_repeated()) {
      value = Json::array();
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        value.push_back(ValueJson(message, *field, i));
      }
    } else {
      value = ValueJson(message, *field, -1);
    }
  }
  return json;
}

Json ResourceJson(const v1::Resource& resource) {
  Json json = Json::object();
  json["kind"] = std::string(KindOf(resource));
  json["name"] = resource.name();
  if (!resource.labels().empty()) {
    json["labels"] = MapJson(resource, *v1::Resource::descriptor()->FindFieldByName("labels"));
  }
  if (!resource.description().empty()) json["description"] = resource.description();
  const auto* spec = resource.GetReflection()->GetOneofFieldDescriptor(
      resource, v1::Resource::descriptor()->FindOneofByName("spec"));
  if (spec != nullptr)
    json["spec"] = MessageJson(resource.GetReflection()->GetMessage(resource, spec));
  return json;
}

// Text that YAML readers take for something else when it stands without quotes.
bool LooksLikeNoText(std::string_view text) {
  constexpr std::array<std::string_view, 9> kWords = {"true", "false", "yes", "no",  "on",
                                                      "off",  "y",     "n",   "null"};
  if (text.empty() || absl::ascii_isdigit(static_cast<unsigned char>(text[0]))) return true;
  if (std::string_view("+-.~<=").find(text[0]) != std::string_view::npos) return true;
  return std::any_of(kWords.begin(), kWords.end(), [&](std::string_view word) {
    return absl::EqualsIgnoreCase(Absl(word), Absl(text));
  });
}

// Durations and times of our own are plain; they start with a digit but name a unit.
bool IsPlainText(std::string_view text) {
  if (text == "0s") return true;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) {
                       return absl::ascii_isalnum(c) || c == '/' || c == '_' || c == '-' ||
                              c == '.';
                     }) &&
         !LooksLikeNoText(text);
}

bool IsDuration(std::string_view text) {
  return !text.empty() && absl::ascii_isdigit(static_cast<unsigned char>(text[0])) &&
         absl::ascii_isalpha(static_cast<unsigned char>(text.back())) &&
         text.find_first_not_of("0123456789hmsun") == std::string_view::npos;
}

// Lines as in a PEM file, which people want to see as lines.
bool IsBlock(std::string_view text) {
  if (std::count(text.begin(), text.end(), '\n') < 2 || text.back() != '\n') return false;
  bool line_start = true;
  for (const char c : text) {
    if (c == '\n' ? line_start : (c < 0x20 || c >= 0x7f || (line_start && c == ' '))) return false;
    line_start = c == '\n';
  }
  return true;
}

void EmitText(const std::string& text, YAML::Emitter& out) {
  if (IsBlock(text)) {
    out << YAML::Literal << text;
    return;
  }
  const bool printable =
      std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (IsPlainText(text) || IsDuration(text)) {
    out << text;
  } else if (printable && text.find('"') != std::string::npos) {
    out << YAML::SingleQuoted << text;
  } else {
    out << YAML::DoubleQuoted << text;
  }
}

void EmitKey(const std::string& key, YAML::Emitter& out) {
  // A key in the short form may not be longer than 1024 characters as written (YAML 1.2 section
  // 7.4.2), and a byte that is escaped is written as four of them.
  if (key.size() > 200) out << YAML::LongKey;
  out << YAML::Key;
  EmitText(key, out);
  out << YAML::Value;
}

void Emit(const Json& json, YAML::Emitter& out) {
  if (json.is_object()) {
    if (json.empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, value] : json.items()) {
      EmitKey(key, out);
      Emit(value, out);
    }
    out << YAML::EndMap;
  } else if (json.is_array()) {
    const bool texts =
        std::all_of(json.begin(), json.end(), [](const Json& value) { return value.is_string(); });
    if (texts && json.size() <= 8) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const Json& value : json) Emit(value, out);
    out << YAML::EndSeq;
  } else if (json.is_string()) {
    EmitText(json.get_ref<const std::string&>(), out);
  } else {
    out << json.dump();
  }
}

}  // namespace

std::string ToYaml(const v1::Resource& resource) {
  YAML::Emitter out;
  Emit(ResourceJson(resource), out);
  return std::string(out.c_str()) + "\n";
}

std::string ToJson(const v1::Resource& resource, bool pretty) {
  // Strings of a message that was not read from the wire may be no UTF-8.
  return ResourceJson(resource).dump(pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace portico::api
