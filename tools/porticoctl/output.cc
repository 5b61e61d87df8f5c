#include "tools/porticoctl/output.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <ostream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace portico::ctl {
namespace {

// Code points, which is what terminals show for the text found here.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

// Whether YAML reads the bare text as this very string.
bool IsPlain(const std::string& text) {
  if (text.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(text[0]))) return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && c != '.' &&
        c != '/') {
      return false;
    }
  }
  for (const char* word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}) {
    if (absl::EqualsIgnoreCase(text, word)) return false;
  }
  return true;
}

void EmitString(const std::string& text, YAML::Emitter& emitter) {
  if (!IsPlain(text)) emitter << YAML::DoubleQuoted;
  emitter << text;
}

void Emit(const Json& value, YAML::Emitter& emitter) {
  if (value.is_object()) {
    if (value.empty()) emitter << YAML::Flow;
    emitter << YAML::BeginMap;
    for (const auto& [key, member] : value.items()) {
      emitter << YAML::Key;
      EmitString(key, emitter);
      emitter << YAML::Value;
      Emit(member, emitter);
    }
    emitter << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.empty()) emitter << YAML::Flow;
    emitter << YAML::BeginSeq;
    for (const Json& element : value) Emit(element, emitter);
    emitter << YAML::EndSeq;
  } else if (value.is_string()) {
    EmitString(value.get<std::string>(), emitter);
  } else {
    emitter << value.dump();
  }
}

}  // namespace

std::string Table::Format() const {
  std::vector<size_t> widths;
  for (const std::string& cell : header_) widths.push_back(Width(cell));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  const auto add_line = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i) {
      line += OneLine(cells[i]);
      line.append(widths[i] - Width(cells[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add_line(header_);
  for (const auto& row : rows_) add_line(row);
  return text;
}

std::string ToYamlText(const Json& value) {
  YAML::Emitter emitter;
  Emit(value, emitter);
  return std::string(emitter.c_str(), emitter.size()) + "\n";
}

void Print(const Json& value, OutputFormat format, std::ostream& out) {
  if (format == OutputFormat::kYaml) {
    out << ToYamlText(value);
  } else {
    out << value.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  }
}

}  // namespace portico::ctl
