// A command that uses files, clocks and streams through wasi-libc and says which of its expectations does not hold.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int failed;

#define CHECK(what)                                                     \
  do {                                                                  \
    if (!(what)) {                                                      \
      printf("%d: %s (errno %d)\n", __LINE__, #what, errno); \
      failed = 1;                                                       \
    }                                                                   \
  } while (0)

static void files(void) {
  char text[64] = "";
  struct stat st;
  FILE* f = fopen("notes.txt", "w");
  CHECK(f != NULL);
  CHECK(fputs("hello file\n", f) >= 0 && fclose(f) == 0);
  f = fopen("/notes.txt", "a+");
  CHECK(f != NULL && fputs("more\n", f) >= 0 && fseek(f, 6, SEEK_SET) == 0);
  CHECK(fgets(text, sizeof text, f) != NULL && strcmp(text, "file\n") == 0);
  CHECK(fclose(f) == 0);
  CHECK(stat("notes.txt", &st) == 0 && st.st_size == 16 && S_ISREG(st.st_mode));
  CHECK(truncate("notes.txt", 5) == 0 && stat("notes.txt", &st) == 0 && st.st_size == 5);
  int fd = open("notes.txt", O_RDONLY);
  CHECK(fd > 2 && pread(fd, text, 3, 1) == 3 && memcmp(text, "ell", 3) == 0);
  CHECK(write(fd, "x", 1) == -1 && errno == EBADF);
  CHECK(lseek(fd, 0, SEEK_END) == 5 && read(fd, text, 1) == 0 && close(fd) == 0);
  CHECK(open("notes.txt", O_CREAT | O_EXCL | O_RDWR, 0600) == -1 && errno == EEXIST);
  CHECK(open("../etc/passwd", O_RDONLY) == -1);
  CHECK(open("/etc/passwd", O_RDONLY) == -1 && errno == ENOENT);
}

static void directories(void) {
  struct stat st;
  int seen = 0;
  CHECK(mkdir("dir", 0700) == 0 && mkdir("dir", 0700) == -1 && errno == EEXIST);
  CHECK(rename("notes.txt", "dir/moved") == 0 && access("notes.txt", F_OK) == -1 && errno == ENOENT);
  CHECK(link("dir/moved", "dir/hard") == 0 && stat("dir/hard", &st) == 0 && st.st_nlink == 2);
  CHECK(symlink("moved", "dir/soft") == 0 && lstat("dir/soft", &st) == 0 && S_ISLNK(st.st_mode));
  CHECK(stat("dir/soft", &st) == 0 && S_ISREG(st.st_mode));
  char target[16] = "";
  CHECK(readlink("dir/soft", target, sizeof target) == 5 && strcmp(target, "moved") == 0);
  CHECK(symlink("/etc", "dir/out") == -1);
  DIR* d = opendir("dir");
  CHECK(d != NULL);
  for (struct dirent* e; d != NULL && (e = readdir(d)) != NULL;) seen += e->d_name[0] != '.';
  CHECK(seen == 3 && closedir(d) == 0);
  CHECK(rmdir("dir") == -1 && errno == ENOTEMPTY);
  CHECK(unlink("dir") == -1 && unlink("dir/hard") == 0 && unlink("dir/soft") == 0);
  struct timespec when[2] = {{1000, 7}, {2000, 9}};
  CHECK(utimensat(AT_FDCWD, "dir/moved", when, 0) == 0 && stat("dir/moved", &st) == 0);
  CHECK(st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 9);
}

static void process(char** argv) {
  struct timespec a, b, pause = {0, 2000000};
  CHECK(strcmp(argv[0], "guest") == 0 && argv[1] == NULL && getenv("PATH") == NULL);
  CHECK(clock_gettime(CLOCK_MONOTONIC, &a) == 0 && nanosleep(&pause, NULL) == 0 && clock_gettime(CLOCK_MONOTONIC, &b) == 0);
  CHECK((b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec - a.tv_nsec >= 2000000);
  CHECK(time(NULL) > 1600000000);
  unsigned char x[32] = {0}, zero[32] = {0};
  CHECK(getentropy(x, sizeof x) == 0 && memcmp(x, zero, sizeof x) != 0);
  CHECK(!isatty(0) && !isatty(1) && !isatty(2));
}

int main(int argc, char** argv) {
  char in[64];
  size_t n = fread(in, 1, sizeof in, stdin);
  printf("stdin: %.*s\n", (int)n, in);
  files();
  directories();
  process(argv);
  fprintf(stderr, "a line\none without ");
  fprintf(stderr, "an end");
  if (!failed) puts("all passed");
  return argc == 1 ? failed : 2;
}
