#include "api/resource/host.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/resource/address.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

absl::Status CheckLabel(std::string_view label) {
  if (label.empty()) {
    return absl::InvalidArgumentError("has an empty label; remove the surplus dot");
  }
  if (label.size() > 63) {
    return absl::InvalidArgumentError("has a label of more than 63 characters; shorten it");
  }
  for (unsigned char c : label) {
    if (c >= 0x80) {
      return absl::InvalidArgumentError(
          "holds non-ASCII characters; write the name in its ASCII form (\"xn--...\")");
    }
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_') {
      return absl::InvalidArgumentError(
          "holds a character that host names do not have; use letters, digits, \"-\" and \".\"");
    }
  }
  if (label.front() == '-' || label.back() == '-') {
    return absl::InvalidArgumentError("has a label that starts or ends with \"-\"; remove it");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostPattern> ParseHostPattern(std::string_view text) {
  HostPattern pattern;
  std::string_view name = text;
  if (name.empty()) {
    return absl::InvalidArgumentError(
        "is empty; write a host name, or leave hosts out for every host");
  }
  if (name == "*") {
    return absl::InvalidArgumentError("names every host; leave hosts out instead");
  }
  if (name.find("://") != std::string_view::npos || name.find('/') != std::string_view::npos) {
    return absl::InvalidArgumentError("is a URL; write the host name only");
  }
  if (name.front() == '[') {
    absl::StatusOr<IpAddress> ip = absl::InvalidArgumentError("");
    if (name.back() == ']') ip = ParseIpAddress(name.substr(1, name.size() - 2));
    if (!ip.ok() || !ip->v6) {
      return absl::InvalidArgumentError(
          "is not an IPv6 address in brackets; write \"[fd00::7]\", without a port");
    }
    pattern.name = absl::StrCat("[", ToString(*ip), "]");
    return pattern;
  }
  if (name.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError("holds a port; hosts are compared without it, remove it");
  }
  if (name.size() > 2 && name.substr(0, 2) == "*.") {
    pattern.wildcard = true;
    name.remove_prefix(2);
  }
  if (name.find('*') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "holds a \"*\" elsewhere than as its first label; write \"*.example.com\"");
  }
  if (name.size() > 253) {
    return absl::InvalidArgumentError("is longer than 253 bytes; shorten it");
  }
  if (name.back() == '.') {
    return absl::InvalidArgumentError("ends with a dot; remove it");
  }
  for (absl::string_view label : absl::StrSplit(Absl(name), '.')) {
    if (absl::Status status = CheckLabel(Std(label)); !status.ok()) return status;
  }
  pattern.name = absl::AsciiStrToLower(Absl(name));
  return pattern;
}

}  // namespace portico::api
