// How answers are printed: tables, JSON, YAML.
#ifndef TOOLS_PORTICOCTL_OUTPUT_H_
#define TOOLS_PORTICOCTL_OUTPUT_H_

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/porticoctl/arguments.h"

namespace portico::ctl {

// Where a command reads and writes.
struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

// Keeps the order in which members were added.
using Json = nlohmann::ordered_json;

// Rows of text in aligned columns, two spaces apart.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // REQUIRES: as many cells as the header has.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // Line breaks and control characters in cells become spaces.
  std::string Format() const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// A YAML document, block style, ending with a newline; strings that YAML would
// read as something else are quoted.
std::string ToYamlText(const Json& value);

// `value` as JSON or YAML. REQUIRES: format is not kTable.
void Print(const Json& value, OutputFormat format, std::ostream& out);

}  // namespace portico::ctl

#endif  // TOOLS_PORTICOCTL_OUTPUT_H_
