// Heads that are plain: recognised in one pass over complete bytes. Private to http/.
//
// A plain head is one that no two parsers read differently: known methods and origin
// form, CRLF, names of token characters directly before ":", values of visible ASCII
// and spaces without any around them, at most one of each field that frames the
// message. Whatever is not plain, is not complete or is wrong goes to the scanner and
// to llhttp, which tell what it is; so these functions know no errors.
#ifndef DATAPLANE_HTTP_H1_PLAIN_H_
#define DATAPLANE_HTTP_H1_PLAIN_H_

#include <cstddef>
#include <string_view>

#include "dataplane/http/h1_parser.h"
#include "dataplane/http/message.h"

namespace portico::http::internal {

// Parses a plain head at the beginning of `input` as H1RequestParser does. Returns its
// length, or 0 and leaves `head` as it was (empty).
size_t ParsePlainRequest(std::string_view input, const H1Limits& limits, RequestHead& head, bool& keep_alive);
// As H1ResponseParser.
size_t ParsePlainResponse(std::string_view input, const H1Limits& limits, Method request_method, ResponseHead& head,
                          bool& keep_alive);

}  // namespace portico::http::internal

#endif  // DATAPLANE_HTTP_H1_PLAIN_H_
