// Holds a pod's namespaces: waits, buries the children that a shared pid namespace leaves it, and
// ends when it is told to.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

int main(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGCHLD) exit(0);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
}
