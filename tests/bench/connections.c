/* Connections for the benchmark of proxies: a server, and clients that begin with a ClientHello of their own choosing.
 *
 *   connections serve ADDRESS PORT
 *   connections load  ADDRESS PORT SOURCES HELLO SECONDS INFLIGHT     as many connections as can be had
 *   connections bulk  ADDRESS PORT SOURCES HELLO SECONDS              one connection, as fast as it goes
 *   connections hold  ADDRESS PORT SOURCES HELLO COUNT                held until stdin ends
 *
 * The server answers a whole TLS record with REPLY octets; one more octet then makes it send without end. There is no
 * cryptography: what is measured is what lies between. SOURCES is the first of SOURCES_N consecutive IPv4 addresses.
 * load prints: passed, alerts, other ends, seconds, and the median and 99th percentile of a connection in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY 1200
#define SOURCES_N 8
#define MAX_FD 65536
#define SAMPLES 1000000

struct client { int got; unsigned char first; double began; };
static struct client clients[MAX_FD];
static struct { int record, have; int streams; } served[MAX_FD];
static char buffer[1 << 18];
static unsigned char hello[1 << 16];
static int hello_size;
static struct sockaddr_in target, source;
static float *samples;
static long taken;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) { perror(what); exit(1); }

static struct sockaddr_in address(const char *host, const char *port) {
  struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, host, &made.sin_addr) != 1) die(host);
  return made;
}

static void watch(int epoll, int fd, unsigned events, int change) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  if (epoll_ctl(epoll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
}

static void read_hello(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) die(path);
  hello_size = fread(hello, 1, sizeof hello, file);
  fclose(file);
}

static int open_one(int blocking) {
  static unsigned next;
  int fd = socket(AF_INET, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0), on = 1;
  if (fd < 0) die("socket");
  if (fd >= MAX_FD) die("too many");
  struct sockaddr_in from = source;
  from.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + next++ % SOURCES_N);
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&from, sizeof from)) die("bind");
  if (connect(fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS) { close(fd); return -1; }
  clients[fd] = (struct client){.began = now()};
  return fd;
}

static void serve_one(int epoll, int fd, unsigned events) {
  if (events & EPOLLIN) {
    ssize_t size = read(fd, buffer, sizeof buffer);
    if (size <= 0) { close(fd); return; }
    unsigned char *data = (unsigned char *)buffer;
    for (ssize_t at = 0; at < size; at++) {
      if (served[fd].record < 0) { served[fd].streams = 1; break; }
      served[fd].have++;
      if (served[fd].have == 4) served[fd].record = data[at] << 8;
      if (served[fd].have == 5) served[fd].record |= data[at];
      if (served[fd].have > 5 && served[fd].have == 5 + served[fd].record) {
        static const char reply[REPLY] = {0x16, 3, 3};
        if (write(fd, reply, REPLY) != REPLY) { close(fd); return; }
        served[fd].record = -1;
      }
    }
    if (served[fd].streams) watch(epoll, fd, EPOLLIN | EPOLLOUT, 1);
  }
  if (events & EPOLLOUT && write(fd, buffer, sizeof buffer) < 0 && errno != EAGAIN) close(fd);
}

static void serve(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1, epoll = epoll_create1(0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&target, sizeof target) || listen(listener, 8192)) die("listen");
  watch(epoll, listener, EPOLLIN, 0);
  puts("ready");
  fflush(stdout);
  for (struct epoll_event events[256];;) {
    int count = epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd != listener) { serve_one(epoll, fd, events[i].events); continue; }
      for (int made; (made = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        memset(&served[made], 0, sizeof served[made]);
        watch(epoll, made, EPOLLIN, 0);
      }
    }
  }
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void load(double seconds, int inflight) {
  int epoll = epoll_create1(0), open_now = 0;
  long passed = 0, alerts = 0, others = 0;
  samples = malloc(SAMPLES * sizeof *samples);
  double began = now(), end = began + seconds, last = began;
  for (struct epoll_event events[256];;) {
    double moment = now();
    if (moment >= end + 2 || (moment >= end && !open_now)) break;
    while (open_now < inflight && moment < end) {
      int fd = open_one(0);
      if (fd < 0) { others++; break; }
      watch(epoll, fd, EPOLLOUT, 0);
      open_now++;
    }
    int count = epoll_wait(epoll, events, 256, 100);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd, over = 0;
      if (events[i].events & EPOLLOUT) {
        if (write(fd, hello, hello_size) != hello_size) over = 1;
        else watch(epoll, fd, EPOLLIN, 1);
      }
      if (!over && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size > 0 && !clients[fd].got) clients[fd].first = buffer[0];
        if (size > 0) clients[fd].got += size;
        over = size <= 0 || (clients[fd].first == 0x16 && clients[fd].got >= REPLY);
      }
      if (!over) continue;
      if (clients[fd].got >= REPLY && clients[fd].first == 0x16) passed++;
      else if (clients[fd].got == 7 && clients[fd].first == 0x15) alerts++;
      else others++;
      last = now();
      if (taken < SAMPLES) samples[taken++] = (last - clients[fd].began) * 1e6;
      close(fd);
      open_now--;
    }
  }
  qsort(samples, taken, sizeof *samples, by_size);
  printf("%ld %ld %ld %.3f %.0f %.0f\n", passed, alerts, others + open_now, last - began,
         taken ? samples[taken / 2] : 0, taken ? samples[taken * 99 / 100] : 0);
}

static int open_and_greet(void) {
  int fd = open_one(1);
  if (fd < 0 || write(fd, hello, hello_size) != hello_size) return -1;
  for (int got = 0; got < REPLY;) {
    ssize_t size = read(fd, buffer, REPLY - got);
    if (size <= 0) return -1;
    got += size;
  }
  return fd;
}

static void bulk(double seconds) {
  int fd = open_and_greet();
  if (fd < 0 || write(fd, "B", 1) != 1) die("bulk");
  double began = now(), moment = began, octets = 0;
  while (moment - began < seconds) {
    ssize_t size = read(fd, buffer, sizeof buffer);
    if (size <= 0) die("read");
    octets += size;
    moment = now();
  }
  printf("%.0f %.3f\n", octets, moment - began);
}

static void hold(int count) {
  for (int i = 0; i < count; i++)
    if (open_and_greet() < 0) { printf("%d\n", i); fflush(stdout); die("hold"); }
  printf("%d\n", count);
  fflush(stdout);
  while (read(0, buffer, 1) > 0) {}
}

int main(int argc, char **argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (argc < 4) return 2;
  target = address(argv[2], argv[3]);
  if (!strcmp(argv[1], "serve")) serve();
  if (argc < 7) return 2;
  source = address(argv[4], "0");
  read_hello(argv[5]);
  if (!strcmp(argv[1], "load") && argc == 8) load(atof(argv[6]), atoi(argv[7]));
  else if (!strcmp(argv[1], "bulk")) bulk(atof(argv[6]));
  else if (!strcmp(argv[1], "hold")) hold(atoi(argv[6]));
  else return 2;
  return 0;
}
