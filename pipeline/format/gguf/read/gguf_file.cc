#include "pipeline/format/gguf/read/gguf_file.h"

#include <limits>
#include <utility>

#include "pipeline/format/gguf/read/gguf_reader.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint64_t kMaxHeaderBytes = 128u << 20;
constexpr uint64_t kMaxEntries = 1u << 16;   // tensors, and key-value pairs
constexpr uint64_t kMaxElements = 1u << 23;  // of one array: larger than any vocabulary
constexpr uint64_t kMaxKeyBytes = 1u << 10;
constexpr uint64_t kMaxTextBytes = 1u << 22;
constexpr uint64_t kMaxNameBytes = 63;  // ggml's tensors have 64 bytes, NUL included
constexpr uint32_t kMaxAlignment = 1u << 16;
// The least that one entry takes: lengths, types and one byte of name or value.
constexpr uint64_t kLeastKvBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

// Bytes of one number; 0 for strings and arrays.
uint64_t Width(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

bool IsKnown(uint32_t type) { return type <= static_cast<uint32_t>(GgufType::kF64); }

// Names end up in messages, manifests and other files' headers.
bool IsPlain(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c > '~') return false;
  return !text.empty();
}

// ggml's own names of types that this build does not read, for messages.
std::string_view ForeignTypeName(uint32_t type) {
  switch (type) {
    case 9:
      return "Q8_1";
    case 15:
      return "Q8_K";
    case 24:
      return "I8";
    case 25:
      return "I16";
    case 26:
      return "I32";
    case 27:
      return "I64";
    case 28:
      return "F64";
    default:
      return "";
  }
}

}  // namespace

std::string_view Name(GgufType type) {
  switch (type) {
    case GgufType::kU8:
      return "u8";
    case GgufType::kI8:
      return "i8";
    case GgufType::kU16:
      return "u16";
    case GgufType::kI16:
      return "i16";
    case GgufType::kU32:
      return "u32";
    case GgufType::kI32:
      return "i32";
    case GgufType::kF32:
      return "f32";
    case GgufType::kBool:
      return "bool";
    case GgufType::kString:
      return "string";
    case GgufType::kArray:
      return "array";
    case GgufType::kU64:
      return "u64";
    case GgufType::kI64:
      return "i64";
    case GgufType::kF64:
      return "f64";
  }
  return "?";
}

// One pass over a header. Fills a GgufFile and is thrown away.
class GgufParser {
 public:
  GgufParser(const File& file, uint64_t size, GgufFile& out)
      : reader_(file, size, kMaxHeaderBytes), file_size_(size), out_(out) {}

  absl::Status Run() {
    QF_RETURN_IF_ERROR(Preamble());
    for (uint64_t i = 0; i < kv_count_; ++i) QF_RETURN_IF_ERROR(Kv());
    QF_RETURN_IF_ERROR(Alignment());
    for (uint64_t i = 0; i < tensor_count_; ++i) QF_RETURN_IF_ERROR(TensorInfo());
    return Place();
  }

 private:
  absl::Status Preamble() {
    QF_ASSIGN_OR_RETURN(const uint32_t magic, reader_.Value<uint32_t>("the magic"));
    if (magic != 0x46554747u)
      return InvalidArgument("this is not a GGUF file: it does not begin with \"GGUF\"");
    QF_ASSIGN_OR_RETURN(out_.version_, reader_.Value<uint32_t>("the version"));
    if (out_.version_ == 0x02000000u || out_.version_ == 0x03000000u)
      return Unimplemented(
          "this is a big-endian GGUF file: convert the model again for little-endian machines");
    if (out_.version_ != 2 && out_.version_ != 3)
      return Unimplemented(
          "GGUF version {} is not supported, only versions 2 and 3: convert the model again",
          out_.version_);
    QF_ASSIGN_OR_RETURN(tensor_count_, reader_.Value<uint64_t>("the number of tensors"));
    QF_ASSIGN_OR_RETURN(kv_count_, reader_.Value<uint64_t>("the number of keys"));
    QF_RETURN_IF_ERROR(CheckCount(kv_count_, kLeastKvBytes, "keys"));
    return CheckCount(tensor_count_, kLeastTensorBytes, "tensors");
  }

  absl::Status CheckCount(uint64_t count, uint64_t least_bytes, std::string_view what) const {
    if (count > kMaxEntries)
      return InvalidArgument("the header claims {} {}; the maximum is {}", count, what,
                             kMaxEntries);
    if (count > reader_.remaining() / least_bytes)
      return DataLoss(
          "the header claims {} {}, more than the file has room for: is the file truncated?", count,
          what);
    return absl::OkStatus();
  }

  absl::Status Kv() {
    GgufKv kv;
    kv.begin = reader_.position();
    QF_ASSIGN_OR_RETURN(kv.key, reader_.String(kMaxKeyBytes, "a key"));
    if (!IsPlain(kv.key))
      return InvalidArgument("the key before byte {} is empty or not printable ASCII",
                             reader_.position());
    if (!out_.kv_index_.emplace(kv.key, out_.kvs_.size()).second)
      return InvalidArgument("key '{}' occurs more than once", kv.key);
    QF_ASSIGN_OR_RETURN(kv.type, Type(kv.key));
    if (kv.type == GgufType::kArray) {
      QF_ASSIGN_OR_RETURN(kv.value, Array(kv.key));
    } else {
      QF_ASSIGN_OR_RETURN(kv.value, Scalar(kv.type, kv.key));
    }
    kv.end = reader_.position();
    out_.kvs_.push_back(std::move(kv));
    return absl::OkStatus();
  }

  absl::StatusOr<GgufType> Type(std::string_view key) {
    QF_ASSIGN_OR_RETURN(const uint32_t type, reader_.Value<uint32_t>(key));
    if (!IsKnown(type))
      return InvalidArgument("key '{}' has a value of unknown type {}", key, type);
    return static_cast<GgufType>(type);
  }

  template <typename Narrow, typename Wide>
  absl::StatusOr<GgufValue> Number(std::string_view key) {
    QF_ASSIGN_OR_RETURN(const Narrow value, reader_.Value<Narrow>(key));
    return GgufValue(static_cast<Wide>(value));
  }

  absl::StatusOr<GgufValue> Scalar(GgufType type, std::string_view key) {
    switch (type) {
      case GgufType::kU8:
        return Number<uint8_t, uint64_t>(key);
      case GgufType::kU16:
        return Number<uint16_t, uint64_t>(key);
      case GgufType::kU32:
        return Number<uint32_t, uint64_t>(key);
      case GgufType::kU64:
        return Number<uint64_t, uint64_t>(key);
      case GgufType::kI8:
        return Number<int8_t, int64_t>(key);
      case GgufType::kI16:
        return Number<int16_t, int64_t>(key);
      case GgufType::kI32:
        return Number<int32_t, int64_t>(key);
      case GgufType::kI64:
        return Number<int64_t, int64_t>(key);
      case GgufType::kF32:
        return Number<float, double>(key);
      case GgufType::kF64:
        return Number<double, double>(key);
      case GgufType::kBool: {
        QF_ASSIGN_OR_RETURN(const uint8_t value, reader_.Value<uint8_t>(key));
        if (value > 1)
          return InvalidArgument("key '{}' is a bool with the invalid value {}", key, value);
        return GgufValue(value == 1);
      }
      case GgufType::kString: {
        QF_ASSIGN_OR_RETURN(std::string text, reader_.String(kMaxTextBytes, key));
        return GgufValue(std::move(text));
      }
      case GgufType::kArray:
        break;
    }
    return Internal("not a scalar type: {}", Name(type));
  }

  absl::StatusOr<GgufValue> Array(std::string_view key) {
    GgufArray array;
    QF_ASSIGN_OR_RETURN(array.element, Type(key));
    if (array.element == GgufType::kArray)
      return InvalidArgument("key '{}' contains an array of arrays, which is not supported", key);
    QF_ASSIGN_OR_RETURN(array.count, reader_.Value<uint64_t>(key));
    if (array.count > kMaxElements)
      return InvalidArgument("key '{}' claims {} elements; the maximum is {}", key, array.count,
                             kMaxElements);
    const bool strings = array.element == GgufType::kString;
    QF_RETURN_IF_ERROR(reader_.Need(array.count * (strings ? 8 : Width(array.element)), key));
    if (strings) {
      array.strings.reserve(array.count);
      for (uint64_t i = 0; i < array.count; ++i) {
        QF_ASSIGN_OR_RETURN(std::string text, reader_.String(kMaxTextBytes, key));
        array.strings.push_back(std::move(text));
      }
    } else {
      array.raw.resize(array.count * Width(array.element));
      QF_RETURN_IF_ERROR(reader_.Bytes(std::as_writable_bytes(std::span(array.raw)), key));
    }
    return GgufValue(std::move(array));
  }

  absl::Status Alignment() {
    const GgufKv* kv = out_.Find("general.alignment");
    if (kv == nullptr) return absl::OkStatus();
    if (kv->type != GgufType::kU32)
      return InvalidArgument("general.alignment has the type {} instead of u32", Name(kv->type));
    const uint64_t alignment = std::get<uint64_t>(kv->value);
    if (alignment == 0 || alignment > kMaxAlignment || !std::has_single_bit(alignment))
      return InvalidArgument("general.alignment is {}; it must be a power of two of at most {}",
                             alignment, kMaxAlignment);
    out_.alignment_ = static_cast<uint32_t>(alignment);
    return absl::OkStatus();
  }

  absl::Status TensorInfo() {
    GgufTensor tensor;
    QF_ASSIGN_OR_RETURN(tensor.name, reader_.String(kMaxNameBytes, "a tensor's name"));
    if (!IsPlain(tensor.name))
      return InvalidArgument("the tensor name before byte {} is empty or not printable ASCII",
                             reader_.position());
    if (!out_.tensor_index_.emplace(tensor.name, out_.tensors_.size()).second)
      return InvalidArgument("tensor '{}' occurs more than once", tensor.name);
    QF_ASSIGN_OR_RETURN(const uint32_t n_dims, reader_.Value<uint32_t>(tensor.name));
    if (n_dims < 1 || n_dims > tensor.dims.size())
      return InvalidArgument("tensor '{}' has {} dimensions; 1 to 4 are allowed", tensor.name,
                             n_dims);
    tensor.n_dims = static_cast<int>(n_dims);
    for (uint32_t i = 0; i < n_dims; ++i) {
      QF_ASSIGN_OR_RETURN(tensor.dims[i], reader_.Value<int64_t>(tensor.name));
      if (tensor.dims[i] < 1)
        return InvalidArgument("tensor '{}' has a dimension of {} elements", tensor.name,
                               tensor.dims[i]);
    }
    QF_ASSIGN_OR_RETURN(const uint32_t type, reader_.Value<uint32_t>(tensor.name));
    const std::optional<DType> dtype = DTypeFromNumber(type);
    if (!dtype)
      return Unimplemented(
          "tensor '{}' has the element type {}{}{}, which is not supported: use the original "
          "model, or a file of it in another type, such as Q4_K_M",
          tensor.name, type, ForeignTypeName(type).empty() ? "" : " ", ForeignTypeName(type));
    tensor.dtype = *dtype;
    QF_RETURN_IF_ERROR(Measure(tensor));
    QF_ASSIGN_OR_RETURN(tensor.offset, reader_.Value<uint64_t>(tensor.name));
    out_.tensors_.push_back(std::move(tensor));
    return absl::OkStatus();
  }

  static absl::Status Measure(GgufTensor& tensor) {
    if (!Divides(tensor.dtype, tensor.dims[0]))
      return InvalidArgument(
          "tensor '{}' has rows of {} elements, which is not a multiple of the block size {} ({})",
          tensor.name, tensor.dims[0], Info(tensor.dtype).block_elements, Info(tensor.dtype).name);
    std::optional<uint64_t> size =
        CheckedMul(static_cast<uint64_t>(tensor.dims[0] / Info(tensor.dtype).block_elements),
                   static_cast<uint64_t>(Info(tensor.dtype).block_bytes));
    // Elements are counted in int64 everywhere else, so they must fit as well as the bytes.
    std::optional<uint64_t> elements = static_cast<uint64_t>(tensor.dims[0]);
    for (size_t i = 1; i < tensor.dims.size(); ++i) {
      if (size) size = CheckedMul(*size, static_cast<uint64_t>(tensor.dims[i]));
      if (elements) elements = CheckedMul(*elements, static_cast<uint64_t>(tensor.dims[i]));
    }
    constexpr auto kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (!size || !elements || *size > kMax || *elements > kMax)
      return InvalidArgument("the product of the dimensions of tensor '{}' overflows", tensor.name);
    tensor.size = *size;
    return absl::OkStatus();
  }

  // Offsets have to be the running sum of the padded sizes, and everything has to be in the file.
  absl::Status Place() {
    out_.header_size_ = reader_.position();
    out_.data_offset_ = RoundUp(out_.header_size_, out_.alignment_);
    uint64_t expected = 0;
    for (GgufTensor& tensor : out_.tensors_) {
      if (tensor.offset != expected)
        return InvalidArgument(
            "tensor '{}' claims the offset {}, but the tensors before it end at {}", tensor.name,
            tensor.offset, expected);
      const std::optional<uint64_t> begin = CheckedAdd(out_.data_offset_, expected);
      const std::optional<uint64_t> end = begin ? CheckedAdd(*begin, tensor.size) : std::nullopt;
      if (!end || *end > file_size_)
        return DataLoss(
            "tensor '{}' ({} bytes) reaches beyond the end of the file ({} bytes): is the file "
            "truncated?",
            tensor.name, tensor.size, file_size_);
      tensor.offset = *begin;
      expected = RoundUp(expected + tensor.size, out_.alignment_);
    }
    return absl::OkStatus();
  }

  GgufReader reader_;
  const uint64_t file_size_;
  GgufFile& out_;
  uint64_t tensor_count_ = 0, kv_count_ = 0;
};

absl::StatusOr<GgufFile> GgufFile::Read(const File& file, std::string_view name) {
  QF_ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  GgufFile out;
  out.name_ = std::string(name);
  QF_RETURN_IF_ERROR(Annotate(GgufParser(file, size, out).Run(), name));
  return out;
}

absl::Status GgufFile::TakeShard(const GgufFile& shard, uint32_t index) {
  for (const GgufTensor& tensor : shard.tensors_) {
    if (!tensor_index_.emplace(tensor.name, tensors_.size()).second)
      return InvalidArgument("{}: tensor '{}' is in another file of the model too", shard.name_,
                             tensor.name);
    tensors_.push_back(tensor);
    tensors_.back().shard = index;
  }
  return absl::OkStatus();
}

bool GgufFile::HasMagic(const File& file) {
  std::array<std::byte, 4> magic;
  return file.ReadAt(0, magic).ok() && AsText(magic) == "GGUF";
}

const GgufKv* GgufFile::Find(std::string_view key) const {
  const auto it = kv_index_.find(key);
  return it == kv_index_.end() ? nullptr : &kvs_[it->second];
}

const GgufTensor* GgufFile::FindTensor(std::string_view tensor) const {
  const auto it = tensor_index_.find(tensor);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

absl::Status GgufFile::WrongType(const GgufKv& kv, std::string_view wanted) const {
  const auto* array = std::get_if<GgufArray>(&kv.value);
  return InvalidArgument("{}: key '{}' must be {}, but is {}{}", name_, kv.key, wanted,
                         array ? "an array of " : "a ",
                         array ? Name(array->element) : Name(kv.type));
}

absl::StatusOr<std::optional<int64_t>> GgufFile::Integer(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<int64_t>();
  if (const auto* value = std::get_if<int64_t>(&kv->value)) return std::optional(*value);
  const auto* value = std::get_if<uint64_t>(&kv->value);
  if (value == nullptr) return WrongType(*kv, "an integer");
  if (*value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    return InvalidArgument("{}: key '{}' is {}, which is out of range", name_, key, *value);
  return std::optional(static_cast<int64_t>(*value));
}

absl::StatusOr<std::optional<double>> GgufFile::Float(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<double>();
  if (const auto* value = std::get_if<double>(&kv->value)) return std::optional(*value);
  return WrongType(*kv, "a float");
}

absl::StatusOr<std::optional<bool>> GgufFile::Bool(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<bool>();
  if (const auto* value = std::get_if<bool>(&kv->value)) return std::optional(*value);
  return WrongType(*kv, "a bool");
}

absl::StatusOr<std::optional<std::string>> GgufFile::Text(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<std::string>();
  if (const auto* value = std::get_if<std::string>(&kv->value)) return std::optional(*value);
  return WrongType(*kv, "a string");
}

absl::StatusOr<const std::vector<std::string>*> GgufFile::Strings(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return static_cast<const std::vector<std::string>*>(nullptr);
  const auto* array = std::get_if<GgufArray>(&kv->value);
  if (array == nullptr || array->element != GgufType::kString)
    return WrongType(*kv, "an array of strings");
  return &array->strings;
}

absl::StatusOr<std::optional<std::vector<float>>> GgufFile::Floats(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<std::vector<float>>();
  const auto* array = std::get_if<GgufArray>(&kv->value);
  if (array == nullptr || array->element != GgufType::kF32)
    return WrongType(*kv, "an array of f32");
  std::vector<float> values(array->count);
  if (!values.empty()) std::memcpy(values.data(), array->raw.data(), array->raw.size());
  return std::optional(std::move(values));
}

absl::StatusOr<std::optional<std::vector<int32_t>>> GgufFile::Integers(std::string_view key) const {
  const GgufKv* kv = Find(key);
  if (kv == nullptr) return std::optional<std::vector<int32_t>>();
  const auto* array = std::get_if<GgufArray>(&kv->value);
  if (array == nullptr || (array->element != GgufType::kI32 && array->element != GgufType::kU32))
    return WrongType(*kv, "an array of i32");
  std::vector<int32_t> values(array->count);
  if (!values.empty()) std::memcpy(values.data(), array->raw.data(), array->raw.size());
  return std::optional(std::move(values));
}

}  // namespace quantfleet::pipeline
