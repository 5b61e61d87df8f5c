// Names that services take for one another.
#ifndef DATAPLANE_FILTERS_LOOKALIKES_H_
#define DATAPLANE_FILTERS_LOOKALIKES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/http/headers.h"

namespace portico::filters {

// Whether two field names differ only in case and in "_" for "-".
inline bool LookAlike(std::string_view a, std::string_view b) {
  const auto fold = [](char c) {
    if (c == '_') return '-';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && fold(a[i]) != fold(b[i])) return false;
  }
  return true;
}

// The name of a field, looked up once.
struct FieldName {
  explicit FieldName(std::string text)
      : text(std::move(text)), id(http::LookUpHeader(this->text)) {}
  std::string text;
  http::HeaderId id;
};

// Names of fields that are removed together with those that look like them: "x_user" and
// "x-user" are one variable, HTTP_X_USER, to services behind CGI, WSGI and the like (RFC
// 3875 section 4.1.18), so a client could say with one what it may not say with the other.
class FieldNames {
 public:
  bool empty() const { return names_.empty(); }

  void Add(std::string name) {
    const http::HeaderId id = http::LookUpHeader(name);
    if (id != http::HeaderId::kOther) ids_ |= http::IdBit(id);
    lengths_ |= LengthBit(name);
    names_.push_back(std::move(name));
  }

  // One pass over the fields, however many names there are.
  void RemoveFrom(http::HeaderList& headers) const {
    if (names_.empty()) return;
    for (http::HeaderField& field : headers) {
      const bool named = field.id == http::HeaderId::kOther
                             ? (lengths_ & LengthBit(field.name)) != 0 && Names(field.name)
                             : (ids_ & http::IdBit(field.id)) != 0;
      if (named) field.name = {};
    }
  }

 private:
  static uint64_t LengthBit(std::string_view name) { return uint64_t{1} << (name.size() % 64); }

  bool Names(std::string_view field) const {
    for (const std::string& name : names_) {
      if (LookAlike(field, name)) return true;
    }
    return false;
  }

  std::vector<std::string> names_;
  // Of the names: what is not of these needs no comparison.
  http::HeaderIds ids_ = 0;
  uint64_t lengths_ = 0;
};

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_LOOKALIKES_H_
