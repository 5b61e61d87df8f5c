// Classes of characters in HTTP and URIs, as tables.
#ifndef DATAPLANE_HTTP_CHARACTERS_H_
#define DATAPLANE_HTTP_CHARACTERS_H_

#include <array>
#include <cstdint>
#include <string_view>

namespace portico::http {

// Bits of kCharacters.
enum CharacterClass : uint8_t {
  kTokenCharacter = 1,       // RFC 9110 section 5.6.2, tchar
  kUnreservedCharacter = 2,  // RFC 3986 section 2.3
  kHexDigit = 4,
  kPathCharacter = 8,    // pchar without "%" (RFC 3986 section 3.3), and "/"
  kValueCharacter = 16,  // field-value octets: HTAB, SP, visible, obs-text
};

constexpr std::array<uint8_t, 256> MakeCharacters() {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const auto in = [c](std::string_view set) {
      return c < 128 && set.find(static_cast<char>(c)) != std::string_view::npos;
    };
    const bool unreserved = digit || letter || in("-._~");
    if (digit || letter || in("!#$%&'*+-.^_`|~")) table[c] |= kTokenCharacter;
    if (unreserved) table[c] |= kUnreservedCharacter;
    if (digit || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f')) table[c] |= kHexDigit;
    if (unreserved || in("!$&'()*+,;=:@/")) table[c] |= kPathCharacter;
    if (c == '\t' || (c >= 0x20 && c != 0x7F)) table[c] |= kValueCharacter;
  }
  return table;
}

inline constexpr std::array<uint8_t, 256> kCharacters = MakeCharacters();

inline bool Is(char c, CharacterClass which) { return (kCharacters[static_cast<unsigned char>(c)] & which) != 0; }

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Of a hexadecimal digit.
inline unsigned HexValue(char c) {
  return c <= '9' ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 0x20) - 'a' + 10);
}

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_CHARACTERS_H_
