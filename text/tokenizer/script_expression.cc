#include "text/tokenizer/script_expression.h"

#include <fmt/format.h>

#include <string_view>

namespace quantfleet::text {
namespace {

// Those of Unicode 14, as PCRE2 knows them; frequent ones first, because they are tried in order.
constexpr std::string_view kScripts[] = {"Latin",
                                         "Cyrillic",

                                         "Hangul",

                                         "Greek",
                                         "Hebrew",
                                         "Thai",
                                         "Adlam",
                                         "Ahom",
                                         "Anatolian_hieroglyphs",

                                         "Avestan",
                                         "Balinese",
                                         "Bamum",
                                         "Bassa_vah",
                                         "Batak",
                                         "Bengali",
                                         "Bhaiksuki",
                                         "Bopomofo",
                                         "Brahmi",
                                         "Braille",
                                         "Buginese",
                                         "Buhid",
                                         "Canadian_aboriginal",
                                         "Carian",
                                         "Caucasian_albanian",
                                         "Chakma",
                                         "Cham",
                                         "Cherokee",
                                         "Chorasmian",
                                         "Coptic",
                                         "Cuneiform",
                                         "Cypriot",
                                         "Cypro_minoan",
                                         "Deseret",
                                         "Dives_akuru",
                                         "Dogra",
                                         "Duployan",
                                         "Egyptian_hieroglyphs",
                                         "Elbasan",
                                         "Elymaic",
                                         "Ethiopic",
                                         "Georgian",
                                         "Glagolitic",
                                         "Gothic",
                                         "Grantha",
                                         "Gujarati",
                                         "Gunjala_gondi",
                                         "Gurmukhi",
                                         "Hanifi_rohingya",
                                         "Hanunoo",
                                         "Hatran",
                                         "Imperial_aramaic",

                                         "Inscriptional_pahlavi",
                                         "Inscriptional_parthian",
                                         "Javanese",
                                         "Kaithi",
                                         "Kannada",
                                         "Kayah_li",
                                         "Kharoshthi",
                                         "Khitan_small_script",
                                         "Khmer",
                                         "Khojki",
                                         "Khudawadi",
                                         "Lao",
                                         "Lepcha",
                                         "Limbu",
                                         "Linear_a",
                                         "Linear_b",
                                         "Lisu",
                                         "Lycian",
                                         "Lydian",
                                         "Mahajani",
                                         "Makasar",
                                         "Malayalam",
                                         "Mandaic",
                                         "Manichaean",
                                         "Marchen",
                                         "Masaram_gondi",
                                         "Medefaidrin",
                                         "Meetei_mayek",
                                         "Mende_kikakui",
                                         "Meroitic_cursive",
                                         "Meroitic_hieroglyphs",
                                         "Miao",
                                         "Modi",
                                         "Mongolian",
                                         "Mro",
                                         "Multani",
                                         "Myanmar",
                                         "Nabataean",
                                         "Nandinagari",
                                         "New_tai_lue",
                                         "Newa",
                                         "Nko",
                                         "Nushu",
                                         "Nyiakeng_puachue_hmong",
                                         "Ogham",
                                         "Ol_chiki",
                                         "Old_hungarian",
                                         "Old_italic",
                                         "Old_north_arabian",
                                         "Old_permic",
                                         "Old_persian",
                                         "Old_sogdian",
                                         "Old_south_arabian",
                                         "Old_turkic",
                                         "Old_uyghur",
                                         "Oriya",
                                         "Osage",
                                         "Osmanya",
                                         "Pahawh_hmong",
                                         "Palmyrene",
                                         "Pau_cin_hau",
                                         "Phags_pa",
                                         "Phoenician",
                                         "Psalter_pahlavi",
                                         "Rejang",
                                         "Runic",
                                         "Samaritan",
                                         "Saurashtra",
                                         "Sharada",
                                         "Shavian",
                                         "Siddham",
                                         "SignWriting",
                                         "Sinhala",
                                         "Sogdian",
                                         "Sora_sompeng",
                                         "Soyombo",
                                         "Sundanese",
                                         "Syloti_nagri",
                                         "Syriac",
                                         "Tagalog",
                                         "Tagbanwa",
                                         "Tai_le",
                                         "Tai_tham",
                                         "Tai_viet",
                                         "Takri",
                                         "Tamil",
                                         "Tangsa",
                                         "Tangut",
                                         "Telugu",
                                         "Thaana",
                                         "Tibetan",
                                         "Tifinagh",
                                         "Tirhuta",
                                         "Toto",
                                         "Ugaritic",
                                         "Vai",
                                         "Vithkuqi",
                                         "Wancho",
                                         "Warang_citi",
                                         "Yezidi",
                                         "Yi",
                                         "Zanabazar_square"};

// A run that begins with one of `members`, and has nothing of `others` in it.
void AppendRun(std::string_view members, std::string_view others, std::string& out) {
  const std::string without = others.empty() ? "" : fmt::format("&&[^{}]", others);
  out += fmt::format(R"({0}[{1}&&[^ {2}]][{1}\p{{Unknown}} {3}]*)", out.empty() ? "" : "|", members,
                     others, without);
}

}  // namespace

std::string ScriptExpression() {
  std::string out;
  // `tokenizers` knows Unicode 9, which had two marks as Common, and two as Devanagari. U+30FC,
  // which makes a vowel long, is Common, but counts as Han.
  AppendRun(R"(\p{Common}\x{589}\x{61c})", R"(\x{30fc})", out);
  AppendRun(R"(\p{Han}\p{Hiragana}\p{Katakana}\x{30fc})", "", out);
  AppendRun(R"(\p{Devanagari}\x{953}\x{954})", "", out);
  AppendRun(R"(\p{Inherited})", R"(\x{953}\x{954})", out);
  AppendRun(R"(\p{Armenian})", R"(\x{589})", out);
  AppendRun(R"(\p{Arabic})", R"(\x{61c})", out);
  for (const std::string_view script : kScripts)
    AppendRun(fmt::format(R"(\p{{{}}})", script), "", out);
  return out;
}

}  // namespace quantfleet::text
