// Completion scripts, made from the same description that parses the command line.
#include <algorithm>
#include <ostream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "tools/porticoctl/command_line.h"
#include "tools/porticoctl/commands.h"
#include "tools/porticoctl/kinds.h"

namespace portico::ctl {
namespace {

struct FlagWords {
  std::vector<std::string> names;  // "-f", "--file"
  std::string description;
  bool takes_value = false;
  bool takes_path = false;
};

struct VerbWords {
  std::string name;
  std::string description;
  std::vector<FlagWords> flags;
  // What may stand where no flag does.
  std::vector<std::string> words;
};

std::vector<FlagWords> FlagsOf(const CLI::App& app) {
  std::vector<FlagWords> flags;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) continue;
    FlagWords flag;
    for (const std::string& name : option->get_snames()) flag.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flag.names.push_back("--" + name);
    flag.description = option->get_description();
    flag.takes_value = option->get_expected_max() > 0;
    const std::string value = option->get_option_text();
    flag.takes_path = value == "FILE" || value == "PATH";
    flags.push_back(std::move(flag));
  }
  return flags;
}

std::vector<VerbWords> VerbsOf(CLI::App& app) {
  std::vector<std::string> kinds = AllKinds();
  for (std::string& kind : kinds) absl::AsciiStrToLower(&kind);
  std::vector<VerbWords> verbs;
  for (const CLI::App* command : app.get_subcommands({})) {
    VerbWords verb{command->get_name(), command->get_description(), FlagsOf(*command), {}};
    if (command->get_option_no_throw("kind") != nullptr) verb.words = kinds;
    if (verb.name == "completion") verb.words = {"bash", "zsh", "fish"};
    verbs.push_back(std::move(verb));
  }
  return verbs;
}

std::string NamesOf(const std::vector<FlagWords>& flags) {
  std::vector<std::string> names;
  for (const FlagWords& flag : flags) {
    names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  return absl::StrJoin(names, " ");
}

std::string PathFlags(const CLI::App& app, const std::vector<VerbWords>& verbs) {
  std::vector<std::string> names;
  std::vector<FlagWords> flags = FlagsOf(app);
  for (const VerbWords& verb : verbs) {
    flags.insert(flags.end(), verb.flags.begin(), verb.flags.end());
  }
  for (const FlagWords& flag : flags) {
    if (flag.takes_path) names.insert(names.end(), flag.names.begin(), flag.names.end());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return absl::StrJoin(names, "|");
}

void AppendVerbCases(const std::vector<VerbWords>& verbs, std::string& script) {
  for (const VerbWords& verb : verbs) {
    absl::StrAppend(&script, "    ", verb.name, ") words=\"", absl::StrJoin(verb.words, " "),
                    "\"; flags=\"", NamesOf(verb.flags), "\" ;;\n");
  }
}

std::string Bash(const CLI::App& app, const std::vector<VerbWords>& verbs) {
  std::vector<std::string> names;
  for (const VerbWords& verb : verbs) names.push_back(verb.name);
  std::string script = absl::StrCat(
      "# bash completion for porticoctl: source <(porticoctl completion bash)\n"
      "_porticoctl() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
      "  local verb= words= flags= word\n"
      "  case $previous in\n"
      "    ",
      PathFlags(app, verbs),
      ") COMPREPLY=($(compgen -f -- \"$current\")); return ;;\n"
      "    -o|--output) COMPREPLY=($(compgen -W 'table json yaml' -- \"$current\")); return ;;\n"
      "    --alg) COMPREPLY=($(compgen -W 'ES256 RS256 HS256' -- \"$current\")); return ;;\n"
      "  esac\n"
      "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
      "    case $word in\n"
      "      ",
      absl::StrJoin(names, "|"),
      ") verb=$word; break ;;\n"
      "    esac\n"
      "  done\n"
      "  case $verb in\n"
      "    '') words=\"",
      absl::StrJoin(names, " "), "\" ;;\n");
  AppendVerbCases(verbs, script);
  absl::StrAppend(&script,
                  "  esac\n"
                  "  if [[ $current == -* ]]; then\n"
                  "    words=\"$flags ",
                  NamesOf(FlagsOf(app)),
                  "\"\n"
                  "  fi\n"
                  "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                  "}\n"
                  "complete -o filenames -F _porticoctl porticoctl\n");
  return script;
}

// Inside single quotes, where zsh also gives ":" and "[" a meaning.
std::string ZshText(const std::string& text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}, {":", "\\:"}, {"[", "\\["}, {"]", "\\]"}});
}

void AppendZshFlags(const std::vector<FlagWords>& flags, std::string& script) {
  for (const FlagWords& flag : flags) {
    for (const std::string& name : flag.names) {
      absl::StrAppend(&script, " \\\n      '*", name, "[", ZshText(flag.description), "]",
                      flag.takes_path    ? ":path:_files"
                      : flag.takes_value ? ":value: "
                                         : "",
                      "'");
    }
  }
}

std::string Zsh(const CLI::App& app, const std::vector<VerbWords>& verbs) {
  std::string script =
      "#compdef porticoctl\n"
      "# zsh completion for porticoctl: source <(porticoctl completion zsh)\n"
      "_porticoctl() {\n"
      "  local -a verbs\n"
      "  verbs=(\n";
  for (const VerbWords& verb : verbs) {
    absl::StrAppend(&script, "    '", verb.name, ":", ZshText(verb.description), "'\n");
  }
  script +=
      "  )\n"
      "  local verb=${words[(r)(";
  script += absl::StrJoin(verbs, "|",
                          [](std::string* out, const VerbWords& verb) { out->append(verb.name); });
  script +=
      ")]}\n"
      "  case $verb in\n";
  for (const VerbWords& verb : verbs) {
    absl::StrAppend(
        &script, "    ", verb.name, ") _arguments '*:argument:",
        verb.words.empty() ? " " : absl::StrCat("(", absl::StrJoin(verb.words, " "), ")"), "'");
    AppendZshFlags(verb.flags, script);
    AppendZshFlags(FlagsOf(app), script);
    script += " ;;\n";
  }
  script +=
      "    *) _describe 'verb' verbs ;;\n"
      "  esac\n"
      "}\n"
      "compdef _porticoctl porticoctl\n";
  return script;
}

std::string FishText(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

void AppendFishFlags(const std::vector<FlagWords>& flags, const std::string& condition,
                     std::string& script) {
  for (const FlagWords& flag : flags) {
    absl::StrAppend(&script, "complete -c porticoctl", condition);
    for (const std::string& name : flag.names) {
      if (name.starts_with("--")) {
        absl::StrAppend(&script, " -l ", name.substr(2));
      } else {
        absl::StrAppend(&script, " -s ", name.substr(1));
      }
    }
    absl::StrAppend(&script,
                    flag.takes_path    ? " -r -F"
                    : flag.takes_value ? " -x"
                                       : "",
                    " -d ", FishText(flag.description), "\n");
  }
}

std::string Fish(const CLI::App& app, const std::vector<VerbWords>& verbs) {
  std::string script =
      "# fish completion for porticoctl: porticoctl completion fish | source\n"
      "complete -c porticoctl -f\n";
  for (const VerbWords& verb : verbs) {
    absl::StrAppend(&script, "complete -c porticoctl -n __fish_use_subcommand -a ", verb.name,
                    " -d ", FishText(verb.description), "\n");
    const std::string condition = absl::StrCat(" -n '__fish_seen_subcommand_from ", verb.name, "'");
    if (!verb.words.empty()) {
      absl::StrAppend(&script, "complete -c porticoctl", condition, " -a '",
                      absl::StrJoin(verb.words, " "), "'\n");
    }
    AppendFishFlags(verb.flags, condition, script);
  }
  AppendFishFlags(FlagsOf(app), "", script);
  return script;
}

}  // namespace

int RunCompletion(const Arguments& arguments, Console& console) {
  Arguments unused;
  RawValues raw;
  const std::unique_ptr<CLI::App> app = DescribeCommandLine(unused, raw);
  const std::vector<VerbWords> verbs = VerbsOf(*app);
  if (arguments.shell == "bash") console.out << Bash(*app, verbs);
  if (arguments.shell == "zsh") console.out << Zsh(*app, verbs);
  if (arguments.shell == "fish") console.out << Fish(*app, verbs);
  return kExitOk;
}

}  // namespace portico::ctl
