#include "dataplane/http/headers.h"

#include <array>
#include <cstring>

namespace portico::http {
namespace {

constexpr size_t kIds = static_cast<size_t>(HeaderId::kCount);

// In the order of HeaderId.
constexpr std::array<std::string_view, kIds> kNames = {
    "", "accept", "accept-encoding", "authorization", "cache-control", "connection", "content-length",
    "content-type", "cookie", "date", "expect", "forwarded", "grpc-status", "grpc-timeout", "host", "keep-alive",
    "location", "origin", "proxy-authenticate", "proxy-authorization", "proxy-connection", "ratelimit",
    "ratelimit-policy", "retry-after", "server", "set-cookie", "te", "traceparent", "tracestate", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "via", "www-authenticate", "x-api-key", "x-forwarded-for",
    "x-forwarded-host", "x-forwarded-proto", "x-request-id"};

constexpr unsigned char Lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

// Length, first and last character tell the names apart. Which slot they go to is
// found by trying factors when this file is compiled.
constexpr size_t kSlots = 256;
constexpr size_t Slot(size_t length, unsigned char first, unsigned char last, uint32_t factor) {
  const uint32_t key = static_cast<uint32_t>(length) << 16 | (first | 0x20u) << 8 | (last | 0x20u);
  return (key * factor) >> 24;
}

struct Table {
  uint32_t factor = 0;
  std::array<uint8_t, kSlots> id{};
};

constexpr bool Fill(Table& table) {
  table.id = {};
  for (size_t i = 1; i < kIds; ++i) {
    uint8_t& slot = table.id[Slot(kNames[i].size(), kNames[i].front(), kNames[i].back(), table.factor)];
    if (slot != 0) return false;
    slot = static_cast<uint8_t>(i);
  }
  return true;
}

constexpr Table MakeTable() {
  Table table;
  table.factor = 0x9E3779B1;
  for (int attempt = 0; attempt < 4000; ++attempt, table.factor += 2) {
    if (Fill(table)) return table;
  }
  table.factor = 0;
  return table;
}

constexpr Table kTable = MakeTable();
static_assert(kTable.factor != 0, "no perfect hash found: add attempts or slots");

// Names as words: the text in lower case, and 0x20 where a letter may be in either.
constexpr size_t kMaxName = 24;
struct NameWords {
  std::array<char, kMaxName> text{};
  std::array<char, kMaxName> fold{};
};

constexpr std::array<NameWords, kIds> MakeNameWords() {
  std::array<NameWords, kIds> out{};
  for (size_t i = 0; i < kIds; ++i) {
    for (size_t k = 0; k < kNames[i].size(); ++k) {
      out[i].text[k] = kNames[i][k];
      out[i].fold[k] = kNames[i][k] >= 'a' && kNames[i][k] <= 'z' ? 0x20 : 0;
    }
  }
  return out;
}

constexpr std::array<NameWords, kIds> kNameWords = MakeNameWords();

template <typename Word>
bool WordEquals(const char* name, const NameWords& words, size_t at) {
  Word word, text, fold;
  std::memcpy(&word, name + at, sizeof(Word));
  std::memcpy(&text, words.text.data() + at, sizeof(Word));
  std::memcpy(&fold, words.fold.data() + at, sizeof(Word));
  return (word | fold) == text;
}

// `name` has the length of the known one.
bool IsName(std::string_view name, const NameWords& words) {
  const size_t size = name.size();
  if (size >= 8) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
      if (!WordEquals<uint64_t>(name.data(), words, i)) return false;
    }
    return WordEquals<uint64_t>(name.data(), words, size - 8);
  }
  if (size >= 4) {
    return WordEquals<uint32_t>(name.data(), words, 0) && WordEquals<uint32_t>(name.data(), words, size - 4);
  }
  for (size_t i = 0; i < size; ++i) {
    if (!WordEquals<uint8_t>(name.data(), words, i)) return false;
  }
  return true;
}

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
  if (name.empty()) return HeaderId::kOther;
  const uint8_t id = kTable.id[Slot(name.size(), name.front(), name.back(), kTable.factor)];
  if (id == 0 || kNames[id].size() != name.size() || !IsName(name, kNameWords[id])) return HeaderId::kOther;
  return static_cast<HeaderId>(id);
}

std::string_view HeaderName(HeaderId id) { return kNames[static_cast<size_t>(id)]; }

void HeaderList::Push(const HeaderField& field) {
  if (size_ == capacity_) {
    const size_t capacity = capacity_ == 0 ? 24 : capacity_ * 2;
    HeaderField* fields = static_cast<HeaderField*>(arena_->Allocate(capacity * sizeof(HeaderField), alignof(HeaderField)));
    for (size_t i = 0; i < size_; ++i) ::new (&fields[i]) HeaderField(fields_[i]);
    fields_ = fields;
    capacity_ = capacity;
  }
  ::new (&fields_[size_++]) HeaderField(field);
}

void HeaderList::Add(HeaderId id, std::string_view value) { Push({HeaderName(id), value, id}); }

void HeaderList::Add(std::string_view name, std::string_view value) { Push({name, value, LookUpHeader(name)}); }

void HeaderList::Set(HeaderId id, std::string_view value) {
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

size_t HeaderList::Remove(HeaderId id) {
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

const HeaderField* HeaderList::Find(HeaderId id) const {
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

size_t HeaderList::Count(HeaderId id) const {
  size_t count = 0;
  for (const HeaderField& field : *this) count += field.id == id && !field.name.empty();
  return count;
}

}  // namespace portico::http
