#include "common/config/file/read_toml.h"

#include "common/toml/toml_reader.h"

namespace quantfleet::config {
namespace {

using Puts = std::vector<std::function<absl::Status()>>;

// Reads the row's value at `key`, where there is one, and adds what is to be done with it.
struct ReadKey {
  TomlReader& reader;
  const std::string& key;
  Puts& puts;

  void operator()(const Text& text) const {
    std::string value;
    if (text.required)
      reader.Require(key, value);
    else if (!reader.Read(key, value))
      return;
    puts.push_back([&text, value] { return text.put(value); });
  }
  void operator()(const Whole& whole) const {
    int64_t value = 0;
    if (!reader.Read(key, value, whole.least, whole.most)) return;
    Put(whole, value);
  }
  void operator()(const Number& number) const {
    double value = 0;
    if (!reader.Read(key, value, number.least, number.most)) return;
    Put(number, value);
  }
  void operator()(const Switch& flag) const {
    bool value = false;
    if (reader.Read(key, value)) Put(flag, value);
  }
  void operator()(const Texts& texts) const {
    std::vector<std::string> values;
    if (reader.Read(key, values)) Put(texts, values);
  }

  template <class Row, class Read>
  void Put(const Row& row, const Read& value) const {
    puts.push_back([&row, value] {
      row.put(value);
      return absl::OkStatus();
    });
  }
};

}  // namespace

absl::Status ReadToml(const Settings& settings, std::string_view toml) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(toml));
  Puts puts;
  for (const Setting& setting : settings) {
    for (const Setting::Spelling& earlier : setting.earlier)
      if (!earlier.key.empty()) std::visit(ReadKey{reader, earlier.key, puts}, setting.value);
    if (!setting.key.empty()) std::visit(ReadKey{reader, setting.key, puts}, setting.value);
  }
  QF_RETURN_IF_ERROR(reader.Finish());
  for (const auto& put : puts) QF_RETURN_IF_ERROR(put());
  return absl::OkStatus();
}

}  // namespace quantfleet::config
