// Statements, as Jinja's own parser reads them.
#include <algorithm>
#include <utility>

#include "text/jinja/expression_parser.h"
#include "text/jinja/syntax.h"
#include "text/jinja/token_stream.h"

namespace quantfleet::jinja {
namespace {

using Body = std::vector<Statement>;

// Statements of Jinja that no chat template can use: they speak of other templates, or of a web
// page.
constexpr std::string_view kUnsupported[] = {"include", "import",     "from", "extends",
                                             "block",   "autoescape", "print"};

bool Mentions(const Expression& expression, int name) {
  if (expression.kind == Expression::Kind::kName && expression.name == name) return true;
  return std::ranges::any_of(expression.operands,
                             [name](const Expression& one) { return Mentions(one, name); });
}

bool Mentions(const Body& body, int name) {
  return std::ranges::any_of(body, [name](const Statement& one) {
    const auto says = [name](const Expression& e) { return Mentions(e, name); };
    return std::ranges::any_of(one.values, says) ||
           std::ranges::any_of(one.bodies, [name](const Body& b) { return Mentions(b, name); });
  });
}

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)), expressions_(tokens_) {}

  absl::StatusOr<SyntaxTree> Run() {
    SyntaxTree tree;
    QF_ASSIGN_OR_RETURN(tree.statements, Statements({}));
    tree.names = tokens_.TakeNames();
    return tree;
  }

 private:
  // Up to a tag that begins with one of `ends`, whose name is then the current token.
  absl::StatusOr<Body> Statements(std::initializer_list<std::string_view> ends);
  // Up to the only end, which is taken.
  absl::StatusOr<Body> Until(std::string_view end);
  absl::Status One(Statement& out);
  absl::Status Set(Statement& out);
  absl::Status If(Statement& out);
  absl::Status For(Statement& out);
  absl::Status Macro(Statement& out);
  absl::Status Signature(Statement& out);
  absl::Status Call(Statement& out);
  absl::Status With(Statement& out);
  absl::Status Exit(Statement& out, StatementKind kind);
  absl::Status Unsupported(Statement& out, const Token& name);

  TokenStream tokens_;
  ExpressionParser expressions_;
  int loops_ = 0;
};

absl::StatusOr<Body> Parser::Statements(std::initializer_list<std::string_view> ends) {
  Body body;
  while (true) {
    const Place place = tokens_.current().place;
    Statement statement{StatementKind::kData, place};
    switch (tokens_.current().kind) {
      case Token::Kind::kData:
        statement.data = MarkedText{tokens_.Take().text};
        break;
      case Token::Kind::kOutputBegin: {
        tokens_.Skip();
        statement.kind = StatementKind::kOutput;
        QF_ASSIGN_OR_RETURN(Expression value, expressions_.Tuple(true));
        statement.values.push_back(std::move(value));
        if (tokens_.current().kind != Token::Kind::kOutputEnd) return tokens_.Unexpected("\"}}\"");
        tokens_.Skip();
        break;
      }
      case Token::Kind::kBlockBegin: {
        tokens_.Skip();
        if (std::ranges::any_of(ends, [this](std::string_view e) { return tokens_.IsName(e); }))
          return body;
        QF_RETURN_IF_ERROR(tokens_.Enter());
        QF_RETURN_IF_ERROR(One(statement));
        tokens_.Leave();
        if (tokens_.current().kind != Token::Kind::kBlockEnd) return tokens_.Unexpected("\"%}\"");
        tokens_.Skip();
        break;
      }
      default: {
        if (ends.size() == 0) return body;
        return tokens_.Unexpected(fmt::format("\"{{% {} %}}\"", *(ends.end() - 1)));
      }
    }
    body.push_back(std::move(statement));
  }
}

absl::StatusOr<Body> Parser::Until(std::string_view end) {
  if (tokens_.current().kind != Token::Kind::kBlockEnd) return tokens_.Unexpected("\"%}\"");
  tokens_.Skip();
  QF_ASSIGN_OR_RETURN(Body body, Statements({end}));
  tokens_.Skip();
  return body;
}

absl::Status Parser::One(Statement& out) {
  if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a statement");
  const Token name = tokens_.Take();
  if (name.text == "set") return Set(out);
  if (name.text == "if") return If(out);
  if (name.text == "for") return For(out);
  if (name.text == "macro") return Macro(out);
  if (name.text == "call") return Call(out);
  if (name.text == "with") return With(out);
  if (name.text == "break") return Exit(out, StatementKind::kBreak);
  if (name.text == "continue") return Exit(out, StatementKind::kContinue);
  if (name.text == "filter") {
    out.kind = StatementKind::kFilter;
    QF_ASSIGN_OR_RETURN(Expression filters, expressions_.Filters(true));
    out.values.push_back(std::move(filters));
    QF_ASSIGN_OR_RETURN(Body body, Until("endfilter"));
    out.bodies.push_back(std::move(body));
    return absl::OkStatus();
  }
  if (name.text == "generation") {
    out.kind = StatementKind::kGeneration;
    QF_ASSIGN_OR_RETURN(Body body, Until("endgeneration"));
    out.bodies.push_back(std::move(body));
    return absl::OkStatus();
  }
  return Unsupported(out, name);
}

// Jinja reads the template all the same: only where it is reached does it fail.
absl::Status Parser::Unsupported(Statement& out, const Token& name) {
  if (std::ranges::find(kUnsupported, name.text) == std::end(kUnsupported))
    return tokens_.FailAt(name.place,
                          fmt::format("unknown statement \"{}\"", Shown(name.text, 60)));
  out.kind = StatementKind::kUnsupported;
  out.text = name.text;
  while (tokens_.current().kind != Token::Kind::kBlockEnd &&
         tokens_.current().kind != Token::Kind::kEnd)
    tokens_.Skip();
  if (name.text != "block" && name.text != "autoescape") return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(Body body, Until("end" + name.text));
  tokens_.SkipName(name.text);
  while (tokens_.current().kind == Token::Kind::kName) tokens_.Skip();
  return absl::OkStatus();
}

absl::Status Parser::Set(Statement& out) {
  QF_ASSIGN_OR_RETURN(out.target, expressions_.Target(true));
  if (tokens_.SkipOperator("=")) {
    out.kind = StatementKind::kSet;
    QF_ASSIGN_OR_RETURN(Expression value, expressions_.Tuple(true));
    out.values.push_back(std::move(value));
    return absl::OkStatus();
  }
  out.kind = StatementKind::kSetBlock;
  QF_ASSIGN_OR_RETURN(Expression filters, expressions_.Filters(false));
  out.values.push_back(std::move(filters));
  QF_ASSIGN_OR_RETURN(Body body, Until("endset"));
  out.bodies.push_back(std::move(body));
  return absl::OkStatus();
}

absl::Status Parser::If(Statement& out) {
  out.kind = StatementKind::kIf;
  while (true) {
    QF_ASSIGN_OR_RETURN(Expression condition, expressions_.Tuple(false));
    out.values.push_back(std::move(condition));
    if (tokens_.current().kind != Token::Kind::kBlockEnd) return tokens_.Unexpected("\"%}\"");
    tokens_.Skip();
    QF_ASSIGN_OR_RETURN(Body body, Statements({"elif", "else", "endif"}));
    out.bodies.push_back(std::move(body));
    if (tokens_.SkipName("elif")) continue;
    if (tokens_.SkipName("else")) {
      QF_ASSIGN_OR_RETURN(Body otherwise, Until("endif"));
      out.bodies.push_back(std::move(otherwise));
      return absl::OkStatus();
    }
    tokens_.Skip();
    return absl::OkStatus();
  }
}

absl::Status Parser::For(Statement& out) {
  out.kind = StatementKind::kFor;
  QF_ASSIGN_OR_RETURN(out.target, expressions_.Target(false, "in"));
  QF_RETURN_IF_ERROR(tokens_.ExpectName("in"));
  QF_ASSIGN_OR_RETURN(Expression of, expressions_.Tuple(false, "recursive"));
  out.values.push_back(std::move(of));
  Expression condition{Expression::Kind::kAbsent, tokens_.current().place};
  if (tokens_.SkipName("if")) {
    QF_ASSIGN_OR_RETURN(condition, expressions_.Whole());
  }
  out.values.push_back(std::move(condition));
  out.recursive = tokens_.SkipName("recursive");
  if (tokens_.current().kind != Token::Kind::kBlockEnd) return tokens_.Unexpected("\"%}\"");
  tokens_.Skip();
  ++loops_;
  QF_ASSIGN_OR_RETURN(Body body, Statements({"else", "endfor"}));
  --loops_;
  out.bodies.push_back(std::move(body));
  Body otherwise;
  if (tokens_.SkipName("else")) {
    QF_ASSIGN_OR_RETURN(otherwise, Until("endfor"));
  } else {
    tokens_.Skip();
  }
  out.bodies.push_back(std::move(otherwise));
  return absl::OkStatus();
}

// (a, b=1)
absl::Status Parser::Signature(Statement& out) {
  QF_RETURN_IF_ERROR(tokens_.ExpectOperator("("));
  while (!tokens_.IsOperator(")")) {
    if (!out.parameters.empty()) QF_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
    Parameter parameter{-1, tokens_.Take().text};
    parameter.name = tokens_.Number(parameter.text);
    out.parameters.push_back(std::move(parameter));
    if (tokens_.SkipOperator("=")) {
      QF_ASSIGN_OR_RETURN(Expression value, expressions_.Whole());
      out.values.push_back(std::move(value));
    } else if (out.values.size() > (out.kind == StatementKind::kCall ? 1u : 0u)) {
      return tokens_.Fail("a parameter without a default follows one with a default");
    }
  }
  tokens_.Skip();
  return absl::OkStatus();
}

absl::Status Parser::Macro(Statement& out) {
  out.kind = StatementKind::kMacro;
  if (tokens_.current().kind != Token::Kind::kName) return tokens_.Unexpected("a name");
  out.text = tokens_.Take().text;
  out.name = tokens_.Number(out.text);
  QF_RETURN_IF_ERROR(Signature(out));
  const int loops = std::exchange(loops_, 0);
  QF_ASSIGN_OR_RETURN(Body body, Until("endmacro"));
  loops_ = loops;
  out.uses_caller = Mentions(body, tokens_.Number("caller"));
  out.takes_more = Mentions(body, tokens_.Number("varargs"));
  out.takes_named = Mentions(body, tokens_.Number("kwargs"));
  out.bodies.push_back(std::move(body));
  return absl::OkStatus();
}

absl::Status Parser::Call(Statement& out) {
  out.kind = StatementKind::kCall;
  out.values.emplace_back();  // the call
  if (tokens_.IsOperator("(")) QF_RETURN_IF_ERROR(Signature(out));
  QF_ASSIGN_OR_RETURN(out.values[0], expressions_.Whole());
  if (out.values[0].kind != Expression::Kind::kCall)
    return tokens_.FailAt(out.place, "expected a call");
  const int loops = std::exchange(loops_, 0);
  QF_ASSIGN_OR_RETURN(Body body, Until("endcall"));
  loops_ = loops;
  out.bodies.push_back(std::move(body));
  return absl::OkStatus();
}

absl::Status Parser::With(Statement& out) {
  out.kind = StatementKind::kWith;
  while (tokens_.current().kind != Token::Kind::kBlockEnd) {
    if (!out.targets.empty()) QF_RETURN_IF_ERROR(tokens_.ExpectOperator(","));
    QF_ASSIGN_OR_RETURN(Expression target, expressions_.Target(false));
    QF_RETURN_IF_ERROR(tokens_.ExpectOperator("="));
    QF_ASSIGN_OR_RETURN(Expression value, expressions_.Whole());
    out.targets.push_back(std::move(target));
    out.values.push_back(std::move(value));
  }
  QF_ASSIGN_OR_RETURN(Body body, Until("endwith"));
  out.bodies.push_back(std::move(body));
  return absl::OkStatus();
}

absl::Status Parser::Exit(Statement& out, StatementKind kind) {
  out.kind = kind;
  return loops_ > 0 ? absl::OkStatus() : tokens_.FailAt(out.place, "this is outside of a loop");
}

}  // namespace

int SyntaxTree::NameOf(std::string_view text) const {
  const auto found = std::ranges::find(names, text);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

absl::StatusOr<SyntaxTree> ReadTemplate(std::string_view source) {
  QF_ASSIGN_OR_RETURN(std::vector<Token> tokens, Lex(source));
  return Parser(std::move(tokens)).Run();
}

}  // namespace quantfleet::jinja
