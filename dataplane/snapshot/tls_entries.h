// Resources to the TLS contexts that entries hold.
#ifndef DATAPLANE_SNAPSHOT_TLS_ENTRIES_H_
#define DATAPLANE_SNAPSHOT_TLS_ENTRIES_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/resource/resource.h"
#include "dataplane/tls/client_context.h"
#include "dataplane/tls/server_context.h"

namespace portico::snapshot {

// Whether TLS contexts are made of resources of this kind, besides Listener and Upstream.
bool IsTlsKind(std::string_view kind);

// Over everything that the context of a listener or upstream is made of: its settings, and the
// content of each resource that they name. Equal hashes mean equal contexts, which are shared. All
// zeros: cleartext.
api::Digest TlsHash(const v1::Listener& spec, const api::ResourceSet& resources);
api::Digest TlsHash(const v1::Upstream& spec, const api::ResourceSet& resources);

// REQUIRES: the spec has `tls`. Errors: InvalidArgument, naming the field, never a secret.
absl::StatusOr<std::shared_ptr<const tls::ServerContext>> MakeServerContext(
    const v1::Listener& spec, const api::ResourceSet& resources);
absl::StatusOr<std::shared_ptr<const tls::ClientContext>> MakeClientContext(
    const v1::Upstream& spec, const api::ResourceSet& resources);

}  // namespace portico::snapshot

#endif  // DATAPLANE_SNAPSHOT_TLS_ENTRIES_H_
