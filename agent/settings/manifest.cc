#include "agent/settings/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/settings/yaml.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::settings {
namespace {

constexpr const char* kVersion = "chaos-mesh.org/v1alpha1";
constexpr const char* kKind = "TimeChaos";
// A field that is an option of ours.
struct Field {
  const char* name;
  const char* option;
  bool list;
};
constexpr Field kFields[] = {{"timeOffset", "offset", false},
                             {"clockIds", "clocks", true},
                             {"containerNames", "container", true},
                             {"duration", "duration", false},
                             {"mode", "mode", false},
                             {"value", "value", false}};
// What of a selector only the API server can look up.
constexpr const char* kByServer[] = {"namespaces",
                                     "labelSelectors",
                                     "expressionSelectors",
                                     "annotationSelectors",
                                     "fieldSelectors",
                                     "nodeSelectors",
                                     "nodes",
                                     "podPhaseSelectors"};

// Reads one manifest; `name` is the file's.
class Reader {
 public:
  explicit Reader(const std::string& name) : name_(name) {}

  Result<Manifest> read(const YAML::Node& root) {
    const auto top = [&](const std::string& key, const YAML::Node& at,
                         const YAML::Node& value) -> Status {
      if (key == "apiVersion") return expect(value, key, kVersion, has_version_);
      if (key == "kind") return expect(value, key, kKind, has_kind_);
      if (key == "metadata") return metadata(value);
      if (key == "spec") return spec(value);
      if (key == "status") return {};  // the controller's, in what kubectl get prints
      return unknown(key, "", at);
    };
    TC_CHECK(for_each_entry(root, name_, "the manifest", top));
    if (!has_version_ || !has_kind_) {
      return fail(Exit::kUsage, fmt::format("{}: it is no {} {}", name_, kVersion, kKind),
                  fmt::format("begin it with apiVersion: {} and kind: {}", kVersion, kKind));
    }
    TC_CHECK(check_complete());
    return std::move(manifest_);
  }

 private:
  [[nodiscard]] std::string place(const YAML::Node& at) const { return place_of(name_, at.Mark()); }

  [[nodiscard]] tl::unexpected<Error> unknown(const std::string& key, const std::string& parent,
                                              const YAML::Node& at) const {
    return fail(Exit::kUsage, fmt::format("{}: unknown field {}{}", place(at), parent, key),
                fmt::format("leave it out, or see Chaos Mesh's {}", kKind));
  }

  Status expect(const YAML::Node& value, const std::string& key, const std::string& wanted,
                bool& seen) const {
    TC_TRY(const auto values, scalars(value, name_, key));
    seen = values.size() == 1 && values.front() == wanted;
    if (seen) return {};
    return fail(Exit::kUsage, fmt::format("{}: {} is not {}", place(value), key, wanted),
                fmt::format("give a {} {}", wanted == kKind ? kVersion : wanted, kKind));
  }

  // Its other fields are the API server's.
  Status metadata(const YAML::Node& value) {
    return for_each_entry(
        value, name_, "metadata",
        [&](const std::string& key, const YAML::Node& at, const YAML::Node& field) -> Status {
          if (key != "name") return {};
          return add("experiment", key, at, field, false);
        });
  }

  Status spec(const YAML::Node& value) {
    return for_each_entry(
        value, name_, "spec",
        [&](const std::string& key, const YAML::Node& at, const YAML::Node& field) -> Status {
          if (key == "selector") return selector(field);
          if (key == "remoteCluster") {
            return fail(Exit::kUsage, place(at) + ": spec.remoteCluster is not supported",
                        "run time-chaos where the pods are, and leave it out");
          }
          for (const Field& known : kFields) {
            if (key == known.name) return add(known.option, "spec." + key, at, field, known.list);
          }
          return unknown(key, "spec.", at);
        });
  }

  Status selector(const YAML::Node& value) {
    return for_each_entry(
        value, name_, "spec.selector",
        [&](const std::string& key, const YAML::Node& at, const YAML::Node& field) -> Status {
          if (key == "pods") return pods(field);
          const bool known =
              std::find(std::begin(kByServer), std::end(kByServer), key) != std::end(kByServer);
          if (!known) return unknown(key, "spec.selector.", at);
          manifest_.unresolved = "spec.selector." + key;
          manifest_.unresolved_place = place(at);
          return {};
        });
  }

  // NAMESPACE: [POD, ...]. As in Chaos Mesh, they make all else of the selector irrelevant.
  Status pods(const YAML::Node& value) {
    return for_each_entry(
        value, name_, "spec.selector.pods",
        [&](const std::string& key, const YAML::Node& at, const YAML::Node& field) -> Status {
          TC_TRY(const auto names, scalars(field, name_, "spec.selector.pods." + key));
          for (const std::string& name : names)
            add_to("pod", fmt::format("{}/{}", key, name), place(at));
          return {};
        });
  }

  Status add(const char* option, const std::string& field, const YAML::Node& at,
             const YAML::Node& value, bool list) {
    TC_TRY(auto values, scalars(value, name_, field));
    if (values.empty()) return {};
    if (!list && (values.size() != 1 || value.IsSequence())) {
      return fail(Exit::kUsage, fmt::format("{}: {} is a list", place(at), field),
                  "give one value");
    }
    const std::string_view word(option);
    // Not what only begins so.
    if (word == "container") {
      for (std::string& name : values) name.insert(0, "name:");
    }
    if (word == "clocks") values = {fmt::format("{}", fmt::join(values, ","))};
    // Names in Kubernetes are longer than a clock page has room for.
    if (word == "experiment")
      values.front().resize(std::min<size_t>(values.front().size(), TC_EXPERIMENT_NAME_MAX - 1));
    manifest_.settings.push_back({option, std::move(values), place(at)});
    return {};
  }

  void add_to(const std::string& option, std::string value, const std::string& where) {
    for (Setting& setting : manifest_.settings) {
      if (setting.key == option) return setting.values.push_back(std::move(value));
    }
    manifest_.settings.push_back({option, {std::move(value)}, where});
  }

  [[nodiscard]] bool has(std::string_view option) const {
    return std::any_of(manifest_.settings.begin(), manifest_.settings.end(),
                       [&](const Setting& s) { return s.key == option; });
  }

  // Chaos Mesh shifts CLOCK_REALTIME if it is told nothing else: our wall clock, all of it.
  Status check_complete() {
    if (has("pod")) {
      manifest_.unresolved.clear();
    } else if (manifest_.unresolved.empty()) {
      manifest_.unresolved = "spec.selector";
      manifest_.unresolved_place = name_;
    }
    if (has("offset")) return {};
    return fail(Exit::kUsage, name_ + ": spec.timeOffset is missing", "add timeOffset: \"-10m\"");
  }

  std::string name_;
  Manifest manifest_;
  bool has_version_ = false;
  bool has_kind_ = false;
};

}  // namespace

Result<Manifest> parse_manifest(const std::string& text, const std::string& name) {
  TC_TRY(const YAML::Node root, parse_yaml(text, name));
  return Reader(name).read(root);
}

}  // namespace time_chaos::settings
