#include "agent/serve/embeddings.h"

#include "agent/serve/openai_embeddings.h"
#include "agent/serve/reply.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<std::shared_ptr<Generation>> Prepare(const ModelTable& models,
                                                    EmbeddingsRequest& wanted, std::string& name) {
  QF_ASSIGN_OR_RETURN(ModelTable::Found found, models.Find(wanted.model));
  if (!found.engine) return Unavailable("model \"{}\" is being replaced: try again", found.name);
  QF_RETURN_IF_ERROR(CheckDimensions(wanted, *found.engine));
  name = found.name;
  auto generation = std::make_shared<Generation>();
  generation->engine = std::move(found.engine);
  generation->embed = std::move(wanted.embed);
  return generation;
}

}  // namespace

void Embed(const http::ExchangePtr& exchange, const CompletionWorld& world) {
  auto parsed = ParseEmbeddingsRequest(exchange->request().body);
  if (!parsed.ok()) return exchange->Reply(ErrorReply(parsed.status()));
  std::string name;
  auto prepared = Prepare(world.models, *parsed, name);
  if (!prepared.ok()) return exchange->Reply(ErrorReply(prepared.status()));
  const std::shared_ptr<Generation> generation = *std::move(prepared);
  generation->on_done =
      [exchange, name, wanted = *std::move(parsed)](absl::StatusOr<engine::GenerateResult> result) {
        exchange->Post([exchange, name, wanted, kept = std::move(result)] {
          exchange->Reply(kept.ok() ? MakeReply(200, RenderEmbeddings(wanted, name, *kept))
                                    : ErrorReply(kept.status()));
        });
      };
  Enqueue(exchange, generation, world);
}

}  // namespace quantfleet::agent
