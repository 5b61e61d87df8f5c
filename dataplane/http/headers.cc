#include "dataplane/http/headers.h"

#include "dataplane/http/header_names.h"

namespace portico::http {
namespace {

constexpr unsigned char Lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const unsigned char x = a[i], y = b[i];
    if (x != y && Lower(x) != Lower(y)) return false;
  }
  return true;
}

HeaderId LookUpHeader(std::string_view name) {
  return name.empty() ? HeaderId::kOther : internal::LookUpName(name);
}

std::string_view HeaderName(HeaderId id) { return internal::kNames[static_cast<size_t>(id)]; }

void HeaderList::Grow() {
  const size_t capacity = capacity_ == 0 ? 24 : capacity_ * 2;
  HeaderField* fields = static_cast<HeaderField*>(arena_->Allocate(capacity * sizeof(HeaderField), alignof(HeaderField)));
  for (size_t i = 0; i < size_; ++i) ::new (&fields[i]) HeaderField(fields_[i]);
  fields_ = fields;
  capacity_ = capacity;
}

void HeaderList::Add(HeaderId id, std::string_view value) { Push({HeaderName(id), value, id}); }

void HeaderList::Add(std::string_view name, std::string_view value) { Push({name, value, LookUpHeader(name)}); }

void HeaderList::Set(HeaderId id, std::string_view value) {
  if (Among(IdBit(id)) == 0) return Add(id, value);
  bool found = false;
  for (HeaderField& field : *this) {
    if (field.id != id || field.name.empty()) continue;
    if (found) {
      field.name = {};
    } else {
      field.value = value;
      found = true;
    }
  }
  if (!found) Add(id, value);
}

void HeaderList::Set(std::string_view name, std::string_view value) {
  const HeaderId id = LookUpHeader(name);
  if (id != HeaderId::kOther) return Set(id, value);
  bool found = false;
  for (HeaderField& field : *this) {
    if (field.id != HeaderId::kOther || !EqualsIgnoreCase(field.name, name)) continue;
    if (found) {
      field.name = {};
    } else {
      field.value = value;
      found = true;
    }
  }
  if (!found) Push({name, value, id});
}

size_t HeaderList::RemovePresent(HeaderId id) {
  size_t removed = 0;
  for (HeaderField& field : *this) {
    if (field.id != id || field.name.empty()) continue;
    field.name = {};
    ++removed;
  }
  return removed;
}

size_t HeaderList::Remove(std::string_view name) {
  const HeaderId id = LookUpHeader(name);
  if (id != HeaderId::kOther) return Remove(id);
  if (name.empty()) return 0;
  size_t removed = 0;
  for (HeaderField& field : *this) {
    if (field.id != HeaderId::kOther || !EqualsIgnoreCase(field.name, name)) continue;
    field.name = {};
    ++removed;
  }
  return removed;
}

const HeaderField* HeaderList::FindPresent(HeaderId id) const {
  for (const HeaderField& field : *this) {
    if (field.id == id && !field.name.empty()) return &field;
  }
  return nullptr;
}

const HeaderField* HeaderList::Find(std::string_view name) const {
  const HeaderId id = LookUpHeader(name);
  if (id != HeaderId::kOther) return Find(id);
  if (name.empty()) return nullptr;
  for (const HeaderField& field : *this) {
    if (field.id == HeaderId::kOther && EqualsIgnoreCase(field.name, name)) return &field;
  }
  return nullptr;
}

size_t HeaderList::CountPresent(HeaderId id) const {
  size_t count = 0;
  for (const HeaderField& field : *this) count += field.id == id && !field.name.empty();
  return count;
}

}  // namespace portico::http
