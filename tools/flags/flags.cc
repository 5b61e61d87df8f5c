#include "tools/flags/flags.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <utility>

#include "absl/flags/parse.h"
#include "absl/flags/reflection.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "tools/flags/version.h"

namespace portico::flags {
namespace {

// A command line cannot be long enough to make this matter; it bounds the work on hostile input.
constexpr size_t kMaxNameBytes = 64;

std::string Underscored(std::string_view name) {
  return absl::StrReplaceAll(absl::string_view(name.data(), name.size()), {{"-", "_"}});
}

std::string Dashed(absl::string_view name) { return absl::StrReplaceAll(name, {{"_", "-"}}); }

// Flags of this program, without those that absl itself defines. --help and --version are ours.
std::map<std::string, absl::CommandLineFlag*> OwnFlags() {
  std::map<std::string, absl::CommandLineFlag*> own;
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    if (absl::StrContains(flag->Filename(), "absl/flags/") || flag->IsRetired()) continue;
    own.emplace(std::string(name), flag);
  }
  return own;
}

absl::CommandLineFlag* FindOwn(std::string_view name) {
  absl::CommandLineFlag* flag =
      absl::FindCommandLineFlag(absl::string_view(name.data(), name.size()));
  if (flag == nullptr || flag->IsRetired()) return nullptr;
  return absl::StrContains(flag->Filename(), "absl/flags/") ? nullptr : flag;
}

// Levenshtein distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

absl::Status UnknownFlag(std::string_view name) {
  std::string best;
  size_t best_distance = 4;
  for (const auto& [own, flag] : OwnFlags()) {
    const size_t distance = name.size() > kMaxNameBytes ? best_distance : Distance(name, own);
    if (distance < best_distance) {
      best_distance = distance;
      best = own;
    }
  }
  const std::string shown =
      Dashed(absl::string_view(name.data(), std::min(name.size(), kMaxNameBytes)));
  if (best.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown flag --", shown, ": run with --help for the list of flags"));
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown flag --", shown, ": did you mean --",
                                                 Dashed(best),
                                                 "? Run with --help for the list of flags"));
}

std::string OneLine(std::string_view text) {
  std::string line(text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

struct Occurrence {
  absl::CommandLineFlag* flag;
  std::string value;
};

// Reads one flag at arguments[index] and moves index to its last argument.
absl::StatusOr<Occurrence> ReadFlag(const std::vector<std::string>& arguments, size_t& index) {
  std::string_view text = arguments[index];
  text.remove_prefix(text.substr(0, 2) == "--" ? 2 : 1);
  std::optional<std::string> value;
  if (const size_t equals = text.find('='); equals != std::string_view::npos) {
    value = std::string(text.substr(equals + 1));
    text = text.substr(0, equals);
  }
  const std::string name = Underscored(text);
  absl::CommandLineFlag* flag = FindOwn(name);
  if (flag == nullptr && !value.has_value() && absl::StartsWith(name, "no")) {
    // --noinsecure and --no-insecure: a boolean flag switched off.
    std::string_view positive = std::string_view(name).substr(2);
    if (!positive.empty() && positive.front() == '_') positive.remove_prefix(1);
    absl::CommandLineFlag* negated = FindOwn(positive);
    if (negated != nullptr && negated->IsOfType<bool>()) return Occurrence{negated, "false"};
  }
  if (flag == nullptr) return UnknownFlag(name);
  if (!value.has_value()) {
    if (flag->IsOfType<bool>()) return Occurrence{flag, "true"};
    if (index + 1 >= arguments.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("flag --", Dashed(name), " needs a value: --", Dashed(name), "=VALUE"));
    }
    value = arguments[++index];
  }
  return Occurrence{flag, *std::move(value)};
}

[[noreturn]] void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  std::exit(0);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> NormalizeArguments(
    const std::vector<std::string>& arguments) {
  std::vector<std::string> normalized;
  std::vector<std::string> positional;
  std::map<absl::CommandLineFlag*, std::vector<std::string>> lists;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--") {
      positional.insert(positional.end(), arguments.begin() + static_cast<ptrdiff_t>(i) + 1,
                        arguments.end());
      break;
    }
    if (argument.size() < 2 || argument.front() != '-') {
      positional.push_back(argument);
      continue;
    }
    absl::StatusOr<Occurrence> read = ReadFlag(arguments, i);
    if (!read.ok()) return read.status();
    std::string error;
    // Sets the flag as a side effect, to the value that absl sets again when it parses.
    if (!read->flag->ParseFrom(read->value, &error)) {
      const std::string why = error.empty() ? "not a value of this flag's type" : OneLine(error);
      return absl::InvalidArgumentError(
          absl::StrCat("flag --", Dashed(read->flag->Name()), ": bad value \"",
                       OneLine(read->value), "\": ", why, "; run with --help for what it takes"));
    }
    if (read->flag->IsOfType<std::vector<std::string>>()) {
      lists[read->flag].push_back(std::move(read->value));
    } else {
      normalized.push_back(absl::StrCat("--", read->flag->Name(), "=", read->value));
    }
  }
  for (const auto& [flag, values] : lists) {
    normalized.push_back(absl::StrCat("--", flag->Name(), "=", absl::StrJoin(values, ",")));
  }
  normalized.push_back("--");
  normalized.insert(normalized.end(), positional.begin(), positional.end());
  return normalized;
}

std::string HelpText(const Program& program) {
  std::string text = absl::StrCat(
      "usage: ", absl::string_view(program.name.data(), program.name.size()), " [flags]\n");
  if (!program.usage.empty()) {
    absl::StrAppend(&text, "\n", absl::string_view(program.usage.data(), program.usage.size()),
                    "\n");
  }
  absl::StrAppend(&text, "\nflags:\n");
  for (const auto& [name, flag] : OwnFlags()) {
    absl::StrAppend(&text, "  --", Dashed(name), "\n      ", OneLine(flag->Help()));
    const std::string standard = flag->DefaultValue();
    if (!standard.empty()) absl::StrAppend(&text, " Default: ", standard, ".");
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text,
                  "  --help\n      Print this text.\n  --version\n      Print the version.\n");
  return text;
}

std::vector<char*> ParseFlagsOrExit(int argc, char** argv, const Program& program) {
  Program shown = program;
  const std::string_view path = argc > 0 ? argv[0] : "portico";
  if (shown.name.empty()) shown.name = path.substr(path.rfind('/') + 1);
  if (shown.version.empty()) shown.version = kVersion;
  const std::string name(shown.name);

  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument == "--help" || argument == "-help" || argument == "-h") Print(HelpText(shown));
    if (argument == "--version") Print(absl::StrCat(name, " ", std::string(shown.version), "\n"));
  }
  absl::StatusOr<std::vector<std::string>> normalized = NormalizeArguments(arguments);
  if (!normalized.ok()) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(),
                 std::string(normalized.status().message()).c_str());
    std::exit(2);
  }
  // The result points into these strings, so they live as long as the process.
  static std::vector<std::string> kept;
  kept = *std::move(normalized);
  std::string program_path(path);
  kept.insert(kept.begin(), std::move(program_path));
  std::vector<char*> pointers;
  pointers.reserve(kept.size() + 1);
  for (std::string& argument : kept) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  return absl::ParseCommandLine(static_cast<int>(kept.size()), pointers.data());
}

}  // namespace portico::flags
