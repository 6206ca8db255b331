// What each runtime writes about a container, cut to what is read.
#include "agent/targets/container_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace time_chaos::targets {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kId(64, 'a');

TEST(ContainerNames, OfContainerdsBundle) {
  const auto names = names_in_bundle(R"({"ociVersion": "1.0.2", "annotations": {
      "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-name": "payments-7c9d", "io.kubernetes.cri.sandbox-uid": "AB_c",
      "io.kubernetes.cri.sandbox-namespace": "shop"}})");
  EXPECT_THAT(names.all(), ElementsAre("app", "payments-7c9d/app", "shop/payments-7c9d/app"));
  EXPECT_EQ(names.pod_uid, "ab-c");
  EXPECT_FALSE(names.sandbox);
}

TEST(ContainerNames, OfASandbox) {
  const auto containerd = names_in_bundle(
      R"({"annotations": {"io.kubernetes.cri.container-type": "sandbox",
                          "io.kubernetes.cri.sandbox-name": "payments"}})");
  EXPECT_TRUE(containerd.sandbox);
  EXPECT_TRUE(containerd.known());
  const auto crio =
      names_in_bundle(R"({"annotations": {"io.kubernetes.cri-o.ContainerType": "sandbox",
                                          "io.kubernetes.container.name": "POD"}})");
  EXPECT_TRUE(crio.sandbox);
}

TEST(ContainerNames, OfDocker) {
  EXPECT_THAT(names_in_docker(R"({"Name": "/web", "Config": {"Labels": {}}})").all(),
              ElementsAre("web"));
  EXPECT_THAT(names_in_docker(R"({"Name": "/k8s_app_x", "Config": {"Labels": {
      "io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "x"}}})")
                  .all(),
              ElementsAre("app", "x/app"));
}

TEST(ContainerNames, OfPodmansStorage) {
  const std::string list = R"([{"id": "other", "names": ["no"]}, {"id": ")" + kId +
                           R"(", "names": ["shop-app"], "metadata": "not json"}])";
  EXPECT_THAT(names_in_storage(list, kId).all(), ElementsAre("shop-app"));
  EXPECT_FALSE(names_in_storage(list, "else").known());
}

TEST(ContainerNames, OfWhatIsNotUnderstoodAreNotKnown) {
  for (const char* text : {"", "{", "[]", "7", "null", R"({"annotations": 7})", R"([7, [], {}])",
                           R"({"annotations": {"io.kubernetes.container.name": 7}})"}) {
    EXPECT_THAT(names_in_bundle(text).all(), IsEmpty()) << text;
    EXPECT_THAT(names_in_docker(text).all(), IsEmpty()) << text;
    EXPECT_THAT(names_in_storage(text, kId).all(), IsEmpty()) << text;
  }
}

TEST(ContainerNames, AreFoundWhereTheRuntimesKeepThem) {
  const std::string root = testing::TempDir() + "tc-names-" + std::to_string(::getpid());
  const std::string bundle = R"({"annotations": {"io.kubernetes.container.name": "app"}})";
  const std::string docker = R"({"Name": "/app"})";
  const std::string storage = R"([{"id": ")" + kId + R"(", "names": ["app"]}])";
  const std::pair<std::string, std::string> files[] = {
      {"/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json", bundle},
      {"/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + kId + "/config.json", bundle},
      {"/var/lib/docker/containers/" + kId + "/config.v2.json", docker},
      {"/run/containers/storage/overlay-containers/" + kId + "/userdata/config.json", bundle},
      {"/var/lib/containers/storage/vfs-containers/containers.json", storage},
  };
  for (const auto& [path, text] : files) {
    fs::create_directories(fs::path(root + path).parent_path());
    std::ofstream(root + path) << text;
    EXPECT_THAT(read_container_names(kId, {"/no/such/root", root}).all(), ElementsAre("app"))
        << path;
    EXPECT_FALSE(read_container_names(std::string(64, 'b'), {root}).known()) << path;
    fs::remove_all(root);
  }
}

}  // namespace
}  // namespace time_chaos::targets
