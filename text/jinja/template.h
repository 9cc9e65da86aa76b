// A Jinja template, carried out exactly as transformers does: in the immutable sandbox, with
// trim_blocks, lstrip_blocks, loop controls, its own tojson, raise_exception, strftime_now and the
// generation tag. In bounded time and memory. Immutable after Read, therefore thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/marked_text.h"
#include "text/jinja/syntax.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

class Template {
 public:
  // INVALID_ARGUMENT: it is not Jinja; the message names line and column.
  static absl::StatusOr<Template> Read(std::string_view source);

  // `now`: Unix seconds. INVALID_ARGUMENT: the template refuses its variables, in its own words.
  // The others begin with line and column. FAILED_PRECONDITION: it computes what Python would
  // refuse too; UNIMPLEMENTED: what is not carried out here; RESOURCE_EXHAUSTED: it takes more
  // steps, or makes more text, than any real template.
  absl::StatusOr<MarkedText> Render(const Variables& variables, int64_t now) const;

  // Whether it asks for a variable of that name.
  bool Mentions(std::string_view name) const { return tree_->NameOf(name) >= 0; }

 private:
  explicit Template(SyntaxTree tree) : tree_(std::make_shared<const SyntaxTree>(std::move(tree))) {}

  std::shared_ptr<const SyntaxTree> tree_;
};

}  // namespace quantfleet::jinja
