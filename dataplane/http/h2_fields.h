// HTTP/2 header blocks, field by field as HPACK gives them, checked strictly (RFC 9113
// section 8). For both roles. No I/O.
#ifndef DATAPLANE_HTTP_H2_FIELDS_H_
#define DATAPLANE_HTTP_H2_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/http/h1_parser.h"
#include "dataplane/http/message.h"

namespace portico::http {

// What became of a header block.
struct H2HeadResult {
  enum class Kind : uint8_t {
    kOk,
    // A stream error of type PROTOCOL_ERROR (RFC 9113 section 8.1.1).
    kMalformed,
    // Of requests: understood, and to be answered with `status`. Of responses: larger than the
    // limits.
    kRefused,
  };
  Kind kind = Kind::kOk;
  int status = 0;
  // A literal in snake_case, empty where all is well.
  std::string_view reason;
};

// Collects one header block. Names and values are copied into the list's arena, except for
// the names that Portico knows. Fields beyond the limits are counted, but not kept.
class H2FieldCollector {
 public:
  enum class Block : uint8_t { kRequest, kResponse, kTrailers };

  // `list` takes the fields, but for the pseudo-header fields; it and `limits` must stay.
  void Begin(Block block, const H1Limits& limits, HeaderList& list);
  // `name` and `value` only live for the call.
  void Add(std::string_view name, std::string_view value);

  // Each field counts as the bytes of its name and value and 32 more (RFC 9113 section
  // 6.5.2), cookies as they came.
  uint64_t bytes() const { return bytes_; }
  uint32_t fields() const { return fields_; }
  // So far above the limits that nobody does it by mistake: the connection is closed. An
  // HPACK bomb makes much of few bytes.
  bool bomb() const {
    return bytes_ > kBombFactor * uint64_t{limits_->max_header_bytes} ||
           fields_ > kBombFactor * limits_->max_header_count;
  }

 private:
  friend H2HeadResult FinishRequest(H2FieldCollector&, bool, RequestHead&);
  friend H2HeadResult FinishResponse(H2FieldCollector&, bool, Method, ResponseHead&);
  friend H2HeadResult FinishTrailers(H2FieldCollector&, bool);

  static constexpr uint32_t kBombFactor = 8;
  enum Pseudo : uint8_t { kMethod, kScheme, kPath, kAuthority, kProtocol, kStatus, kPseudoCount };

  void AddPseudo(std::string_view name, std::string_view value);
  void AddKnown(HeaderId id, std::string_view value);
  void AddTrailer(HeaderId id, std::string_view name, std::string_view value);
  void SetMalformed(std::string_view reason) {
    if (malformed_.empty()) malformed_ = reason;
  }
  bool seen(Pseudo which) const { return (seen_ & (1u << which)) != 0; }
  H2HeadResult Verdict() const;
  void JoinCookies();

  HeaderList* list_ = nullptr;
  const H1Limits* limits_ = nullptr;
  Block block_ = Block::kRequest;
  uint8_t seen_ = 0;
  bool regular_seen_ = false;
  bool has_length_ = false;
  uint32_t fields_ = 0;
  uint32_t cookies_ = 0;
  uint64_t bytes_ = 0;
  uint64_t length_ = 0;
  std::string_view host_, expect_;
  bool has_host_ = false;
  std::string_view pseudo_[kPseudoCount];
  std::string_view malformed_;
  std::string_view too_large_;
};

// What a complete block means. `end_stream`: nothing follows it.
//
// A request of extended CONNECT (RFC 8441) comes out as HTTP/1.1 has it: a GET with `upgrade`.
// The fields have a Host, whichever of the two forms it came in. Reasons:
//   malformed: invalid_header, invalid_pseudo_header, connection_header, duplicate_host,
//       invalid_content_length, conflicting_length, invalid_te
//   refused: 400 and 417 as H1RequestParser, 431 headers_too_large, too_many_headers,
//       501 connect_not_supported
H2HeadResult FinishRequest(H2FieldCollector& block, bool end_stream, RequestHead& head);
// `request_method`: what it answers.
H2HeadResult FinishResponse(H2FieldCollector& block, bool end_stream, Method request_method,
                            ResponseHead& head);
// Only safe ones are kept (http/trailers.h).
H2HeadResult FinishTrailers(H2FieldCollector& block, bool end_stream);

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_H2_FIELDS_H_
