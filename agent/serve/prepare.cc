#include "agent/serve/prepare.h"

#include <algorithm>

namespace quantfleet::agent {

absl::StatusOr<std::shared_ptr<Generation>> PrepareGeneration(const CompletionRequest& wanted,
                                                              const ModelTable& models,
                                                              Random& random, AnswerHead* head) {
  QF_ASSIGN_OR_RETURN(ModelTable::Found found, models.Find(wanted.model));
  if (!found.engine) return Unavailable("model \"{}\" is being replaced: try again", found.name);
  if (found.engine->embedding() != nullptr)
    return InvalidArgument(
        "model \"{}\" is an embedding model, which generates no text: use POST /v1/embeddings",
        found.name);
  const bool chat = head->endpoint == Endpoint::kChatCompletions;
  head->id = random.Id(chat ? "chatcmpl-" : "cmpl-", 12);
  head->model = found.name;
  head->logprobs = wanted.top_logprobs >= 0;
  auto generation = std::make_shared<Generation>();
  engine::GenerateRequest& request = generation->request;
  request.prompt = wanted.prompt;
  request.stop = wanted.stop;
  request.top_logprobs = wanted.top_logprobs;
  if (chat) {
    QF_ASSIGN_OR_RETURN(text::ChatPrompt prompt, found.chat->Render(wanted.chat, head->created));
    request.prompt = std::move(prompt.text);
    for (const auto& [begin, end] : prompt.data) request.data.push_back({begin, end});
    request.stop.insert(request.stop.end(), prompt.stop.begin(), prompt.stop.end());
  }
  request.max_tokens = std::min(wanted.max_tokens, found.engine->context());
  request.sampling = found.engine->sampling();
  request.sampling.temperature = wanted.temperature.value_or(request.sampling.temperature);
  request.sampling.top_k = wanted.top_k.value_or(request.sampling.top_k);
  request.sampling.top_p = wanted.top_p.value_or(request.sampling.top_p);
  request.sampling.seed = wanted.seed ? *wanted.seed : random.Next();
  generation->engine = std::move(found.engine);
  return generation;
}

}  // namespace quantfleet::agent
