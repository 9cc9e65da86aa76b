#include "text/tokenizer/spm_model.h"

#include <cmath>
#include <string>

#include "common/base/bytes.h"

namespace quantfleet::text {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 20;
constexpr size_t kMaxPieceBytes = 1024;

// Field numbers of sentencepiece_model.proto.
enum ModelField : uint64_t { kPieces = 1, kTrainerSpec = 2, kNormalizerSpec = 3 };
enum PieceField : uint64_t { kPieceText = 1, kPieceScore = 2, kPieceType = 3 };
enum TrainerField : uint64_t { kModelType = 3, kUnkId = 40, kBosId = 41, kEosId = 42, kPadId = 43 };
enum NormalizerField : uint64_t { kAddDummyPrefix = 3 };

constexpr uint64_t kUnigram = 1, kBpe = 2;

// One field of protobuf's wire format. `bytes` is set for length-delimited fields, `number` for all
// others.
struct Field {
  uint64_t id = 0;
  uint32_t wire = 0;
  uint64_t number = 0;
  std::string_view bytes;
};

// Reads fields one after the other; every length is checked against what is left.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return at_ == bytes_.size(); }

  absl::StatusOr<Field> Next() {
    Field field;
    QF_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
    field.id = tag >> 3;
    field.wire = static_cast<uint32_t>(tag & 7);
    if (field.id == 0) return Broken("a field with the number 0");
    switch (field.wire) {
      case 0: {
        QF_ASSIGN_OR_RETURN(field.number, Varint());
        return field;
      }
      case 1:
        return Fixed(field, 8);
      case 2: {
        QF_ASSIGN_OR_RETURN(const uint64_t length, Varint());
        if (length > bytes_.size() - at_) return Broken("a field that is longer than the file");
        field.bytes = bytes_.substr(at_, length);
        at_ += length;
        return field;
      }
      case 5:
        return Fixed(field, 4);
      default:
        return Broken("a field of an unknown wire type");
    }
  }

 private:
  absl::Status Broken(std::string_view what) const {
    return InvalidArgument("{} before byte {}", what, at_);
  }

  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (done()) return Broken("a truncated number");
      const auto byte = static_cast<uint8_t>(bytes_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return Broken("a number of more than 64 bits");
  }

  absl::StatusOr<Field> Fixed(Field field, size_t n) {
    if (n > bytes_.size() - at_) return Broken("a truncated number");
    std::memcpy(&field.number, bytes_.data() + at_, n);
    at_ += n;
    return field;
  }

  const std::string_view bytes_;
  size_t at_ = 0;
};

absl::StatusOr<Token> ParsePiece(std::string_view bytes) {
  Token token;
  for (WireReader reader(bytes); !reader.done();) {
    QF_ASSIGN_OR_RETURN(const Field field, reader.Next());
    if (field.id == kPieceText && field.wire == 2) {
      if (field.bytes.size() > kMaxPieceBytes)
        return InvalidArgument("a piece of {} bytes", field.bytes.size());
      token.text = std::string(field.bytes);
    } else if (field.id == kPieceScore && field.wire == 5) {
      token.score = std::bit_cast<float>(static_cast<uint32_t>(field.number));
      if (!std::isfinite(token.score)) return InvalidArgument("a piece whose score is not finite");
    } else if (field.id == kPieceType && field.wire == 0) {
      if (field.number < 1 || field.number > 6)
        return InvalidArgument("a piece of the unknown type {}", field.number);
      token.type = static_cast<TokenType>(field.number);
    }
  }
  return token;
}

absl::Status ParseTrainer(std::string_view bytes, SpmModel& out, uint64_t& model_type) {
  for (WireReader reader(bytes); !reader.done();) {
    QF_ASSIGN_OR_RETURN(const Field field, reader.Next());
    if (field.wire != 0) continue;
    switch (field.id) {
      case kModelType:
        model_type = field.number;
        break;
      // int32 on the wire is sign-extended to 64 bits, so the low half is the value.
      case kUnkId:
        out.unknown = static_cast<int32_t>(field.number);
        break;
      case kBosId:
        out.bos = static_cast<int32_t>(field.number);
        break;
      case kEosId:
        out.eos = static_cast<int32_t>(field.number);
        break;
      case kPadId:
        out.padding = static_cast<int32_t>(field.number);
        break;
      default:
        break;
    }
  }
  return absl::OkStatus();
}

absl::Status ParseNormalizer(std::string_view bytes, SpmModel& out) {
  for (WireReader reader(bytes); !reader.done();) {
    QF_ASSIGN_OR_RETURN(const Field field, reader.Next());
    if (field.id == kAddDummyPrefix && field.wire == 0) out.add_dummy_prefix = field.number != 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<SpmModel> Parse(std::string_view bytes) {
  SpmModel out;
  uint64_t model_type = kUnigram;  // the schema's default
  for (WireReader reader(bytes); !reader.done();) {
    QF_ASSIGN_OR_RETURN(const Field field, reader.Next());
    if (field.wire != 2) continue;
    if (field.id == kPieces) {
      if (out.pieces.size() == kMaxPieces)
        return InvalidArgument("more than {} pieces", kMaxPieces);
      QF_ASSIGN_OR_RETURN(Token token, ParsePiece(field.bytes));
      out.pieces.push_back(std::move(token));
    } else if (field.id == kTrainerSpec) {
      QF_RETURN_IF_ERROR(ParseTrainer(field.bytes, out, model_type));
    } else if (field.id == kNormalizerSpec) {
      QF_RETURN_IF_ERROR(ParseNormalizer(field.bytes, out));
    }
  }
  if (out.pieces.empty()) return InvalidArgument("no pieces: this is not a SentencePiece model");
  if (model_type != kBpe)
    return Unimplemented("the SentencePiece model is of type {}{}; only BPE (type 2) is supported",
                         model_type, model_type == kUnigram ? " (unigram)" : "");
  return out;
}

}  // namespace

absl::StatusOr<SpmModel> ParseSpmModel(std::string_view bytes, std::string_view file) {
  absl::StatusOr<SpmModel> model = Parse(bytes);
  if (!model.ok()) return Annotate(model.status(), file);
  return model;
}

}  // namespace quantfleet::text
