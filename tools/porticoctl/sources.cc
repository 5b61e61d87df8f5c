#include "tools/porticoctl/sources.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <istream>
#include <sstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/resource/text.h"

namespace portico::ctl {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::string> ReadText(std::istream& in, const std::string& name) {
  std::string text;
  std::string buffer(1 << 16, '\0');
  while (in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer, 0, static_cast<size_t>(in.gcount()));
    if (text.size() > kMaxSourceBytes) {
      return absl::NotFoundError(
          absl::StrCat(name, " is larger than 64 MiB; split it and repeat -f"));
    }
  }
  if (in.bad()) return absl::NotFoundError(absl::StrCat("cannot read ", name));
  return text;
}

absl::StatusOr<Source> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno),
                                            "; -f wants a file, a folder or -"));
  }
  absl::StatusOr<std::string> text = ReadText(file, path);
  if (!text.ok()) return text.status();
  return Source{path, *std::move(text)};
}

bool IsResourceFile(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// Errors: NotFound when the folder cannot be listed.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(path, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const fs::path& here = entry->path();
    std::error_code unknown;
    if (here.filename().string().starts_with(".")) {
      if (entry->is_directory(unknown)) entry.disable_recursion_pending();
    } else if (IsResourceFile(here) && entry->is_regular_file(unknown)) {
      files.push_back(here.string());
    }
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot list ", path, ": ", error.message()));
  }
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat("folder ", path, " holds no .yaml, .yml or .json file"));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

absl::StatusOr<std::vector<Source>> ReadSources(const std::vector<std::string>& paths,
                                                std::istream& in) {
  std::vector<Source> sources;
  for (const std::string& path : paths) {
    if (path == "-") {
      absl::StatusOr<std::string> text = ReadText(in, "<stdin>");
      if (!text.ok()) return text.status();
      sources.push_back({"<stdin>", *std::move(text)});
      continue;
    }
    std::vector<std::string> files = {path};
    std::error_code unknown;
    if (fs::is_directory(path, unknown)) {
      absl::StatusOr<std::vector<std::string>> listed = ListFolder(path);
      if (!listed.ok()) return listed.status();
      files = *std::move(listed);
    }
    for (const std::string& file : files) {
      absl::StatusOr<Source> source = ReadFile(file);
      if (!source.ok()) return source.status();
      sources.push_back(*std::move(source));
    }
  }
  return sources;
}

absl::StatusOr<LoadedResources> LoadResources(std::vector<Source> sources) {
  LoadedResources loaded;
  std::vector<std::string> mistakes;
  std::map<api::ResourceKey, std::string> seen;
  for (const Source& source : sources) {
    absl::StatusOr<std::vector<v1::Resource>> resources =
        api::ParseResources(source.text, source.name);
    if (!resources.ok()) {
      mistakes.emplace_back(resources.status().message());
      continue;
    }
    for (v1::Resource& resource : *resources) {
      const api::ResourceKey key = api::KeyOf(resource);
      const auto [first, added] = seen.emplace(key, source.name);
      if (!added) {
        mistakes.push_back(absl::StrCat(source.name, ": ", api::ToString(key),
                                        " is there twice, first in ", first->second,
                                        "; remove or rename one"));
      }
      loaded.resources.push_back(std::move(resource));
    }
  }
  if (!mistakes.empty()) return absl::InvalidArgumentError(absl::StrJoin(mistakes, "\n"));
  if (loaded.resources.empty()) {
    return absl::InvalidArgumentError("the files hold no resources");
  }
  loaded.locations = Locations(std::move(sources));
  return loaded;
}

}  // namespace portico::ctl
