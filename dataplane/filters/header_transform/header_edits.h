// Header edits, compiled: behaviour without configuration.
#ifndef DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_EDITS_H_
#define DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_EDITS_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/resource/header_template.h"
#include "dataplane/filters/lookalikes.h"
#include "dataplane/snapshot/policy.h"

namespace portico::filters {

// A value made of literals and variables.
class ValueTemplate {
 public:
  explicit ValueTemplate(std::vector<api::HeaderPart> parts) : parts_(std::move(parts)) {}

  // Lives as long as the exchange. A variable without a value, or with one that
  // may not stand in a header, is empty; white space at the ends is dropped.
  std::string_view Evaluate(const snapshot::PolicyContext& context) const;

 private:
  std::vector<api::HeaderPart> parts_;
};

struct HeaderEdit {
  HeaderEdit(std::string name, ValueTemplate value) : name(name), value(std::move(value)) {
    replaced.Add(std::move(name));
  }
  FieldName name;
  ValueTemplate value;
  // What goes when the field is set.
  FieldNames replaced;
};

// Order: remove, set, add.
struct HeaderEdits {
  FieldNames remove;
  std::vector<HeaderEdit> set, add;

  bool empty() const { return remove.empty() && set.empty() && add.empty(); }
  void Apply(const snapshot::PolicyContext& context, http::HeaderList& headers) const;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_HEADER_TRANSFORM_HEADER_EDITS_H_
