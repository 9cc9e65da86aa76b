// The engine of embedding models: texts to vectors.
#pragma once

#include <memory>

#include "engine/decode/engine.h"
#include "engine/decode/runnable_model.h"

namespace quantfleet::engine {

// Of a model whose description has an EmbeddingUse. `tokenizer` null: token ids only.
std::unique_ptr<Engine> MakeEmbeddingEngine(RunnableModel model,
                                            std::unique_ptr<text::Tokenizer> tokenizer);

}  // namespace quantfleet::engine
