// The names of HeaderId and how they are found. Private to http/.
#ifndef DATAPLANE_HTTP_HEADER_NAMES_H_
#define DATAPLANE_HTTP_HEADER_NAMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "dataplane/http/headers.h"

namespace portico::http::internal {

inline constexpr size_t kIds = static_cast<size_t>(HeaderId::kCount);

// In the order of HeaderId.
inline constexpr std::array<std::string_view, kIds> kNames = {"",
                                                              "accept",
                                                              "accept-encoding",
                                                              "authorization",
                                                              "cache-control",
                                                              "connection",
                                                              "content-length",
                                                              "content-type",
                                                              "cookie",
                                                              "date",
                                                              "expect",
                                                              "forwarded",
                                                              "grpc-status",
                                                              "grpc-timeout",
                                                              "host",
                                                              "keep-alive",
                                                              "location",
                                                              "origin",
                                                              "proxy-authenticate",
                                                              "proxy-authorization",
                                                              "proxy-connection",
                                                              "ratelimit",
                                                              "ratelimit-policy",
                                                              "retry-after",
                                                              "server",
                                                              "set-cookie",
                                                              "te",
                                                              "traceparent",
                                                              "tracestate",
                                                              "trailer",
                                                              "transfer-encoding",
                                                              "upgrade",
                                                              "user-agent",
                                                              "via",
                                                              "www-authenticate",
                                                              "x-api-key",
                                                              "x-forwarded-client-cert",
                                                              "x-forwarded-for",
                                                              "x-forwarded-host",
                                                              "x-forwarded-proto",
                                                              "x-request-id"};

// Length, first and last character tell the names apart. Which slot they go to is
// found by trying factors when this file is compiled.
inline constexpr size_t kSlots = 256;
constexpr size_t Slot(size_t length, unsigned char first, unsigned char last, uint32_t factor) {
  // Letters of either case are one.
  const uint32_t key = static_cast<uint32_t>(length) << 16 | uint32_t{first} << 8 | last | 0x2020u;
  return (key * factor) >> 24;
}

struct Table {
  uint32_t factor = 0;
  std::array<uint8_t, kSlots> id{};
};

constexpr bool Fill(Table& table) {
  table.id = {};
  for (size_t i = 1; i < kIds; ++i) {
    uint8_t& slot =
        table.id[Slot(kNames[i].size(), kNames[i].front(), kNames[i].back(), table.factor)];
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

inline constexpr Table kTable = MakeTable();
static_assert(kTable.factor != 0, "no perfect hash found: add attempts or slots");

// Of kNames; 0 is no name's.
constexpr std::array<uint8_t, kIds> MakeNameSizes() {
  std::array<uint8_t, kIds> out{};
  for (size_t i = 0; i < kIds; ++i) out[i] = static_cast<uint8_t>(kNames[i].size());
  return out;
}

inline constexpr std::array<uint8_t, kIds> kNameSizes = MakeNameSizes();

// Names as words: the text in lower case, and 0x20 where a letter may be in either.
inline constexpr size_t kMaxName = 24;
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

inline constexpr std::array<NameWords, kIds> kNameWords = MakeNameWords();

template <typename Word>
inline bool WordEquals(const char* name, const NameWords& words, size_t at) {
  Word word, text, fold;
  std::memcpy(&word, name + at, sizeof(Word));
  std::memcpy(&text, words.text.data() + at, sizeof(Word));
  std::memcpy(&fold, words.fold.data() + at, sizeof(Word));
  return (word | fold) == text;
}

// `name` has the length of the known one.
inline bool IsName(std::string_view name, const NameWords& words) {
  const size_t size = name.size();
  if (size >= 8) {
    for (size_t i = 0; i + 8 <= size; i += 8) {
      if (!WordEquals<uint64_t>(name.data(), words, i)) return false;
    }
    return WordEquals<uint64_t>(name.data(), words, size - 8);
  }
  if (size >= 4) {
    return WordEquals<uint32_t>(name.data(), words, 0) &&
           WordEquals<uint32_t>(name.data(), words, size - 4);
  }
  for (size_t i = 0; i < size; ++i) {
    if (!WordEquals<uint8_t>(name.data(), words, i)) return false;
  }
  return true;
}

// The only one whose name `name`, which is not empty, may be.
inline HeaderId GuessName(std::string_view name) {
  const uint8_t id = kTable.id[Slot(name.size(), name.front(), name.back(), kTable.factor)];
  return kNameSizes[id] == name.size() ? static_cast<HeaderId>(id) : HeaderId::kOther;
}

// LookUpHeader() of a name that is not empty.
inline HeaderId LookUpName(std::string_view name) {
  const HeaderId id = GuessName(name);
  return id == HeaderId::kOther || IsName(name, kNameWords[static_cast<size_t>(id)])
             ? id
             : HeaderId::kOther;
}

}  // namespace portico::http::internal

#endif  // DATAPLANE_HTTP_HEADER_NAMES_H_
