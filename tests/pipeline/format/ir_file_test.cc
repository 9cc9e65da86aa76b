// What inspecting reads of an OpenVINO model's XML, and what it refuses.
#include "pipeline/format/openvino/ir_file.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

std::string Net(std::string_view layers) {
  return fmt::format(
      "<?xml version=\"1.0\"?><net name=\"a\" version=\"11\"><layers>{}</layers></net>", layers);
}

std::string Constant(std::string_view attributes) {
  return Net(fmt::format(
      "<layer id=\"0\" name=\"w\" type=\"Const\" version=\"opset1\"><data {} /></layer>",
      attributes));
}

TEST(IrFile, ConstantsInTheFilesOrder) {
  const auto constants =
      ReadIrConstants(Net("<layer id=\"0\" name=\"input_ids\" type=\"Parameter\"><data "
                          "shape=\"?,?\" element_type=\"i64\" /></layer>"
                          "<layer id=\"1\" name=\"a.weight\" type=\"Const\"><data "
                          "element_type=\"i4\" shape=\"3, 2, 5\" offset=\"64\" "
                          "size=\"15\" /></layer>"
                          "<layer id=\"2\" name=\"&lt;b&gt;\" type=\"Const\"><data "
                          "element_type=\"f16\" shape=\"\" offset=\"0\" "
                          "size=\"2\" /></layer>"),
                      "m.xml", 79);
  ASSERT_OK(constants);
  ASSERT_EQ(constants->size(), 2u);
  EXPECT_EQ((*constants)[0].name, "a.weight");
  EXPECT_EQ((*constants)[0].type, "i4");
  EXPECT_EQ((*constants)[0].shape, (std::vector<int64_t>{3, 2, 5}));
  EXPECT_EQ((*constants)[0].offset, 64u);
  EXPECT_EQ((*constants)[1].name, "<b>");
  EXPECT_TRUE((*constants)[1].shape.empty());
}

TEST(IrFile, DamagedConstantsAreNamed) {
  const auto refused = [](std::string_view attributes, std::string_view said) {
    EXPECT_ERROR(ReadIrConstants(Constant(attributes), "m.xml", 100), kDataLoss, said);
  };
  refused("element_type=\"i8\" shape=\"4, x\" offset=\"0\" size=\"4\"", "constant 'w': its shape");
  refused("element_type=\"i8\" shape=\"4,\" offset=\"0\" size=\"4\"", "its shape");
  refused("element_type=\"i8\" shape=\"1,1,1,1,1,1,1,1,1\" offset=\"0\" size=\"1\"", "its shape");
  refused("element_type=\"i8\" shape=\"-4\" offset=\"0\" size=\"4\"", "its shape");
  refused("element_type=\"i8\" shape=\"4\" offset=\"-1\" size=\"4\"", "offset or size");
  refused("element_type=\"i8\" shape=\"4\" offset=\"0\"", "offset or size");
  refused("element_type=\"f8\" shape=\"4\" offset=\"0\" size=\"4\"", "element type");
  refused("element_type=\"i8\" shape=\"9223372036854775807, 9\" offset=\"0\" size=\"4\"",
          "too large");
  refused("element_type=\"i8\" shape=\"4\" offset=\"0\" size=\"5\"", "needs 4 bytes, but it has 5");
  refused("element_type=\"i8\" shape=\"4\" offset=\"97\" size=\"4\"", "outside the 100 bytes");
  refused("element_type=\"i8\" shape=\"4\" offset=\"18446744073709551615\" size=\"4\"", "outside");
}

TEST(IrFile, WhatIsNoModelIsRefused) {
  EXPECT_ERROR(ReadIrConstants("<net", "m.xml", 0), kDataLoss, "m.xml", "XML");
  EXPECT_ERROR(ReadIrConstants("", "m.xml", 0), kDataLoss, "m.xml");
  EXPECT_ERROR(ReadIrConstants("<net version=\"10\" />", "m.xml", 0), kDataLoss, "version 11");
  EXPECT_ERROR(ReadIrConstants("<model version=\"11\" />", "m.xml", 0), kDataLoss, "version 11");
  EXPECT_ERROR(ReadIrConstants(std::string(kMaxIrBytes + 1, ' '), "m.xml", 0), kDataLoss,
               "exceeds");
  // A billion laughs.
  EXPECT_ERROR(
      ReadIrConstants(
          "<?xml version=\"1.0\"?><!DOCTYPE net [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;\">]>"
          "<net version=\"11\" name=\"&b;\" />",
          "m.xml", 0),
      kDataLoss, "document type");
  // Deeper than any stack: the parser does not call itself.
  std::string deep = "<net version=\"11\">";
  for (int i = 0; i < 1'000'000; ++i) deep += "<a>";
  EXPECT_ERROR(ReadIrConstants(deep, "m.xml", 0), kDataLoss, "XML");
}

}  // namespace
}  // namespace quantfleet::pipeline
