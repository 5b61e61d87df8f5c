#include "api/resource/text_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <streambuf>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/resource/strings.h"

namespace portico::api {
namespace {

// Puts nodes together as a parser reports them. After the first breach of a bound everything is
// ignored, because neither parser can be stopped without an exception.
class TreeBuilder {
 public:
  explicit TreeBuilder(const TextBounds& bounds) : bounds_(bounds) {}

  const TextNode* Leaf(TextNode::Type type, int line, bool plain, std::string scalar) {
    if (failed()) return nullptr;
    TextNode& node = tree_.nodes.emplace_back();
    node.type = type;
    node.line = line;
    node.plain = plain;
    node.bytes = scalar.size();
    node.scalar = std::move(scalar);
    Attach(&node);
    return &node;
  }

  const TextNode* Open(TextNode::Type type, int line) {
    if (failed()) return nullptr;
    TextNode& node = tree_.nodes.emplace_back();
    node.type = type;
    node.line = line;
    open_.push_back(&node);
    if (open_.size() > bounds_.levels) {
      Fail(line, absl::StrCat("is nested deeper than ", bounds_.levels, " levels; flatten it"));
    }
    return &node;
  }

  void Close() {
    if (failed() || open_.empty()) return;
    const TextNode* node = open_.back();
    open_.pop_back();
    Attach(node);
  }

  // A node once more, reached through an alias.
  void Repeat(const TextNode* node, int line) {
    if (failed()) return;
    if (node == nullptr || std::find(open_.begin(), open_.end(), node) != open_.end()) {
      Fail(line, "an alias refers to what it is part of; write the content out");
      return;
    }
    Attach(node);
  }

  void Fail(int line, std::string message) {
    if (!failed()) failure_ = absl::StrCat(line > 0 ? absl::StrCat(line, ": ") : "", message);
  }
  bool failed() const { return !failure_.empty(); }

  absl::StatusOr<TextTree> Finish() && {
    if (failed()) return absl::InvalidArgumentError(failure_);
    return std::move(tree_);
  }

 private:
  void Attach(const TextNode* node) {
    if (open_.empty()) {
      // Earlier documents count, too: many small ones are as much work as a large one.
      total_nodes_ += node->nodes;
      total_bytes_ += node->bytes;
      tree_.documents.push_back(node);
      CheckSize(total_nodes_, total_bytes_, node->line);
      return;
    }
    TextNode& parent = *open_.back();
    parent.children.push_back(node);
    parent.nodes += node->nodes;
    parent.bytes += node->bytes;
    parent.levels = std::max(parent.levels, node->levels + 1);
    CheckSize(parent.nodes, parent.bytes, node->line);
    if (open_.size() + node->levels > bounds_.levels + 1) {
      Fail(node->line,
           absl::StrCat("is nested deeper than ", bounds_.levels, " levels; flatten it"));
    }
  }

  void CheckSize(size_t nodes, size_t bytes, int line) {
    if (nodes > bounds_.nodes || bytes > bounds_.bytes) {
      Fail(line,
           absl::StrCat("with its aliases written out the text is larger than ", bounds_.nodes,
                        " values or ", bounds_.bytes, " bytes; apply it in parts"));
    }
  }

  const TextBounds bounds_;
  TextTree tree_;
  std::vector<TextNode*> open_;
  size_t total_nodes_ = 0;
  size_t total_bytes_ = 0;
  std::string failure_;
};

class YamlHandler final : public YAML::EventHandler {
 public:
  explicit YamlHandler(TreeBuilder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // A stray "," or "]" between documents is reported as an empty document again and again.
    if (mark.pos == document_start_)
      builder_.Fail(Line(mark), "no value can start here; remove what stands here");
    document_start_ = mark.pos;
    anchors_.clear();
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Keep(anchor, builder_.Leaf(TextNode::Type::kNull, Line(mark), true, ""));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    builder_.Repeat(found == anchors_.end() ? nullptr : found->second, Line(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    Keep(anchor, builder_.Leaf(TextNode::Type::kScalar, Line(mark), tag == "?", value));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Keep(anchor, builder_.Open(TextNode::Type::kSequence, Line(mark)));
  }
  void OnSequenceEnd() override { builder_.Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Keep(anchor, builder_.Open(TextNode::Type::kMap, Line(mark)));
  }
  void OnMapEnd() override { builder_.Close(); }

 private:
  static int Line(const YAML::Mark& mark) { return mark.line + 1; }

  void Keep(YAML::anchor_t anchor, const TextNode* node) {
    if (anchor != 0 && node != nullptr) anchors_[anchor] = node;
  }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    constexpr std::string_view kOwn = "tag:yaml.org,2002:";
    if (tag.empty() || tag == "?" || tag == "!" || tag.compare(0, kOwn.size(), kOwn.data()) == 0)
      return;
    builder_.Fail(Line(mark), absl::StrCat("the tag \"", tag, "\" is not accepted; remove it"));
  }

  TreeBuilder& builder_;
  int document_start_ = -1;
  std::unordered_map<YAML::anchor_t, const TextNode*> anchors_;
};

class JsonHandler final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonHandler(TreeBuilder& builder) : builder_(builder) {}

  bool null() override { return Leaf(TextNode::Type::kNull, true, ""); }
  bool boolean(bool value) override { return Scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return Scalar(text); }
  bool string(string_t& value) override { return Leaf(TextNode::Type::kScalar, false, value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(TextNode::Type::kMap); }
  bool key(string_t& value) override { return string(value); }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(TextNode::Type::kSequence); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    builder_.Fail(0, error.what());
    return false;
  }

 private:
  bool Leaf(TextNode::Type type, bool plain, std::string text) {
    builder_.Leaf(type, 0, plain, std::move(text));
    return !builder_.failed();
  }
  bool Scalar(std::string text) { return Leaf(TextNode::Type::kScalar, true, std::move(text)); }
  bool Open(TextNode::Type type) {
    builder_.Open(type, 0);
    return !builder_.failed();
  }
  bool Close() {
    builder_.Close();
    return !builder_.failed();
  }

  TreeBuilder& builder_;
};

// Reads from memory without a copy.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

absl::StatusOr<TextTree> ParseYaml(std::string_view text, const TextBounds& bounds) {
  TreeBuilder builder(bounds);
  YamlHandler handler(builder);
  ViewBuffer buffer(text);
  std::istream stream(&buffer);
  try {
    YAML::Parser parser(stream);
    while (!builder.failed() && parser.HandleNextDocument(handler)) {
    }
  } catch (const YAML::Exception& error) {  // boundary: yaml-cpp reports errors by exceptions.
    builder.Fail(error.mark.line + 1, error.msg);
  } catch (const std::exception& error) {  // boundary: and those of the standard library it uses.
    builder.Fail(0, error.what());
  }
  return std::move(builder).Finish();
}

}  // namespace

absl::StatusOr<TextTree> ParseTextTree(std::string_view text, const TextBounds& bounds) {
  if (text.size() > bounds.bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the text is ", text.size(),
                                                   " bytes long, at most ", bounds.bytes,
                                                   " are read; apply it in parts"));
  }
  absl::StatusOr<TextTree> tree = ParseYaml(text, bounds);
  if (tree.ok()) return tree;
  // YAML contains JSON, but the YAML library does not know all of JSON: surrogate pairs, tabs.
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos || (text[start] != '{' && text[start] != '[')) return tree;
  TreeBuilder builder(bounds);
  JsonHandler handler(builder);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &handler)) return tree;
  return std::move(builder).Finish();
}

}  // namespace portico::api
