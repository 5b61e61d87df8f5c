#include "controlplane/store/sealer.h"

#include <openssl/aead.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <utility>

namespace portico::control {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

const uint8_t* Data(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace

struct Sealer::State {
  bssl::ScopedEVP_AEAD_CTX context;
};

Sealer::Sealer(const StoreKey& key) : state_(std::make_unique<State>()) {
  const int made = EVP_AEAD_CTX_init(state_->context.get(), EVP_aead_aes_256_gcm(), key.data(),
                                     key.size(), kTagBytes, nullptr);
  if (made != 1) abort();  // Only without memory.
}
Sealer::~Sealer() = default;
Sealer::Sealer(Sealer&&) noexcept = default;
Sealer& Sealer::operator=(Sealer&&) noexcept = default;

std::string Sealer::Seal(std::string_view plain, std::string_view place) const {
  std::string out(kNonceBytes + plain.size() + kTagBytes, '\0');
  auto* bytes = reinterpret_cast<uint8_t*>(out.data());
  RAND_bytes(bytes, kNonceBytes);
  size_t size = 0;
  const int sealed =
      EVP_AEAD_CTX_seal(state_->context.get(), bytes + kNonceBytes, &size, out.size() - kNonceBytes,
                        bytes, kNonceBytes, Data(plain), plain.size(), Data(place), place.size());
  // Fails for what is longer than the cipher can take, 64 GiB, which nobody holds in memory.
  if (sealed != 1) abort();
  return out;
}

absl::StatusOr<std::string> Sealer::Open(std::string_view sealed, std::string_view place) const {
  if (sealed.size() < kNonceBytes + kTagBytes) {
    return absl::DataLossError("is shorter than what was encrypted");
  }
  const std::string_view rest = sealed.substr(kNonceBytes);
  std::string plain(rest.size(), '\0');
  size_t size = 0;
  const int opened = EVP_AEAD_CTX_open(
      state_->context.get(), reinterpret_cast<uint8_t*>(plain.data()), &size, plain.size(),
      Data(sealed), kNonceBytes, Data(rest), rest.size(), Data(place), place.size());
  if (opened != 1) return absl::DataLossError("was changed, or encrypted with another key");
  plain.resize(size);
  return plain;
}

}  // namespace portico::control
