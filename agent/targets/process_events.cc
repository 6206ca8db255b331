#include "agent/targets/process_events.h"

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "agent/targets/machine.h"

namespace time_chaos::targets {
namespace {

// Where the parts of a message stand. Not by struct proc_event, whose enum has moved between
// kernels' headers; the layout is the same in all of them (include/uapi/linux/cn_proc.h).
constexpr size_t kConnector = sizeof(nlmsghdr);
constexpr size_t kWhat = kConnector + sizeof(cn_msg);
constexpr size_t kData = kWhat + 16;  // behind what, cpu, timestamp
constexpr uint32_t kNone = 0;
constexpr uint32_t kExec = 2;
constexpr uint32_t kComm = 0x200;

constexpr int kAnswerPatience = 500;  // ms; the kernel answers within the call
constexpr int kBuffer = 1 << 20;      // bytes: some thousand events

uint32_t word(std::span<const uint8_t> message, size_t offset) {
  uint32_t value = 0;
  std::memcpy(&value, message.data() + offset, sizeof value);
  return value;
}

// Nobody wakes for forks, ends and threads' names: the kernel drops them before they are queued.
// A filter reads words as the network has them.
Status let_through_what_matters(int socket) {
  const auto word_at = [](size_t offset) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
  };
  const auto jump = [](uint32_t value, uint8_t yes, uint8_t no) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(value), yes, no);
  };
  std::array<sock_filter, 10> code = {{
      word_at(kWhat),
      jump(kNone, 6, 0),
      jump(kExec, 1, 0),
      jump(kComm, 0, 5),
      word_at(kData),  // the thread; then its process
      BPF_STMT(BPF_MISC | BPF_TAX, 0),
      word_at(kData + 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog program{static_cast<uint16_t>(code.size()), code.data()};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return fail_errno("filter process events");
  }
  return {};
}

Status ask(int socket, proc_cn_mcast_op operation) {
  std::array<uint8_t, kWhat + sizeof operation> request{};
  nlmsghdr header{};
  header.nlmsg_len = request.size();
  header.nlmsg_type = NLMSG_DONE;
  cn_msg connector{};
  connector.id = {CN_IDX_PROC, CN_VAL_PROC};
  connector.ack = static_cast<uint32_t>(::getpid());
  connector.len = sizeof operation;
  std::memcpy(request.data(), &header, sizeof header);
  std::memcpy(request.data() + kConnector, &connector, sizeof connector);
  std::memcpy(request.data() + kWhat, &operation, sizeof operation);
  if (::send(socket, request.data(), request.size(), 0) < 0) {
    return fail_errno("ask for process events");
  }
  return {};
}

Status refused(int error) {
  if (error == EPERM) {
    return fail(Exit::kNotPermitted, "kernel events need CAP_NET_ADMIN", "run as root");
  }
  return fail(Error::from_errno(error, "ask for process events"));
}

Status await_answer(int socket) {
  const auto self = static_cast<uint32_t>(::getpid());
  for (;;) {
    pollfd waiting{socket, POLLIN, 0};
    if (::poll(&waiting, 1, kAnswerPatience) <= 0) {
      return fail(Exit::kUnsupported, "the kernel does not answer (no CONFIG_PROC_EVENTS?)");
    }
    std::array<uint8_t, 512> buffer{};
    const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR) return refused(errno);
    if (size <= 0) continue;
    const auto event = parse_process_event({buffer.data(), static_cast<size_t>(size)});
    if (!event || event->kind != ProcessEvent::Kind::kAnswer || event->answers != self) continue;
    return event->error == 0 ? Status() : refused(static_cast<int>(event->error));
  }
}

}  // namespace

std::optional<ProcessEvent> parse_process_event(std::span<const uint8_t> message) {
  if (message.size() < kData + 8) return std::nullopt;
  cn_msg connector{};
  std::memcpy(&connector, message.data() + kConnector, sizeof connector);
  if (connector.id.idx != CN_IDX_PROC || connector.id.val != CN_VAL_PROC) return std::nullopt;
  ProcessEvent event;
  switch (word(message, kWhat)) {
    case kNone:
      event.kind = ProcessEvent::Kind::kAnswer;
      event.answers = connector.ack - 1;  // cn_proc_ack
      event.error = word(message, kData);
      return event;
    case kExec:
      event.kind = ProcessEvent::Kind::kExec;
      break;
    case kComm:
      event.kind = ProcessEvent::Kind::kName;
      break;
    default:
      return std::nullopt;
  }
  if (word(message, kData) != word(message, kData + 4)) return std::nullopt;
  event.pid = static_cast<pid_t>(word(message, kData + 4));
  return event;
}

Result<ProcessEvents> ProcessEvents::listen() {
  TC_TRY(const Machine machine, read_machine());
  if (!machine.initial_pid_namespace || !machine.initial_user_namespace) {
    return fail(Exit::kUnsupported, "kernel events need the machine's own pid and user namespaces",
                "run the agent outside of the container");
  }
  ScopedFd socket(
      ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
  if (!socket.valid()) return fail_errno("open a socket for process events");
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBuffer, sizeof kBuffer);
  TC_CHECK(let_through_what_matters(socket.get()));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(refused(errno).error());
  }
  if (const Status asked = ask(socket.get(), PROC_CN_MCAST_LISTEN); !asked) {
    if (asked.error().error_number() != ECONNREFUSED) return fail(asked.error());
    return fail(Exit::kUnsupported, "kernel events need the machine's own network namespace");
  }
  ProcessEvents events(std::move(socket));
  TC_CHECK(await_answer(events.fd()));
  return events;
}

// Before 6.6 the kernel does not notice by itself that a listener is gone.
ProcessEvents::~ProcessEvents() {
  if (socket_.valid()) (void)ask(socket_.get(), PROC_CN_MCAST_IGNORE);
}

ProcessEvents::News ProcessEvents::take() {
  News news;
  for (;;) {
    std::array<uint8_t, 512> buffer{};
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == ENOBUFS) {
      news.lost = true;
      continue;
    }
    if (size <= 0) break;
    const auto event = parse_process_event({buffer.data(), static_cast<size_t>(size)});
    if (event && event->kind != ProcessEvent::Kind::kAnswer) news.pids.push_back(event->pid);
  }
  std::sort(news.pids.begin(), news.pids.end());
  news.pids.erase(std::unique(news.pids.begin(), news.pids.end()), news.pids.end());
  return news;
}

}  // namespace time_chaos::targets
