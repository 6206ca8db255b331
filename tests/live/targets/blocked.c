// blocked KIND MS: says "ready", then blocks once, for MS milliseconds, in the call that KIND
// names, and prints `KIND ret R errno E ms T`. An attach in between must not show.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "reading.h"

static struct timespec wait_time;
static struct timeval wait_timeval;
static int wait_ms;
static int pipe_fds[2];
static int socket_fds[2];
static struct epoll_event event = {.events = EPOLLIN};

static void on_signal(int number) {
  (void)number;
}

// A child that sleeps as long as the call is to block, then does `act` and ends.
static void helper(void (*act)(void)) {
  pid_t parent = getpid();
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  sleep_ms(wait_ms);
  act();
  _exit(0);
}
static void write_pipe(void) {
  (void)!write(pipe_fds[1], "x", 1);
}
static void write_socket(void) {
  (void)!write(socket_fds[1], "x", 1);
}
static void signal_parent(void) {
  kill(getppid(), SIGUSR1);
}
static void nothing(void) {}

static void limit_receive(int fd) {
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait_timeval, sizeof wait_timeval);
}

static long in_nanosleep(void) {
  return syscall(SYS_nanosleep, &wait_time, NULL);
}
static long in_clock_nanosleep(void) {
  int64_t until = raw_clock_ns(CLOCK_MONOTONIC) + wait_ms * INT64_C(1000000);
  struct timespec t = {until / 1000000000, until % 1000000000};
  return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}
static long in_poll(void) {
  struct pollfd p = {pipe_fds[0], POLLIN, 0};
  return poll(&p, 1, wait_ms);
}
static long in_ppoll(void) {
  struct pollfd p = {pipe_fds[0], POLLIN, 0};
  return syscall(SYS_ppoll, &p, 1, &wait_time, NULL, 8);
}
static long in_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe_fds[0], &set);
  return select(pipe_fds[0] + 1, &set, NULL, NULL, &wait_timeval);
}
static long in_futex(void) {
  int word = 0;
  return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0);
}
static long in_read(void) {
  char c;
  helper(write_pipe);
  return read(pipe_fds[0], &c, 1);
}
static long in_accept(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un any = {.sun_family = AF_UNIX};
  bind(fd, (struct sockaddr*)&any, sizeof(sa_family_t));  // autobind: an abstract name of its own
  listen(fd, 1);
  limit_receive(fd);
  return accept(fd, NULL, NULL);
}
static long in_epoll_wait(void) {
  return epoll_wait(epoll_create1(0), &event, 1, wait_ms);
}
static long in_epoll_event(void) {
  int fd = epoll_create1(0);
  epoll_ctl(fd, EPOLL_CTL_ADD, pipe_fds[0], &event);
  helper(write_pipe);
  return epoll_wait(fd, &event, 1, -1);
}
static long in_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return sigtimedwait(&set, NULL, &wait_time);
}
static long in_semtimedop(void) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf take = {0, -1, 0};
  long result = semtimedop(id, &take, 1, &wait_time);
  int saved = errno;
  semctl(id, 0, IPC_RMID);
  errno = saved;
  return result;
}
static long in_msgrcv(void) {
  int id = msgget(IPC_PRIVATE, 0600);
  pid_t parent = getpid();
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    struct {
      long type;
      char text;
    } message = {1, 'x'};
    sleep_ms(wait_ms);
    msgsnd(id, &message, 1, 0);
    _exit(0);
  }
  struct {
    long type;
    char text;
  } message;
  long result = msgrcv(id, &message, 1, 0, 0);
  int saved = errno;
  msgctl(id, IPC_RMID, NULL);
  errno = saved;
  return result;
}
static long in_recv(void) {
  char c;
  limit_receive(socket_fds[0]);
  return recv(socket_fds[0], &c, 1, 0);
}
static long in_recv_data(void) {
  char c;
  helper(write_socket);
  return recv(socket_fds[0], &c, 1, 0);
}
static long in_pause(void) {
  helper(signal_parent);
  return pause();
}
static long in_sigsuspend(void) {
  sigset_t none;
  sigemptyset(&none);
  helper(signal_parent);
  return sigsuspend(&none);
}
static long in_wait4(void) {
  helper(nothing);
  return wait(NULL) > 0;
}
static long in_flock(void) {
  char path[] = "/tmp/live-flock-XXXXXX";
  int held = mkstemp(path);
  int wanted = open(path, O_RDWR | O_CLOEXEC);
  unlink(path);
  flock(held, LOCK_EX);
  helper(nothing);  // shares the open file, hence the lock, until it ends
  close(held);
  return flock(wanted, LOCK_EX);
}
static long in_timerfd(void) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec when = {.it_value = wait_time};
  uint64_t expiries = 0;
  timerfd_settime(fd, 0, &when, NULL);
  return read(fd, &expiries, sizeof expiries);
}
static long in_io_getevents(void) {
  aio_context_t context = 0;
  struct io_event done;
  syscall(SYS_io_setup, 8, &context);
  return syscall(SYS_io_getevents, context, 1, 1, &done, &wait_time);
}
static long in_vfork(void) {  // the parent sleeps uninterruptibly until the child is gone
  pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_nanosleep, &wait_time, NULL);
    _exit(0);
  }
  return child > 0;
}

static const struct {
  const char* name;
  long (*block)(void);
} kKinds[] = {
    {"nanosleep", in_nanosleep},
    {"clock_nanosleep", in_clock_nanosleep},
    {"poll", in_poll},
    {"ppoll", in_ppoll},
    {"select", in_select},
    {"futex", in_futex},
    {"read", in_read},
    {"accept", in_accept},
    {"epoll_wait", in_epoll_wait},
    {"epoll_event", in_epoll_event},
    {"sigtimedwait", in_sigtimedwait},
    {"semtimedop", in_semtimedop},
    {"msgrcv", in_msgrcv},
    {"recv", in_recv},
    {"recv_data", in_recv_data},
    {"pause", in_pause},
    {"sigsuspend", in_sigsuspend},
    {"wait4", in_wait4},
    {"flock", in_flock},
    {"timerfd", in_timerfd},
    {"io_getevents", in_io_getevents},
    {"vfork", in_vfork},
};

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  wait_ms = atoi(argv[2]);
  wait_time = (struct timespec){wait_ms / 1000, wait_ms % 1000 * 1000000L};
  wait_timeval = (struct timeval){wait_ms / 1000, wait_ms % 1000 * 1000L};
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  if (pipe(pipe_fds) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, socket_fds) != 0) return 2;
  for (size_t i = 0; i < sizeof kKinds / sizeof kKinds[0]; i++) {
    if (strcmp(kKinds[i].name, argv[1]) != 0) continue;
    write_all("ready\n", 6);
    int64_t start = raw_clock_ns(CLOCK_MONOTONIC);
    errno = 0;
    long result = kKinds[i].block();
    int error = result < 0 ? errno : 0;
    int64_t ms = (raw_clock_ns(CLOCK_MONOTONIC) - start) / 1000000;
    printf("%s ret %ld errno %d ms %lld\n", argv[1], result, error, (long long)ms);
    return 0;
  }
  return 2;
}
