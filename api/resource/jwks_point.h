// The one piece of key set inspection that needs a crypto library.
#ifndef API_RESOURCE_JWKS_POINT_H_
#define API_RESOURCE_JWKS_POINT_H_

#include <string_view>

namespace portico::api {

// Whether (x, y), 32 big-endian bytes each, is a point on the curve P-256 (SP 800-186
// section 3.2.1.3) other than infinity.
bool IsOnP256(std::string_view x, std::string_view y);

}  // namespace portico::api

#endif  // API_RESOURCE_JWKS_POINT_H_
