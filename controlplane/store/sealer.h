// Encrypts what a store keeps.
#ifndef CONTROLPLANE_STORE_SEALER_H_
#define CONTROLPLANE_STORE_SEALER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "controlplane/store/store_key.h"

namespace portico::control {

// AES-256-GCM with a random nonce for each piece. Thread-safe.
class Sealer {
 public:
  explicit Sealer(const StoreKey& key);
  ~Sealer();
  Sealer(Sealer&&) noexcept;
  Sealer& operator=(Sealer&&) noexcept;

  // nonce 12 | what `plain` became | tag 16. It opens with the same `place` only, so that nobody
  // swaps two pieces.
  std::string Seal(std::string_view plain, std::string_view place) const;
  // Errors: DataLoss when it was sealed with another key or for another place, or was changed.
  absl::StatusOr<std::string> Open(std::string_view sealed, std::string_view place) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_STORE_SEALER_H_
