// Manifests as Chaos Mesh's documentation and clusters have them.
#include "agent/settings/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace time_chaos::settings {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kHead = "apiVersion: chaos-mesh.org/v1alpha1\nkind: TimeChaos\n";

TEST(Manifest, OfTheDocumentation) {
  const auto manifest = parse_manifest(std::string(kHead) +
                                           "metadata:\n"
                                           "  name: time-shift-example\n"
                                           "  namespace: chaos-mesh\n"
                                           "spec:\n"
                                           "  mode: one\n"
                                           "  selector:\n"
                                           "    labelSelectors:\n"
                                           "      'app': 'app1'\n"
                                           "  timeOffset: '-10m100ns'\n"
                                           "  clockIds: [CLOCK_REALTIME, CLOCK_MONOTONIC]\n"
                                           "  containerNames: [app, web]\n"
                                           "  duration: '30s'\n",
                                       "t.yaml");
  ASSERT_TRUE(manifest) << manifest.error().line();
  EXPECT_THAT(manifest->settings,
              ElementsAre(Setting{"experiment", {"time-shift-example"}, "t.yaml line 4"},
                          Setting{"mode", {"one"}, "t.yaml line 7"},
                          Setting{"offset", {"-10m100ns"}, "t.yaml line 11"},
                          Setting{"clocks", {"CLOCK_REALTIME,CLOCK_MONOTONIC"}, "t.yaml line 12"},
                          Setting{"container", {"name:app", "name:web"}, "t.yaml line 13"},
                          Setting{"duration", {"30s"}, "t.yaml line 14"}));
  EXPECT_EQ(manifest->unresolved, "spec.selector.labelSelectors");
  EXPECT_EQ(manifest->unresolved_place, "t.yaml line 9");
}

TEST(Manifest, PodsAreNamedAndNothingElseThenMatters) {
  const auto manifest = parse_manifest(std::string(kHead) +
                                           "spec:\n"
                                           "  mode: fixed\n"
                                           "  value: '2'\n"
                                           "  timeOffset: 1h\n"
                                           "  selector:\n"
                                           "    namespaces: [shop]\n"
                                           "    pods:\n"
                                           "      shop: [payments-1, payments-2]\n"
                                           "      mail: [smtp]\n"
                                           "status: {experiment: {}}\n",
                                       "t");
  ASSERT_TRUE(manifest) << manifest.error().line();
  EXPECT_EQ(manifest->unresolved, "");
  EXPECT_THAT(manifest->settings.back(),
              (Setting{"pod", {"shop/payments-1", "shop/payments-2", "mail/smtp"}, "t line 10"}));
}

TEST(Manifest, WithoutASelectorThePodsHaveToBeGiven) {
  const auto manifest = parse_manifest(std::string(kHead) + "spec: {timeOffset: 1h}\n", "t");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->unresolved, "spec.selector");
}

TEST(Manifest, WhatIsWrongIsNamedWithItsLine) {
  const std::string head = kHead;
  const std::pair<std::string, std::string> cases[] = {
      {"", "t: the manifest is not a map"},
      {"kind: TimeChaos\n", "t: it is no chaos-mesh.org/v1alpha1 TimeChaos"},
      {"apiVersion: v1\nkind: TimeChaos\n", "t line 1: apiVersion is not chaos-mesh.org/v1alpha1"},
      {"apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\n", "t line 2: kind is not TimeChaos"},
      {head + "spec:\n  timeoffset: 1h\n", "t line 4: unknown field spec.timeoffset"},
      {head + "speck: {}\n", "t line 3: unknown field speck"},
      {head + "spec:\n  timeOffset: 1h\n  selector:\n    labelSelector: {}\n",
       "t line 6: unknown field spec.selector.labelSelector"},
      {head + "spec:\n  timeOffset: [1h]\n", "t line 4: spec.timeOffset is a list"},
      {head + "spec:\n  timeOffset: {a: b}\n", "t line 4: spec.timeOffset is neither"},
      {head + "spec:\n  remoteCluster: x\n", "t line 4: spec.remoteCluster is not supported"},
      {head + "spec:\n  timeOffset: 1h\n  timeOffset: 2h\n", "t line 5: timeOffset is there twice"},
      {head + "spec: [a]\n", "t line 3: spec is not a map"},
      {head + "spec: {mode: one}\n", "t: spec.timeOffset is missing"},
      {head, "t: spec.timeOffset is missing"},
  };
  for (const auto& [text, message] : cases) {
    const auto manifest = parse_manifest(text, "t");
    ASSERT_FALSE(manifest) << text;
    EXPECT_EQ(manifest.error().kind(), Exit::kUsage);
    EXPECT_THAT(manifest.error().line(), HasSubstr(message));
    EXPECT_FALSE(manifest.error().remedy().empty()) << text;
  }
}

}  // namespace
}  // namespace time_chaos::settings
