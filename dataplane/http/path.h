// Request targets: what a client asks for, brought into one canonical form that
// routing, policies and upstream all see (RFC 3986 sections 5.2.4 and 6.2.2,
// RFC 9112 section 3.2).
#ifndef DATAPLANE_HTTP_PATH_H_
#define DATAPLANE_HTTP_PATH_H_

#include <string_view>

#include "dataplane/base/arena.h"
#include "dataplane/http/message.h"

namespace portico::http {

// Errors of this file are reasons: literals in snake_case, empty where all is
// well. Every error is the client's (400).

// The path part of a target ("/a/./b%2e", no query) in canonical form:
//  - percent-encoded unreserved characters are decoded, other percent-encodings
//    get upper-case digits ("%2f" stays encoded, as "%2F");
//  - characters that a URI may not contain ("{", "|", bytes above 0x7E, ...) are
//    percent-encoded;
//  - segments "." and ".." are removed, also when they were written "%2e";
//  - duplicate slashes stay.
// `path` becomes `raw` itself if that is canonical already, otherwise a copy in
// `arena`. Canonical paths start with "/" and are fixed points.
// Reasons: "invalid_path" (no leading "/", control characters, space, "\", "#",
// "%00"), "invalid_percent_encoding".
std::string_view CanonicalizePath(std::string_view raw, base::Arena& arena, std::string_view& path);

// Whether CanonicalizePath() would leave it as it is.
bool IsCanonicalPath(std::string_view path);

// A request's authority ("Example.com:8080", "[::1]:80"): `authority` becomes its
// lower-case form and `host` that without the port and the dot of the root
// ("example.com." is "example.com"). Names consist of letters,
// digits, "-", ".", "_" and "~"; bracketed IPv6 addresses are accepted; user
// information is not. Reason: "invalid_host".
std::string_view ParseAuthority(std::string_view raw, base::Arena& arena, std::string_view& authority,
                                std::string_view& host);

// Reads the target of a request line, of which `head.method` is known, into
// head.target, path, query and has_query. Forms: origin ("/a?b"), absolute
// ("http://host/a?b", whose authority goes to head.authority and head.host),
// asterisk (OPTIONS only). Reasons: those above, "invalid_target" and
// "invalid_scheme" (absolute form with neither http nor https).
std::string_view ParseTarget(std::string_view raw, RequestHead& head);

}  // namespace portico::http

#endif  // DATAPLANE_HTTP_PATH_H_
