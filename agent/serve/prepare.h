// From what a client asks to what an engine is to do. Thread-safe where its arguments are.
#pragma once

#include "agent/serve/generation_queue.h"
#include "agent/serve/model_table.h"
#include "agent/serve/openai.h"
#include "common/base/random.h"

namespace quantfleet::agent {

// `head` says which endpoint was called, and when; its other fields are filled in. A request
// without a seed gets a random one. Errors are the model table's and the chat template's.
absl::StatusOr<std::shared_ptr<Generation>> PrepareGeneration(const CompletionRequest& wanted,
                                                              const ModelTable& models,
                                                              Random& random, AnswerHead* head);

}  // namespace quantfleet::agent
