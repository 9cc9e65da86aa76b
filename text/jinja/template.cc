#include "text/jinja/template.h"

#include "text/jinja/machine.h"

namespace quantfleet::jinja {

absl::StatusOr<Template> Template::Read(std::string_view source) {
  QF_ASSIGN_OR_RETURN(SyntaxTree tree, ReadTemplate(source));
  return Template(std::move(tree));
}

absl::StatusOr<MarkedText> Template::Render(const Variables& variables, int64_t now) const {
  return Machine(*tree_, now).Run(variables);
}

}  // namespace quantfleet::jinja
