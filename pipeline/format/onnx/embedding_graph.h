// What graphs of embedding models begin and end with, as sentence-transformers' and
// transformers.js' have it (docs/formats/onnx.md). Pure.
#pragma once

#include <initializer_list>
#include <string>

#include "pipeline/format/onnx/onnx_graph.h"
#include "pipeline/model/embedding_use.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// Inputs of a value for each token of each text.
void AddEmbeddingInputs(std::initializer_list<const char*> names, OnnxGraph& graph);

// The outputs last_hidden_state and sentence_embedding, both F32, of hidden states of `type`
// ([texts, tokens, hidden]). Texts may be padded on either side, as attention_mask says.
void AddVectors(Pooling pooling, const std::string& states, DType type, int64_t hidden,
                OnnxGraph& graph);

}  // namespace quantfleet::pipeline
