#include "agent/syscalls/bpf_table.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <table.skel.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "agent/base/unpreempted.h"
#include "agent/syscalls/bpf_log.h"

namespace time_chaos::syscalls {
namespace {

struct Destroy {
  void operator()(table_bpf* skeleton) const { table_bpf::destroy(skeleton); }
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

ScopedFd duplicate(int fd) {
  return ScopedFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

int by_system_call(int map, tc_bpf_order& order) {
  const Unpreempted meanwhile;
  int result = -1;
  errno = EINVAL;
  switch (order.kind) {
    case TC_BPF_FIND:
      result = ::bpf_map_lookup_elem(map, &order.tgid, &order.target);
      break;
    case TC_BPF_PUT:
      result = ::bpf_map_update_elem(map, &order.tgid, &order.target, BPF_ANY);
      break;
    case TC_BPF_DROP:
      result = ::bpf_map_delete_elem(map, &order.tgid);
      break;
    default:
      break;
  }
  return result == 0 ? 0 : errno;
}

}  // namespace

BpfTable::BpfTable(ScopedFd map, bool by_program) : map_(std::move(map)) {
  if (!by_program) return;
  const BpfLog log;
  const std::unique_ptr<table_bpf, Destroy> skeleton(table_bpf::open());
  if (!skeleton || ::bpf_map__reuse_fd(skeleton->maps.tchaos_targets, map_.get()) != 0 ||
      table_bpf::load(skeleton.get()) != 0) {
    return;
  }
  bpf_iter_link_info which{};
  which.map.map_fd = static_cast<__u32>(map_.get());
  bpf_iter_attach_opts options{};
  options.sz = sizeof options;
  options.link_info = &which;
  options.link_info_len = sizeof which;
  const std::unique_ptr<bpf_link, Destroy> link(
      bpf_program__attach_iter(skeleton->progs.table_list, &options));
  if (!link) return;
  iterator_ = duplicate(bpf_link__fd(link.get()));
  order_ = duplicate(bpf_program__fd(skeleton->progs.table_order));
}

int BpfTable::order(tc_bpf_order& order) const {
  if (!order_.valid()) return by_system_call(map_.get(), order);
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  options.ctx_in = &order;  // and out
  options.ctx_size_in = sizeof order;
  if (::bpf_prog_test_run_opts(order_.get(), &options) != 0) return errno;
  return -order.result;
}

std::vector<BpfTable::Entry> BpfTable::list() const {
  std::vector<Entry> entries = iterator_.valid() ? iterate() : walk();
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.first < b.first; });
  const auto same = [](const Entry& a, const Entry& b) { return a.first == b.first; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return entries;
}

std::vector<BpfTable::Entry> BpfTable::walk() const {
  std::vector<Entry> entries;
  uint32_t key = 0;
  const uint32_t* before = nullptr;
  const Unpreempted meanwhile;
  // Entries that come and go meanwhile may start the walk anew: it ends all the same.
  while (entries.size() < size_t{2} * TC_BPF_MAX_TARGETS &&
         ::bpf_map_get_next_key(map_.get(), before, &key) == 0) {
    Entry entry{key, {}};
    if (::bpf_map_lookup_elem(map_.get(), &key, &entry.second) == 0) entries.push_back(entry);
    before = &key;
  }
  return entries;
}

std::vector<BpfTable::Entry> BpfTable::iterate() const {
  std::vector<Entry> entries;
  const ScopedFd iterator(::bpf_iter_create(iterator_.get()));
  std::vector<tc_bpf_entry> part(512);
  for (;;) {
    const ssize_t bytes = ::read(iterator.get(), part.data(), part.size() * sizeof(tc_bpf_entry));
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (bytes <= 0) return entries;
    // The kernel hands out whole records only (bpf_seq_read, kernel/bpf/bpf_iter.c).
    for (size_t i = 0; i < static_cast<size_t>(bytes) / sizeof(tc_bpf_entry); i++) {
      entries.emplace_back(part[i].tgid, part[i].target);
    }
  }
}

std::optional<tc_bpf_target> BpfTable::find(uint32_t tgid) const {
  tc_bpf_order ask{TC_BPF_FIND, tgid, {}, 0, 0};
  if (order(ask) != 0) return std::nullopt;
  return ask.target;
}

Status BpfTable::put(uint32_t tgid, const tc_bpf_target& target) const {
  tc_bpf_order ask{TC_BPF_PUT, tgid, target, 0, 0};
  const int error = order(ask);
  if (error == 0) return {};
  if (error == E2BIG) {
    return fail(Exit::kFailed, "the BPF engine serves no more processes",
                "recover some, or start another agent");
  }
  return fail(Error::from_errno(error, "add a target to the BPF engine"));
}

Status BpfTable::drop(uint32_t tgid) const {
  tc_bpf_order ask{TC_BPF_DROP, tgid, {}, 0, 0};
  const int error = order(ask);
  if (error == 0 || error == ENOENT) return {};
  return fail(Error::from_errno(error, "remove a target from the BPF engine"));
}

}  // namespace time_chaos::syscalls
