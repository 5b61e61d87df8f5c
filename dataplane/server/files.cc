#include "dataplane/server/files.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/text.h"

namespace portico::server {

absl::StatusOr<api::ResourceSet> LoadResources(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  char block[1 << 16];
  while (file.read(block, sizeof block) || file.gcount() > 0) {
    text.append(block, static_cast<size_t>(file.gcount()));
  }
  // A folder opens, but cannot be read.
  if (!file.is_open() || file.bad()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be read: ", std::strerror(errno)));
  }
  auto parsed = api::ParseResources(text, path);
  if (!parsed.ok()) return parsed.status();
  api::ResourceSet set;
  for (v1::Resource& resource : *parsed) {
    api::ResourceKey key = api::KeyOf(resource);
    if (set.contains(key)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", api::ToString(key),
                                                     " is there twice; keep one of them"));
    }
    set.emplace(std::move(key), api::MakeStored(std::move(resource)));
  }
  return set;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(temporary.c_str());
    return absl::UnavailableError(
        absl::StrCat(path, ": cannot be written: ", std::strerror(error)));
  }
  return absl::OkStatus();
}

}  // namespace portico::server
