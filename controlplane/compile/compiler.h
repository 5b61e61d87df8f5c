// Works out change sets, at the cost of the change.
#ifndef CONTROLPLANE_COMPILE_COMPILER_H_
#define CONTROLPLANE_COMPILE_COMPILER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "controlplane/compile/change_set.h"
#include "controlplane/store/catalog.h"

namespace portico::control {

struct HashEntry {
  api::ResourceKey key;
  api::Digest hash;
};
// In key order, without duplicates.
using HashList = std::vector<HashEntry>;

// What a proxy has: either the content of a revision that the catalog knows, or a list of hashes.
struct Base {
  // The number that the proxy gives it.
  uint64_t revision = 0;
  std::optional<uint64_t> content_of;
  std::shared_ptr<const HashList> hashes;  // Null if `content_of` is set.
};

// Thread-safe.
class Compiler {
 public:
  // `catalog` must outlive the compiler.
  explicit Compiler(const Catalog& catalog, size_t max_chunk_bytes = kMaxChunkBytes)
      : catalog_(catalog), max_chunk_bytes_(max_chunk_bytes) {}

  // What a proxy says it has, as a Base. Lists that the catalog knows are not kept; unknown ones
  // are shared between proxies. `list` may be in any order. Errors: InvalidArgument for duplicates.
  absl::StatusOr<Base> Recognize(uint64_t revision, HashList list);

  // What leads from `base` to `target`. With `whole`, upserts of everything, for a proxy that could
  // not assemble a delta; removals are explicit all the same. Equal questions share one answer.
  // Errors: FailedPrecondition when the changes since `base` are no longer known: the proxy must
  // say again what it has.
  absl::StatusOr<ChangeSetPtr> Compile(const Base& base, const RevisionPtr& target, bool whole);

 private:
  struct Question {
    uint64_t base_revision;
    uint64_t content_of;  // UINT64_MAX with hashes.
    const HashList* hashes;
    uint64_t target;
    bool whole;
    auto operator<=>(const Question&) const = default;
  };
  struct Answer {
    std::weak_ptr<const ChangeSet> set;
    std::weak_ptr<const HashList>
        hashes;  // So that a question's address is not taken for another's.
  };

  void Fill(const Base& base, const Revision& target,
            const std::optional<std::vector<Change>>& changes, bool whole,
            ChangeSetBuilder& builder) const;
  void Remember(const Question& question, const Base& base, const ChangeSetPtr& set);

  const Catalog& catalog_;
  const size_t max_chunk_bytes_;
  std::mutex mutex_;  // Guards all below.
  uint64_t last_nonce_ = 0;
  std::map<Question, Answer> answers_;
  std::deque<ChangeSetPtr> kept_;  // Small ones, so that answers_ finds them again.
  std::map<api::Digest, std::weak_ptr<const HashList>> lists_;
};

}  // namespace portico::control

#endif  // CONTROLPLANE_COMPILE_COMPILER_H_
