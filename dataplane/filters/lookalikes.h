// Names that services take for one another.
#ifndef DATAPLANE_FILTERS_LOOKALIKES_H_
#define DATAPLANE_FILTERS_LOOKALIKES_H_

#include <cstddef>
#include <string_view>

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

// Removes the field, and those that look like it: "x_user" and "x-user" are one
// variable, HTTP_X_USER, to services behind CGI, WSGI and the like (RFC 3875 section
// 4.1.18), so a client could say with one what it may not say with the other.
inline void RemoveWithLookalikes(http::HeaderList& headers, std::string_view name) {
  headers.Remove(name);
  for (http::HeaderField& field : headers) {
    if (field.id == http::HeaderId::kOther && LookAlike(field.name, name)) field.name = {};
  }
}

}  // namespace portico::filters

#endif  // DATAPLANE_FILTERS_LOOKALIKES_H_
