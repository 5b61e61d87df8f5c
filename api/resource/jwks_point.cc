#include "api/resource/jwks_point.h"

#include <cstdint>

#include "openssl/bn.h"
#include "openssl/ec_key.h"
#include "openssl/err.h"
#include "openssl/nid.h"

namespace portico::api {

bool IsOnP256(std::string_view x, std::string_view y) {
  const auto number = [](std::string_view bytes) {
    return bssl::UniquePtr<BIGNUM>(
        BN_bin2bn(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), nullptr));
  };
  bssl::UniquePtr<EC_KEY> key(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  bssl::UniquePtr<BIGNUM> x_number = number(x);
  bssl::UniquePtr<BIGNUM> y_number = number(y);
  const bool on_curve =
      key && x_number && y_number &&
      EC_KEY_set_public_key_affine_coordinates(key.get(), x_number.get(), y_number.get()) == 1;
  // A refused point leaves an entry in this thread's error queue, which later callers would read.
  ERR_clear_error();
  return on_curve;
}

}  // namespace portico::api
