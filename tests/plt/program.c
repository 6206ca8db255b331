/* A program with two libraries, and more when it is told to load them. What every library reads,
 * and what it reads itself by functions whose addresses it keeps, it prints all the time. Commands:
 * "load NAME" (./libNAME.so), "call" (what was loaded last, from now on), "unload", "fork",
 * "vfork", "keep NAME [WHERE]" (the address that this library has taken: sealed, guarded,
 * secretly), "forget", "reserve" (much), "decoy" (instead of what was loaded last), "no decoy",
 * "inconsistent" (the loader's list, for ever). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define GIB ((size_t)1 << 30)
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

typedef void (*read_function)(FILE*);
typedef int (*clock_function)(clockid_t, struct timespec*);
void one(FILE* out);
void two(FILE* out);

clock_function vdso_clock_gettime; /* for libraries */
static void* library;
static const char* loaded; /* its name */
static read_function more;
static clock_function* kept;
static int mapped; /* where it is kept */

static void* busy(void* argument) {
  (void)argument;
  for (;;) {
    struct timespec now;
    for (int i = 0; i < 1000; i++) {
      if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) abort();
    }
    usleep(100);
  }
}

/* The function of the library that was loaded last, or of those that were there from the beginning.
 */
static void find(const char* name, void* function, size_t size) {
  void* found = library != NULL ? dlsym(library, name) : NULL;
  if (found == NULL) found = dlsym(RTLD_DEFAULT, name);
  if (found == NULL) {
    puts(dlerror());
    exit(1);
  }
  memcpy(function, &found, size);
}

static void load(const char* name) {
  char path[300];
  snprintf(path, sizeof path, "./lib%s.so", name);
  library = dlopen(path, RTLD_LAZY);
  if (library == NULL) {
    puts(dlerror());
    exit(1);
  }
  loaded = strdup(name);
}

/* Three pages. */
static void* map(int fd, int flags) {
  void* pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (pages == MAP_FAILED) exit(1);
  return pages;
}

/* A copy of the address that this library has taken. */
static void keep(const char* name, const char* where) {
  clock_function (*taken)(void);
  char function[300];
  snprintf(function, sizeof function, "keep_%s", name);
  find(function, &taken, sizeof taken);
  if (strcmp(where, "secretly") == 0) {
    int fd = (int)syscall(SYS_memfd_secret, 0);
    if (fd < 0 || ftruncate(fd, 3 * PAGE) != 0) exit(1);
    kept = map(fd, MAP_SHARED);
    close(fd);
  } else if (where[0] != 0) {
    kept = map(-1, MAP_PRIVATE | MAP_ANONYMOUS);
  } else {
    kept = malloc(sizeof *kept);
  }
  mapped = where[0] != 0;
  if (strcmp(where, "guarded") == 0) {
    memset(kept, 1, PAGE);
    if (madvise((char*)kept + PAGE, PAGE, MADV_GUARD_INSTALL) != 0) exit(1);
    kept = (clock_function*)((char*)kept + 2 * PAGE);
  }
  *kept = taken();
  if (strcmp(where, "sealed") == 0) mprotect(kept, PAGE, PROT_READ);
}

static void forget(void) {
  mapped ? (void)munmap(kept, PAGE) : (void)memset(kept, 0, sizeof *kept);
  kept = NULL;
}

extern ElfW(Dyn) _DYNAMIC[]; /* musl declares none */

/* As a child is left by a fork in the middle of another thread's dlopen. */
static void leave_inconsistent(void) {
  for (ElfW(Dyn)* entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++) {
    if (entry->d_tag == DT_DEBUG) ((struct r_debug*)entry->d_un.d_ptr)->r_state = RT_ADD;
  }
}

/* The thread is in uninterruptible sleep meanwhile. */
static void wait_in_vfork(void) {
  if (vfork() == 0) {
    poll(NULL, 0, 2000);
    _exit(0);
  }
}

/* What is written of the library that was loaded last: once it is gone, the same bytes, which are
 * none of its. */
static struct {
  char* start;
  size_t size;
  char* before;
} decoy;

static int find_written(struct dl_phdr_info* info, size_t size, void* base) {
  (void)size;
  for (int i = 0; i < info->dlpi_phnum && info->dlpi_addr == *(ElfW(Addr)*)base; i++) {
    const ElfW(Phdr)* header = &info->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || (header->p_flags & PF_W) == 0) continue;
    ElfW(Addr) start = (info->dlpi_addr + header->p_vaddr) & ~(ElfW(Addr))(PAGE - 1);
    ElfW(Addr) end = info->dlpi_addr + header->p_vaddr + header->p_memsz;
    decoy.start = (char*)start;
    decoy.size = (end - start + PAGE - 1) & ~(size_t)(PAGE - 1);
  }
  return 0;
}

static void unload(void) {
  more = NULL;
  dlclose(library);
  library = NULL;
}

static void put_decoy(void) {
  dl_iterate_phdr(find_written, &((struct link_map*)library)->l_addr);
  decoy.before = malloc(decoy.size);
  memcpy(decoy.before, decoy.start, decoy.size);
  unload();
  if (mmap(decoy.start, decoy.size, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != decoy.start)
    exit(1);
  memcpy(decoy.start, decoy.before, decoy.size);
}

static void take_decoy(void) {
  munmap(decoy.start, decoy.size);
  explicit_bzero(decoy.before, decoy.size);
  free(decoy.before);
  decoy.before = NULL;
}

static void obey(char* command) {
  if (strncmp(command, "load ", 5) == 0) {
    load(command + 5);
  } else if (strcmp(command, "call") == 0) {
    find(loaded, &more, sizeof more);
  } else if (strcmp(command, "unload") == 0) {
    unload();
  } else if (strcmp(command, "decoy") == 0) {
    put_decoy();
  } else if (strcmp(command, "no decoy") == 0) {
    take_decoy();
  } else if (strcmp(command, "inconsistent") == 0) {
    leave_inconsistent();
  } else if (strcmp(command, "vfork") == 0) {
    wait_in_vfork();
  } else if (strcmp(command, "fork") == 0) {
    if (fork() == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  } else if (strncmp(command, "keep ", 5) == 0) {
    char* where = strchr(command + 5, ' ');
    if (where != NULL) *where++ = 0;
    keep(command + 5, where != NULL ? where : "");
  } else if (strcmp(command, "forget") == 0) {
    forget();
  } else if (strcmp(command, "reserve") == 0) {
    if (mmap(NULL, 65 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
             -1, 0) == MAP_FAILED)
      exit(1);
  }
}

int main(int argc, char** argv) {
  pthread_t thread;
  for (int i = argc > 1 ? atoi(argv[1]) : 0; i > 0; i--) pthread_create(&thread, NULL, busy, NULL);
  void* vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
  void* found = vdso != NULL ? dlsym(vdso, "__vdso_clock_gettime") : NULL;
  memcpy(&vdso_clock_gettime, &found, sizeof found);
  for (;;) {
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    char commands[4096];
    if (poll(&in, 1, 20) == 1) {
      ssize_t size = read(STDIN_FILENO, commands, sizeof commands - 1);
      if (size <= 0) return 0;
      commands[size] = 0;
      char* rest = NULL;
      for (char* one_by_one = strtok_r(commands, "\n", &rest); one_by_one != NULL;
           one_by_one = strtok_r(NULL, "\n", &rest)) {
        obey(one_by_one);
      }
    }
    printf("%d ", getpid());
    one(stdout);
    printf("%d ", getpid());
    two(stdout);
    if (more != NULL) {
      printf("%d ", getpid());
      more(stdout);
    }
    if (decoy.before != NULL) {
      int changed = memcmp(decoy.start, decoy.before, decoy.size) != 0;
      printf("%d decoy bad %d 0\n", getpid(), changed);
    }
    if (kept != NULL) {
      struct timespec now;
      (*kept)(CLOCK_REALTIME, &now);
      printf("%d kept %lld\n", getpid(), (long long)now.tv_sec);
    }
    fflush(stdout);
  }
}
