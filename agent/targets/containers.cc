#include "agent/targets/containers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "agent/targets/container_path.h"
#include "agent/targets/namespaces.h"
#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"
#include "agent/targets/starting.h"

namespace time_chaos::targets {
namespace {

constexpr size_t kFewestDigits = 4;
constexpr size_t kIdLength = 64;

bool may_be_id(const std::string& text) {
  return text.size() >= kFewestDigits && text.size() <= kIdLength &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string cgroup_text(pid_t pid) {
  return read_process_file(pid, "cgroup", size_t{64} << 10).value_or("");
}

// In the agent's container, where it is one: the same files and the same group.
bool shares_files_with_us(pid_t pid) {
  const auto ours = namespace_inode("self", "mnt");
  const auto theirs = namespace_inode(std::to_string(pid), "mnt");
  // Not for us to see: then it is at least not what we may shift.
  return ours && theirs && *ours == *theirs;
}

bool is_live_program(pid_t pid) {
  const auto stat = read_stat(pid);
  return pid != ::getpid() && stat && !stat->kernel_thread && stat->state != 'Z' &&
         stat->state != 'X';
}

// Pid 1 of the namespaces of a pod: Kubernetes' pause, podman's catatonit -P.
bool holds_namespaces(pid_t pid) {
  const auto status = read_status(pid);
  if (!status || status->ns_pids.empty() || status->ns_pids.back() != 1) return false;
  if (status->name == "pause") return true;
  if (status->name != "catatonit") return false;
  const auto arguments = read_process_file(pid, "cmdline", size_t{64} << 10);
  return arguments && arguments->find(std::string("\0-P\0", 4)) != std::string::npos;
}

}  // namespace

std::string ContainerQuery::text() const {
  const std::string name = whole ? "name:" + container : container;
  if (pod.empty()) return "--container " + name;
  if (container.empty()) return "--pod " + pod;
  return fmt::format("--pod {} --container {}", pod, name);
}

Containers::Containers(ContainerQuery query, std::vector<std::string> roots)
    : query_(std::move(query)), roots_(std::move(roots)) {}

// Of all containers, and of pods as far as the query asks.
std::vector<Containers::Member> Containers::members() const {
  const ContainerPath ours = parse_container_path(cgroup_text(::getpid()));
  const std::string our_text = cgroup_text(::getpid());
  std::vector<Member> list;
  for (const pid_t pid : list_processes()) {
    if (pid == ::getpid()) continue;
    const std::string text = cgroup_text(pid);
    ContainerPath path = parse_container_path(text);
    if (path.container.empty()) continue;
    const bool same_group = path.container == ours.container || text == our_text;
    if (same_group && shares_files_with_us(pid)) continue;
    if (path.pod.empty() && !query_.pod.empty()) {
      const auto mounts = read_process_file(pid, "mountinfo", size_t{1} << 20);
      if (mounts) path.pod = parse_pod_mounts(*mounts);
    }
    list.push_back({pid, std::move(path.container), std::move(path.pod)});
  }
  return list;
}

const ContainerNames& Containers::names_of(const std::string& id) {
  const auto known = names_.find(id);
  if (known != names_.end() && known->second.known()) return known->second;
  return names_[id] = read_container_names(id, roots_);
}

Result<std::vector<pid_t>> Containers::processes() {
  std::vector<Member> list = members();
  std::erase_if(list, [&](const Member& m) {
    if (query_.pod.empty() || m.pod == query_.pod) return false;
    return !names_of(m.container).in_pod(query_.pod);
  });
  TC_CHECK(choose(list));
  std::vector<pid_t> pids;
  for (const Member& member : list) {
    if (!chosen_.contains(member.container)) continue;
    if (!member.pod.empty()) pod_ = member.pod;
    if (!is_live_program(member.pid) || holds_namespaces(member.pid)) continue;
    if (!is_container_init(member.pid)) pids.push_back(member.pid);
  }
  return pids;
}

Status Containers::choose(const std::vector<Member>& members) {
  std::set<std::string> ids;
  for (const Member& member : members) ids.insert(member.container);
  std::erase_if(names_, [&](const auto& entry) { return !ids.contains(entry.first); });
  std::erase_if(ids, [&](const std::string& id) { return names_of(id).sandbox; });
  chosen_.clear();
  if (query_.container.empty()) {
    chosen_ = std::move(ids);
    return {};
  }
  if (id_.empty()) choose_called(ids, {query_.container});
  whole_ = whole_ || !chosen_.empty();
  if (whole_ || query_.whole) return {};
  if (begun_.empty() && may_be_id(query_.container)) TC_CHECK(choose_by_id(ids));
  if (!id_.empty()) return {};
  if (begun_.empty()) begun_ = names_that_begin_so(ids);
  choose_called(ids, begun_);
  return {};
}

Status Containers::choose_by_id(const std::set<std::string>& ids) {
  if (id_.empty()) {
    std::vector<std::string> matches;
    for (const std::string& id : ids) {
      if (id.starts_with(query_.container)) matches.push_back(id);
    }
    if (matches.size() > 1) {
      return fail(Exit::kUsage,
                  fmt::format("the ids of {} containers begin with {}: {}, {}", matches.size(),
                              query_.container, matches[0].substr(0, 12), matches[1].substr(0, 12)),
                  "give more of it");
    }
    if (matches.empty()) return {};
    id_ = matches.front();
    restarted_ = names_of(id_);
  }
  for (const std::string& id : ids) {
    const ContainerNames& names = names_of(id);
    const bool same = !restarted_.pod.empty() && !restarted_.name.empty() &&
                      names.all() == restarted_.all() && names.pod_uid == restarted_.pod_uid;
    if (id == id_ || same) chosen_.insert(id);
  }
  return {};
}

void Containers::choose_called(const std::set<std::string>& ids,
                               const std::set<std::string>& names) {
  for (const std::string& id : ids) {
    for (const std::string& name : names_of(id).all()) {
      if (names.contains(name)) chosen_.insert(id);
    }
  }
}

std::set<std::string> Containers::names_that_begin_so(const std::set<std::string>& ids) {
  std::set<std::string> names;
  for (const std::string& id : ids) {
    for (const std::string& name : names_of(id).all()) {
      if (name.starts_with(query_.container)) names.insert(name);
    }
  }
  return names;
}

std::optional<bool> Containers::pod_lives() {
  const std::string& pod = query_.pod.empty() ? pod_ : query_.pod;
  if (pod.empty()) return std::nullopt;
  const std::vector<Member> list = members();
  return std::any_of(list.begin(), list.end(), [&](const Member& m) {
    return m.pod == pod || names_of(m.container).in_pod(pod);
  });
}

Result<std::vector<pid_t>> all_but_ours() {
  if (pid_namespace_inode(::getpid()).value_or(kInitialPidNamespace) == kInitialPidNamespace) {
    return fail(Exit::kUsage, "--all-but-me would shift every process of this machine",
                "it is for a pod whose containers share their pid namespace; use --pod or "
                "--container");
  }
  std::vector<pid_t> pids;
  for (const pid_t pid : list_processes()) {
    if (!is_live_program(pid) || shares_files_with_us(pid)) continue;
    if (holds_namespaces(pid) || is_container_init(pid)) continue;
    pids.push_back(pid);
  }
  return pids;
}

}  // namespace time_chaos::targets
