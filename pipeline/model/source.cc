#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

std::string ModelSource::FileOf(size_t) const { return ""; }

absl::StatusOr<StoredModel> ModelSource::AsStored() const {
  return InvalidArgument(
      "a {} source cannot be taken as it is, only a GGUF: quantize it to one of the other targets",
      format());
}

}  // namespace quantfleet::pipeline
